"""Sides of a comparison, measured in turns."""

from collections.abc import Callable, Mapping
from typing import TypeVar

Measured = TypeVar("Measured")


def take_turns(sides: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """Measure every side once a round, every second round in reverse; a first round is warm-up and dropped."""
    values: dict[str, list[Measured]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name in sides if turn % 2 else reversed(sides):
            values[name].append(sides[name]())
    return {name: each[1:] for name, each in values.items()}
