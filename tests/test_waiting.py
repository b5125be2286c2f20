"""Waiting: until it is so, or until the time is over."""

import pytest

from labkit.waiting import wait_until


def test_it_asks_until_the_answer_is_true() -> None:
    answers = iter(["", 0, None, "now"])
    wait_until(lambda: next(answers))
    assert next(answers, "asked no more than needed") == "asked no more than needed"


def test_what_never_happens_ends_with_the_time() -> None:
    with pytest.raises(TimeoutError, match=r"within 0\.1 s; look at the server's log"):
        wait_until(lambda: False, timeout=0.1)


def test_what_the_question_raises_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0)
