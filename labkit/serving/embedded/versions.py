"""What a server knows of its models' versions, and what follows from it: which to load next, which to let go.

The rules are those of TensorFlow Serving's aspired-version policies (core/availability_preserving_policy.cc and
core/resource_preserving_policy.cc); its own program always takes the first.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from enum import Enum

from labkit.serving.embedded.config import ModelConfig
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.status import StatusError
from labkit.serving.embedded.storage import Fingerprint, VersionFolder

logger = logging.getLogger(__name__)


class State(Enum):
    """tensorflow.serving.ModelVersionStatus.State, in the order a version goes through them."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class AspiredVersionPolicy(Enum):
    """What comes first when a version takes another's place.

    AVAILABILITY_PRESERVING: the new one answers before the old one is let go; for a while both need memory.
    RESOURCE_PRESERVING: the old one is freed before the new one loads; for a while nobody answers.
    """

    AVAILABILITY_PRESERVING = "availability_preserving"
    RESOURCE_PRESERVING = "resource_preserving"


@dataclass
class Version:
    """A version that this process has seen, what its status says, and its servable while it is loaded.

    Attributes:
        number: its number.
        state: where in its life it is.
        error: what its last load failed with.
        servable: it, while it is loaded.
        failed_fingerprint: the files that failed to load; they are not tried again as long as they stay the same.
        dropped: set once it is no longer aspired, which ends the retries of its load.
    """

    number: int
    state: State = State.START
    error: StatusError | None = None
    servable: Servable | None = None
    failed_fingerprint: Fingerprint | None = None
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def busy(self) -> bool:
        """Whether it takes memory, or soon will."""
        return self.state in (State.LOADING, State.AVAILABLE, State.UNLOADING)


@dataclass
class Model:
    """A model and all the versions of it that this process has ever seen.

    Attributes:
        config: where it is and what of it is wanted.
        configured: False once a new configuration has left it out; its versions then end.
        versions: by number.
        aspired: the folders that should be served, by number, as of the last look.
        look: set when the folder is to be looked at now rather than at the next poll.
        looked: whether the folder was looked at since the configuration came.
        news: set, and another one put in its place, whenever something about the model has changed.
        complaint: what is wrong with the folder, as last logged.
        first_look: whether the folder was never looked at.
        incomplete: the files of folders that lacked something, by version, as of the last look at them.
    """

    config: ModelConfig
    configured: bool = True
    versions: dict[int, Version] = field(default_factory=dict)
    aspired: dict[int, VersionFolder] = field(default_factory=dict)
    look: bool = True
    looked: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    complaint: str = ""
    first_look: bool = True
    incomplete: dict[int, Fingerprint] = field(default_factory=dict)

    def up(self) -> list[Version]:
        """The versions that answer, lowest first."""
        return sorted((v for v in self.versions.values() if v.state is State.AVAILABLE), key=lambda v: v.number)

    def newest_available(self) -> Version | None:
        """What a request without a version gets."""
        newest = None
        for version in self.versions.values():  # spelled out: every request asks
            if version.state is State.AVAILABLE and (newest is None or version.number > newest.number):
                newest = version
        return newest

    def to_unload(self, policy: AspiredVersionPolicy) -> list[Version]:
        """The versions to let go now, lowest first."""
        unwanted = [version for version in self.up() if version.number not in self.aspired]
        freed_first = policy is AspiredVersionPolicy.RESOURCE_PRESERVING
        if freed_first or not self.aspired or any(version.number in self.aspired for version in self.up()):
            return unwanted
        return unwanted[:-1]  # one goes on answering until an aspired version does

    def to_load(self, policy: AspiredVersionPolicy) -> list[VersionFolder]:
        """The folders to load now, highest first."""
        if policy is AspiredVersionPolicy.RESOURCE_PRESERVING and any(
            version.busy and version.number not in self.aspired for version in self.versions.values()
        ):
            return []
        return [self.aspired[number] for number in sorted(self.aspired, reverse=True) if self._loadable(number)]

    def pending(self) -> list[int]:
        """The aspired versions that do not answer yet and have not failed, lowest first."""
        return [
            number
            for number in sorted(self.aspired)
            if self._loadable(number) or self.versions[number].state in (State.LOADING, State.UNLOADING)
        ]

    def _loadable(self, number: int) -> bool:
        version = self.versions.get(number)
        return version is None or (version.state in (State.START, State.END) and version.failed_fingerprint is None)

    def look_done(self, config: ModelConfig) -> None:
        """The folder was looked at under `config`."""
        if self.config is config and not self.looked:
            self.looked = True
            self.tell()

    def tell(self) -> None:
        """Wake all who wait for news."""
        news, self.news = self.news, asyncio.Event()
        news.set()

    def complain(self, text: str) -> None:
        """Log what is wrong with the model's folder, once for as long as it stays the same."""
        if text and text != self.complaint:
            logger.warning("%s", text)
        self.complaint = text
