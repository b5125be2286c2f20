"""Checks of lab 06: the solution is right, each typical wrong answer hears what is wrong with it."""

import json
from pathlib import Path

import numpy as np
import pytest


def web_model(folder: Path, bytes_each: int, kind: str = "graph-model") -> Path:
    specs = [{"name": "kernel", "shape": [10, 100], "dtype": "float32"}]
    model = {"format": kind, "weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": specs}]}
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "group1-shard1of1.bin").write_bytes(bytes(1000 * bytes_each))
    return folder


@pytest.mark.parametrize(
    ("bytes_each", "kind", "said"),
    [
        (1, "graph-model", "right"),
        (2, "graph-model", "50 % of the bytes"),
        (4, "graph-model", "100 % of the bytes"),
        (1, "layers-model", "a graph model is asked for"),
    ],
)
def test_slim(bytes_each, kind, said, tmp_path, hears) -> None:
    (tmp_path / "slim").mkdir()
    folder = web_model(tmp_path / "slim", bytes_each, kind)
    hears("06.1", folder, said)
    hears("06.1", str(folder), said)


def test_slim_wants_a_folder_with_a_model(tmp_path, hears) -> None:
    hears("06.1", web_model(tmp_path, 1), "it once more, to slim")
    (tmp_path / "group1-shard1of1.bin").unlink()
    hears("06.1", tmp_path, "weights are missing")
    (tmp_path / "model.json").unlink()
    hears("06.1", tmp_path, "no model.json in")
    hears("06.1", {}, "of type dict")
    hears("06.1", ..., "not answered yet")


PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(10), 20)
TOP = np.argsort(PROBABILITIES, axis=1)[:, ::-1][:, :3].astype(np.int32)
LAST = np.argsort(PROBABILITIES, axis=1)[:, :3]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (TOP, "right"),
        (TOP.astype(float), "right"),
        (TOP[:, ::-1], "another order"),
        (LAST, "higher probabilities"),
        (TOP[:, :2], "(20, 2); three digits"),
        (TOP[:1], "(1, 3); three digits"),
        (np.sort(PROBABILITIES, axis=1)[:, ::-1][:, :3], "these are probabilities"),
        ({"indices": 1}, "returned an object"),
        (..., "not answered yet"),
    ],
)
def test_three_likeliest(page, said, hears) -> None:
    hears("06.2", (page, PROBABILITIES), said)


def test_three_likeliest_wants_two_things(hears) -> None:
    hears("06.2", np.zeros((2, 3)), "two things")
    hears("06.2", [TOP, PROBABILITIES], "right")
    hears("06.2", (TOP[:1], PROBABILITIES[:1]), "20 drawings")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (177, "right"),
        (np.int64(177), "right"),
        (np.ceil(176.47), "right"),
        (176, "after 176 questions"),
        (178, "one question fewer"),
        (None, "is each of its answers later"),
        (176.5, "a whole number"),
        (True, "a whole number"),
        (..., "not answered yet"),
    ],
)
def test_break_even(answer, said, hears) -> None:
    hears("06.3", answer, said)
