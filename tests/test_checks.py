"""Exercise checks: three verdicts, never an exception, never the answer."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from labkit import checks
from labkit.checks import check, exercise, hint

SECRET = 4711


@pytest.fixture(autouse=True)
def _lab_97() -> Iterator[None]:
    """Exercises of a lab that has no module of its own."""

    @exercise("97.1", hints=("Count the folders.", "Count only the folders whose name is a number."))
    def _(answer: Any) -> str | None:
        if answer == SECRET:
            return None
        return "one too many, you counted the asset" if answer == SECRET + 1 else "how many versions there are"

    @exercise("97.2", hints=("Multiply.", "Multiply by two."))
    def _(answer: Any) -> Any:
        given = answer(3)
        return given if given is ... else None if given == 6 else "f(3) is wrong"

    yield
    for number in ("97.1", "97.2"):
        checks._exercises.pop(number)


def said(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    check(*arguments)
    return capsys.readouterr().out


def test_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "97.1", SECRET) == "97.1: right\n"


@pytest.mark.parametrize("blank", [(), (...,), ((1, ...),), ([...],), ({"a": ...},)])
def test_not_answered_yet(blank: tuple[Any, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "97.1", *blank) == "97.1: not answered yet\n"


def test_a_function_that_returns_dots_is_not_answered_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "97.2", lambda x: ...) == "97.2: not answered yet\n"
    assert said(capsys, "97.2", lambda x: 2 * x) == "97.2: right\n"


def test_a_known_mistake_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "97.1", SECRET + 1) == "97.1: not yet: one too many, you counted the asset\n"


@pytest.mark.parametrize(
    "answer", [None, "", 0, -1, 1.5, "x", [], [1], {}, {"a": 1}, object(), len, np.zeros(3), np.arange(4.0), b"a"]
)
@pytest.mark.parametrize("number", ["97.1", "97.2"])
def test_no_answer_raises_or_gives_the_answer_away(
    number: str, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, number, answer)
    assert told.startswith(f"{number}: not yet: ")
    assert str(SECRET) not in told


def test_an_answer_that_the_check_cannot_use_is_named_by_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot use an answer of type ndarray" in said(capsys, "97.1", np.zeros(3))


@pytest.mark.parametrize("number", ["97.9", "no such lab", "", 97.1, None, ["97.1"]])
def test_an_unknown_number_is_said_not_raised(number: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, number, 1)
    if number == 97.1:
        assert told.startswith("97.1: not yet")
    else:
        assert "there is no such exercise" in told
    hint(number)


def test_an_unknown_exercise_names_those_of_its_lab(capsys: pytest.CaptureFixture[str]) -> None:
    assert "lab 97 has: 97.1, 97.2" in said(capsys, "97.9", 1)


def test_a_lab_whose_checks_do_not_load_is_said_not_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(ModuleType):
        @property
        def __spec__(self) -> Any:
            raise RuntimeError("out of order")

    monkeypatch.setitem(sys.modules, "labkit.checks.lab_96", Broken("labkit.checks.lab_96"))
    assert "the checks of lab 96 cannot be loaded (RuntimeError: out of order)" in said(capsys, "96.1", 1)


def test_two_hints(capsys: pytest.CaptureFixture[str]) -> None:
    hint("97.1")
    assert capsys.readouterr().out == '97.1: Count the folders. (hint("97.1", 2) says more.)\n'
    hint("97.1", 2)
    assert capsys.readouterr().out == "97.1: Count only the folders whose name is a number.\n"


def test_checks_of_a_lab_are_found_by_its_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    (tmp_path / "lab_95.py").write_text(
        "from labkit.checks import exercise\n"
        "@exercise('95.1', hints=('a', 'b'))\n"
        "def _(answer):\n    return None if answer == 1 else 'no'\n"
    )
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(tmp_path)])
    assert said(capsys, "95.1", 1) == "95.1: right\n"


@pytest.mark.parametrize("answer", [0, -1.5, np.float32(2), np.int64(3), float("inf")])
def test_a_number_is_one(answer: Any) -> None:
    assert checks.is_number(answer)


@pytest.mark.parametrize("answer", [True, np.True_, None, "3", [3], np.array([3])])
def test_what_only_looks_like_a_number_is_none(answer: Any) -> None:
    assert not checks.is_number(answer)
