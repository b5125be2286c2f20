"""Servers that batch, and short questions to the signatures of `batch_model`."""

from pathlib import Path
from shutil import copytree
from typing import Any

from .served import Answer, Served

TEN_MINUTES = 600_000_000  # microseconds: such a batch is taken only when it is full


def parameters(more: str = "", **wrapped: int | str) -> str:
    """BatchingParameters in text; wrapped values as keywords, the rest in `more`."""
    return "\n".join([*(f"{name} {{ value: {value} }}" for name, value in wrapped.items()), more])


def copy_with(version: Path, copy: Path, batching: str) -> None:
    """Copy a version's folder and put parameters of its own into it."""
    copytree(version, copy)
    (copy / "batching_params.pbtxt").write_text(batching)


def ask(server: Served, signature: str, **inputs: Any) -> Answer:
    """Predict over REST, in columns."""
    return server.predict({"signature_name": signature, "inputs": inputs})


def outputs(answer: Answer) -> Any:
    """The outputs of an answer that is none of an error."""
    assert answer.status == 200, answer.text
    return answer.json["outputs"]
