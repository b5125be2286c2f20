"""docs/teaching.md against the labs: times add up, sections are whole, what it names and changes is there."""

import re
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from labkit.notebooks.lab import Lab

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
LABS = {lab.path.name[:2]: lab for lab in map(Lab, sorted((ROOT / "labs").glob("[0-9]*.ipynb")))}
FIELDS = ["Aim", "Minutes", "Learners ask", "On the projector", "When it fails"]
FIVE = r"\*\*(Aim|Minutes|Learners ask|On the projector|When it fails)\.?\*\*"


def sections(level: str) -> dict[str, str]:
    parts = re.split(rf"^{level} (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def of_lab(number: str) -> str:
    return sections("##")[f"Lab {number}"]


def source(number: str) -> str:
    return "\n".join(cell.source for cell in LABS[number].cells)


def days() -> list[tuple[str, list[list[str]]]]:
    """The timetables: the heading that each stands under, and its rows of from, minutes, what, how."""
    found = []
    for title, text in sections("##").items():
        for table in re.findall(r"^\| from \| minutes \|.*\n\|[-| ]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE):
            found.append((title, [[part.strip() for part in row.split("|")[1:-1]] for row in table.splitlines()]))
    return found


def test_every_lab_has_its_section() -> None:
    assert [title for title in sections("##") if title.startswith("Lab ")] == [f"Lab {number}" for number in LABS]


@pytest.mark.parametrize("number", LABS)
def test_a_section_is_whole(number: str) -> None:
    text = of_lab(number)
    assert re.findall(rf"^{FIVE}", text, flags=re.MULTILINE) == FIELDS
    assert len(re.findall(r"^- \*.+[?.]\* ", text, flags=re.MULTILINE)) == 3
    assert len(re.findall(r"^\| ", text, flags=re.MULTILINE)) >= 3 + 1  # three rows below the heading
    assert len(text.splitlines()) <= 40


@pytest.mark.parametrize("number", LABS)
def test_minutes_are_those_of_the_readme_and_the_lab(number: str) -> None:
    minutes = re.search(r"^\*\*Minutes\.\*\* (\d+)$", of_lab(number), flags=re.MULTILINE)[1]
    readme = re.search(rf"^\| \[{number} .*?\|.*?\| (\d+) \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert readme[1] == minutes
    assert re.search(rf"^\*\*You need\*\*.* {minutes} minutes", source(number), flags=re.MULTILINE)


@pytest.mark.parametrize("number", LABS)
def test_what_a_section_names_is_in_the_lab(number: str) -> None:
    text, lab = of_lab(number), source(number)
    figures = re.findall(r"[Ff]igure \*([^*]+)\*", text.replace("\n", " "))
    changes = re.findall(r"[Cc]hange\s`([^`]+)`\sto\s`([^`]+)`", text)
    parts = [int(part) for part in re.findall(r"\b[Pp]art (\d)", text)]
    assert (figures or number in ("00", "02", "07", "13")) and (changes or number == "06")
    assert not [title for title in figures if title not in lab]
    assert not [old for old, _ in changes if old not in lab]
    assert max(parts) <= len(LABS[number].parts)


@pytest.mark.parametrize(("title", "rows"), days(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_timetable_adds_up(title: str, rows: list[list[str]]) -> None:
    starts = [datetime.strptime(row[0], "%H:%M") for row in rows]
    for (begin, row), (end, _) in pairwise(zip(starts, rows, strict=True)):
        assert begin + timedelta(minutes=int(row[1])) == end, row
    work = sum(int(row[1]) for row in rows if row[2] not in ("Break", "Lunch"))
    assert work == (190 if title.startswith("Half") else 360)


def test_the_two_days_together_have_every_lab() -> None:
    labs = {
        row[2] for title, rows in days() if title.startswith("One day") for row in rows if row[2].startswith("Lab ")
    }
    assert labs == {f"Lab {number}" for number in LABS}
    assert "The two days above, serving first. Together they have every lab" in sections("##")["Two days: everything"]


def test_exercises_and_parts_that_are_named_exist() -> None:
    exercises = {number for lab in LABS.values() for number, _ in lab.exercises()}
    assert set(re.findall(r"\b\d\d\.\d\b(?! GB)", PAGE)) <= exercises
    assert "NN.1 is for everybody" in PAGE and "NN.2 and NN.3 are for who is quick (lab 00 has two)" in PAGE
    assert exercises == {f"{number}.{n}" for number in LABS for n in ((1, 2) if number == "00" else (1, 2, 3))}
    for _, rows in days():
        for _, _, lab, how in (row for row in rows if row[2].startswith("Lab ")):
            number = lab.removeprefix("Lab ")
            assert {one[:2] for one in re.findall(r"\b\d\d\.\d\b", how)} <= {number}
            assert all(int(part) <= len(LABS[number].parts) for part in re.findall(r"\b(\d)\b(?!\.)", how))
