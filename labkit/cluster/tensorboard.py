"""TensorBoard beside the notebook, as a process of its own that ends with it."""

import os
from pathlib import Path
from typing import Self

from labkit import preloaded
from labkit.errors import EnvironmentProblem, ProcessError, pip_install

_READY = r"http://[\d.]+:\d+/"
_shown: dict[str, "TensorBoard"] = {}  # those that run, by folder


class TensorBoard:
    """A TensorBoard that runs until `stop`, the end of its ``with`` block, or the end of this Python process.

    Started again for the same folder, as from a re-run cell, it replaces the one that was started before.

    Attributes:
        DRAWN: a JavaScript expression that is true once its page of scalars (``url`` + ``#scalars``) shows a curve.
        url: where a browser on this machine finds it. It listens on loopback only.
    """

    DRAWN = """(function deep(root) {
        return [...root.querySelectorAll("*")].some(
            (element) => element.matches("path.line[d]") || (element.shadowRoot && deep(element.shadowRoot)));
    })(document)"""

    def __init__(self, folder: str | Path, *, reload_seconds: int = 2, timeout: float = 60.0) -> None:
        """Starts it.

        Args:
            folder: where summaries are, or will be.
            reload_seconds: how often it looks for new ones.
            timeout: seconds to wait for it to start.

        Raises:
            EnvironmentProblem: TensorBoard is not installed.
            ProcessError: it did not start; `log` holds what it said.
        """
        command = ["-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1", "--port", "0"]
        command += ["--reload_interval", str(reload_seconds)]
        self._folder = os.path.abspath(folder)
        if earlier := _shown.get(self._folder):
            earlier.stop()
        self._process = preloaded.start(command, name="tensorboard")
        _shown[self._folder] = self
        try:
            self.url = self._process.wait_for_log(_READY, timeout).group()
        except ProcessError as error:
            self.stop()
            if "No module named 'tensorboard'" in error.log:
                raise EnvironmentProblem(f"TensorBoard is not installed here: {pip_install('cluster')}") from None
            raise
        except BaseException:  # Ctrl-C
            self.stop()
            raise

    def stop(self) -> None:
        """End it. Calling it again does nothing."""
        self._process.stop(grace=1.0)
        if _shown.get(self._folder) is self:
            del _shown[self._folder]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
