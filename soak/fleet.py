"""Many small models on one server, from one configuration file."""

from pathlib import Path

from soak.models import Numbered
from soak.questions import ANSWERED, GrpcClient, RestClient
from soak.target import Target


def write(folder: Path, model: Numbered, count: int) -> tuple[Path, list[str]]:
    """Make `count` models under `folder`; the configuration file that names them, and their names.

    The model in place n answers as version n, so models that are mixed up show.
    """
    names = [f"model-{number}" for number in range(1, count + 1)]
    for number, name in enumerate(names, 1):
        model.add(folder / name, number)
    entries = [f'config {{ name: "{n}" base_path: "{folder / n}" model_platform: "tensorflow" }}' for n in names]
    config = folder / "models.config"
    config.write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    return config, names


def ask_all(target: Target, names: list[str]) -> list[str]:
    """Ask every model once over REST and once over gRPC; in words what went wrong."""
    wrong = []
    for number, name in enumerate(names, 1):
        for kind in (RestClient, GrpcClient):
            client = kind(Target(name, target.rest_port, target.grpc_port, target.pid))
            try:
                outcome = client.ask()
            finally:
                client.close()
            if outcome != ANSWERED or client.versions != [number]:
                wrong.append(f"{name} over {kind.__name__}: {outcome}, version {client.versions}")
    return wrong
