"""The two hints of every exercise: the second says more, and neither gives the answer."""

import re
from pathlib import Path

import pytest

from labkit.checks import hint
from labkit.notebooks import files

LABS = Path(__file__).parents[2] / "labs"
TEXTS = [files.read(lab) for lab in sorted(LABS.glob("[0-9]*.ipynb"))]
EXERCISES = re.findall(r"^### Exercise ([\d.]+)$", "\n".join(cell.source for lab in TEXTS for cell in lab.cells), re.M)

ANSWERS = {
    "00.1": ["Chinstrap"],
    "00.2": ["UNAVAILABLE"],
    "01.1": ["isdecimal"],
    "01.2": ["Rescaling(1000"],
    "02.1": ["for name in row"],
    "03.1": ["19267584", "19,267,584"],
    "03.2": ["/ 64"],
    "04.1": ["6.4"],
    "04.2": ["{'b', 'd'}", "b and d"],
    "05.1": ["=10"],
    "05.3": ["{'b', 'f'}", "b and f"],
    "06.1": ['"uint8"'],
    "06.2": ["topk(model"],
    "06.3": ["177"],
    "07.3": ["{'b', 'c', 'e'}"],
    "08.3": ["57"],
    "09.1": ["15"],
    "09.2": ["4_000_000", "4 million"],
    "10.1": ["15,728,640", "15728640", "3.75"],
    "10.2": ["nan"],
    "10.3": ["-2:"],
    "11.1": ["28"],
    "11.2": ["min("],
    "11.3": ["required=2"],
    "12.1": ["96"],
    "12.2": ["52"],
    "12.3": ["[-k:]"],
    "13.1": ['"d:2222"'],
    "13.2": ["29"],
    "13.3": ["restarts=1"],
}


@pytest.mark.parametrize("number", EXERCISES)
def test_hints(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for step in (1, 2):
        hint(number, step)
        said.append(capsys.readouterr().out.removeprefix(f"{number}: "))
    assert f'hint("{number}", 2) says more' in said[0] and said[1].strip()
    assert said[0].partition(" (hint(")[0] != said[1].strip()
    assert not [answer for answer in ANSWERS.get(number, []) if answer in said[0].partition(" (hint(")[0] + said[1]]


def test_all_exercises_are_looked_at() -> None:
    assert set(ANSWERS) <= set(EXERCISES) and len(EXERCISES) == len(set(EXERCISES)) >= 41
