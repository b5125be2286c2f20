"""The life of versions: discover, load, switch, drain, unload; and of configurations.

One task for each model decides, on the event loop; loading and freeing go on in threads. Requests look servables up on
the same loop, so a lookup and a switch never overlap, and one model's trouble does not touch the others.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from labkit.serving.embedded.arrivals import Arrivals
from labkit.serving.embedded.config import PLATFORM, ModelConfig, explain_missing
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.storage import SAVED_MODEL, VersionFolder, version_folders
from labkit.serving.embedded.transitions import Transitions
from labkit.serving.embedded.versions import AspiredVersionPolicy, Model, State, Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ManagerOptions:
    """How a manager goes about it.

    Attributes:
        poll_seconds: between two looks at a model's folder; 0 looks once for each configuration, below 0 never.
        retries: how often a load that failed is tried again at once, besides whenever its files change.
        retry_seconds: the pause before each of these.
        policy: what comes first when a version takes another's place.
        labels_for_unavailable: a new label may stand for a version that is not loaded.
        load_threads: how many versions load at a time; 0 means four for each CPU.
        model_files: the files of which one makes a folder a version (`storage.model_files`).
        strict: as TensorFlow Serving where this server is kinder: folders load as they are found, complete or not; a
            failed version is not tried again; a model without versions is waited for; a new model whose first version
            to end its load fails is not available, whatever others do.
    """

    poll_seconds: float = 1.0
    retries: int = 0
    retry_seconds: float = 0.0
    policy: AspiredVersionPolicy = AspiredVersionPolicy.AVAILABILITY_PRESERVING
    labels_for_unavailable: bool = False
    load_threads: int = 0
    model_files: tuple[str, ...] = SAVED_MODEL
    strict: bool = False


class ModelManager:
    """Keeps the loaded servables in step with the configuration and the models' folders."""

    def __init__(self, load: Callable[[str, VersionFolder], Servable], options: ManagerOptions) -> None:
        """Nothing is loaded before `start`.

        Args:
            load: turns a model's name and a version's folder into a servable that is ready to answer; called in a
                thread.
            options: how to go about it.
        """
        self._options = options
        self._transitions = Transitions(load, options.load_threads, options.retries, options.retry_seconds)
        self._arrivals = Arrivals(options.model_files, strict=options.strict, looks_again=options.poll_seconds > 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: set[str] = set()
        self._started = False
        self.models: dict[str, Model] = {}

    async def start(self, configs: list[ModelConfig]) -> None:
        """Load every model's versions and return when they are loaded, one of each model at least; then go on polling.

        Raises:
            StatusError: a model has nothing to serve, or none of its versions could be loaded.
        """
        new = self._apply(configs)
        await self._wait_for(new, "servable(s)")
        for model in new:  # as upstream: loads that have begun end before the ports open
            while any(version.state is State.LOADING for version in model.versions.values()):
                await model.news.wait()

    async def reload(self, configs: list[ModelConfig], timeout: float | None = None) -> None:
        """Put `configs` in place of the whole configuration and return when each new model has a version that answers.

        Models that are left out are unloaded; those that stay follow their new policy, which is not waited for.

        Args:
            configs: all models to serve from now on.
            timeout: seconds to wait for new models; None waits for ever.

        Raises:
            StatusError: INVALID_ARGUMENT or FAILED_PRECONDITION, nothing was changed; UNKNOWN or DEADLINE_EXCEEDED,
                the configuration is in force, but a new model is not available.
        """
        new = self._apply(configs)
        try:
            await asyncio.wait_for(self._wait_for(new, "model(s)"), timeout)
        except TimeoutError:
            waiting = ", ".join(model.config.name for model in new if not model.up())
            raise StatusError(
                Code.DEADLINE_EXCEEDED,
                f"The new configuration is in force, but after {timeout:g} s these models are not available yet: "
                f"{waiting}. Their status tells how far they are.",
            ) from None

    async def stop(self) -> None:
        """Stop polling; requests in flight and loaded servables are left alone."""
        for task in self._tasks:
            task.cancel()

    def servable(self, name: str, version: int | None, label: str | None = None) -> Servable:
        """The servable a request asks for.

        Args:
            name: the model.
            version: its number; None, without a label: the highest that is available.
            label: a label of the model's configuration.

        Raises:
            StatusError: NOT_FOUND, it is not loaded; INVALID_ARGUMENT, there is no such label; UNAVAILABLE, the old
                version is gone and the new one not there yet.
        """
        model = self.models.get(name)
        if label is not None:
            if model is None or not model.configured or label not in model.config.labels:
                raise invalid_argument(f"Unrecognized servable version label: {label}")
            version = model.config.labels[label]
        found = None
        if model:
            found = model.newest_available() if version is None else model.versions.get(version)
        if found is None or found.state is not State.AVAILABLE or found.servable is None:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise self._between_versions(model) or StatusError(
                Code.NOT_FOUND, f"Servable not found for request: {wanted}"
            )
        return found.servable

    def _between_versions(self, model: Model | None) -> StatusError | None:
        preserving = self._options.policy is AspiredVersionPolicy.AVAILABILITY_PRESERVING
        if preserving or model is None or model.up() or not (coming := model.pending()):
            return None
        return StatusError(
            Code.UNAVAILABLE,
            f"Model {model.config.name} is between versions: version {coming[-1]} loads once the memory of the old one "
            f"is free (--aspired_version_policy={self._options.policy.value}). Ask again in a moment.",
        )

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

    def _apply(self, configs: list[ModelConfig]) -> list[Model]:
        """Put the configuration in force; the models that are new."""
        for config in configs:
            self._check(config)
        logger.info("Adding/updating models.")
        wanted = {config.name: config for config in configs}
        new = [name for name in wanted if name not in self.models or not self.models[name].configured]
        for name, model in self.models.items():
            model.configured = name in wanted
        for name, config in wanted.items():
            logger.info(" (Re-)adding model: %s", name)
            model = self.models.setdefault(name, Model(config))
            model.config, model.looked = config, False
        # As upstream, a strict server that looks once has done so at its start.
        looks = not (self._started and self._options.strict and self._options.poll_seconds == 0)
        self._started = True
        for model in self.models.values():
            model.look = looks or not model.configured
            model.tell()
            self._keep_going(model)
        return [self.models[name] for name in new]

    def _check(self, config: ModelConfig) -> None:
        model = self.models.get(config.name)
        if model and model.configured and model.config.platform != config.platform:
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {config.name} platform was "
                f"{model.config.platform} and new platform requested is {config.platform}"
            )
        if config.platform != PLATFORM:
            raise invalid_argument(f"Model {config.name} requests unsupported platform {config.platform}")
        known = model.config.labels if model and model.configured else {}
        for label, number in config.labels.items():
            version = model.versions.get(number) if model else None
            if version and version.state is State.AVAILABLE:
                continue
            if not self._options.labels_for_unavailable or known.get(label, number) != number:
                raise StatusError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {config.name}, which is not currently "
                    f"available for inference. Load the version first and give it the label {label!r} in a second "
                    "step"
                    + ("" if self._options.labels_for_unavailable else ", or start the server with "
                    "--allow_version_labels_for_unavailable_models") + ".",
                )  # fmt: skip

    async def _wait_for(self, models: list[Model], what: str) -> None:
        """Return when each of `models` has a version that answers."""
        failed = [failure for model in models if (failure := await self._settled(model))]
        if failed:
            raise StatusError(Code.UNKNOWN, f"{len(failed)} {what} did not become available: {{{''.join(failed)}}}")

    async def _settled(self, model: Model) -> str:
        """Wait until a version of `model` answers: the empty string; or none can: why not."""
        while True:
            news = model.news
            if model.up():
                return ""
            if not model.configured:
                left = StatusError(Code.ABORTED, "a later configuration leaves it out")
                return f"{{name: {model.config.name}}} due to error: {left}, "
            if model.looked and (self._options.strict or not model.pending()):  # strict: one failure is enough
                if failed := [version for version in model.versions.values() if version.failed_fingerprint is not None]:
                    return "".join(
                        f"{{name: {model.config.name} version: {version.number}}} due to error: {version.error}, "
                        for version in failed
                    )
                if not self._options.strict:
                    missing = await asyncio.to_thread(explain_missing, model.config, self._options.model_files)
                    return f"{{name: {model.config.name}}} due to error: {missing}, "
            await news.wait()

    def _keep_going(self, model: Model) -> None:
        if model.config.name not in self._kept:
            self._kept.add(model.config.name)
            self._spawn(self._keep(model))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, model: Model) -> None:
        """Look at the model's folder and do what follows from it, until the model is neither wanted nor loaded."""
        clock, seconds = asyncio.get_running_loop().time, self._options.poll_seconds
        next_look = clock() + seconds
        while model.configured or any(version.busy for version in model.versions.values()):
            news = model.news
            if model.look or (seconds > 0 and clock() >= next_look):
                next_look = clock() + seconds
                try:
                    await self._look(model)
                except Exception:
                    logger.exception("Looking at %s failed; going on", model.config.base_path)
                    model.look_done(model.config)
            self._decide(model)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), max(0.0, next_look - clock()) if seconds > 0 else None)
        self._kept.discard(model.config.name)

    async def _look(self, model: Model) -> None:
        """Find out which versions are aspired now."""
        model.look, config = False, model.config
        folders: list[VersionFolder] = []
        if model.configured and self._options.poll_seconds >= 0:
            try:
                folders = await asyncio.to_thread(self._folders, config)
            except OSError as error:  # as upstream: what is loaded stays, when the whole folder is out of reach
                where = error.filename or config.base_path
                model.complain(f"Could not find base path {where} for servable {config.name}: {error}")
                model.look_done(config)
                return
            folders = await asyncio.to_thread(self._arrivals.fit_to_load, model, folders)
        if model.config is not config:
            return  # a new configuration came meanwhile; it has asked for a look of its own
        model.aspired = {folder.version: folder for folder in config.policy.choose(folders)}
        for version in model.versions.values():
            if version.number not in model.aspired:
                version.failed_fingerprint = None
                version.dropped.set()
        model.look_done(config)

    def _folders(self, config: ModelConfig) -> list[VersionFolder]:
        """In a thread: what stands in the model's folder.

        Raises:
            OSError: it cannot be listed; strict also if another model's is not there: upstream then looks at none.
        """
        others = [other.config for other in list(self.models.values()) if other.configured]
        for other in others if self._options.strict else ():
            other.base_path.stat()
        return version_folders(config.base_path)

    def _decide(self, model: Model) -> None:
        for version in model.to_unload(self._options.policy):
            version.state = State.UNLOADING
            self._spawn(self._transitions.unload(model, version))
        for folder in model.to_load(self._options.policy):
            version = model.versions.setdefault(folder.version, Version(folder.version))
            version.state, version.error, version.dropped = State.LOADING, None, asyncio.Event()
            self._spawn(self._transitions.load(model, version, folder))
