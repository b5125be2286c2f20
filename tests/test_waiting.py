"""Waiting: until it is so, or until the time is over."""

from unittest.mock import Mock

import pytest

from labkit.errors import LabkitError, WaitTimeout
from labkit.waiting import wait_through_ctrl_c, wait_until


def test_it_asks_until_the_answer_is_true() -> None:
    answers = iter(["", 0, None, "now"])
    wait_until(lambda: next(answers))
    assert next(answers, "asked no more than needed") == "asked no more than needed"


def test_what_never_happens_ends_with_the_time() -> None:
    with pytest.raises(WaitTimeout, match=r"within 0\.1 s\. Look at the log of what was to do it .*a larger timeout"):
        wait_until(lambda: False, timeout=0.1)
    assert issubclass(WaitTimeout, LabkitError) and issubclass(WaitTimeout, TimeoutError)


def test_what_the_question_raises_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0)


def test_ctrl_c_is_left_to_what_was_started() -> None:
    child = Mock(wait=Mock(side_effect=[KeyboardInterrupt, KeyboardInterrupt, 7]))
    assert wait_through_ctrl_c(child) == 7
