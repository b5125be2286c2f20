"""How the next trial's parameters are found: along a grid, by chance, or where earlier trials promise most.

The last of these stands for Vertex AI's default, which is a Bayesian search of Google's own. Here it is the textbook's:
a Gaussian process over the results so far, and the point of the greatest expected improvement.
"""

import math
import random
import zlib
from collections.abc import Mapping

import numpy as np
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.search_space import SearchSpace, Values

_BY_CHANCE_FIRST = 4
_CANDIDATES = 1000
_LENGTH = 0.3  # how far a result tells about its neighbours, in a cube of edges 1
_NOISE = 1e-4
_normal = np.vectorize(math.erf)


class Search:
    """Suggests parameters; the same study with the same results gets the same ones.

    Args:
        study: what is searched.

    Raises:
        ApiError: INVALID_ARGUMENT, the study cannot be searched.
    """

    def __init__(self, study: types.StudySpec) -> None:
        self._space = SearchSpace(study.parameters)
        algorithms = types.StudySpec.Algorithm
        self._grid = self._space.grid() if study.algorithm == algorithms.GRID_SEARCH else None
        self._by_chance = study.algorithm == algorithms.RANDOM_SEARCH
        self._random = random.Random(zlib.crc32(types.StudySpec.serialize(study)))
        self._points: list[list[float]] = []

    def next(self, results: Mapping[int, float]) -> Values | None:
        """Parameters for one more trial, None when the grid has no more.

        Args:
            results: what trials have come to, by their number from 0 in the order in which they were suggested; more
                is better. A trial without a result counts as an average one, so that its place is not tried again.
        """
        if self._grid is not None:
            return next(self._grid, None)
        by_chance = self._by_chance or len(results) < _BY_CHANCE_FIRST
        point = self._chance() if by_chance else self._promising(results)
        self._points.append(point)
        return self._space.at(point)

    def _chance(self) -> list[float]:
        return [self._random.random() for _ in range(self._space.dimensions)]

    def _promising(self, results: Mapping[int, float]) -> list[float]:
        known = np.array(self._points)
        values = np.array(list(results.values()))
        scale = values.std() or 1.0
        wanted = np.array([(results.get(i, values.mean()) - values.mean()) / scale for i in range(len(known))])
        candidates = [self._chance() for _ in range(_CANDIDATES)]
        mean, deviation = _posterior(known, wanted, np.array(candidates))
        gain = mean - wanted.max()
        z = gain / deviation
        below = 0.5 * (1 + _normal(z / math.sqrt(2)))
        expected = gain * below + deviation * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return candidates[int(expected.argmax())]


def _posterior(known: np.ndarray, values: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a Gaussian process at `points`."""
    between = _likeness(known, known) + _NOISE * np.eye(len(known))
    towards = _likeness(points, known)
    mean = towards @ np.linalg.solve(between, values)
    explained = np.einsum("ij,ji->i", towards, np.linalg.solve(between, towards.T))
    return mean, np.sqrt(np.maximum(1 - explained, 1e-12))


def _likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distances = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    return np.exp(-distances / (2 * _LENGTH**2))
