"""Checks of lab 04, Bring out a new version."""

from collections.abc import Mapping
from types import EllipsisType
from typing import Any

from labkit.checks import exercise

_SERVER_GB, _VERSION_GB = 0.4, 3.0
_POLICIES = ("availability_preserving", "resource_preserving")
_REFUSED = {"b", "d"}


@exercise(
    "04.1",
    hints=(
        "Which versions are in memory at the worst moment? Look at the two curves again.",
        "The server itself counts both times. Under one policy two versions are loaded at that moment, under one, one.",
    ),
)
def _memory(answer: Any) -> str | None:
    if not isinstance(answer, Mapping) or set(answer) != set(_POLICIES):
        return f"a dict is asked for, with an amount for each of {' and '.join(_POLICIES)}"
    preserving, freeing = (float(answer[policy]) for policy in _POLICIES)
    if preserving < freeing:
        return "one policy keeps the old version until the new one answers; that is the one that needs more"
    if max(preserving, freeing) > 1000:
        return "amounts are in GB"
    for policy, amount, versions in zip(_POLICIES, (preserving, freeing), (2, 1), strict=True):
        if _near(amount, versions * _VERSION_GB):
            return f"{policy}: the server itself needs memory, too"
        if _near(amount, versions * (_SERVER_GB + _VERSION_GB)) and versions > 1:
            return f"{policy}: there is one server, however many versions it holds"
        if not _near(amount, _SERVER_GB + versions * _VERSION_GB):
            return f"{policy}: {amount:g} GB; count what is in memory at the worst moment of the change"
    return None


def _near(one: float, other: float) -> bool:
    return abs(one - other) < 0.01


@exercise(
    "04.2",
    hints=(
        "The policy is never the reason. What has to be true of a version before a label may stand for it?",
        "For each label ask: is the version that it names AVAILABLE at this moment, before the reload?",
    ),
)
def _refused(answer: Any) -> str | None:
    letters = {letter.lower() if isinstance(letter, str) else letter for letter in answer}
    if not letters:
        return "at least one of them is refused"
    if not all(isinstance(letter, str) and letter in set("abcde") for letter in letters):
        return "a set of letters from a to e is asked for"
    if letters == set("abcde") - _REFUSED:
        return "these are the ones that it accepts"
    for letter, why in _ACCEPTED.items():
        if letter in letters:
            return f"{letter} is accepted: {why}"
    if letters != _REFUSED:
        return f"{', '.join(sorted(letters))} is refused, and not alone; look at each label of the others"
    return None


_ACCEPTED = {
    "a": "a label may stay where it is, and a version without a label may load any time",
    "c": "two labels may stand for one version",
    "e": "a configuration without labels has none to refuse; it is a plain change of versions",
}


@exercise(
    "04.3",
    hints=(
        "Version 2 is loaded already, so labels may move to it. What do users hear who ask for a label that is gone?",
        "One reload may say everything: which version stays, and where each of the two labels leads. Then wait for the "
        "state of version 1.",
    ),
)
def _finished(answer: Any) -> str | EllipsisType | None:
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "two things are asked for: the server's status, and the log of its users"
    status, log = answer
    states = {each.version: each.state for each in status}
    recent = [one for one in log[-40:] if not one.error]
    errors = {one.error for one in log if one.error}
    if "INVALID_ARGUMENT" in errors:
        return "questions failed: there was no such label any more, and users still ask for it"
    if "NOT_FOUND" in errors:
        return "questions failed: a label led to a version that was not loaded; move it before the version goes"
    if errors:
        return f"questions failed with {', '.join(sorted(errors))}"
    if states.get(2) != "AVAILABLE":
        return "version 2 is not being served; it was to take over"
    by = {one.answer for one in recent}
    if states.get(1) == "AVAILABLE":
        if by == {1, 2}:
            return ...
        if by == {1}:
            return "all users are with version 1 now: that is the way back"
        return "nobody asks version 1 any more, but it is still in memory"
    if 1 in by or states.get(1) != "END":
        return "version 1 is still on its way out; wait until its state is END"
    return None
