"""Every error that labkit raises on purpose, as one tree.

LabkitError
├── CloudError            a session with the cloud did not start, or left something behind
├── ClusterError          a cluster's task crashed, hung or never came
├── EnvironmentProblem    something this machine lacks: a program, a package, a port
├── MeasurementFailed     a measurement could not be made, or would not mean what it says
├── ModelConversionError  a model has no equal in the format it is to be written in
├── ModelFolderError      a model folder is missing, mis-nested or incomplete
├── NotebookError         a lab that does not run, or breaks a rule of the house
├── ProcessError          a child process did not start or stopped too early
│   ├── BrowserError      ... and it was a browser, or the page in it failed
│   └── ServerStartError  ... and it was a model server
├── RequestError          a model server answered with an error
├── WaitTimeout           what was waited for did not happen in time
└── WarmupError           a request for a model's warm-up does not fit the model
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class LabkitError(Exception):
    """Base of all of labkit's errors."""


class CloudError(LabkitError):
    """A session with the cloud, the local or the real one, did not start, or left something behind.

    Attributes:
        log: what the local cloud's process had written, if it is one.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class ClusterError(LabkitError):
    """A task of a cluster crashed, or was still not there or not done when it should have been.

    Attributes:
        log: what that task had written.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class EnvironmentProblem(LabkitError):
    """This machine lacks something; the message says what to install or change."""


@contextmanager
def needs_extra(part: str, extra: str) -> Iterator[None]:
    """Stands around imports: where a package is missing, the reader is told which extra of labkit's brings it.

    Args:
        part: what needs the package, as the reader knows it: ``labkit.browser``.
        extra: the extra of `pyproject.toml` that has it.

    Raises:
        EnvironmentProblem: a package was not found.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"{part} needs the package {error.name}, which is not installed here: {pip_install(extra)}"
        ) from error


def pip_install(extra: str) -> str:
    """The command that adds an extra of labkit's to the Python that runs this.

    The reader's own ``pip`` may be another Python's, where labkit is not; it would ask PyPI for a package of that name.
    """
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f'{python} -m pip install "labkit[{extra}]"'


class MeasurementFailed(LabkitError):
    """A measurement could not be made, or would not mean what it says."""


class ModelConversionError(LabkitError):
    """A model cannot be written in a format, or would give other answers there; nothing was written."""


class ModelFolderError(LabkitError):
    """A model folder does not hold what a model server expects."""


class NotebookError(LabkitError):
    """A lab failed to run or breaks one of the rules of the house."""


class ProcessError(LabkitError):
    """A child process failed.

    Attributes:
        log: what the process had written to its log file.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class BrowserError(ProcessError):
    """A browser ended too early, or the page in it failed or never answered; `log` holds what the browser said."""


class ServerStartError(ProcessError):
    """A model server did not become ready; `log` holds what it said."""


class RequestError(LabkitError):
    """A model server refused a request or failed to answer it.

    Attributes:
        code: canonical status name, such as ``INVALID_ARGUMENT`` or ``NOT_FOUND``.
        message: the server's own words.
        http_status: the HTTP status of a REST answer, None over gRPC.
    """

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        shown = f"{code} (HTTP {http_status})" if http_status else code
        super().__init__(f"{shown}: {message}")
        self.code = code
        self.message = message
        self.http_status = http_status


class WaitTimeout(LabkitError, TimeoutError):
    """What was waited for did not happen in time; it is Python's `TimeoutError` as well."""


class WarmupError(LabkitError):
    """A request does not fit the model that it is to warm up."""
