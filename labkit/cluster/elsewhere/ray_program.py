"""Runs the tasks of a TensorFlow cluster on Ray. A program by itself: the call at its end says which tasks."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

LOOK_SECONDS = 0.2


@ray.remote
class Member:
    """One task: its place on a machine, a port there, and the script in a process of its own."""

    def __init__(self) -> None:
        # Kept open, so that nobody else is given this port; TensorFlow listens beside it with TF_GRPC_REUSE_PORT.
        self.port = socket.socket()
        self.port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.port.bind(("", 0))

    def address(self) -> str:
        return f"{ray.util.get_node_ip_address()}:{self.port.getsockname()[1]}"

    def start(self, config: str, program: list[str], text: str, env: dict[str, str]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="train-")
        path = os.path.join(self.folder.name, program[0])
        with open(path, "w", encoding="utf-8") as script:
            script.write(text)
        self.log = open(os.path.join(self.folder.name, "log"), "w+b")  # noqa: SIM115
        self.read = 0
        self.process = subprocess.Popen(
            [sys.executable, "-u", path, *program[1:]],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TF_GRPC_REUSE_PORT": "true", **env, "TF_CONFIG": config},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def look(self) -> tuple[str, int | None]:
        """What the script has written since the last look, and its exit status, None while it runs."""
        status = self.process.poll()
        # Not read(): the script's writing and this reading have one position in common.
        written = os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size - self.read, self.read)
        self.read += len(written)
        return written.decode(errors="replace"), status

    def stop(self) -> None:
        """End the script and what it has started."""
        if hasattr(self, "process"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.folder.cleanup()


def die_with_parent() -> None:
    """Ray ends an actor by force when its driver is gone; Linux then ends the script too (PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def place(tasks: list[Any], needs: dict[str, Any], seconds: float) -> tuple[Any, dict[str, Any]]:
    """A member for each task, all at once or not at all, spread over the machines."""
    bundles = [needs[f"{kind} {index}"] for kind, index in tasks]
    group = placement_group(bundles, strategy="SPREAD")
    if not group.wait(seconds):
        remove_placement_group(group)
        sys.exit(f"No place for all tasks within {seconds:g} s. Needed: {bundles}. There is: {ray.cluster_resources()}")
    members = {}
    for number, (kind, index) in enumerate(tasks):
        where = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number)
        need = needs[f"{kind} {index}"]
        actor: Any = Member  # ray.remote has made one of the class
        member = actor.options(num_cpus=need["CPU"], num_gpus=need.get("GPU", 0), scheduling_strategy=where)
        members[f"{kind} {index}"] = member.remote()
    return group, members


def watch(members: dict[str, Any], deciding: list[str]) -> None:
    """Show what the tasks write until those that decide have ended well, or one has failed."""
    last = dict.fromkeys(members, "")
    while True:
        looks = dict(zip(members, ray.get([member.look.remote() for member in members.values()]), strict=True))
        for name, (written, status) in looks.items():
            last[name] = show(name, last[name] + written, ended=status is not None)
        if failed := {name: status for name, (_, status) in looks.items() if status}:
            sys.exit("; ".join(f"{name} ended with exit status {status}" for name, status in failed.items()))
        if all(looks[name][1] == 0 for name in deciding):
            return
        time.sleep(LOOK_SECONDS)


def show(name: str, text: str, ended: bool) -> str:
    """Print whole lines with a task's name; returns the beginning of a line whose end is still to come."""
    *lines, rest = text.split("\n")
    if ended and rest:
        lines, rest = [*lines, rest], ""
    for line in lines:
        print(f"{name}: {line}", flush=True)
    return rest


def main(
    tasks: list[Any],
    cluster: dict[str, list[str]],
    deciding: tuple[str, ...],
    needs: dict[str, Any],
    place_seconds: float,
    program: list[str],
    text: str,
    env: dict[str, str],
) -> None:
    """Run all tasks on the Ray that ``RAY_ADDRESS`` names, that runs on this machine, or a new one of this machine."""
    ray.init(log_to_driver=False)
    group, members = place(tasks, needs, place_seconds)
    try:
        addresses = dict(zip(members, ray.get([each.address.remote() for each in members.values()]), strict=True))
        known = {kind: [addresses[name] for name in names] for kind, names in cluster.items()}
        starts = []
        for kind, index in tasks:
            config = json.dumps({"cluster": known, "task": {"type": kind, "index": index}})
            starts.append(members[f"{kind} {index}"].start.remote(config, program, text, env))
        ray.get(starts)
        watch(members, [f"{kind} {index}" for kind, index in tasks if kind in deciding])
    except ray.exceptions.RayActorError as error:
        sys.exit(f"A machine of the cluster, or Ray's process there, is gone: {error}")
    finally:
        stop(members)
        remove_placement_group(group)
        ray.shutdown()


def stop(members: dict[str, Any]) -> None:
    for member in members.values():
        with contextlib.suppress(ray.exceptions.RayError):  # it is gone with its machine
            ray.get(member.stop.remote(), timeout=10)
