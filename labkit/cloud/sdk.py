"""What Google's SDK keeps in this process: the account and project of `aiplatform.init`, and what it logs."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_SDK = "google.cloud.aiplatform"


class _Shown(logging.StreamHandler[TextIO]):
    """Writes where this process's output goes now; the SDK adds no handler of its own where it finds one."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


_shown = _Shown()


@contextmanager
def fresh() -> Iterator[None]:
    """Let the SDK forget what an earlier session gave it, and later what this one gives it."""
    forget()
    try:
        yield
    finally:
        forget()


def forget() -> None:
    """Let the SDK, if it is imported, forget its project, account, bucket and experiment."""
    if initializer := sys.modules.get(f"{_SDK}.initializer"):
        initializer.global_config.__init__()
    if metadata := sys.modules.get(f"{_SDK}.metadata.metadata"):
        metadata._experiment_tracker.reset()


@contextmanager
def quiet() -> Iterator[None]:
    """The SDK says warnings only, not each step with new names in it."""
    parent = logging.getLogger(_SDK)
    if _shown not in parent.handlers:
        parent.addHandler(_shown)
    _shown.setLevel(logging.WARNING)
    own = [(handler, handler.level) for handler in _own_handlers()]
    for handler, _ in own:
        handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _shown.setLevel(logging.INFO)
        for handler, level in own:
            handler.setLevel(level)


def _own_handlers() -> list[Any]:
    """Those of the SDK's modules that were imported earlier."""
    loggers = [logging.getLogger(name) for name in logging.Logger.manager.loggerDict if name.startswith(f"{_SDK}.")]
    return [handler for logger in loggers for handler in logger.handlers]
