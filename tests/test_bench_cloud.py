"""The benchmark's sections on the local cloud."""

from pathlib import Path

from bench import cloud_predict, cloud_upload, page, pictures, report


def test_the_page_says_how_long_an_upload_takes(tmp_path: Path) -> None:
    run = report.Run({"rounds": "2"})
    assert "local cloud" not in page.text(run, pictures.draw(run), "pictures")
    run.add(cloud_upload.CASE, "s", {cloud_upload.CLOUD: [1.0, 1.5], cloud_upload.COPY: [0.5, 0.5]})
    written = page.text(run, pictures.draw(run), "pictures").replace("\n", " ")
    assert "200 MB in 8 files at once take Google's client 1.25 s" in written
    assert "they take 0.500 s. The ratio is 2.5 (2.0 to 3.0)." in written


def test_the_page_says_how_long_a_question_to_an_endpoint_takes() -> None:
    run = report.Run({"rounds": "2"})
    sides = {
        cloud_predict.ENDPOINT: 3.0,
        cloud_predict.RAW: 2.0,
        cloud_predict.DIRECT: 1.0,
        cloud_predict.MESSAGES: 0.5,
    }
    for case in cloud_predict.CASES:
        run.add(case, "ms", {side: [each, each] for side, each in sides.items()})
    written = page.text(run, pictures.draw(run), "pictures").replace("\n", " ")
    assert (
        "A question with 1,000 rows takes 1.00 ms at its server and 3.00 ms through an endpoint, 3.0 (3.0 to 3.0)"
        in written
    )
    assert "with `raw_predict` 2.00 ms, 2.0 (2.0 to 2.0) times" in written
