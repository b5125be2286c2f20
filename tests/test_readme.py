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
