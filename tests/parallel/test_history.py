"""labkit.parallel.history, .rules and .compression: no cluster is needed."""

import subprocess
import sys

import numpy as np
import pytest

from labkit.parallel import History, Recorder, TopK, drop_over, keep_all, scale_down, to_float16, wire_bytes


def record(worker, read, staleness=0, loss=1.0):
    return {"worker": worker, "read": read, "applied_at": read + staleness, "staleness": staleness, "applied": True,
            "loss": loss, "seconds": 0.1, "waited": 0.0}  # fmt: skip


def test_records_of_all_tasks_are_read_together(tmp_path):
    Recorder(tmp_path, "worker", 0).write(**record(0, 0, loss=3.0))
    Recorder(tmp_path, "worker", 1).write(**record(1, 0, 1, loss=1.0))
    Recorder(tmp_path, "worker", 1).write(**record(1, 2, 4, loss=0.5))  # started anew: added
    history = History.read(tmp_path)
    assert history.staleness(1).tolist() == [1, 4]
    assert history.staleness().tolist() == [0, 1, 4]
    assert history.loss_curve().to_dict() == {0: 2.0, 2: 0.5}
    assert len(history.table()) == 3


def test_a_line_that_a_killed_task_did_not_finish_is_left_out(tmp_path):
    Recorder(tmp_path, "worker", 0).write(**record(0, 0))
    with open(tmp_path / "history-worker-0.jsonl", "a") as file:
        file.write("\n" + '{"worker": 0, "re')
    assert len(History.read(tmp_path).table()) == 1
    Recorder(tmp_path, "worker", 0).write(**record(0, 7))
    assert History.read(tmp_path).table()["read"].tolist() == [0, 7]


def test_whose_gradients_were_used_the_chief_knows(tmp_path):
    for worker, read in ((0, 0), (1, 0), (0, 1)):
        Recorder(tmp_path, "worker", worker).write(**record(worker, read))
    chief = Recorder(tmp_path, "chief", 0)
    chief.write(read=0, used=[1])
    chief.write(read=1, used=[0])
    table = History.read(tmp_path).table().set_index(["worker", "read"])["applied"]
    assert table.to_dict() == {(0, 0): False, (1, 0): True, (0, 1): True}


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="have the tasks trained"):
        History.read(tmp_path)


def test_rules():
    assert [keep_all(0), keep_all(99)] == [1, 1]
    assert [drop_over(4)(4), drop_over(4)(5)] == [1, 0]
    assert [scale_down(0), scale_down(3)] == [1, 0.25]
    with pytest.raises(ValueError, match="limit is -1"):
        drop_over(-1)


def test_float16_halves_the_bytes():
    gradients = {"a": np.full([10, 3], 0.1, np.float32), "b": np.zeros([2], np.float32)}
    assert wire_bytes(gradients) == 4 * 32
    assert wire_bytes(to_float16(gradients)) == 2 * 32
    np.testing.assert_allclose(to_float16(gradients)["a"], 0.1, rtol=1e-3)


def test_top_k_keeps_the_largest_and_gives_the_rest_to_the_next():
    top = TopK(0.5)
    first = {"a": np.array([[1, -4], [3, 2]], np.float32)}
    (indices, values), small = top(first)["a"], wire_bytes(TopK(0.5)(first))
    assert (indices.tolist(), values.tolist(), small) == ([1, 2], [-4, 3], 2 * 4 + 2 * 4)
    indices, values = top({"a": np.array([[0.5, 1], [1, 1]], np.float32)})["a"]
    assert (indices.tolist(), values.tolist()) == ([0, 3], [1.5, 3])


def test_top_k_can_forget_the_rest():
    top = TopK(0.1, feedback=False)
    gradient = {"a": np.array([1, 2], np.float32)}
    assert [top(gradient)["a"][1].tolist() for _ in range(2)] == [[2], [2]]
    assert gradient["a"].tolist() == [1, 2]


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_top_k_refuses_no_share(share):
    with pytest.raises(ValueError, match=f"share is {share}"):
        TopK(share)


def test_who_only_writes_records_imports_no_pandas():
    program = "import sys, labkit.parallel as p; p.Recorder('.', 'worker', 0); sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_reading_a_history_imports_no_tensorflow():
    program = "import sys, labkit.parallel as p; p.History, p.TopK, p.keep_all; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
