"""gRPC calls to the servers that answer with the model `many`."""

from collections.abc import Iterator

import pytest

from ..grpc_calls import GrpcCalls, calls
from ..served import Served


@pytest.fixture(scope="module")
def grpc_in_c_api(many_in_c_api: Served) -> Iterator[GrpcCalls]:
    with calls(many_in_c_api.grpc_port) as made:
        yield made


@pytest.fixture(scope="module")
def grpc_in_python(many_in_python: Served) -> Iterator[GrpcCalls]:
    with calls(many_in_python.grpc_port) as made:
        yield made


@pytest.fixture(params=["c_api", "python"])
def grpc_both(request: pytest.FixtureRequest) -> GrpcCalls:
    """Calls to it, once in each session that the server can use."""
    return request.getfixturevalue(f"grpc_in_{request.param}")
