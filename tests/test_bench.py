"""The benchmark's own parts, without load: turns, verdicts, result files, rivals' lock, the echo server."""

import contextlib
import http.server
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from bench import environment, load, report, servers
from bench.beside import ECHO
from bench.turns import take_turns
from labkit.bench.results import Comparison, Phases, Point
from labkit.errors import MeasurementFailed

BENCH = Path(load.__file__).parent
RATE = report.Bar("rates", "ours", ("slow", "fast"), 3)
TIME = report.Bar("times", "ours", ("theirs",), 1.5, more_is_better=False)


def run_with(**cases: report.Rounds) -> report.Run:
    return report.Run({"machine": "a test"}, cases, dict.fromkeys(cases, "requests/s"))


def test_sides_take_turns_and_the_first_round_is_dropped() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    values = take_turns({"a": lambda: measure("a"), "b": lambda: measure("b")}, rounds=2)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert values == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


def test_a_rate_is_compared_within_each_round_with_the_fastest_rival() -> None:
    verdict = report.judge(run_with(rates={"ours": [30, 90, 8], "slow": [1, 1, 1], "fast": [10, 10, 4]}), RATE)
    assert (verdict.rival, verdict.ratio, verdict.low, verdict.high) == ("fast", 3.0, 2.0, 9.0)
    assert verdict.words == "met"


def test_a_missed_rate_says_by_how_much() -> None:
    assert report.judge(run_with(rates={"ours": [15], "slow": [1], "fast": [10]}), RATE).words == "missed by 50%"


@pytest.mark.parametrize(("milliseconds", "words"), [(1.5, "met"), (1.8, "missed by 20%")])
def test_a_time_must_stay_below_its_bar(milliseconds: float, words: str) -> None:
    assert report.judge(run_with(times={"ours": [milliseconds], "theirs": [1.0]}), TIME).words == words


def test_a_side_that_missed_a_round_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        report.judge(run_with(times={"ours": [1.0, 1.0], "theirs": [1.0]}), TIME)


def test_results_are_saved_and_loaded(tmp_path: Path) -> None:
    run = run_with(**{"REST, 1000 x 784": {"labkit": [60.0], "FastAPI typed": [10.0], "FastAPI threadpool": [12.0]}})
    run.comparisons["sizes"] = Comparison({"REST": [Point(1, 20, 30, [0.1, 0.2])]})
    run.phases["1 x 4"] = [Phases("REST", 5, {"round trip": [0.1, 0.2]})]
    run.save(tmp_path / "results" / "run.json")
    assert report.Run.load(tmp_path / "results" / "run.json") == run


def test_the_rivals_lock_has_hashes_and_the_projects_versions() -> None:
    rivals = (BENCH / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", rivals, re.MULTILINE))
    assert {"fastapi", "litserve", "uvicorn"} <= set(pins)
    assert not {"tensorflow", "numpy"} & set(pins), "TensorFlow is the project's own"
    assert len(re.findall(r"^[\w.-]+==.*\\\n    --hash=sha256:", rivals, re.MULTILINE)) == len(pins)
    assert "://" not in rivals
    ours = dict(re.findall(r"^([\w.-]+)==(\S+)", (BENCH.parent / "requirements.lock").read_text(), re.MULTILINE))
    assert {name: ours[name] for name in ours.keys() & pins.keys()} == {
        name: pins[name] for name in ours.keys() & pins.keys()
    }


def test_a_changed_lock_asks_for_a_new_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    lock = tmp_path / "requirements.lock"
    lock.write_text("one==1\n")
    monkeypatch.setattr(environment, "FOLDER", tmp_path / ".venv")
    monkeypatch.setattr(environment, "LOCK", lock)
    monkeypatch.setattr(environment.subprocess, "run", lambda command, **_: commands.append(command))
    environment.site_packages().mkdir(parents=True)
    for text, calls in (("one==1\n", 2), ("one==1\n", 2), ("one==2\n", 4)):
        lock.write_text(text)
        environment.prepare()
        assert len(commands) == calls


@pytest.fixture
def echo() -> Iterator[servers.Server]:
    server = servers.echo()
    yield server
    server.stop()


def test_only_a_server_that_is_awake_answers(echo: servers.Server) -> None:
    with grpc.insecure_channel(echo.address) as channel:
        call = channel.unary_unary(ECHO)
        assert call(b"\x00any bytes", timeout=30, wait_for_ready=True) == b"\x00any bytes"
        with echo.awake():
            pass
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
            call(b"suspended", timeout=0.2)
        with echo.awake():
            assert call(b"awake again", timeout=30) == b"awake again"


def test_a_servers_processor_time_is_that_of_its_calls(echo: servers.Server) -> None:
    before = echo.processor_seconds()
    with grpc.insecure_channel(echo.address) as channel:
        call = channel.unary_unary(ECHO)
        while echo.processor_seconds() < before + 0.1:
            call(b"once more", timeout=30, wait_for_ready=True)
    with echo.awake():
        pass
    suspended = echo.processor_seconds()
    sum(range(10**6))
    assert echo.processor_seconds() == suspended > before


def load_with(tool: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the load comes from `tool`, and from Python if that is None."""
    if tool is None:
        monkeypatch.setattr(load, "tools", lambda: {"wrk": None, "h2load": None})
    elif not load.tools()[tool]:
        (pytest.fail if os.environ.get("LABKIT_CI") else pytest.skip)(f"{tool} is not installed")


def test_no_answer_at_all_is_no_rate(echo: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_with("wrk", monkeypatch)
    body = tmp_path / "body.json"
    body.write_text("{}")
    with echo.awake():
        pass
    with pytest.raises(MeasurementFailed, match="answered nothing"):
        load.rest(f"http://{echo.address}/", body, connections=1, seconds=1)


@pytest.mark.parametrize("tool", ["h2load", None])
def test_calls_are_counted(
    echo: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str | None
) -> None:
    load_with(tool, monkeypatch)
    monkeypatch.setattr(load, "RPC_SECONDS", 0.5)
    message = tmp_path / "message.bin"
    message.write_bytes(b"\x00\x00\x00\x00\x02hi")
    assert load.rpc(echo.address, ECHO, message, 2) > 0
    assert load.rpc_from_python(echo.address, ECHO, message) > 0
    with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
        load.rpc_from_python(echo.address, "/echo.Echo/Missing", message)


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers the statuses that the request's path names, in turn."""

    protocol_version = "HTTP/1.1"
    answered = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        statuses = self.path[1:].split(",")
        self.send_response(int(statuses[self.answered % len(statuses)]))
        self.answered += 1
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # load generators drop their connections when the time is up
            super().handle()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture(scope="module")
def http_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("measure", "tool"),
    [
        (load.rest, "wrk"),
        (load.rest, None),
        (load.rest_like_rpc, "h2load"),
        (load.rest_like_rpc, None),
        (load.one_by_one, None),
        (load.rest_from_python, None),
    ],
)
def test_only_successful_answers_count(
    http_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: Callable[..., float], tool: str | None
) -> None:
    load_with(tool, monkeypatch)
    monkeypatch.setattr(load, "RPC_SECONDS", 0.1)
    arguments = {load.rest: (2, 1), load.rest_from_python: ()}.get(measure, (2,))
    body = tmp_path / "body.json"
    body.write_text("{}")
    assert measure(f"{http_url}/200", body, *arguments) > 0
    with pytest.raises(MeasurementFailed):
        measure(f"{http_url}/200,500", body, *arguments)
