"""The benchmark's section on threads."""

from bench import page, pictures, report, threads


def test_the_page_says_what_a_setting_costs_and_what_threads_bring() -> None:
    run = report.Run({"rounds": "2"})
    assert "## Threads" not in page.text(run, pictures.draw(run), "pictures")
    run.add(threads.START, "s", {threads.FORKED: [0.5, 1.0], threads.PLAIN: [4.0, 4.0]})
    run.add(threads.BROUGHT, "times", {"a product": [1.5, 1.7, 1.6]})
    written = page.text(run, pictures.draw(run), "pictures").replace("\n", " ")
    assert "takes 0.750 s with `labkit.threads.measure`" in written
    assert "4.00 s with a new Python: 6.0 times (4.0 to 8.0) as long" in written
    assert "| a product | 1.6 times (1.5 to 1.7) |" in written
