"""The soak's own command in its smallest form, and what it makes of what it finds."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from soak import large, report
from soak.large import LargeLoad
from soak.report import Run, Trend, settled
from soak.resources import MIB, Sample
from soak.scenes import FleetResult, KillResult, LoadResult
from soak.target import Target

SMALLEST = ("--swaps=2", "--minutes=0.05", "--models=2", "--clients=2", "--megabytes=1", "--rounds=1", "--kills=1")


def test_the_command(repository: Path, tmp_path: Path) -> None:
    """All scenes, a moment each: nothing fails, and the page says what was done."""
    command = [sys.executable, "-m", "soak", "--quick", *SMALLEST, f"--to={tmp_path}"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    page, clusters = (tmp_path / f"{name}.md" for name in ("reliability", "reliability-clusters"))
    for heading in ("## 2 swaps under load\n", "## 2 models\n", "## Large requests at once\n", "of mixed traffic\n"):
        assert heading in page.read_text()
    assert "## 1 tasks of a cluster killed\n" in clusters.read_text()
    assert all("- Result: nothing failed" in written.read_text() for written in (page, clusters))
    picture = tmp_path / "reliability.svg"
    assert picture.read_text().startswith("<?xml")
    assert set(tmp_path.iterdir()) == {page, clusters, picture}


def test_it_is_stopped(repository: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a scene: a line instead of a traceback, no page, no server, no folder."""
    with subprocess.Popen(
        [sys.executable, "-m", "soak", "--quick", f"--to={tmp_path / 'page'}"],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        assert any("swaps" in line for line in running.stdout)
        servers = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 130, rest
    assert rest.splitlines()[-1] == "stopped; what was not finished is not written"
    assert "Traceback" not in rest
    assert servers and psutil.wait_procs(servers, timeout=30)[1] == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("soak-") or path.name == "page"]


def test_a_client_that_fails_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there; the others do not wait for it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr("soak.large._SECONDS", 1)
        load = large.ask(Target("m", 0, closed.getsockname()[1], os.getpid()), clients=2, megabytes=1)
    assert len(load.wrong) == 2
    assert load.wrong[0].startswith("the client failed: ")


def _samples(growth_per_minute: float) -> list[Sample]:
    return [Sample(60.0 * minute, int((400 + growth_per_minute * minute) * MIB), 20, 30) for minute in range(41)]


def _run(**changes: object) -> Run:
    load = LoadResult(2400.0, 10, {"RestClient": 100}, Counter(), _samples(0.0))
    parts = {"command": "python -m soak", "swaps": load, "mixed": load, "fleet": FleetResult(2, 1.0, 400 * MIB, [])}
    parts |= {"large": [LargeLoad(100 * MIB, 400 * MIB, 600 * MIB, 410 * MIB, ())]}
    return Run(**{**parts, **changes})


def test_the_line_through_memory() -> None:
    """Half a MiB a minute, over the 30 of 40 minutes that count."""
    trend = Trend(settled(_samples(0.5)))
    assert trend.seconds == 1800
    assert trend.growth == pytest.approx(15 * MIB, rel=1e-3)
    assert trend.spread < 1
    assert (trend.lowest, trend.highest) == (405 * MIB, 420 * MIB)


def test_a_run_without_problems() -> None:
    run = _run()
    assert not run.problems()
    assert "2.00 |" in report.page(run, "picture.svg")


PROBLEMS = {
    "memory that grows": {"mixed": LoadResult(2400.0, 0, {}, Counter(), _samples(2.0))},
    "a failure under swaps": {"swaps": LoadResult(1.0, 1, {}, Counter({"503: no": 2}), _samples(0.0))},
    "a failure in mixed traffic": {"mixed": LoadResult(1.0, 0, {}, Counter({"mixed up: 1": 1}), _samples(0.0))},
    "a model that does not answer": {"fleet": FleetResult(2, 1.0, 1, ["model-1 over RestClient: 404"])},
    "a wrong sum": {"large": [LargeLoad(1, 0, 1, 1, ("3.0 instead of 2",))]},
}


@pytest.mark.parametrize("title", PROBLEMS)
def test_problems_are_told(title: str) -> None:
    run = _run(**PROBLEMS[title])
    assert len(run.problems()) == 1
    page = report.page(run, "picture.svg")
    assert "- Result: problems, listed at the end" in page
    assert f"- {run.problems()[0]}" in page.splitlines()


def test_a_training_that_lost_something_is_told() -> None:
    lost = KillResult(1.0, Counter({"ps": 2}), ["ps, killed behind step 3: it ended"])
    page = report.clusters_page("python -m soak clusters", lost)
    assert "- Result: problems, listed at the end" in page
    assert "- ps, killed behind step 3: it ended" in page.splitlines()


def test_memory_is_not_judged_by_seconds_in_which_the_server_grows_to_its_size() -> None:
    def growing(seconds: float) -> Run:
        looks = [Sample(seconds * n / 40, int((400 + 2 * n) * MIB), 20, 30) for n in range(41)]
        return _run(mixed=LoadResult(seconds, 0, {}, Counter(), looks))

    assert not growing(3.0).problems()
    assert growing(60.0).problems()


def test_a_run_of_a_moment_has_no_trend() -> None:
    trend = Trend(_samples(1.0)[:1])
    assert (trend.growth, trend.spread, trend.lowest) == (0, 0, 400 * MIB)
