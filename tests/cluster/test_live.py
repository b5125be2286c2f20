"""labkit.cluster.live: who waits sees a table that is drawn anew and vanishes, or what the tasks print."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import IPython
import pytest

from labkit import show
from labkit.cluster import ClusterSpec, LocalCluster, live


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(live, "time", clock)
    return clock


def seen(clock: SimpleNamespace, look: Callable[[], str]) -> list[str]:
    """What `look` finds after each update, and at the end; the table says when it was made."""
    found = []
    with live.LiveView([], lambda: show.table([["chief 0", f"at {clock.now}"]], ["task", "made"]), False) as view:
        for clock.now in (0.5, 1.0, 1.25, 1.5):
            view.update()
            found.append(look())
    return [*found, look()]


def test_a_table_in_a_terminal_is_drawn_over_the_one_before_and_vanishes(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    early, first, soon, second, end = seen(clock, lambda: capsys.readouterr().err)
    taken_away = f"\x1b[{len(first.splitlines())}A\x1b[J"
    assert [early, soon, end] == ["", "", taken_away]
    assert "chief 0" in first and "at 1.0" in first
    assert second == taken_away + first.replace("at 1.0", "at 1.5")


def test_without_pandas_somebody_waits_without_a_table(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert seen(clock, lambda: capsys.readouterr().err) == [""] * 5


@pytest.mark.parametrize(
    ("watched", "shown"), [(True, ["", "at 1.0", "at 1.0", "at 1.5", ""]), (False, [""] * 5)], ids=["watched", "not"]
)
def test_a_notebook_s_table_takes_the_place_of_the_one_before_where_somebody_looks(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, watched: bool, shown: list[str]
) -> None:
    output = ["printed before; "]

    def display(table: Any, display_id: bool) -> SimpleNamespace:
        output.append(table["made"].item())
        return SimpleNamespace(update=update)

    def update(table: Any, raw: bool = False) -> None:
        output[1] = table["text/plain"] + table["text/html"] if raw else table["made"].item()

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel="runs this"))
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(show, "is_watched", lambda: watched)
    assert seen(clock, lambda: "".join(output)) == [f"printed before; {each}" for each in shown]


def test_lines_are_shown_with_the_task_s_name_as_they_come(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    program = (
        "import os, sys\nprint('step 1\\nloss 0.5', end='')\nis_new = not os.path.exists('lost')\nopen('lost', 'w')"
    )
    (tmp_path / "program.py").write_text(f"{program}\nsys.exit('worker' in os.environ['TF_CONFIG'] and is_new)")
    with LocalCluster(ClusterSpec(worker=1), tmp_path / "program.py") as cluster:
        cluster.wait(timeout=60, stream=True, restarts=1)
    assert capsys.readouterr().out.splitlines() == 2 * ["[worker 0] step 1", "[worker 0] loss 0.5"]
