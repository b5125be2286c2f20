"""The file of a unix socket: free before gRPC listens at it, gone when the server ends.

gRPC itself would take the socket of a server that still runs, and at its end removes whatever stands under the name
that it was given. So it is given a name beside the wanted one, and the socket is then moved.
"""

import os
import socket
import stat
from pathlib import Path

from labkit.serving.embedded.status import Code, StatusError, invalid_argument

_LONGEST_PATH = 103  # bytes, sockaddr_un on macOS (Linux has four more)


def clear(path: Path) -> Path:
    """Make sure that a socket can be made at `path`; one that a dead server left there is removed.

    Returns:
        Where gRPC is to make it; `SocketFile` moves it to `path`.

    Raises:
        StatusError: INVALID_ARGUMENT, no socket can be there; UNAVAILABLE, another server listens at it.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise invalid_argument(f"--grpc_socket_path={path}: Python has no unix sockets on Windows; use --port.")
    if not path.name:
        raise invalid_argument(f"--grpc_socket_path={path} is a folder; pass the name of the socket, too.")
    made = path.with_name(f".{os.getpid()}")
    if max(len(bytes(path)), len(bytes(made))) > _LONGEST_PATH:
        raise invalid_argument(
            f"--grpc_socket_path={path} is longer than {_LONGEST_PATH} bytes, the most that a socket's name may have."
        )
    if not path.parent.is_dir():
        raise invalid_argument(f"--grpc_socket_path={path}: there is no folder {path.parent}.")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return made
    if not stat.S_ISSOCK(mode):
        raise invalid_argument(f"--grpc_socket_path={path} is something other than a socket; pass an unused name.")
    if _answers(path):
        raise StatusError(Code.UNAVAILABLE, f"--grpc_socket_path={path}: another server listens there.")
    path.unlink(missing_ok=True)
    return made


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # not ours to connect to, or its queue is full: somebody has it
            return True
    return True


class SocketFile:
    """The socket that this server made."""

    def __init__(self, made: Path, path: Path) -> None:
        """Move it from `made` to `path`."""
        made.rename(path)
        self._path = path
        self._identity = _identity(path)

    def remove(self) -> None:
        """Remove it, unless another server has put its own there meanwhile."""
        if self._identity and _identity(self._path) == self._identity:
            self._path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
