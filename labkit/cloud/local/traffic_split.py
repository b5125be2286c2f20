"""Which of an endpoint's models gets how much of its traffic."""

import random
from collections.abc import Collection, Mapping

from labkit.cloud.local.status import invalid, unmet


def check(split: Mapping[str, int], ids: Collection[str]) -> None:
    """See that a traffic split can be one; an empty one sends requests nowhere.

    Args:
        split: deployed model's id -> percentage.
        ids: the models that are there.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    if unknown := sorted(set(split) - set(ids)):
        raise invalid(
            f"traffic_split names deployed models that the endpoint does not have: {', '.join(unknown)}. "
            f"It has: {', '.join(sorted(ids)) or 'none'}."
        )
    if wrong := {key: share for key, share in split.items() if not 0 <= share <= 100}:
        raise invalid(f"traffic_split has {dict(wrong)}; each percentage must be from 0 to 100.")
    if split and sum(split.values()) != 100:
        raise invalid(
            f"Sum of all traffic within traffic split needs to be 100. It is {sum(split.values())}: {dict(split)}."
        )


def choose(split: Mapping[str, int], endpoint: str) -> str:
    """The id of the model that gets the next request.

    Args:
        split: one that `check` has seen.
        endpoint: whose it is, for the words of the error.

    Raises:
        ApiError: FAILED_PRECONDITION, no model gets any.
    """
    if not any(split.values()):
        raise unmet(
            f"Endpoint {endpoint} doesn't have traffic_split: no model is deployed to it, or none gets traffic. "
            "Deploy one, or give one traffic with endpoint.update(traffic_split={ID: 100})."
        )
    return random.choices(list(split), weights=list(split.values()))[0]
