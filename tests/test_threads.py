"""labkit.threads: every setting in its own process, in turns, and nothing left running."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import psutil
import pytest

from labkit import threads
from labkit.errors import EnvironmentProblem, MeasurementFailed
from labkit.preloaded import FORKS
from labkit.waiting import wait_until

from .children import runs

# What is in a function below runs in another process, which gives it these two.
tf = np = None

# One other environment for all tests, for each costs an import of TensorFlow; OpenBLAS's, so it is read at the import.
TAN = {"OPENBLAS_COLOUR": "tan"}
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
        "name": tf.constant(os.environ.get("OPENBLAS_COLOUR", "none")),
        "length": len(os.environ.get("OPENBLAS_COLOUR", "none")),
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
    assert other.difference > 0, "other threads, another pid"
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
    assert [each.label for each in found] == ["no variables", "OPENBLAS_COLOUR=tan"]
    assert found[1].difference is None
    assert found[0].fingerprint != found[1].fingerprint


def noted(file: Path, what: str) -> str:
    """A function that adds what this expression is to a file."""
    return f"""
    def noting():
        import os
        with open({str(file)!r}, "a") as file:
            print({what}, file=file)
        return lambda: None
    """


def test_the_environment_and_the_folder_are_the_present_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_COLOUR", raising=False)
    text = noted(tmp_path / "found", "os.environ.get('LABKIT_COLOUR'), os.getcwd(), os.environ['CUDA_VISIBLE_DEVICES']")
    threads.measure(text, **ONCE)
    monkeypatch.setenv("LABKIT_COLOUR", "red")
    monkeypatch.chdir(tmp_path)
    threads.measure(text, **ONCE)
    before, after = (tmp_path / "found").read_text().splitlines()
    assert before.startswith("None ")
    assert after == f"red {tmp_path} -1"


def test_modules_are_found_where_they_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_the_notebook.py").write_text("size = 3")
    monkeypatch.syspath_prepend(tmp_path)
    threads.measure("def user():\n    from of_the_notebook import size\n    return lambda: size", **ONCE)


@pytest.mark.skipif(not FORKS, reason="here each setting has its own import")
def test_what_is_read_at_the_import_has_its_own_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = noted(tmp_path / "hosts", "os.getppid()")
    threads.measure(text, **ONCE)
    threads.measure(text, env=TAN, **ONCE)
    monkeypatch.setenv(*next(iter(TAN.items())))
    threads.measure(text, **ONCE)
    plain, given, inherited = (tmp_path / "hosts").read_text().split()
    assert plain != given == inherited


RESULTS = """
def results():
    import collections
    odd = tf.config.threading.get_intra_op_parallelism_threads() == 3
    value = 2.0 if odd else 1.0
    return lambda: {}
