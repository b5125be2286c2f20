"""Tasks that use parameter servers in a fixed order; each writes what it saw to a file. Run by the tests."""

import json
from pathlib import Path

import numpy as np

from labkit.errors import ClusterError
from labkit.parallel import ParameterServers, TopK, drop_over, scale_down, serve, to_float16
from labkit.parallel.tf_config import read_tf_config
from labkit.waiting import wait_until

FIRST = {"a": np.ones([2, 3], np.float32), "b": np.zeros([4], np.float32), "c": np.zeros([], np.float32)}


def ones(size: float = 1.0) -> dict[str, np.ndarray]:
    return {name: np.full_like(value, size) for name, value in FIRST.items()}


def seen(servers: ParameterServers, **more: object) -> dict:
    version, values = servers.pull()
    return {"version": version, **{name: value.tolist() for name, value in values.items()}, **more}


def chief(servers: ParameterServers) -> dict:
    saw = {"first": seen(servers)}
    Path("looked").touch()
    servers.wait(5)
    saw["saved"] = servers.save("saved.npz")
    saw["together"] = seen(servers, used=servers.aggregate(2, learning_rate=1.0))
    saw["late"] = seen(servers, used=servers.aggregate(1, learning_rate=1.0))
    saw["restored"] = {"returned": servers.restore("saved.npz"), **seen(servers)}
    try:
        impatient = servers._timeout = 0.1
        servers.aggregate(1, learning_rate=impatient)
    except ClusterError as error:
        saw["nobody"] = str(error)
    return saw


def worker_0(servers: ParameterServers) -> dict:
    wait_until(Path("looked").exists)
    saw = {"fresh": seen(servers, staleness=servers.push(ones(), 0, 0.5))}
    saw["stale"] = seen(servers, staleness=servers.push(ones(), 0, 0.5))
    saw["dropped"] = seen(servers, staleness=servers.push(ones(), 0, 0.5, drop_over(1)))
    saw["kept"] = seen(servers, staleness=servers.push(ones(), 1, 0.5, drop_over(1)))
    saw["scaled"] = seen(servers, staleness=servers.push(ones(), 2, 0.5, scale_down))
    saw["half"] = seen(servers, staleness=servers.push(to_float16(ones(0.1)), 4, 1.0))
    servers.contribute(ones(1.0), 5)
    wait_until(Path("late").exists)
    saw["in time"] = {"staleness": servers.contribute(ones(4.0), 6)}
    return saw


def worker_1(servers: ParameterServers) -> dict:
    servers.wait(5)
    servers.contribute(ones(3.0), 5)
    servers.wait(6)
    saw = {"late": {"staleness": servers.contribute(ones(1000.0), 5)}}
    Path("late").touch()
    wait_until(Path("chief-0.json").exists)
    gradient = {"a": np.array([[0, -2, 0.5], [0, 0, 1]], np.float32)}
    saw["sparse"] = seen(servers, staleness=servers.push(TopK(1 / 3)(gradient), 5, 1.0))
    saw["half"] = servers.pull(half=True)[1]["a"].tolist()
    return saw


def until_a_server_is_lost(servers: ParameterServers) -> str:
    try:
        while True:
            servers.push(ones(), 0, 0.0)
    except ClusterError as error:
        return str(error)


def write(name: str, content: object) -> None:
    Path("writing-" + name).write_text(json.dumps(content))
    Path("writing-" + name).rename(name)


_, task, index = read_tf_config()
if task == "ps":
    serve()
servers = ParameterServers(FIRST, timeout=30)
parts = {("chief", 0): chief, ("worker", 0): worker_0, ("worker", 1): worker_1}
write(f"{task}-{index}.json", parts[task, index](servers))
if (task, index) == ("worker", 1):
    write("lost.json", until_a_server_is_lost(servers))
