"""The process that holds a cluster's network namespaces; `labkit.cluster.namespaces` starts it inside a new one.

    unshare --user --map-root-user --net python namespace_process.py '[["10.77.0.1/16", 1250000], ...]'

Its own namespace is the switch: a bridge, with one port ``p0``, ``p1``, … for each task. Each task's namespace has the
other end, ``e0``. The numbers of the file descriptors that lead to the tasks' namespaces are written out after "ready".
A namespace lasts as long as a process is in it or has it open, so nothing is left when this one has ended and the tasks
too.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys

_CLONE_NEWNET = 0x40000000  # sched.h
MTU = 9000  # bytes of a packet; as in many racks, and TCP and IP headers are below 1 % of it


def _system(name: str, *arguments: int) -> None:
    # os.setns and os.unshare came with Python 3.12
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        number = ctypes.get_errno()
        sys.exit(f"{name} failed: {os.strerror(number)}")


def _run(program: str, lines: list[str]) -> None:
    done = subprocess.run(
        [program, "-batch", "-"],
        input="\n".join(lines),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        sys.exit(f"{program} failed: {done.stderr.strip()} in\n" + "\n".join(lines))


def _shape(device: str, rate: float | None) -> None:
    """Let `rate` bytes per second out of `device` at most: a token bucket (tc-tbf(8))."""
    if rate is None:
        return
    # A bucket must hold a packet; a millisecond's worth keeps the rate exact. Packets wait up to 300 ms, then are lost.
    burst = int(max(MTU + 100, rate * 0.001))
    _run("tc", [f"qdisc add dev {device} root tbf rate {rate * 8:.0f}bit burst {burst} latency 300ms"])


def build(tasks: list[tuple[str, float | None]]) -> list[int]:
    """Make the switch here, and a namespace for each task; file descriptors of the latter."""
    _run("ip", ["link set lo up", "link add name switch type bridge mcast_snooping 0", "link set switch up"])
    here, inside = os.open("/proc/self/ns/net", os.O_RDONLY), []
    for index, (address, rate) in enumerate(tasks):
        _system("unshare", _CLONE_NEWNET)
        inside.append(os.open("/proc/self/ns/net", os.O_RDONLY))
        switch = f"/proc/{os.getpid()}/fd/{here}"
        _run(
            "ip",
            [
                "link set lo up",
                f"link add name e0 mtu {MTU} type veth peer name p{index} mtu {MTU} netns {switch}",
                "link set e0 addrgenmode none",  # else IPv6 speaks up, and is counted
                f"addr add {address} dev e0",
                "link set e0 up",
            ],
        )
        _shape("e0", rate)
        _system("setns", here, _CLONE_NEWNET)
        port = f"p{index}"
        _run("ip", [f"link set {port} addrgenmode none", f"link set {port} master switch", f"link set {port} up"])
        _shape(port, rate)
    return inside


if __name__ == "__main__":
    print("ready", json.dumps(build(json.loads(sys.argv[1]))), flush=True)
    signal.pause()
