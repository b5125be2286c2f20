"""Checks of lab 00: the solution is right, each typical wrong answer hears what is wrong with it."""

import pytest

from labkit.errors import RequestError


@pytest.mark.parametrize(
    ("number", "answer", "said"),
    [
        ("00.1", "Chinstrap", "right"),
        ("00.1", ..., "not answered yet"),
        ("00.1", [0.0, 0.98, 0.02], "which species has the largest"),
        ("00.1", 1, "a name is asked for"),
        ("00.1", "Gentoo", "the penguin of the tour"),
        ("00.1", "Adelie", "the order of the names"),
        ("00.1", "Emperor", "no 'Emperor' among"),
        ("00.2", "UNAVAILABLE", "right"),
        ("00.2", RequestError("UNAVAILABLE", "No server answers"), "that is the whole error"),
        ("00.2", None, "no HTTP status"),
        ("00.2", [], "stop it first"),
        ("00.2", "NOT_FOUND", "a running server says"),
        ("00.2", 404, "a word in capital letters"),
        ("00.2", "INTERNAL", "carries another code"),
    ],
)
def test_answer_hears(number, answer, said, hears) -> None:
    hears(number, answer, said)
