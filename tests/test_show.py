"""Tables and numbers: one form each, stable under comparison."""

import re
from pathlib import Path

import pytest

from labkit import show


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 ms"),
        (0.0000123, "0.01230 ms"),
        (0.00123, "1.23 ms"),
        (0.0123, "12.3 ms"),
        (0.123, "123 ms"),
        (1.5, "1,500 ms"),
    ],
)
def test_milliseconds(seconds: float, shown: str) -> None:
    assert show.milliseconds(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (1500, "1.50 kB"),
        (123_456, "123 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (3_140_000, "3.14 MB"),
        (5 * 10**9, "5.00 GB"),
        (7 * 10**15, "7,000 TB"),
    ],
)
def test_size(count: int, shown: str) -> None:
    assert show.size(count) == shown


def test_memory() -> None:
    assert show.memory(300 * 2**20) == "300 MiB"


def test_comparison_of_outputs_blanks_times_and_memory_but_not_sizes() -> None:
    from nbval.plugin import get_sanitize_patterns

    rules = get_sanitize_patterns((Path(__file__).parent / "labs" / "sanitize.cfg").read_text(encoding="ascii"))

    def sanitized(text: str) -> str:
        for pattern, replacement in rules:
            text = re.sub(pattern, replacement, text)
        return text

    for value in (0, 1e-7, 0.00123, 0.5, 12.0, 5000.0):
        assert sanitized(f"in {show.milliseconds(value)}.") == "in TIME ms."
        assert sanitized(f"<td>{show.memory(value * 2**30)}</td>") == "<td>MEMORY MiB</td>"
    assert sanitized(show.size(1234)) == show.size(1234)
    assert sanitized("3 items") == "3 items"


def test_table_has_its_first_column_as_labels_and_rounds() -> None:
    frame = show.table([("a", 1, 0.123456), ("b", 2, 2.0)], ["case", "n", "loss (nats)"])
    assert list(frame.index) == ["a", "b"]
    assert frame.index.name == "case"
    assert list(frame.columns) == ["n", "loss (nats)"]
    assert frame.loc["a", "loss (nats)"] == 0.123


def test_table_takes_any_iterable_of_rows() -> None:
    assert len(show.table({"a": 1, "b": 2}.items(), ["case", "n"])) == 2


def test_table_names_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match=r"row 2 has 1 values \['b'\], but there are 2 columns"):
        show.table([("a", 1), ("b",)], ["case", "n"])


def test_text_of_a_wide_table_neither_wraps_nor_cuts() -> None:
    text = repr(show.table([["x" * 80, "y" * 80, "z" * 80]], ["a", "b", "c"]))
    assert "y" * 80 in text
    assert "z" * 80 in text.splitlines()[-1]
