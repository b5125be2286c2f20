"""The life of versions: discover, load, switch, drain, unload.

One task on the event loop decides; loading and freeing go on in threads. Requests look servables up on the same loop,
so a lookup and a switch never overlap. The order of things is TensorFlow Serving's availability-preserving policy: a
new version answers before the old one is let go.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from labkit.serving.embedded.config import ModelConfig, explain_missing
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.session import Session
from labkit.serving.embedded.status import Code, StatusError
from labkit.serving.embedded.storage import VersionFolder, version_folders

logger = logging.getLogger(__name__)


class State(Enum):
    """tensorflow.serving.ModelVersionStatus.State, in the order a version goes through them."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """A version that this process has seen, what its status says, and its servable while it is loaded."""

    number: int
    state: State = State.START
    error: StatusError | None = None
    servable: Servable | None = None
    failed_fingerprint: tuple | None = None


@dataclass
class Model:
    """A served model and all the versions of it that this process has ever seen."""

    config: ModelConfig
    versions: dict[int, Version] = field(default_factory=dict)
    complaint: str = ""

    def newest_available(self) -> Version | None:
        """What a request without a version gets."""
        ready = [version for version in self.versions.values() if version.state is State.AVAILABLE]
        return max(ready, key=lambda version: version.number, default=None)

    def up(self) -> list[Version]:
        """The loaded versions, lowest first."""
        return sorted((v for v in self.versions.values() if v.state is State.AVAILABLE), key=lambda v: v.number)

    def complain(self, text: str) -> None:
        """Log what is wrong with the model's folder, once for as long as it stays the same."""
        if text and text != self.complaint:
            logger.warning("%s", text)
        self.complaint = text


