"""The benchmark's section on models in a browser."""

from bench import browser, page, pictures, report


def test_the_page_says_how_a_browser_compares_and_how_long_a_whole_job_takes() -> None:
    run = report.Run({"rounds": "2"})
    assert "in a browser" not in page.text(run, pictures.draw(run), "pictures")
    times = {browser.TENSORFLOW: [10.0, 20.0], browser.LITERT: [5.0, 5.0], browser.TFJS: [40.0, 60.0]}
    times |= {browser.LITERT_JS: [15.0, 40.0], browser.TFJS_TFLITE: [30.0, 30.0]}
    run.add(browser.MODEL, "ms", times)
    run.add(browser.JOB, "s", {browser.WHOLE: [1.0, 2.0]})
    written = page.text(run, pictures.draw(run), "pictures").replace("\n", " ")
    assert "TensorFlow.js takes 3.5 times (3.0 to 4.0) as long as TensorFlow in Python; the aim, 3 times" in written
    assert "is missed by 17%. LiteRT.js takes 1.8 times (1.5 to 2.0): met." in written
    assert "| tfjs-tflite | 30.0 |" in written
    assert "with a small model, takes 1.50 s (1.00 to 2.00)" in written
