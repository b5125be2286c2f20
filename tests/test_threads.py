"""labkit.threads: every setting in its own process, in turns, and nothing left running."""

import os
import signal
import subprocess
import sys
import threading
from itertools import combinations
from pathlib import Path

import psutil
import pytest

from labkit import threads
from labkit.errors import EnvironmentProblem, MeasurementFailed
from labkit.waiting import wait_until

# What is in a function below runs in another process, which gives it these two.
tf = np = None

TAN = {"COLOUR": "tan"}  # one other environment for all tests: each costs an import of TensorFlow
ONCE = {"rounds": 1, "repeats": 1}


def branches():
    a = tf.random.stateless_normal([4, 400, 400], [1, 2])

    @tf.function
    def step():
        parts = [tf.linalg.qr(a[place], name=f"branch_{place}").r for place in range(4)]
        return tf.add_n(parts)

    return step


def setting():
    import os

    def step():
        threading = tf.config.threading
        numbers = threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
        return tf.constant([*numbers, os.getpid()], tf.float64)

    return step


def colour():
    import os

    return lambda: {
        "name": tf.constant(os.environ.get("COLOUR", "none")),
        "length": len(os.environ.get("COLOUR", "none")),
    }


def loop():
    @tf.function
    def step():
        number, total = tf.constant(5), 0
        while number > 0:  # a tensor: TensorFlow has to see the source of this
            total += number
            number -= 1
        return total

    return step


@pytest.fixture(scope="module")
def measured() -> threads.Measurements:
    return threads.measure(branches, intra=1, inter=[1, 2], rounds=3, repeats=2, trace=True)


def test_each_setting_has_its_rounds(measured: threads.Measurements) -> None:
    assert [each.label for each in measured] == ["inter 1", "inter 2"]
    assert [(each.function, each.intra, each.inter, each.cores) for each in measured] == [
        ("branches", 1, 1, None),
        ("branches", 1, 2, None),
    ]
    for each in measured:
        assert [len(one.seconds) for one in each.rounds] == [2, 2, 2]
        assert len(each.seconds) == 6
        assert min(each.seconds) <= each.quartiles[0] <= each.median <= each.quartiles[1] <= max(each.seconds)
        assert 0 < each.cores_busy < psutil.cpu_count() + 0.5
        assert all(sum(one.seconds) <= one.wall_seconds for one in each.rounds)
    assert measured["inter 2"].threads == measured["inter 1"].threads + 1
    assert threads.Measurements(measured.all[:1]).table().shape == (1, 4)
    assert measured[-1] is measured["inter 2"]


def test_branches_overlap_with_two_threads_and_not_with_one(measured: threads.Measurements) -> None:
    # Each takes many time slices of the system's scheduler, so both threads come to work on a busy machine too.
    def overlaps(label: str) -> list[bool]:
        ops = [event for event in measured[label].trace.ops if event.op == "Qr"]
        assert len(ops) == 4
        return [one.overlaps(other) for one, other in combinations(ops, 2)]

    assert not any(overlaps("inter 1"))
    assert any(overlaps("inter 2"))


def test_results_are_compared_with_the_first_settings(measured: threads.Measurements) -> None:
    assert [each.difference for each in measured] == [0.0, 0.0]
    assert measured[0].fingerprint == measured[1].fingerprint


def test_speedup_is_taken_within_rounds(measured: threads.Measurements) -> None:
    alone, two = measured
    ratios = [sum(a.seconds) / sum(b.seconds) for a, b in zip(alone.rounds, two.rounds, strict=True)]
    spread = measured.speedup()["inter 2"]
    assert spread == pytest.approx((sorted(ratios)[1], min(ratios), max(ratios)))
    assert measured.speedup("inter 2")["inter 2"] == (1, 1, 1)
    with pytest.raises(KeyError, match="there are 'inter 1', 'inter 2'"):
        measured.speedup("intra 1")


def test_the_table_has_a_row_for_each_and_times_that_labs_blank(measured: threads.Measurements) -> None:
    table = measured.table()
    assert list(table.index) == ["inter 1", "inter 2"]
    assert all(cell.endswith(" ms") for row in table.to_numpy() for cell in row)


def test_threads_are_set_and_every_setting_is_its_own_process() -> None:
    found = threads.measure([setting, loop], intra=[1, 3], inter=2, **ONCE)
    assert [each.label for each in found] == ["setting, intra 1", "setting, intra 3", "loop, intra 1", "loop, intra 3"]
    first, other, *_ = found
    assert 0 < other.difference < 1, "pids differ a little, as shares of a pid"
    assert first.fingerprint != other.fingerprint
    assert found[2].difference is None, "of another shape"
    assert found[2].fingerprint == found[3].fingerprint


