"""The benchmark's section on uploads into the local cloud."""

from pathlib import Path

from bench import cloud_upload, page, pictures, report


def test_the_page_says_how_long_an_upload_takes(tmp_path: Path) -> None:
    run = report.Run({"rounds": "2"})
    assert "local cloud" not in page.text(run, pictures.draw(run), "pictures")
    run.add(cloud_upload.CASE, "s", {cloud_upload.CLOUD: [1.0, 1.5], cloud_upload.COPY: [0.5, 0.5]})
    written = page.text(run, pictures.draw(run), "pictures").replace("\n", " ")
    assert "200 MB in 8 files at once take Google's client 1.25 s" in written
    assert "they take 0.500 s. The ratio is 2.5 (2.0 to 3.0)." in written
