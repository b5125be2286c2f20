"""Checks of lab 12: the solution is right, each typical wrong answer hears what is wrong with it."""

from collections.abc import Callable

import numpy as np
import pytest

GRADIENT = 2 * 25.6e6  # bytes


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (96_000_000, "right"),
        (np.float64(96e6), "right"),
        (48e6, "more than one byte"),
        (192e6, "float32"),
        (15 / 16 * GRADIENT, "has to get them"),
        (2 * GRADIENT, "count the rounds"),
        (GRADIENT, "parameter server"),
        (30 * GRADIENT, "not the whole gradient"),
        (7, "another number"),
        ("96", "of type str"),
        (True, "of type bool"),
        (..., "not answered yet"),
    ],
)
def test_bytes_of_a_ring(answer, said, hears) -> None:
    hears("12.1", answer, said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (52, "right"),
        (51, "a little less than half"),
        (51.2, "whole"),
        (26, "one after the other"),
        (7, "gigabits"),
        (1, "share"),
        (103, "half as long"),
        (40, "with so few"),
        (64, "fewer will do"),
        ([52], "of type list"),
        (..., "not answered yet"),
    ],
)
def test_how_many_servers(answer, said, hears) -> None:
    hears("12.2", answer, said)


def sparse(gradient: np.ndarray, left: np.ndarray, k: int) -> tuple:
    everything = gradient + left
    indices = np.argsort(np.abs(everything))[-k:]
    values = everything[indices]
    everything[indices] = 0
    return indices, values, everything


def forgets_what_was_left(gradient: np.ndarray, left: np.ndarray, k: int) -> tuple:
    return sparse(gradient, 0 * left, k)


def largest_but_not_in_size(gradient: np.ndarray, left: np.ndarray, k: int) -> tuple:
    indices = np.argsort(gradient + left)[-k:]
    return indices, (gradient + left)[indices], left


def keeps_what_was_sent(gradient: np.ndarray, left: np.ndarray, k: int) -> tuple:
    return *sparse(gradient, left, k)[:2], gradient + left


def drops_the_rest(gradient: np.ndarray, left: np.ndarray, k: int) -> tuple:
    return *sparse(gradient, left, k)[:2], 0 * left


def sends_the_gradients_own(gradient: np.ndarray, left: np.ndarray, k: int) -> tuple:
    indices, _, rest = sparse(gradient, left, k)
    return indices, gradient[indices], rest


def changes_its_argument(gradient: np.ndarray, left: np.ndarray, k: int) -> tuple:
    left += gradient
    indices = np.argsort(np.abs(left))[-k:]
    values = left[indices]
    left[indices] = 0
    return indices, values, left


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sparse, "right"),
        (lambda *given: tuple(map(list, sparse(*given))), "right"),
        (lambda *given: list(sparse(*given)), "right"),
        (forgets_what_was_left, "counts, too"),
        (largest_but_not_in_size, "large negative"),
        (keeps_what_was_sent, "is not left over"),
        (drops_the_rest, "lacks something"),
        (sends_the_gradients_own, "not those of the gradient"),
        (changes_its_argument, "has changed"),
        (lambda gradient, left, k: sparse(gradient, left, k + 1), "3 indices"),
        (lambda gradient, left, k: sparse(gradient, left, 2), "with another `k`"),
        (lambda gradient, left, k: (np.float32(sparse(gradient, left, k)[0]), *sparse(gradient, left, k)[1:]), "whole"),
        (lambda gradient, left, k: (np.array([2, 3]), np.zeros(2), left), "other entries"),
        (lambda gradient, left, k: sparse(gradient, left, k)[:2], "three things"),
        (lambda gradient, left, k: ..., "not answered yet"),
        (lambda gradient: gradient, "TypeError"),
        (3, "of type int"),
        (..., "not answered yet"),
    ],
)
def test_sparse(answer: Callable, said, hears) -> None:
    hears("12.3", answer, said)
