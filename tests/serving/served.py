"""The embedded server as a user starts it: a command, in its own process, with what it wrote."""

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 60.0


def until(happened: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Ask `happened` again and again until it answers something true; the answer."""
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return answer


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error answer, which holds nothing else."""
        document = self.json
        assert list(document) == ["error"], f"an error answer has the key 'error' alone, this one is {document}"
        return document["error"]


class Command:
    """`python -m labkit serve FLAGS` and what it printed so far; killed on exit if it still runs."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        command = [sys.executable, "-m", "labkit", "serve", *flags]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder)

    @property
    def stdout(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self._err.read_text(errors="replace")

    @property
    def output(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    def exit_status(self, seconds: float = START_SECONDS) -> int:
        """Wait for the command's end."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s\n{self.output}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Served(Command):
    """A server that listens, at ports of its own choice; `ask` speaks HTTP to it, as raw as a test wants.

    ``--port=0`` or ``--rest_api_port=0`` among the flags leaves that port, and its attribute, out.
    """

    def __init__(self, folder: Path, name: str, base_path: Path | str, *flags: str) -> None:
        ports = [f"--{port}=auto" for port in ("port", "rest_api_port") if not _given(port, flags)]
        super().__init__(folder, *ports, f"--model_name={name}", f"--model_base_path={base_path}", *flags)
        self.name = name
        self._flags = flags

    def __enter__(self) -> Self:
        try:
            if "--port=0" in self._flags:
                self._logged(r"Running gRPC ModelServer at UNIX socket (\S+)")
            else:
                self.grpc_port = int(self._logged(r"Running gRPC ModelServer at \S+:(\d+)"))
            if "--rest_api_port=0" not in self._flags:
                self.rest_port = int(self._logged(r"Exporting HTTP/REST API at:\S+:(\d+)"))
        except BaseException:
            super().__exit__(None, None, None)
            raise
        return self

    def _logged(self, pattern: str) -> str:
        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, f"ended with {self.process.returncode}\n{self.output}"
            return re.search(pattern, self.stderr)

        try:
            return until(found, pattern, START_SECONDS)[1]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def connection(self, timeout: float = 60.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=timeout)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> Answer:
        """One request on its own connection. `path` goes out as written; a `body` that is no bytes becomes JSON."""
        connection = self.connection(timeout)
        try:
            return ask_on(connection, method, path, body, headers)
        finally:
            connection.close()

    def predict(self, body: Any, *, version: int | None = None) -> Answer:
        """POST `body` (JSON text, bytes or an object) to :predict."""
        if isinstance(body, str):
            body = body.encode()
        place = "" if version is None else f"/versions/{version}"
        return self.ask("POST", f"/v1/models/{self.name}{place}:predict", body)

    def states(self) -> dict[int, str]:
        """Version -> state, in the order of the answer; nothing for a model that is not known (yet)."""
        answer = self.ask("GET", f"/v1/models/{self.name}")
        if answer.status == 404:
            return {}
        return {int(entry["version"]): entry["state"] for entry in answer.json["model_version_status"]}

    def terminate(self, number: int = signal.SIGTERM) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


def ask_on(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, headers: Mapping | None = None
) -> Answer:
    """One request on an open connection."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())


def _given(name: str, flags: tuple[str, ...]) -> bool:
    return any(flag.startswith(f"--{name}=") for flag in flags)