class ModelManager:
    """Keeps the loaded servables in step with the models' folders."""

    def __init__(self, load: Callable[[VersionFolder], Session], *, retries: int, retry_seconds: float) -> None:
        """Nothing is loaded before `start`.

        Args:
            load: turns a version's folder into a session; called in a thread.
            retries: how often a load that failed is tried again at once, besides whenever the folder changes.
            retry_seconds: the pause before each of these.
        """
        self._load = load
        self._retries = retries
        self._retry_seconds = retry_seconds
        self._polling: list[asyncio.Task[None]] = []
        self.models: dict[str, Model] = {}

    async def start(self, configs: list[ModelConfig], poll_seconds: float) -> None:
        """Load every model's versions and return when each model has one that answers; then go on polling.

        Raises:
            StatusError: a model has nothing to serve, or its first version failed to load.
        """
        for config in configs:
            logger.info("(Re-)adding model: %s", config.name)
            self.models[config.name] = Model(config)
        await asyncio.gather(*(self._poll(model) for model in self.models.values()))
        for model in self.models.values():
            if not model.versions:
                raise explain_missing(model.config)
        failed = [
            f"{{name: {model.config.name} version: {version.number}}} due to error: {version.error}, "
            for model in self.models.values()
            if not model.newest_available()
            for version in model.versions.values()
        ]
        if failed:
            raise StatusError(
                Code.UNKNOWN, f"{len(failed)} servable(s) did not become available: {{{''.join(failed)}}}"
            )
        if poll_seconds > 0:
            self._polling = [
                asyncio.create_task(self._poll_forever(model, poll_seconds)) for model in self.models.values()
            ]

    async def stop(self) -> None:
        """Stop polling; requests in flight and loaded servables are left alone."""
        for task in self._polling:
            task.cancel()

    def servable(self, name: str, version: int | None) -> Servable:
        """The servable a request asks for.

        Raises:
            StatusError: NOT_FOUND, it is not loaded.
        """
        model = self.models.get(name)
        if version is None:
            newest = model.newest_available() if model else None
            if newest is None or newest.servable is None:
                raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Latest({name})")
            return newest.servable
        found = model.versions.get(version) if model else None
        if found is None or found.state is not State.AVAILABLE or found.servable is None:
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Specific({name}, {version})")
        return found.servable

    def statuses(self, name: str, version: int | None) -> list[Version]:
        """The versions this process has seen of a model, newest first, or only the one asked for.

        Raises:
            StatusError: NOT_FOUND, there is none.
        """
        model = self.models.get(name)
        seen = sorted(model.versions.values(), key=lambda v: -v.number) if model else []
        chosen = [candidate for candidate in seen if version in (None, candidate.number)]
        if not chosen:
            missing = "any versions" if version is None else f"version {version}"
            raise StatusError(Code.NOT_FOUND, f"Could not find {missing} of model {name}")
        return chosen

    async def _poll_forever(self, model: Model, seconds: float) -> None:
        while True:  # a task for each model: one model's trouble does not touch the others
            await asyncio.sleep(seconds)
            try:
                await self._poll(model)
            except Exception:
                logger.exception("Polling %s failed; going on", model.config.base_path)

    async def _poll(self, model: Model) -> None:
        """Look at the model's folder once and do what follows from it."""
        try:
            folders = await asyncio.to_thread(version_folders, model.config.base_path)
        except OSError as error:  # as upstream: what is loaded stays, when the whole folder is out of reach
            model.complain(
                f"Could not find base path {model.config.base_path} for servable {model.config.name}: {error}"
            )
            return
        if not folders:
            model.complain(explain_missing(model.config).message)
        complete = [folder for folder in folders if folder.complete]
        waiting = [folder for folder in folders if not folder.complete]
        if folders and not waiting:
            model.complain("")  # all is well again: the next complaint is news
        if waiting:
            names = ", ".join(str(folder.path) for folder in waiting)
            model.complain(f"Waiting for a saved_model.pb in {names}; loading starts when it is there.")
        aspired = {folder.version: folder for folder in complete[-max(1, model.config.num_versions) :]}
        for number in sorted(aspired, reverse=True):
            await self._load_version(model, aspired[number])
        await self._let_go(model, aspired)

    async def _load_version(self, model: Model, folder: VersionFolder) -> None:
        version = model.versions.setdefault(folder.version, Version(folder.version))
        if version.state in (State.AVAILABLE, State.LOADING, State.UNLOADING):
            return
        fingerprint = await asyncio.to_thread(folder.fingerprint)
        if version.error and version.failed_fingerprint == fingerprint:
            return
        version.state, version.error = State.LOADING, None
        where = f"{{name: {model.config.name} version: {folder.version}}}"
        for attempt in range(1 + self._retries):
            if attempt:
                await asyncio.sleep(self._retry_seconds)
            try:
                version.servable = await asyncio.to_thread(self._servable, model.config.name, folder)
            except Exception as failure:
                error = failure if isinstance(failure, StatusError) else StatusError(Code.UNKNOWN, repr(failure))
                logger.error("Loading servable: %s failed: %s", where, error)
                version.error, version.failed_fingerprint = error, fingerprint
                continue
            version.error, version.state = None, State.AVAILABLE
            logger.info("Successfully loaded servable version %s", where)
            return
        version.state = State.END

    def _servable(self, name: str, folder: VersionFolder) -> Servable:
        """In a thread: a large graph takes a while to load, and to look through."""
        return Servable(name, folder.version, self._load(folder))

    async def _let_go(self, model: Model, aspired: dict[int, VersionFolder]) -> None:
        """Unload versions that are no longer wanted, once one that is wanted answers, or when none is wanted."""
        ready = [version for version in model.up() if version.number in aspired]
        if aspired and not ready:
            return
        for version in model.up():
            if version.number not in aspired:
                await self._unload(model, version)
        for version in model.versions.values():
            if version.number not in aspired:
                version.failed_fingerprint = None

    async def _unload(self, model: Model, version: Version) -> None:
        servable, version.state = version.servable, State.UNLOADING
        assert servable is not None
        await servable.drained()
        version.servable = None
        await asyncio.to_thread(servable.session.close)
        version.state = State.END
        logger.info("Successfully unloaded servable version {name: %s version: %s}", model.config.name, version.number)
