"""Every exercise of every lab: typical mistakes hear different sentences, none of which holds the answer."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.notebooks.lab import Lab

from . import answers_clusters, answers_devices, answers_pages, answers_serving  # noqa: F401  (they register)
from .answers import EXERCISES

LABS = [Lab(path) for path in sorted((Path(__file__).parents[2] / "labs").glob("[0-9]*.ipynb"))]
NUMBERS = [number for lab in LABS for number, _ in lab.exercises()]
SENTENCE = r"not yet: \S+(?: \S+){2,}(?<![,;:])"
FOLDERS = ("01.3", "03.3")  # what is no folder yet has not been written


class Spiteful:
    """Raises whatever one does with it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("==")

    __iter__ = __len__ = __bool__ = __float__ = __repr__ = __call__ = lambda self, *_: 1 / 0
    __hash__ = None


OTHER_THINGS = [None, "", "x", 0, -1, 1.5, True, b"a", [], [1, "a"], {}, {"a": 1}, object(), len, type]
OTHER_THINGS += [np.zeros(3), np.array(["a"]), float("nan"), Spiteful(), {1: Spiteful()}, lambda *_: None, lambda: 1]


def test_every_exercise_has_its_mistakes() -> None:
    where = "register typical mistakes in tests/labs/answers_*.py"
    assert EXERCISES.keys() == set(NUMBERS), f"{sorted(EXERCISES.keys() ^ set(NUMBERS))}: {where}"
    assert all(2 <= len(list(lab.exercises())) <= 4 for lab in LABS)


@pytest.mark.parametrize("number", NUMBERS)
def test_mistakes_hear_sentences_of_their_own(number: str, tmp_path: Path, verdict: Callable[..., str]) -> None:
    secrets, mistakes = EXERCISES[number]
    heard = {thought: verdict(number, answer) for thought, answer in mistakes(tmp_path).items()}
    for thought, said in heard.items():
        assert re.fullmatch(rf"{number}: {SENTENCE}\n", said), (thought, said)
        assert not [secret for secret in secrets if secret in said.partition(": ")[2]], (thought, said)
        assert "it stopped with" not in said, (thought, said)
    sentences = {re.sub(r"\d+", "#", said) for said in heard.values()}  # another number makes no other sentence
    assert len(sentences) == len(heard) >= 3, heard


@pytest.mark.parametrize("number", NUMBERS)
def test_other_things_hear_a_sentence_too(number: str, verdict: Callable[..., str]) -> None:
    secrets, _ = EXERCISES[number]
    for answer in OTHER_THINGS:
        said = verdict(number, answer)
        if not (number in FOLDERS and said == f"{number}: not answered yet\n"):
            assert re.fullmatch(rf"{number}: {SENTENCE}\n", said), (type(answer), said)
            assert not [secret for secret in secrets if secret in said.partition(": ")[2]], (type(answer), said)


@pytest.mark.parametrize("number", NUMBERS)
def test_nothing_filled_in(number: str, verdict: Callable[..., str]) -> None:
    for blank in (..., (..., ...), [1, ...], {"a": ...}):
        assert verdict(number, blank) == f"{number}: not answered yet\n"
