"""Which models a server serves, and from where."""

import os
from dataclasses import dataclass
from pathlib import Path

from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.storage import version_folders, version_number


@dataclass(frozen=True)
class ModelConfig:
    """One served model.

    Attributes:
        name: what clients call it.
        base_path: the folder that holds its version folders.
        num_versions: how many of the highest versions are served (the `latest` policy).
    """

    name: str
    base_path: Path
    num_versions: int = 1


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
    if not os.path.isabs(base_path):
        raise invalid_argument(
            f"Expected model {name} to have an absolute path or URI; got base_path()={base_path}. "
            f"Pass --model_base_path={os.path.abspath(base_path)}"
        )
    return ModelConfig(name, Path(base_path))


def check_folder(config: ModelConfig) -> None:
    """Check that there is a version to serve.

    Raises:
        StatusError: NOT_FOUND, there is none; the message says what is there instead.
    """
    if not config.base_path.is_dir() or not any(folder.complete for folder in version_folders(config.base_path)):
        raise explain_missing(config)


def explain_missing(config: ModelConfig) -> StatusError:
    """Why a model has no version to serve: what stands in its folder, and what was expected there.

    TensorFlow Serving logs a line per poll and waits; here a server started on such a folder says so and ends.
    """
    expected = f"Expected {config.base_path}/1/saved_model.pb (a folder per version, its name a whole number)."
    if not config.base_path.exists():
        near = config.base_path.parent
        there = f"{near} holds: {_listing(near)}." if near.is_dir() else f"{near} does not exist either."
        return _not_found(config, f"Could not find base path {config.base_path}. {there} {expected}")
    if not config.base_path.is_dir():
        return _not_found(config, f"{config.base_path} is a file. {expected}")
    if (config.base_path / "saved_model.pb").exists():
        number = config.base_path.name
        advice = f"Pass its parent, {config.base_path.parent}." if number.isdecimal() else "Move it into a folder 1."
        return _not_found(config, f"{config.base_path} is itself a SavedModel, not a folder of versions. {advice}")
    if numbered := [child for child in sorted(config.base_path.iterdir()) if version_number(child.name) is not None]:
        holds = _listing(numbered[-1]) if numbered[-1].is_dir() else "nothing, it is a file"
        return _not_found(config, f"{numbered[-1]} holds no saved_model.pb. It holds: {holds}. {expected}")
    nested = sorted(config.base_path.glob("*/*/saved_model.pb"))[:1]
    deeper = f" There is {nested[0]}: one folder too deep." if nested else ""
    return _not_found(
        config,
        f"No versions of servable {config.name} found under base path {config.base_path}. Did you forget to name your "
        f"leaf directory as a number (eg. '/1/')? It holds: {_listing(config.base_path)}.{deeper} {expected}",
    )


def _not_found(config: ModelConfig, reason: str) -> StatusError:
    return StatusError(Code.NOT_FOUND, f"Nothing to serve for model {config.name}: {reason}")


def _listing(folder: Path) -> str:
    names = sorted(child.name + ("/" if child.is_dir() else "") for child in folder.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "nothing"
