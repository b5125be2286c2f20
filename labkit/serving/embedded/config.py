"""Which models a server serves, from where, and which of their versions: flags, config files, reload requests."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.storage import (
    SAVED_MODEL,
    TFLITE_MODEL,
    VersionFolder,
    version_folders,
    version_number,
)

if TYPE_CHECKING:
    from tensorflow_serving.config.file_system_storage_path_source_pb2 import FileSystemStoragePathSourceConfig
    from tensorflow_serving.config.model_server_config_pb2 import ModelConfig as ModelConfigMessage

PLATFORM = "tensorflow"


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions on disk a server aspires to serve (FileSystemStoragePathSourceConfig's policies).

    Attributes:
        latest: the so many highest; None for all of them.
        specific: these, and no others; takes the place of `latest`.
    """

    latest: int | None = 1
    specific: frozenset[int] | None = None

    def choose(self, folders: list[VersionFolder]) -> list[VersionFolder]:
        """The aspired ones of `folders`, which stand lowest first."""
        if self.specific is not None:
            return [folder for folder in folders if folder.version in self.specific]
        return folders if self.latest is None else folders[-self.latest :]

    def complaint(self, folders: list[VersionFolder]) -> str:
        """What the policy asks for in vain, of `folders`; the empty string for nothing."""
        if self.specific is None:
            return ""
        if not self.specific:
            return "its version policy lists no versions, so none is served; write specific { versions: 1 }"
        missing = sorted(self.specific - {folder.version for folder in folders})
        there = f" (but {', '.join(str(folder.version) for folder in folders[-8:])})" if folders else ""
        return f"there is no version {missing}{there}" if missing else ""


