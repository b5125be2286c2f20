"""The benchmark of the local cluster: its tasks run, with tiny sizes, and the page says what came out."""

from pathlib import Path

import pytest

from bench import cluster, page, pictures, report
from labkit.cluster import ClusterSpec, LocalCluster
from labkit.errors import MeasurementFailed

# A task without TensorFlow, which takes seconds to import in each of three Pythons.
LISTENS = """
import json, os, socket, time
config = json.loads(os.environ["TF_CONFIG"])
task = config["task"]
host, port = config["cluster"][task["type"]][task["index"]].split(":")
time.sleep(0.2)
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind((host, int(port)))
server.listen()
time.sleep(60)
"""
# Of the network's convolutions and of its dense layer, with their biases.
WEIGHTS = (9 * 3 + 1) * 32 + (9 * 32 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 64 + (8 * 8 * 64 + 1) * 10


def written(folder: Path, text: str) -> Path:
    (folder / "task.py").write_text(text)
    return folder / "task.py"


def text(run: report.Run) -> str:
    return page.text(run, pictures.draw(run), "pictures").replace("\n", " ")


def test_each_way_to_start_is_timed_until_the_ports_are_open(tmp_path: Path) -> None:
    found = cluster.starts(written(tmp_path, LISTENS), rounds=1)
    assert [*found] == [cluster.IMPORT, cluster.FIRST, cluster.AGAIN, cluster.PLAIN]
    assert all(len(values) == 1 and values[0] > 0.2 for values in found.values())  # the tasks sleep that long


def test_a_task_that_fails_is_no_start(tmp_path: Path) -> None:
    script = written(tmp_path, "raise SystemExit('there is no room')")
    with pytest.raises(MeasurementFailed, match="there is no room"):
        cluster.starts(script, rounds=1)


def test_the_tasks_that_are_started_open_their_ports(repository: Path) -> None:
    with LocalCluster(ClusterSpec(worker=2, ps=1), repository / "bench" / "cluster_tasks" / "serve.py") as started:
        started.wait_ready()
        assert [started.state(*task) for task in started.spec.tasks] == ["running"] * 3


def test_two_workers_train_alone_side_by_side_and_together() -> None:
    run = report.Run({})
    cluster.train(run, rounds=1, batch=2, steps=1)
    assert [*run.cases[cluster.RATES]] == [cluster.ALONE, cluster.APART, cluster.TOGETHER]
    parts = (cluster.GRADIENTS, cluster.WAITING, cluster.ONE_NUMBER, cluster.ALL_REDUCE, cluster.UPDATE)
    assert set(run.cases[cluster.PARTS]) == set(parts)
    for case in (cluster.RATES, cluster.PARTS):
        assert all(len(values) == 2 and min(values) > 0 for values in run.cases[case].values())
    assert run.cases[cluster.STEP_BYTES] == {cluster.SENT: [4 * WEIGHTS]}


def test_the_ring_and_a_socket_move_the_same_bytes() -> None:
    run = report.Run({})
    cluster.exchange(run, rounds=1, numbers=1000, repeats=1)
    assert run.cases[cluster.EXCHANGE_BYTES] == {cluster.SENT: [4000]}
    assert [*run.cases[cluster.EXCHANGE]] == [cluster.RING, cluster.SOCKET]
    assert all(len(values) == 2 and min(values) > 0 for values in run.cases[cluster.EXCHANGE].values())


@pytest.fixture
def run() -> report.Run:
    made = report.Run({"rounds": "2"})
    starts = {cluster.IMPORT: [4.0, 2.0], cluster.FIRST: [4.5, 6.0], cluster.AGAIN: [3.0, 3.0]}
    made.add(cluster.START, "s", {**starts, cluster.PLAIN: [9.0, 6.0]})
    rates = {cluster.ALONE: [100.0, 50.0], cluster.APART: [150.0, 100.0], cluster.TOGETHER: [120.0, 60.0]}
    made.add(cluster.RATES, "examples/s", rates)
    parts = {cluster.GRADIENTS: [0.2], cluster.WAITING: [0.03], cluster.ONE_NUMBER: [0.01], cluster.ALL_REDUCE: [0.02]}
    made.add(cluster.PARTS, "s", {**parts, cluster.UPDATE: [0.004]})
    made.add(cluster.STEP_BYTES, "bytes", {cluster.SENT: [500_000]})
    made.add(cluster.EXCHANGE_BYTES, "bytes", {cluster.SENT: [16_000_000]})
    made.add(cluster.EXCHANGE, "MB/s", {cluster.RING: [100.0, 100.0], cluster.SOCKET: [400.0, 200.0]})
    return made


def test_the_page_says_how_soon_a_cluster_is_there(run: report.Run) -> None:
    assert "## A cluster on this machine" in text(run)
    assert "5.25 s pass from the start of a new Python, where `import tensorflow` alone takes 3.00 s" in text(run)
    assert "the aim, 1.5 times the import and 3 s, is met" in text(run)  # 4.5 of 9, 6 of 6: three quarters
    assert "takes 3.00 s; the aim, 2 s, is missed by 50%" in text(run)
    assert "7.50 s: 1.5 times (1.0 to 2.0) as long as the first one, 2.5 times (2.0 to 3.0)" in text(run)


def test_the_page_says_what_a_second_worker_brings_and_where_the_rest_goes(run: report.Run) -> None:
    assert "reach 0.60 (0.60 to 0.60) of twice the rate of one; the aim, 0.8, is missed by 25%" in text(run)
    assert "reach 0.88 (0.75 to 1.00), the most" in text(run)
    assert "against those it is 0.70 (0.60 to 0.80)" in text(run)
    assert "200 ms for a worker's own gradients, 20.0 ms of waiting" in text(run)
    assert "20.0 ms to sum all gradients, and 4.00 ms for the update" in text(run)
    assert "sends 0.500 MB, 5.00 ms at the speed below; the sum of a single number takes 10.0 ms" in text(run)
    assert "at 100 MB/s" in text(run) and "at 300 MB/s, unsummed; the ratio is 0.38 (0.25 to 0.50)" in text(run)


def test_the_page_says_when_there_was_no_second_core(run: report.Run) -> None:
    for case in (cluster.RATES, cluster.PARTS, cluster.STEP_BYTES):
        del run.cases[case]
    assert "one core: two workers on two cores were not measured" in text(run)
    assert "## A cluster" not in text(report.Run({"rounds": "2"}))
