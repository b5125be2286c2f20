"""Checks of lab 05, Deploy to Vertex AI."""

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.checks import exercise

_PAID = {"b", "f"}
_WHY = {
    "a": "an endpoint without a deployed model is an address and nothing more",
    "c": "the machines of a job are gone when it has ended",
    "d": "a model in the registry is files and a name",
    "e": "a bucket costs by what lies in it and how long, but no machine runs for it",
}


@exercise(
    "05.1",
    hints=(
        "Which of them have a machine running at this moment?",
        "Machines run for deployed models, whether asked or not, and for jobs that have not ended.",
    ),
)
def _by_the_hour(answer: Any) -> str | None:
    letters = {str(letter).lower() for letter in answer} if isinstance(answer, Iterable) else set()
    if not letters or letters - set("abcdef"):
        return "a set of letters from a to f is asked for"
    for letter in sorted(letters - _PAID):
        return f"{letter}: {_WHY[letter]}"
    if letters != _PAID:
        return "there is another one with a machine"
    return None


@exercise(
    "05.2",
    hints=(
        "Which argument of `deploy` says how much of the traffic the newcomer takes? The others share the rest.",
        "The endpoint's `traffic_split` has ids; `endpoint.list_models()` has each id's display name.",
    ),
)
def _split(answer: Any) -> str | None:
    if not isinstance(answer, Mapping):
        return "a dict is asked for: display name -> percent"
    if any(str(name).isdecimal() for name in answer):
        return "these are ids; the display names are asked for"
    if "again" not in answer:
        return f"no deployed model is called 'again'; there are {', '.join(sorted(answer)) or 'none'}"
    if answer["again"] != 10:
        return f"'again' has {answer['again']} % of the traffic"
    if sum(answer.values()) != 100:
        return f"together they have {sum(answer.values())} % of the traffic"
    if answer.get("v2-grows") != 90:
        return "all that is not for 'again' should still go to 'v2-grows'"
    return None


@exercise(
    "05.3",
    hints=(
        "The job is the one that `batch_predict` returns. Does it fail because two lines are bad?",
        "Part 5 has the call; only the source file and the display name are others. Wait until it has ended.",
    ),
)
def _six(answer: Any) -> str | None:
    if not hasattr(answer, "completion_stats"):
        return f"the job that batch_predict returns is asked for; yours is of type {type(answer).__name__}"
    source = list(answer.gca_resource.input_config.gcs_source.uris)
    if not any(uri.endswith("batch/six.jsonl") for uri in source):
        return f"this job has read {', '.join(source) or 'nothing'}"
    if answer.state.name != "JOB_STATE_SUCCEEDED":
        return f"the job is in state {answer.state.name}; wait for it, or look at its error"
    counts = answer.completion_stats.successful_count, answer.completion_stats.failed_count
    if sum(counts) != 6:
        return f"of 6 lines {counts[0]} were answered and {counts[1]} refused; is the file as it was?"
    if counts[1] != 2:
        return f"{counts[1]} of the lines were refused; is the format one that has a line for each instance?"
    return None