def test_the_numbers_of_threads_arrive() -> None:
    text = "def numbers():\n    return lambda: float(tf.config.threading.get_{}_op_parallelism_threads())"
    for which in ("intra", "inter"):
        numbers = {"intra": 1, "inter": 1} | {which: [1, 3]}
        found = threads.measure(text.format(which), **numbers, **ONCE)
        assert found[f"{which} 3"].difference == 2.0, "3 is 2 more than 1, as a share of 1"


def test_the_environment_is_there_and_strings_are_compared_too() -> None:
    found = threads.measure(colour, env=[{}, TAN], **ONCE)
    assert [each.label for each in found] == ["no variables", "COLOUR=tan"]
    assert found[1].difference is None
    assert found[0].fingerprint != found[1].fingerprint


def test_settings_take_turns_forth_and_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = f"""
    def writer():
        number = tf.config.threading.get_intra_op_parallelism_threads()
        def step():
            with open({str(log)!r}, "a") as file:
                file.write(str(number))
        return step
    """
    threads.measure(text, intra=[1, 2, 3], rounds=3, repeats=2)
    prepared, turns = log.read_text()[:6], log.read_text()[6:]
    assert prepared == "112233"
    assert turns == "111222333" + "333222111" + "111222333", "each turn is once untimed and twice timed"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot keep a process on some cores")
def test_a_process_can_be_kept_on_one_core() -> None:
    text = "def cores():\n    import os\n    return lambda: float(len(os.sched_getaffinity(0)))"
    have = len(os.sched_getaffinity(0))
    found = threads.measure(text, cores=[1, None], **ONCE)
    assert [each.label for each in found] == ["1 core", "all cores"]
    assert found[1].difference == have - 1
    with pytest.raises(EnvironmentProblem, match=f"{have + 1} cores are asked for, but this process may use {have}"):
        threads.measure(text, cores=have + 1)


def failing():
    def step():
        raise OSError("the disk is full")

    return step


def unprepared():
    return tf.no_such_thing


def nothing():
    return 5


def crashing():
    import os

    return lambda: os.abort()


def leaving():
    import os

    return lambda: os._exit(3)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (failing, r"failing \(intra 1, inter 1\) failed: OSError: the disk is full\n  line 3, in step: raise OSError"),
        (unprepared, "AttributeError: module 'tensorflow' has no attribute 'no_such_thing'"),
        (nothing, "`nothing` returned 5; it has to return what is to be timed, a function"),
        (crashing, r"The process of crashing .* was ended by signal 6.\n(.|\n)*Fatal Python error: Aborted"),
        (leaving, "The process of leaving .* ended with exit status 3"),
    ],
)
def test_what_fails_says_so_in_its_own_words(fn: object, message: str) -> None:
    with pytest.raises(MeasurementFailed, match=message):
        threads.measure(fn, 1, 1, **ONCE)


def hanging_forever(pids: Path) -> str:
    return f"""
    def hanging():
        import os, threading
        def step():
            with open({str(pids)!r}, "a") as file:
                print(os.getpid(), os.getppid(), file=file, flush=True)
            threading.Event().wait()
        return step
    """


def test_what_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(MeasurementFailed, match="gave no answer within 2 s and was ended"):
        threads.measure(hanging_forever(tmp_path / "pids"), timeout=2, **ONCE)
    assert not psutil.pid_exists(int((tmp_path / "pids").read_text().split()[0]))


def test_nothing_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"from labkit.threads import measure\nmeasure({hanging_forever(pids)!r})"
    parent = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), timeout=60)
    finally:
        parent.kill()
        parent.wait()
    children = [int(pid) for pid in pids.read_text().split()]
    wait_until(lambda: not any(map(runs, children)), timeout=20)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_host_that_was_killed_is_followed_by_another(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    killer = f"""
    def killer():
        import os
        with open({str(pids)!r}, "a") as file:
            print(os.getppid(), file=file)
        return lambda: 1
    """
    threads.measure(killer, env=TAN, **ONCE)
    threads.measure(killer, env=TAN, **ONCE)
    first, second = pids.read_text().split()
    assert first == second != str(os.getpid())
    os.kill(int(first), signal.SIGKILL)
    wait_until(lambda: not runs(int(first)))
    threads.measure(killer, env=TAN, **ONCE)
    assert pids.read_text().split()[2] != first


def test_where_nothing_forks_each_setting_imports_tensorflow_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.threads.team.FORKS", False)
    with pytest.raises(MeasurementFailed, match="ended with exit status 3"):
        threads.measure(leaving, **ONCE)


def test_one_import_serves_all_threads_of_this_process(measured: threads.Measurements) -> None:
    hosts = [child for child in psutil.Process().children() if "labkit.threads.child" in " ".join(child.cmdline())]
    assert hosts
    assert all(not host.children() for host in hosts), "what was forked is gone"
    assert threading.active_count() < 50
