"""What asynchronous training does with a stale gradient: rules that turn its staleness into a factor.

A rule is any function from staleness, the number of updates since the gradient's worker read the variables, to the
factor of its update; at 0 the gradient is dropped.
"""

from collections.abc import Callable


def keep_all(staleness: int) -> float:
    """Every gradient counts in full, however old."""
    return 1.0


def drop_over(limit: int) -> Callable[[int], float]:
    """The rule that drops gradients whose staleness is over `limit`.

    Raises:
        ValueError: `limit` is negative, so that nothing would ever be kept.
    """
    if limit < 0:
        raise ValueError(f"limit is {limit}; every gradient would be dropped. Give 0 or more")

    def rule(staleness: int) -> float:
        return float(staleness <= limit)

    return rule


def scale_down(staleness: int) -> float:
    """The older, the less it counts: ``1 / (1 + staleness)``.

    Much as in https://arxiv.org/abs/1511.05950, which divides by the staleness, and begins to count it at 1.
    """
    return 1 / (1 + staleness)
