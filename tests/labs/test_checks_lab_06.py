"""Checks of lab 06: the solution is right, each typical wrong answer hears what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.checks import check, hint


def verdict(number: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> str:
    check(number, answer)
    return capsys.readouterr().out


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
def test_slim(bytes_each, kind, said, tmp_path, capsys) -> None:
    folder = web_model(tmp_path, bytes_each, kind)
    assert said in verdict("06.1", folder, capsys)
    assert said in verdict("06.1", str(folder), capsys)


def test_slim_wants_a_folder_with_a_model(tmp_path, capsys) -> None:
    assert "no model.json in" in verdict("06.1", tmp_path, capsys)
    assert "not a dict" in verdict("06.1", {}, capsys)
    assert "not answered yet" in verdict("06.1", ..., capsys)


PROBABILITIES = np.array([[0.1, 0.6, 0.05, 0.25], [0.4, 0.3, 0.2, 0.1]])


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (np.array([[1, 3, 0], [0, 1, 2]], np.int32), "right"),
        (np.array([[1.0, 3.0, 0.0], [0.0, 1.0, 2.0]]), "right"),
        (np.array([[0, 3, 1], [2, 1, 0]]), "another order"),
        (np.array([[1, 3, 2], [0, 1, 2]]), "higher probabilities"),
        (np.array([[1, 3], [0, 1]]), "(2, 2); three digits"),
        (np.array([[0.6, 0.25, 0.1], [0.4, 0.3, 0.2]]), "these are probabilities"),
        ({"indices": 1}, "returned an object"),
        (..., "not answered yet"),
    ],
)
def test_three_likeliest(page, said, capsys) -> None:
    assert said in verdict("06.2", (page, PROBABILITIES), capsys)


def test_three_likeliest_wants_two_things(capsys) -> None:
    assert "two things" in verdict("06.2", np.zeros((2, 3)), capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (177, "right"),
        (np.int64(177), "right"),
        (176, "6"),
        (178, "one question fewer"),
        (None, "is each of its answers later"),
        (176.5, "a whole number"),
        (True, "a whole number"),
        (..., "not answered yet"),
    ],
)
def test_break_even(answer, said, capsys) -> None:
    heard = verdict("06.3", answer, capsys)
    assert said in heard
    assert ("right" in heard) == (said == "right")


@pytest.mark.parametrize("number", ["06.1", "06.2", "06.3"])
def test_hints(number, capsys) -> None:
    hint(number)
    assert len(capsys.readouterr().out) > 20
