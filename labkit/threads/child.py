"""A process that measures: it imports TensorFlow, then follows its parent's orders, one JSON object a line.

    python -m labkit.threads.child PORT KEY

It connects to the parent's port on this machine and says its key. It ends with its connection.
"""

import faulthandler
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil


class Child:
    """One process's side of the talk; every public method is an order, its answer a JSON object."""

    def __init__(self, port: int) -> None:
        """Connects to the parent, who listens on `port`."""
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._lines = self._connection.makefile("rw")
        self._file = ""
        self._step: Callable[[], Any]
        self._result: list[np.ndarray]

    def follow(self, key: str) -> None:
        """Says who is here, then does what it is told until the parent hangs up."""
        self._say({"key": key, "pid": os.getpid()})
        for line in self._lines:
            order = json.loads(line)
            try:
                answer = getattr(self, order.pop("do"))(**order) or {}
            except (Exception, SystemExit) as error:
                traceback.print_exc()
                answer = {"error": self._explained(error)}
            self._say(answer)

    def _say(self, answer: dict[str, Any]) -> None:
        self._lines.write(json.dumps(answer) + "\n")
        self._lines.flush()

    def _explained(self, error: BaseException) -> str:
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self._file]
        lines = [f"\n  line {frame.lineno}, in {frame.name}: {frame.line}" for frame in where]
        return "".join(traceback.format_exception_only(error)).strip() + "".join(lines)

    def prepare(self, file: str, name: str, intra: int, inter: int, cores: int | None, path: list[str]) -> None:
        """Sets cores and threads, calls function `name` of `file` for its step, and runs the step twice.

        Imports are looked for in `path`.
        """
        sys.path[:] = path
        if cores is not None:
            process = psutil.Process()
            process.cpu_affinity(process.cpu_affinity()[:cores])
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(intra)
        tf.config.threading.set_inter_op_parallelism_threads(inter)
        self._file = file
        names = {"tf": tf, "np": np, "__name__": "measured"}
        with open(file, encoding="utf-8") as text:
            exec(compile(text.read(), file, "exec"), names)
        self._step = names[name]()
        if not callable(self._step):
            raise TypeError(f"`{name}` returned {self._step!r}; it has to return what is to be timed, a function")
        for _ in range(2):  # the first traces and plans, the second still takes memory that later ones find there
            result = self._step()
        self._result = _arrays(result)

    def run(self, repeats: int) -> dict[str, Any]:
        """Times the step; once before that untimed, for others ran meanwhile and the caches hold their data."""
        self._step()
        seconds = []
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            start = time.perf_counter()
            self._step()
            seconds.append(time.perf_counter() - start)
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
        return {"seconds": seconds, "processor_seconds": processor, "wall_seconds": wall}

    def result(self, file: str) -> dict[str, Any]:
        """Writes the arrays that the step returned to `file`, and says how many threads there are by now."""
        np.savez(file, *self._result)
        return {"threads": psutil.Process().num_threads()}

    def trace(self) -> dict[str, Any]:
        """What happened during one run of the step."""
        from labkit.devices.trace import record

        return {"rows": record(self._step).rows()}


def _arrays(result: Any) -> list[np.ndarray]:
    """All that a step returned; of sparse and ragged tensors, all that they are made of."""
    import tensorflow as tf

    leaves: list[Any] = []
    for each in tf.nest.flatten(result):  # a variable is made of a handle, but its value is what counts
        leaves += [each] if isinstance(each, tf.Variable) else tf.nest.flatten(each, expand_composites=True)
    return [_plain(each) for each in leaves if each is not None]


def _plain(value: Any) -> np.ndarray:
    """As NumPy can write it without pickling: texts in hexadecimal, and bfloat16 and the like as float32."""
    value = value.numpy() if hasattr(value, "numpy") else value
    array = np.array(value, object) if isinstance(value, bytes) else np.asarray(value)  # NumPy drops final zeros
    if array.dtype.kind == "V":
        return array.astype(np.float32)
    if array.dtype.kind not in "OSU":
        return array
    if not all(isinstance(each, str | bytes) for each in array.flat):
        raise TypeError(f"the step returned {value!r}; tensors, arrays, numbers, texts and None can be compared")
    texts = [(each.encode() if isinstance(each, str) else each).hex() for each in array.flat]
    return np.array(texts, np.str_).reshape(array.shape)


def main(arguments: Sequence[str]) -> None:
    """Imports TensorFlow and follows the parent at this port."""
    port, key = arguments
    faulthandler.enable()
    import tensorflow  # noqa: F401

    Child(int(port)).follow(key)


if __name__ == "__main__":
    main(sys.argv[1:])