"""


@pytest.mark.parametrize(
    ("result", "difference"),
    [
        ("tf.SparseTensor([[n] for n in range(3000)], [1.0] * 1500 + [value] + [1.0] * 1499, [3000])", 1.0),
        ("tf.IndexedSlices(tf.constant([4.0, 2 + value]), tf.constant([0, 7]))", 0.25),
        ("tf.Variable(value)", 1.0),
        ("tf.cast(value, tf.bfloat16)", 1.0),
        ("[b'no', b'a' + odd * b'\\0']", None),
        ("[tf.constant(['é', 'a' + odd * 'b']), None]", None),
    ],
)
def test_what_differs_has_another_fingerprint(result: str, difference: float | None) -> None:
    found = threads.measure(RESULTS.format(result), intra=[1, 3], **ONCE)
    assert found[0].fingerprint != found[1].fingerprint
    assert found[1].difference == difference
    assert found[0].difference == 0


@pytest.mark.parametrize(
    ("result", "difference"),
    [
        ("np.array([5 if odd else 3], np.uint8)", 2 / 3),
        ("np.array([3 if odd else 5], np.uint8)", 2 / 5),
        ("np.array([np.nan, np.inf, 4 * value])", 1.0),
        ("np.array([np.nan if odd else 1.0, 2.0])", float("inf")),
        ("[np.array([np.nan if odd else 1.0, 2.0]), np.array([value])]", float("inf")),
        ("np.array([value - 1])", 1.0),
        ("np.array([4j * value])", 1.0),
    ],
)
def test_how_far_results_are_apart(result: str, difference: float) -> None:
    found = threads.measure(RESULTS.format(result), intra=[1, 3], **ONCE)
    assert [each.difference for each in found] == pytest.approx([0, difference])


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

    print("my own last words")
    return lambda: os._exit(3)


def returning_what_cannot_be_compared():
    return lambda: [1, {2, 3}]


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (failing, r"failing \(intra 1, inter 1\) failed: OSError: the disk is full\n  line 3, in step: raise OSError"),
        (unprepared, "AttributeError: module 'tensorflow' has no attribute 'no_such_thing'"),
        (nothing, "`nothing` returned 5; it has to return what is to be timed, a function"),
        (crashing, r"The process of crashing .* was ended by signal 6.\n(.|\n)*Fatal Python error: Aborted"),
        (leaving, "The process of leaving .* ended with exit status 3.\n(.|\n)*my own last words"),
        (
            returning_what_cannot_be_compared,
            r"TypeError: the step returned \{2, 3\}; tensors, arrays, .* can be compared",
        ),
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


def measuring() -> set[int]:
    """Hosts and what they forked."""
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if "labkit.preloaded_host" in " ".join(child.cmdline())}


def test_what_hangs_is_ended(measured: threads.Measurements, tmp_path: Path) -> None:
    before = measuring()
    assert len(before) > 0 or not FORKS
    with pytest.raises(MeasurementFailed, match="gave no answer within 1 s and was ended"):
        threads.measure(hanging_forever(tmp_path / "pids"), timeout=1, **ONCE)
    assert measuring() == before


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


@pytest.mark.skipif(not FORKS, reason="there are hosts only where processes fork")
def test_a_fork_that_ends_at_once_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.getcwd", lambda: str(tmp_path / "removed meanwhile"))
    with pytest.raises(MeasurementFailed, match=r"ended before it could measure.\n(.|\n)*FileNotFoundError"):
        threads.measure(nothing, **ONCE)


def test_a_stranger_who_does_not_know_the_key_is_turned_away() -> None:
    # The first setting's function connects to where the second one's process is waited for.
    stranger = """
    def stranger():
        import os, psutil, socket
        (here,) = [each.raddr for each in psutil.Process().net_connections("tcp4") if each.status == "ESTABLISHED"]
        connection = socket.create_connection(here)
        connection.sendall(b'{"key": "guessed"}\\n{"error": "the stranger was asked"}\\n')
        return lambda: connection.fileno() and None
    """
    assert len(threads.measure(stranger, intra=[1, 2], **ONCE)) == 2


def test_calls_from_several_threads_take_turns() -> None:
    done = []
    text = "def one():\n    return lambda: 1"
    callers = [
        threading.Thread(target=lambda: done.append(threads.measure(text, intra=[1, 2], rounds=20)), daemon=True)
        for _ in range(3)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert [len(found) for found in done] == [2, 2, 2]


def interrupt(main: int, running: Callable[[], bool]) -> None:
    """Ctrl-C, once that thread waits for an answer."""

    def waits() -> bool:
        return sys._current_frames()[main].f_code.co_name == "readinto"

    wait_until(lambda: not running() or waits(), timeout=60)
    signal.pthread_kill(main, signal.SIGINT)
    # If that came just before the system's wait began, it is heard when something else ends the wait.
    wait_until(lambda: not waits() or signal.pthread_kill(main, signal.SIGUSR1), timeout=60)


@pytest.mark.skipif(not FORKS, reason="there are hosts only where processes fork")
def test_a_host_that_was_killed_or_whose_answer_was_not_heard_is_followed_by_another(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = noted(tmp_path / "hosts", "os.getppid()")

    def host() -> int:
        threads.measure(text, env=TAN, **ONCE)
        return int((tmp_path / "hosts").read_text().split()[-1])

    first = host()
    assert host() == first != os.getpid()
    request.addfinalizer(partial(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, lambda *_: None)))
    os.kill(first, signal.SIGSTOP)  # so that it does not answer
    caller = threading.Thread(target=interrupt, args=[threading.main_thread().ident, lambda: runs(first)])
    caller.start()
    with pytest.raises(KeyboardInterrupt):
        host()
    caller.join()
    assert not runs(first)
    second = host()
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: not runs(second))
    assert host() not in (first, second)


def test_where_nothing_forks_each_setting_imports_tensorflow_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "signal.py").write_text("raise ImportError('this is not the signal that was meant')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("labkit.preloaded.FORKS", False)
    threads.measure(noted(tmp_path / "parents", "os.getppid()"), **ONCE)
    assert (tmp_path / "parents").read_text().split() == [str(os.getpid())]


@pytest.mark.skipif(not FORKS, reason="there are hosts only where processes fork")
def test_only_imports_that_were_used_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = noted(tmp_path / "hosts", "os.getppid()")
    threads.measure(text, env=TAN, **ONCE)
    monkeypatch.setattr("labkit.preloaded._KEPT_HOSTS", 1)
    threads.measure(text, **ONCE)
    tan, plain = map(int, (tmp_path / "hosts").read_text().split())
    assert measuring() == {plain} != {tan}, "what was forked is gone, too"
