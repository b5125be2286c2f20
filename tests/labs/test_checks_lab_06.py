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
def test_slim(bytes_each, kind, said, tmp_path, verdict) -> None:
    (tmp_path / "slim").mkdir()
    folder = web_model(tmp_path / "slim", bytes_each, kind)
    assert said in verdict("06.1", folder)
    assert said in verdict("06.1", str(folder))


def test_slim_wants_a_folder_with_a_model(tmp_path, verdict) -> None:
    assert "it once more, to slim" in verdict("06.1", web_model(tmp_path, 1))
    (tmp_path / "group1-shard1of1.bin").unlink()
    assert "weights are missing" in verdict("06.1", tmp_path)
    (tmp_path / "model.json").unlink()
    assert "no model.json in" in verdict("06.1", tmp_path)
    assert "of type dict" in verdict("06.1", {})
    assert "not answered yet" in verdict("06.1", ...)


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
def test_three_likeliest(page, said, verdict) -> None:
    assert said in verdict("06.2", (page, PROBABILITIES))


def test_three_likeliest_wants_two_things(verdict) -> None:
    assert "two things" in verdict("06.2", np.zeros((2, 3)))
    assert "right" in verdict("06.2", [TOP, PROBABILITIES])
    assert "20 drawings" in verdict("06.2", (TOP[:1], PROBABILITIES[:1]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (177, "right"),
        (np.int64(177), "right"),
        (np.ceil(176.47), "right"),
        (176, "6"),
        (178, "one question fewer"),
        (None, "is each of its answers later"),
        (176.5, "a whole number"),
        (True, "a whole number"),
        (..., "not answered yet"),
    ],
)
def test_break_even(answer, said, verdict) -> None:
    heard = verdict("06.3", answer)
    assert said in heard
    assert ("right" in heard) == (said == "right")
