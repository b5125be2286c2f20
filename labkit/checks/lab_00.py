"""Checks of lab 00, Start here."""

from typing import Any

import numpy as np

from labkit.checks import exercise
from labkit.data import penguins


@exercise(
    "00.1",
    hints=(
        "Send {'instances': [another]} to the address that the tour used, and look for the largest of three numbers.",
        "probabilities.index(max(probabilities)) is the number of the class; penguins.classes has its name.",
    ),
)
def _species(answer: Any) -> str | None:
    if not isinstance(answer, str):
        several = np.size(answer) > 1
        return "these are its numbers; which species has the largest?" if several else "a name is asked for"
    classes = penguins().classes
    if answer == classes[2]:
        return "that was the penguin of the tour; send this one"
    if answer == classes[0]:
        return "the model is of another opinion; is the order of the names that of penguins.classes?"
    return None if answer == classes[1] else f"there is no {answer!r} among penguins.classes"


@exercise(
    "00.2",
    hints=(
        "try: server.rest.status(), and then: except RequestError as error: ...",
        "The error has an attribute `code`, the name of a status.",
    ),
)
def _code(answer: Any) -> str | None:
    if isinstance(answer, BaseException):
        return "that is the whole error; its code is one of its attributes"
    if answer is None:
        return "nobody answered, so there is no HTTP status; the code is another attribute"
    if isinstance(answer, list):
        return "these are statuses: the server still answers; stop it first"
    if answer == "NOT_FOUND":
        return "that is what a running server says about a model it does not know"
    if not isinstance(answer, str) or answer != answer.upper():
        return "a code is a word in capital letters"
    return None if answer == "UNAVAILABLE" else "the error carries another code; print it"
