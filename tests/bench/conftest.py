"""Two servers: the embedded one, its metrics on, with a model that adds up rows, and one that a test plays itself."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import labkit
from labkit.bench.targets import GrpcTarget, RestTarget


@dataclass(frozen=True)
class Sums:
    """A running server whose model `sums` takes `x`, float32 [rows, columns], and gives `y`, [rows].

    Attributes:
        server: the server.
        metrics_url: where its metrics are.
        folder: the model's, with its version in it.
    """

    server: labkit.ModelServer
    metrics_url: str
    folder: Path

    @property
    def url(self) -> str:
        return f"{self.server.rest_url}/v1/models/sums:predict"

    def rest(self, name: str = "REST", **options: object) -> RestTarget:
        return RestTarget(self.url, name=name, **options)

    def grpc(self, name: str = "gRPC", **options: object) -> GrpcTarget:
        return GrpcTarget(self.server.grpc_address, "sums", name=name, **options)

    @staticmethod
    def batch(values: int) -> dict[str, np.ndarray]:
        return {"x": np.random.default_rng(values).normal(size=(1, values)).astype(np.float32)}


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sums]:
    import tensorflow as tf

    folder: Path = tmp_path_factory.mktemp("sums")
    module = tf.Module()
    module.add = tf.function(
        lambda x: {"y": tf.reduce_sum(x, axis=1)}, [tf.TensorSpec([None, None], tf.float32, name="x")]
    )
    tf.saved_model.save(module, str(folder / "sums" / "1"), signatures={"serving_default": module.add})
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    with labkit.serve(folder / "sums", monitoring_config_file=monitoring) as server:
        yield Sums(server, f"{server.rest_url}/monitoring/prometheus/metrics", folder / "sums")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that a test plays itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener
