"""The two hints of every exercise: the second says more, and neither gives the answer."""

import pytest

from labkit.checks import hint

from .test_answers import EXERCISES, NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_hints(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for step in (1, 2):
        hint(number, step)
        said.append(capsys.readouterr().out.removeprefix(f"{number}: "))
    first, second = said[0].partition(" (hint(")[0], said[1].strip()
    assert f'hint("{number}", 2) says more' in said[0]
    assert first and second and first != second
    assert not [secret for secret in EXERCISES[number].secrets if secret in first + second]


def test_all_exercises_are_looked_at() -> None:
    assert len(NUMBERS) == len(set(NUMBERS)) >= 41
