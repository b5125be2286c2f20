"""A version's way up and down: loaded with retries, drained and unloaded. The slow parts run in threads."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from labkit.serving.embedded import memory
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.status import Code, StatusError
from labkit.serving.embedded.storage import VersionFolder
from labkit.serving.embedded.versions import Model, State, Version

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class Transitions:
    """Takes versions from LOADING to AVAILABLE or END, and from UNLOADING to END."""

    def __init__(
        self, load: Callable[[str, VersionFolder], Servable], threads: int, retries: int, retry_seconds: float
    ) -> None:
        """Nothing is under way yet.

        Args:
            load: turns a model's name and a version's folder into a servable that is ready to answer.
            threads: how many versions load at a time; 0 means four for each CPU.
            retries: how often a load that failed is tried again.
            retry_seconds: the pause before each of these.
        """
        self._load = load
        self._retries = retries
        self._retry_seconds = retry_seconds
        # Not the loop's own threads: looking at folders must not wait for models that load.
        self._threads = ThreadPoolExecutor(threads or 4 * (os.cpu_count() or 1), "load")

    async def load(self, model: Model, version: Version, folder: VersionFolder) -> None:
        """Load a version in the state LOADING; it answers then, or has an error."""
        where = f"{{name: {model.config.name} version: {folder.version}}}"
        fingerprint = await self._in_thread(folder.fingerprint)
        error, tries = None, 1 + self._retries
        while tries and not version.dropped.is_set():
            try:
                version.servable = await self._in_thread(self._load, model.config.name, folder)
            except Exception as failure:
                error = failure if isinstance(failure, StatusError) else StatusError(Code.UNKNOWN, repr(failure))
                logger.error("Loading servable: %s failed: %s", where, error)
            else:
                version.state = State.AVAILABLE
                logger.info("Successfully loaded servable version %s", where)
                model.tell()
                return
            tries -= 1
            if tries:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(version.dropped.wait(), self._retry_seconds)
        version.state, version.error, version.failed_fingerprint = State.END, error, fingerprint
        if version.dropped.is_set():
            version.failed_fingerprint = None
        model.tell()

    async def unload(self, model: Model, version: Version) -> None:
        """Free a version in the state UNLOADING once the last request that uses it has ended."""
        servable = version.servable
        assert servable is not None
        await servable.drained()
        version.servable = None
        try:
            await self._in_thread(servable.session.close)
        except Exception as error:  # whatever it is, the version has ended
            logger.error("Unloading %s version %s failed: %s", model.config.name, version.number, error)
        del servable
        await self._in_thread(memory.give_back)
        version.state = State.END
        logger.info("Successfully unloaded servable version {name: %s version: %s}", model.config.name, version.number)
        model.tell()

    async def _in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
