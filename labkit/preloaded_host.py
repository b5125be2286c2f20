"""The process that imports TensorFlow and forks on order (`labkit.preloaded`).

    python -P -m labkit.preloaded_host FILE_DESCRIPTOR

Orders come over the socket with this number, one JSON object a line, and so do its answers. It ends with its parent's
end of the socket, and takes along all that it has started.
"""

import atexit
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, BinaryIO, NoReturn

import numpy

_running: dict[int, int | None] = {}  # process id: exit status


def main(descriptor: int) -> None:
    """Imports TensorFlow and follows orders."""
    connection = socket.socket(fileno=descriptor)
    lines = connection.makefile("rb")
    import tensorflow  # noqa: F401

    for line in lines:
        order = json.loads(line)
        if order["do"] == "poll":
            answer: dict[str, Any] = {"status": _poll(order["pid"])}
        else:
            answer = _fork(order, lines, connection)
        connection.sendall(json.dumps({"number": order["number"], **answer}).encode() + b"\n")
    for pid in _running:
        if _poll(pid) is None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _fork(order: dict[str, Any], lines: BinaryIO, connection: socket.socket) -> dict[str, Any]:
    try:
        pid = os.fork()
    except OSError as error:  # as when there are too many processes; those that run go on
        return {"error": str(error)}
    if pid == 0:
        lines.close()
        connection.close()
        _run(order)
    with suppress(OSError):  # whoever is first, child or we: by the time it is answered it leads its group
        os.setpgid(pid, pid)
    _running[pid] = None
    return {"pid": pid}


def _poll(pid: int) -> int | None:
    if _running[pid] is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        _running[pid] = os.waitstatus_to_exitcode(status) if ended else None
    return _running[pid]


def _run(order: dict[str, Any]) -> NoReturn:
    """Be the program, as if ``python`` had been called with its command line, and end with it."""
    status = 1
    try:
        os.setpgid(0, 0)
        _write_to(order["log"])
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["folder"])
        if order["entrance"]:
            from labkit.network_namespace import enter

            enter(order["entrance"])
        numpy.random.seed()  # it was seeded at the import, and all programs would draw the same numbers
        status = _status(order["command"])
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python does before it ends
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        # Python's own end would take all of TensorFlow apart, piece by piece, which takes a second.
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


def _status(command: list[str]) -> int:
    """Runs the program; its exit status."""
    first, *arguments = command
    try:
        if first == "-m":
            sys.argv[:] = arguments
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = command
            sys.path.insert(0, os.path.dirname(os.path.abspath(first)))
            runpy.run_path(first, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        _show(error, first)
        return 1
    return 0


def _show(error: BaseException, script: str) -> None:
    """The traceback from the script on; what stands before is ours."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != script:
        frames = frames.tb_next
    traceback.print_exception(error.with_traceback(frames))  # of a syntax error none is the script's


def _write_to(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    main(int(sys.argv[1]))
