"""One of two workers that sum numbers with TensorFlow's ring, and send as many bytes over a plain socket.

    exchange.py NUMBERS REPEATS ROUNDS

In a ring of two each worker sends half of its numbers and then half of the sums, so as many bytes as its numbers have,
and gets as many. Over the socket each sends and gets them as well. Seconds are written to `worker-N.json`.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

NUMBERS, REPEATS, ROUNDS = map(int, sys.argv[1:])
INDEX: int = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
_ADDRESS = Path("address")


def main() -> None:
    """Both ways once a round, in turns; a first round is dropped."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy(
        communication_options=tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.RING
        )
    )
    numbers, got = tf.Variable(tf.fill([NUMBERS], INDEX + 1.0)), np.empty(NUMBERS, np.float32)
    total = tf.function(lambda: strategy.run(lambda: _sum(numbers.read_value())), autograph=False)
    meet = tf.function(lambda: strategy.run(lambda: _sum(tf.ones([]))), autograph=False)
    connection, sent = _connected(meet), numbers.numpy()
    ways = {"all-reduce": total, "socket": lambda: _exchange(connection, sent, got)}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name in ways if turn % 2 else reversed(ways):
            meet()  # both begin at once
            found[name].append(_seconds(ways[name]))
    summed = total().numpy()
    assert (summed == 3).all() and (got == 2 - INDEX).all()
    written = {name: seconds[1:] for name, seconds in found.items()}
    Path(f"worker-{INDEX}.json").write_text(json.dumps({**written, "bytes": got.nbytes}))
    while not Path(f"worker-{1 - INDEX}.json").exists():
        time.sleep(0.01)  # whoever ended first would cut off what the other still receives of the last sum


def _sum(values: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce("SUM", values)


def _seconds(way: Callable[[], object]) -> float:
    """Of one call, in the middle of some."""
    start = time.perf_counter()
    for _ in range(REPEATS):
        way()
    return (time.perf_counter() - start) / REPEATS


def _connected(meet: Callable[[], object]) -> socket.socket:
    if INDEX == 0:
        with socket.create_server(("127.0.0.1", 0)) as server:
            _ADDRESS.write_text(str(server.getsockname()[1]))
            meet()
            connection = server.accept()[0]
    else:
        meet()
        connection = socket.create_connection(("127.0.0.1", int(_ADDRESS.read_text())))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _exchange(connection: socket.socket, numbers: np.ndarray, got: np.ndarray) -> None:
    sender = threading.Thread(target=connection.sendall, args=[memoryview(numbers).cast("B")])
    sender.start()
    rest = memoryview(got).cast("B")
    while rest:
        if not (count := connection.recv_into(rest)):
            raise ConnectionError("the other worker hung up")
        rest = rest[count:]
    sender.join()


if __name__ == "__main__":
    main()
