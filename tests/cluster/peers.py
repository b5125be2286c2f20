"""Starts `peer.py`s and waits for what they say."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Queue

PROGRAM = str(Path(__file__).with_name("peer.py"))


class Peer:
    """A child process that takes lines and answers with lines; a context manager."""

    def __init__(self, command: Sequence[str], **options: object) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes, **options)
        self.said: Queue[str] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _listen(self) -> None:
        with self.process.stdout:
            for line in self.process.stdout:
                self.said.put(line.strip())
        self.said.put("ended")

    def order(self, *words: object) -> None:
        print(*words, file=self.process.stdin, flush=True)

    def wait(self, word: str, timeout: float = 60) -> str:
        """The rest of the next line, which has to start with `word`."""
        line = self.said.get(timeout=timeout)
        assert line.startswith(word), line
        return line.removeprefix(word).strip()

    def talk(self, address: str, there: int, back: int) -> None:
        self.order(address, there, back)
        self.wait("connected")
        self.wait("done")

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


def peer(port: int, prefix: Sequence[str] = ()) -> Peer:
    """One that listens; `prefix` is a command that runs another one."""
    new = Peer([*prefix, sys.executable, PROGRAM, str(port)])
    new.wait("listening")
    return new


def until(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
