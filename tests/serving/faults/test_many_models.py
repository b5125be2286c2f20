"""Two hundred models on one server."""

from pathlib import Path

from soak import fleet
from soak.models import Numbered

from .target import target

MODELS = 200


def test_200_models_from_one_configuration_file(serve, numbered: Numbered, tmp_path: Path) -> None:
    """Each answers over REST and gRPC, as itself."""
    config, names = fleet.write(tmp_path / "fleet", numbered, MODELS)
    server = serve("", "", f"--model_config_file={config}")
    assert fleet.ask_all(target(server), names) == []
