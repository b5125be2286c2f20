"""The README's pictures are small and show what the labs hold now; its packages are what `make fresh` installs."""

import html
import json
import re

import pytest

from .fresh import packages

PICTURE = re.compile(r"^!\[([^\]]+)\]\((labs/figures/readme_\w+\.png)\)$", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def pictures(repository):
    """Alternative text -> file."""
    return dict(PICTURE.findall((repository / "README.md").read_text()))


def test_every_picture_is_there_once_and_small(repository, pictures):
    files = sorted(str(path.relative_to(repository)) for path in repository.glob("labs/figures/readme_*.png"))
    assert sorted(pictures.values()) == files
    assert all((repository / file).stat().st_size <= 150_000 for file in files)


def test_pictures_of_labs_say_what_the_labs_figures_say(repository, pictures):
    stored = set()
    for path in repository.glob("labs/*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            for output in cell.get("outputs", []):
                page = "".join(output.get("data", {}).get("text/html", []))
                stored |= {html.unescape(alt) for alt in re.findall(r'alt="([^"]*)"', page)}
    of_labs = {alt for alt, file in pictures.items() if not file.endswith("readme_doctor.png")}
    assert len(of_labs) > 2
    assert of_labs <= stored, "the figures have changed: mend docs/pictures.py and the README, then `make pictures`"


def test_the_readme_has_one_line_of_packages(repository, tmp_path):
    assert {"git", "make", "python3-venv"} <= set(packages.named_by(repository / "README.md"))
    for text in ("none", "sudo apt-get install a\n" * 2):
        (tmp_path / "README.md").write_text(text)
        with pytest.raises(ValueError, match="make it one"):
            packages.named_by(tmp_path / "README.md")


# What pip, uv, JupyterLab, Python and the system say; the README only translates it.
NOT_OURS = {
    "make: command not found",
    "Temporary failure in name resolution",
    "No matching distribution found for uv",
    "No matching distribution found for tensorflow",
    "Connection refused",
    "invalid peer certificate: UnknownIssuer",
    "CERTIFICATE_VERIFY_FAILED",
    "Hash mismatch for",
    "THESE PACKAGES DO NOT MATCH THE HASHES",
    "No space left on device",
    "Permission denied",
    "Running as root is not recommended",
    "The port 8888 is already in use, trying another port",
    "No web browser found",
    "ModuleNotFoundError: No module named 'labkit'",
    "Fatal Python error",
    "Could not find cuda drivers on your machine",
    "Kernel died",
}


def test_the_messages_that_the_readme_explains_are_said(repository):
    readme = (repository / "README.md").read_text(encoding="utf-8").partition("## When something is wrong")[2]
    seen = {
        each
        for cell in re.findall(r"^\| (`.*?) \|", readme, flags=re.MULTILINE)
        for each in re.findall(r"`([^`]+)`", cell)
    }
    sources = [repository / "Makefile", *(repository / "labkit").rglob("*.py")]
    said = re.sub(r'"\n\s*f?"', "", "".join(file.read_text(encoding="utf-8") for file in sources))
    assert {each for each in seen - NOT_OURS if not all(part in said for part in each.split("…"))} == set()
    assert seen >= NOT_OURS
