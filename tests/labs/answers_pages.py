"""What learners answer in labs 06 and 07."""

from pathlib import Path
from typing import Any

import numpy as np

from .answers import exercise


@exercise("06.1", '"uint8"', "'uint8'")
def slim(folder: Path) -> dict[str, Any]:
    from .test_checks_lab_06 import web_model

    def written(place: str, *arguments: Any) -> Path:
        (at := folder / place).mkdir(parents=True)
        return web_model(at, *arguments)

    return {
        "half, not a quarter": written("half/slim", 2),
        "the folder of part 2": written("uint8", 1),
        "for training": written("layers/slim", 1, "layers-model"),
        "a folder that holds nothing": folder,
        "how many bytes": 40_000,
    }


@exercise("06.2", "topk(model", ").indices")
def three_likeliest(_: Path) -> dict[str, Any]:
    python = np.random.default_rng(0).dirichlet(np.ones(10), 20)
    rising = np.argsort(python, axis=1)
    top = rising[:, ::-1][:, :3]
    return {
        "the probabilities": (np.take_along_axis(python, top, axis=1), python),
        "least likely first": (top[:, ::-1], python),
        "the least likely": (rising[:, :3], python),
        "both of what topk returns": ({"values": 0, "indices": top}, python),
        "the likeliest": (top[:, :1], python),
        "without Python's": top,
    }


@exercise("06.3", "177")
def questions(_: Path) -> dict[str, Any]:
    return {
        "bytes over the link left out: never": None,
        "not rounded": 176.47,
        "rounded down": 176,
        "the question's bytes forgotten": 429,
        "with its unit": "300 questions",
    }


@exercise("07.2", "args=first(")
def few(_: Path) -> dict[str, Any]:
    return {
        "shares": {1: 0.5, 5: 0.8, 20: 0.9},
        "the same head three times": {1: 210, 5: 210, 20: 210},
        "one is missing": {5: 180, 20: 210},
        "labels in another order": {1: 20, 5: 30, 20: 60},
        "no dict": [120, 180, 210],
    }


@exercise("07.3", "before[2]", "layers.slice(0, -1)")
def drift(_: Path) -> dict[str, Any]:
    mean, gamma = np.linspace(-1, 1, 16), np.linspace(0.9, 1.1, 16)
    return {
        "compiled before it was frozen": [mean, 2 * mean, gamma, 1.01 * gamma],
        "read after the training, twice": [mean, mean, gamma, gamma],
        "the variance": [mean**2, mean**2 + 1, gamma, gamma],
        "only the mean": [mean, 2 * mean],
        "all weights of the layer": [np.zeros(64), np.ones(64), gamma, gamma],
    }


@exercise("07.1", "{'b', 'c', 'e'}", '{"b", "c", "e"}', "b, c and e", "b, c, e")
def found_out(_: Path) -> dict[str, Any]:
    return {
        "every drawing": {"a", "b", "c", "e"},
        "the visits": {"b", "c", "d", "e"},
        "the classes only": {"c", "e"},
        "nothing": set(),
        "no set": "bce",
        "mistyped": {"f"},
    }
