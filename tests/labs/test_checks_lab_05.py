"""Checks of lab 05: the solution is right, each typical wrong answer hears what is wrong with it."""

from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"v2-grows": 90, "again": 10}, "right"),
        ({"123": 90, "456": 10}, "these are ids"),
        ({}, "there are none"),
        ({"v2-grows": 100}, "no deployed model is called 'again'"),
        ({"v2-grows": 10, "again": 90}, "'again' has 90 %"),
        ({"v2-grows": 80, "again": 10}, "together they have 90 %"),
        ({"v1": 90, "again": 10}, "should still go to 'v2-grows'"),
        ([90, 10], "a dict is asked for"),
        (..., "not answered yet"),
    ],
)
def test_split(answer, said, hears) -> None:
    hears("05.2", answer, said)


def job(right: int, wrong: int, state: str = "JOB_STATE_SUCCEEDED", source: str = "gs://b/batch/six.jsonl") -> Any:
    return SimpleNamespace(
        completion_stats=SimpleNamespace(successful_count=right, failed_count=wrong),
        state=SimpleNamespace(name=state),
        gca_resource=SimpleNamespace(
            input_config=SimpleNamespace(gcs_source=SimpleNamespace(uris=[source] if source else []))
        ),
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (job(4, 2), "right"),
        (job(4, 2, source="gs://b/batch/in.jsonl"), "has read gs://b/batch/in.jsonl"),
        (job(4, 2, source=""), "has read nothing"),
        (job(0, 0, state="JOB_STATE_RUNNING"), "in state JOB_STATE_RUNNING"),
        (job(5, 2), "5 were answered and 2 refused"),
        (job(3, 3), "3 of the lines were refused"),
        ((4, 2), "of type tuple"),
        (..., "not answered yet"),
    ],
)
def test_six(answer, said, hears) -> None:
    hears("05.3", answer, said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"b", "f"}, "right"),
        ("bf", "right"),
        ({"B", "F"}, "right"),
        (5, "a set of letters"),
        (["f", "b"], "right"),
        ({"b"}, "there is another one"),
        ({"a", "b", "f"}, "a: an endpoint without"),
        ({"b", "c"}, "c: the machines of a job"),
        ({"b", "d"}, "d: a model in the registry"),
        ({"b", "e", "f"}, "e: a bucket costs by"),
        (set(), "a set of letters"),
        ({"v2-grows"}, "a set of letters"),
        (..., "not answered yet"),
    ],
)
def test_by_the_hour(answer, said, hears) -> None:
    hears("05.1", answer, said)