@dataclass(frozen=True)
class ModelConfig:
    """One served model.

    Attributes:
        name: what clients call it.
        base_path: the folder that holds its version folders.
        policy: which of these are served.
        labels: names for versions, as in ``/labels/canary``.
        platform: always ``tensorflow``; anything else is refused when it is to be served.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)
    platform: str = PLATFORM


def single_model(name: str, base_path: str) -> ModelConfig:
    """The configuration that `--model_name` and `--model_base_path` make.

    Raises:
        StatusError: INVALID_ARGUMENT, the path is missing or relative.
    """
    if not base_path:
        raise invalid_argument(
            "Both server_options.model_base_path and server_options.model_config_file are empty! "
            "Pass the model's folder: --model_base_path=/path/to/model"
        )
    return ModelConfig(name, _absolute(name, base_path))


def from_proto(messages: "Iterable[ModelConfigMessage]") -> list[ModelConfig]:
    """The entries of a ModelConfigList.

    Raises:
        StatusError: INVALID_ARGUMENT, an entry is incomplete or stands there twice (server_core.cc).
    """
    configs: dict[str, ModelConfig] = {}
    for message in messages:
        if not message.name:
            raise invalid_argument(f"A config in the list has no name; its base_path is {message.base_path!r}")
        if message.name in configs:
            raise invalid_argument(f"Illegal to list model {message.name} multiple times in config list")
        configs[message.name] = ModelConfig(
            message.name,
            _absolute(message.name, message.base_path),
            _policy(message.name, message.model_version_policy),
            dict(sorted(message.version_labels.items())),
            _platform(message),
        )
    return list(configs.values())


def no_transition() -> StatusError:
    """A configuration without a list of models came where a list is in force."""
    return StatusError(
        Code.FAILED_PRECONDITION,
        "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another; "
        "write model_config_list {} to unload all models.",
    )


def _absolute(name: str, base_path: str) -> Path:
    if base_path.startswith("file:///"):
        base_path = base_path.removeprefix("file://")
    if "://" in base_path:
        raise StatusError(
            Code.UNIMPLEMENTED,
            f"Model {name} has base_path {base_path}; this server reads local folders only. Copy the model here.",
        )
    if "\0" in base_path:
        raise invalid_argument(f"Model {name} has a base_path with a zero byte in it: {base_path!r}")
    if not os.path.isabs(base_path):
        hint = f" (from here that would be {os.path.abspath(base_path)})" if base_path else ""
        raise invalid_argument(
            f"Expected model {name} to have an absolute path or URI; got base_path()={base_path}{hint}"
        )
    return Path(base_path)


def _platform(message: "ModelConfigMessage") -> str:
    if message.model_platform:
        return message.model_platform
    if message.model_type:  # deprecated: 1 is TENSORFLOW, 2 is OTHER
        return PLATFORM if message.model_type == 1 else "other"
    raise invalid_argument(
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
        f'model name is {message.name} (write model_platform: "{PLATFORM}")'
    )


def _policy(name: str, message: "FileSystemStoragePathSourceConfig.ServableVersionPolicy") -> VersionPolicy:
    choice = message.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(latest=None)
    if choice == "specific":
        return VersionPolicy(specific=frozenset(message.specific.versions))
    return VersionPolicy(latest=max(1, message.latest.num_versions))


def check_folder(config: ModelConfig, files: Sequence[str] = SAVED_MODEL) -> None:
    """Check that there is a version to serve: a folder with one of `files`.

    Raises:
        StatusError: NOT_FOUND, there is none; the message says what is there instead.
    """
    try:
        folders = version_folders(config.base_path)
    except OSError:
        folders = []
    if not any(folder.complete(files) for folder in folders):
        raise explain_missing(config, files)


def explain_missing(config: ModelConfig, files: Sequence[str] = SAVED_MODEL) -> StatusError:
    """Why a model has no version to serve: what stands in its folder, and which of `files` were expected there.

    TensorFlow Serving logs a line per poll and waits; here a server started on such a folder says so and ends.
    """
    expected = f"Expected {config.base_path}/1/{files[0]} (a folder per version, its name a whole number)."
    try:
        children = sorted(config.base_path.iterdir())
    except FileNotFoundError:
        near = config.base_path.parent
        there = f"{near} holds: {_listing(near)}." if os.path.isdir(near) else f"{near} does not exist either."
        return _not_found(config, f"Could not find base path {config.base_path}. {there} {expected}")
    except NotADirectoryError:
        return _not_found(config, f"{config.base_path} is a file. {expected}")
    except OSError as error:  # no permission, links that lead in a circle
        reason = f"{config.base_path} cannot be looked into: {error.strerror}."
        return _not_found(config, f"{reason} Let the user that runs the server read it, or mend its links.")
    if os.path.exists(config.base_path / "saved_model.pb"):
        number = config.base_path.name
        advice = f"Pass its parent, {config.base_path.parent}." if number.isdecimal() else "Move it into a folder 1."
        return _not_found(config, f"{config.base_path} is itself a SavedModel, not a folder of versions. {advice}")
    vain = config.policy.complaint(folders := version_folders(config.base_path))
    if vain and not config.policy.choose(folders):
        return _not_found(config, f"{vain}; its folder is {config.base_path}.")
    if numbered := [child for child in children if version_number(child.name) is not None]:
        return _not_found(config, _explain_version(numbered[-1], files, expected))
    nested = sorted(config.base_path.glob("*/*/saved_model.pb"))[:1]
    deeper = f" There is {nested[0]}: one folder too deep." if nested else ""
    return _not_found(
        config,
        f"No versions of servable {config.name} found under base path {config.base_path}. Did you forget to name your "
        f"leaf directory as a number (eg. '/1/')? It holds: {_listing(config.base_path)}.{deeper} {expected}",
    )


def _explain_version(folder: Path, files: Sequence[str], expected: str) -> str:
    """Why a version's folder has nothing to serve."""
    holds = _listing(folder) if os.path.isdir(folder) else "nothing, it is no folder"
    present = [name for name in files if os.path.isfile(folder / name)]
    if present and (lack := VersionFolder(0, folder).lack(files)):
        return f"{folder} is incomplete: it lacks {lack.what}. It holds: {holds}. Copy the whole folder again."
    advice = tflite_advice(folder, files) or expected
    return f"{folder} holds no {' or '.join(files)}. It holds: {holds}. {advice}"


def tflite_advice(version: Path, files: Sequence[str]) -> str:
    """What to do about a version's folder that holds a TFLite model only, where `files` do not include that."""
    if TFLITE_MODEL in files or not os.path.exists(version / TFLITE_MODEL):
        return ""
    return f"--prefer_tflite_model serves {version / TFLITE_MODEL}."


def _not_found(config: ModelConfig, reason: str) -> StatusError:
    return StatusError(Code.NOT_FOUND, f"Nothing to serve for model {config.name}: {reason}")


def _listing(folder: Path) -> str:
    try:
        names = sorted(child.name + ("/" if os.path.isdir(child) else "") for child in folder.iterdir())
    except OSError as error:
        return f"what cannot be listed ({error.strerror})"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "nothing"
