"""BatchingParameters that cannot be, §9.1 and §9.4, and those that nobody gave."""

from pathlib import Path

import pytest

from ..batched import ask, copy_with, outputs
from ..served import Command


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "allowed_batch_sizes: [2]",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 2; expected 1000",
        ),
        ("max_batch_size { value: 2 } allowed_batch_sizes: [4, 2]", "allowed_batch_sizes entries must be"),
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be at least 1; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        ("max_batch_size: 8", "batching.pbtxt"),
    ],
)
def test_start_errors(tmp_path: Path, batch_model: Path, text: str, error: str) -> None:
    """§9.1."""
    (tmp_path / "batching.pbtxt").write_text(text)
    flags = (f"--batching_parameters_file={tmp_path / 'batching.pbtxt'}", "--enable_batching")
    stdout = _failed_start(tmp_path, batch_model, *flags)
    assert stdout.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert error in stdout


def test_parameters_without_batching(tmp_path: Path, batch_model: Path) -> None:
    """§1.5."""
    stdout = _failed_start(tmp_path, batch_model, "--batching_parameters_file=/nowhere")
    assert stdout.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert "batching_parameters_file" in stdout
    assert "enable_batching" in stdout


def test_parameters_that_are_not_there(tmp_path: Path, batch_model: Path) -> None:
    """§9.1: the message names the file."""
    stdout = _failed_start(tmp_path, batch_model, "--enable_batching", "--batching_parameters_file=/nowhere")
    assert stdout.startswith("Failed to start server. Error: NOT_FOUND: /nowhere")


def test_a_models_own_parameters_that_do_not_fit(tmp_path: Path, batch_model: Path) -> None:
    """§9.1, §9.4: the load fails, and with it the start."""
    copy_with(batch_model / "1", tmp_path / "own" / "1", "allowed_batch_sizes: [2]")
    flags = ("--enable_batching", "--enable_per_model_batching_parameters")
    stdout = _failed_start(tmp_path, tmp_path / "own", *flags)
    assert "Last entry in allowed_batch_sizes must match max_batch_size" in stdout


def _failed_start(folder: Path, model: Path, *flags: str) -> str:
    with Command(folder, "--port=auto", f"--model_base_path={model}", *flags) as command:
        assert command.exit_status() == 255, command.output
        assert "Traceback" not in command.stderr, command.output
        return command.stdout


def test_without_a_file(serve, batch_model: Path) -> None:
    """§9.1: up to 1000 rows, and no waiting."""
    server = serve("m", batch_model, "--enable_batching")
    assert outputs(ask(server, "rows", x=[1.0] * 1000))["rows"] == [1000] * 1000
    answer = ask(server, "rows", x=[1.0] * 1001)
    assert (answer.status, answer.error) == (400, "Task size 1001 is larger than maximum input batch size 1000")
