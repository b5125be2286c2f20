"""labkit.cluster.tensorboard: it shows summaries, on loopback only, and ends with the process that started it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from labkit.waiting import wait_until

TIMEOUT = 60.0
# A process that can be killed. Its summaries come when TensorBoard is there already.
PROGRAM = """
import json, os, sys
from labkit.cluster import ClusterSpec, LocalCluster, TensorBoard
from labkit.errors import ProcessError

def summarise():
    import sys
    with tf.summary.create_file_writer(sys.argv[1] + "/train").as_default():
        for step in (1, 2, 4):
            tf.summary.scalar("loss", 1 / step, step)

folder = sys.argv[1]
try:
    TensorBoard(folder, timeout=0.0)
except ProcessError as error:
    late = str(error)
TensorBoard(folder)
board = TensorBoard(os.path.relpath(folder), reload_seconds=1)
with LocalCluster(ClusterSpec(chief=1), summarise, [folder]) as cluster:
    cluster.wait(timeout=60)
print(json.dumps({"url": board.url, "late": late}), flush=True)
input()
"""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    folder = tmp_path_factory.mktemp("board")
    script = folder / "parent.py"
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), str(folder / "summaries")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


@pytest.fixture(scope="module")
def said(parent: subprocess.Popen[str]) -> Any:
    """What it printed: the address, and how a start that took too long ended."""
    assert parent.stdout is not None
    return json.loads(parent.stdout.readline())


def descendants(parent: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(parent.pid).children(recursive=True)


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    """Where it listens: address, port."""
    return [each.laddr for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]


def test_summaries_that_come_later_are_shown(said: Any) -> None:
    def ask(what: str) -> Any:
        return requests.get(f"{said['url']}data/plugin/scalars/{what}", timeout=TIMEOUT).json()

    wait_until(lambda: "loss" in ask("tags").get("train", {}), timeout=TIMEOUT)
    points = ask("scalars?run=train&tag=loss")
    assert [point[1:] for point in points] == [[1, 1.0], [2, 0.5], [4, 0.25]]


def test_it_listens_on_loopback_only_and_others_are_gone(parent: subprocess.Popen[str], said: Any) -> None:
    """One that was late, and one that was replaced. What reads the files for it listens, too."""
    assert said["late"].startswith("tensorboard was not ready after 0 s.")
    address = ("127.0.0.1", urlsplit(said["url"]).port)
    [board] = [process for process in descendants(parent) if address in listening(process)]
    assert {host for process in descendants(parent) for host, _ in listening(process)} == {"127.0.0.1"}
    assert board.parent().children() == [board]


def test_it_ends_with_its_parent(parent: subprocess.Popen[str], said: Any) -> None:
    family = descendants(parent)
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(family, timeout=TIMEOUT)[1] == []
    with pytest.raises(requests.ConnectionError):
        requests.get(said["url"], timeout=TIMEOUT)
