"""Runs Python as on another system, as far as labkit can tell.

    python other_system.py win32|darwin [-m MODULE | -c CODE | SCRIPT] [ARGUMENT ...]

For modules of labkit, and for the program itself, `os`, `signal`, `socket` and others are stand-ins that lack what the
system lacks, and modules that it lacks cannot be imported. All other packages go on seeing the system that is really
here. What labkit starts as a Python of its own runs in the same way. The names are those that Python's documentation
gives as "Availability: Unix" or Linux.
"""

import asyncio
import builtins
import ctypes
import os
import platform
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

LINUX_ONLY = {
    "os": "sched_getaffinity sched_setaffinity setns unshare pidfd_open memfd_create eventfd getxattr setxattr "
    "posix_fadvise posix_fallocate copy_file_range splice O_PATH O_TMPFILE",
    "select": "epoll",
    "signal": "SIGRTMIN SIGRTMAX SIGPOLL SIGPWR SIGSTKFLT pidfd_send_signal",
    "time": "CLOCK_BOOTTIME pthread_getcpuclockid",
}
POSIX_ONLY = {
    "asyncio": "open_unix_connection start_unix_server",
    "os": "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC WEXITSTATUS WIFEXITED WIFSIGNALED WNOHANG WTERMSIG chown "
    "chroot confstr ctermid fchdir fchmod fchown fdatasync fork forkpty fstatvfs get_blocking getegid geteuid getgid "
    "getgroups getloadavg getpgid getpgrp getsid getuid killpg lchown lockf mkfifo mknod nice openpty pipe2 "
    "posix_spawn posix_spawnp pread preadv pwrite pwritev register_at_fork sendfile set_blocking setegid seteuid "
    "setgid setpgid setpriority setsid setuid statvfs sync sysconf tcgetpgrp ttyname uname wait wait3 wait4 waitid",
    "select": "poll",
    "signal": "SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSTOP SIGTRAP SIGTSTP SIGTTIN "
    "SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm getitimer pause pthread_kill "
    "pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo",
    "socket": "AF_UNIX SO_REUSEPORT MSG_DONTWAIT MSG_NOSIGNAL send_fds recv_fds sethostname",
    "time": "clock_getres clock_gettime clock_gettime_ns tzset",
}
POSIX_MODULES = (
    *("crypt", "curses", "fcntl", "grp", "nis", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios"),
    *("tty", "uvloop"),
)
_REAL = {each.__name__: each for each in (asyncio, ctypes, os, platform, select, signal, socket, subprocess, sys, time)}
_CTRL_BREAK_EVENT = 1
SIGBREAK = signal.SIGUSR1  # ends a program that does not handle it, as SIGBREAK does


class _StandIn(ModuleType):
    """A module without some of its names, and with others."""

    def __init__(self, real: ModuleType, missing: Iterable[str], **other: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(other, _real=real, _missing=frozenset(missing))

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on this system")
        return getattr(self._real, name)


def become(system: str) -> None:
    """From now on labkit is on `system`, ``win32`` or ``darwin``."""
    windows = system == "win32"
    missing = {name: LINUX_ONLY.get(name, "").split() for name in _REAL}
    other: dict[str, dict[str, Any]] = {name: {} for name in _REAL}
    other["sys"] = {"platform": system}
    other["platform"] = {"system": lambda: "Windows" if windows else "Darwin"}
    other["subprocess"] = {"Popen": type("Popen", (_Popen,), {"system": system})}
    if windows:
        for name, names in POSIX_ONLY.items():
            missing[name] += names.split()
        other["os"] = {"name": "nt", "kill": _kill}
        other["signal"] = {"SIGBREAK": SIGBREAK, "CTRL_BREAK_EVENT": _CTRL_BREAK_EVENT, "CTRL_C_EVENT": 0}
        other["ctypes"] = {"CDLL": _WindowsLibrary}
        asyncio.SelectorEventLoop.add_signal_handler = _not_implemented  # type: ignore[method-assign]
    stand_ins = {name: _StandIn(real, missing[name], **other[name]) for name, real in _REAL.items()}
    blocked = POSIX_MODULES if windows else ()
    original = builtins.__import__

    def importing(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        importer = (globals or {}).get("__name__", "")
        if level == 0 and (importer == "__main__" or importer.partition(".")[0] == "labkit"):
            if name in blocked:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            if name.partition(".")[0] in stand_ins and not ("." in name and fromlist):
                return stand_ins[name.partition(".")[0]]
        return original(name, globals, locals, fromlist, level)

    builtins.__import__ = importing


def _kill(pid: int, number: int) -> None:
    """Windows' `os.kill`: Ctrl-Break goes to a whole group, and any other number ends the process."""
    if number == _CTRL_BREAK_EVENT:
        if os.getpgid(pid) != pid:
            raise OSError(22, "no group of processes has this number")
        os.killpg(pid, SIGBREAK)
    else:
        os.kill(pid, signal.SIGKILL)


def _not_implemented(*_: object) -> None:
    raise NotImplementedError


class _WindowsLibrary(ctypes.CDLL):
    def __init__(self, name: str | None, *arguments: Any, **options: Any) -> None:
        if name is None:
            raise TypeError("bad argument type for built-in operation")
        super().__init__(name, *arguments, **options)


class _Popen(subprocess.Popen):
    """Takes what that system takes; a Python of ours is started as this one."""

    system = ""
    flags: list[int] = []  # noqa: RUF012 (of all that were started)

    def __init__(self, args: Sequence[str], *, creationflags: int = 0, **options: Any) -> None:
        if self.system == "win32":
            assert not options.get("pass_fds"), "pass_fds not supported on Windows."
            assert not options.get("preexec_fn"), "preexec_fn is not supported on Windows platforms"
            assert not options.get("start_new_session"), "Windows ignores it, so that nobody has a group"
            options["start_new_session"] = bool(creationflags & 0x200)
            self.flags.append(creationflags)
        elif creationflags:
            raise ValueError("creationflags is only supported on Windows platforms")
        if args[0] == sys.executable:
            args = [args[0], __file__, self.system, *args[1:]]
        super().__init__(args, **options)


def main(arguments: list[str]) -> None:
    """Be the program that stands behind the system's name."""
    system, *command = arguments
    while command and command[0] in ("-u", "-P", "-I", "-S"):
        command.pop(0)
    sys.path.pop(0)  # this script's folder
    kind, rest = (command[0], command[1:]) if command[0] in ("-m", "-c") else ("", command)
    sys.argv[:] = rest
    become(system)
    if kind == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.path.insert(0, "")
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(rest[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
