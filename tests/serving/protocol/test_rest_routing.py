"""REST routes, errors, status and metadata: §2 and §4.4 to §4.5."""

import gzip
import json
from pathlib import Path

import pytest

from ..served import Served, ask_on
from .cases import Case, begins, parameters
from .routing_cases import ANSWER, GOOD, ROUTING

PREDICT = "/v1/models/many:predict"


@parameters(ROUTING)
def test_route(many: Served, case: Case) -> None:
    answer = many.ask(*case.request)
    assert answer.status == case.status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    if case.error is not None:
        assert begins(answer.error, case.error), answer.error
    else:
        assert answer.json == case.answer


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/models/many", "/models/many", "/metrics", "/index.html", "/v11/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_outside_v1_is_a_html_404(many: Served, method: str, path: str) -> None:
    """§2.2: a page, not JSON."""
    answer = many.ask(method, path, {} if method == "POST" else None, {"Origin": "http://localhost"})
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<html>" in answer.text.lower()


def test_head_is_malformed_and_has_no_body(many: Served) -> None:
    """§2.2, and HTTP's rule that HEAD is answered without a body."""
    answer = many.ask("HEAD", "/v1/models/many")
    assert (answer.status, answer.body) == (400, b"")


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "text/plain", "application/x-www-form-urlencoded", "x;=y"]
)
def test_content_type_of_the_request_is_ignored(many: Served, content_type: str | None) -> None:
    """§2.5."""
    answer = many.ask("POST", PREDICT, GOOD, {"Content-Type": content_type} if content_type else {})
    assert (answer.status, answer.json) == (200, ANSWER)


def test_connections_are_kept_alive(many: Served) -> None:
    """§2.5: HTTP/1.1; also after an error, and after a page."""
    connection = many.connection()
    try:
        connection.connect()
        socket = connection.sock
        for method, path, body, status in (
            ("POST", PREDICT, GOOD, 200),
            ("POST", PREDICT, b"{", 400),
            ("POST", "/v1/models/many:classy", GOOD, 400),
            ("PUT", "/v1/nothing", GOOD, 400),
            ("GET", "/elsewhere", None, 404),
            ("GET", "/v1/models/many", None, 200),
            ("POST", PREDICT, GOOD, 200),
        ):
            assert ask_on(connection, method, path, body).status == status
            assert connection.sock is socket, f"the connection was closed after {method} {path}"
    finally:
        connection.close()


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_gzip_body_is_inflated_and_the_answer_is_plain(many: Served, encoding: str) -> None:
    """§2.5 [N]: any Content-Encoding that contains gzip."""
    packed = gzip.compress(json.dumps(GOOD).encode())
    headers = {"Content-Encoding": encoding, "Accept-Encoding": "gzip"}
    answer = many.ask("POST", PREDICT, packed, headers)
    assert (answer.status, answer.json) == (200, ANSWER)
    assert "Content-Encoding" not in answer.headers


def test_gzip_that_unpacks_to_more_than_the_limit_is_refused(many: Served) -> None:
    """Ours: a small body must not cost the server the memory of a huge one."""
    packed = gzip.compress(bytes((1 << 28) + 1), compresslevel=1)
    answer = many.ask("POST", PREDICT, packed, {"Content-Encoding": "gzip"})
    assert answer.status == 400
    assert f"larger than {1 << 28} bytes when unpacked" in answer.error
    assert many.ask("POST", PREDICT, GOOD).json == ANSWER


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost:8888", 200), ("https://a.b", 200), ("null", 400), (None, 400)]
)
def test_options(many: Served, origin: str | None, status: int) -> None:
    """§2.7, with the CORS flag off."""
    answer = many.ask("OPTIONS", PREDICT, None, {"Origin": origin} if origin else {})
    assert (answer.status, answer.body) == (status, b"")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_cors_headers_without_the_flag(many: Served) -> None:
    """§2.7."""
    answer = many.ask("POST", PREDICT, GOOD, {"Origin": "http://localhost"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_status_layout(many: Served) -> None:
    """§4.4: one space of indent."""
    assert many.ask("GET", "/v1/models/many").text.rstrip("\n") == (
        '{\n "model_version_status": [\n  {\n   "version": "1",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}'
    )


def _tensor(name: str, dtype: str = "DT_FLOAT", shape: list[int] | None = None) -> dict:
    dims = [{"size": str(size), "name": ""} for size in shape or []]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": shape is None}, "name": name}


@pytest.mark.parametrize("path", ["/v1/models/many/metadata", "/v1/models/many/versions/1/metadata"])
def test_metadata(many: Served, path: str) -> None:
    """§4.5: the whole document but for the signatures, and two of these exactly."""
    answer = many.ask("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    document = answer.json
    signatures = document["metadata"]["signature_def"].pop("signature_def")
    assert document == {
        "model_spec": {"name": "many", "signature_name": "", "version": "1"},
        "metadata": {"signature_def": {}},
    }
    assert signatures["serving_default"] == {
        "inputs": {"x": _tensor("x:0", shape=[-1, 1])},
        "outputs": {"y": _tensor("y:0", shape=[-1, 1])},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    with_default = signatures["with_default"]
    assert with_default["inputs"]["x"]["tensor_shape"] == {"dim": [], "unknown_rank": True}
    assert with_default["defaults"]["scale"]["float_val"] == [10.0]
    assert {"echo_string", "constant", "classify", "regress", "matmul"} < set(signatures)


def test_metadata_of_a_keras_model(saved_models, serve) -> None:
    """§4.5, §12.6: every signature, also TensorFlow 2's init op; and a model with a table and an asset answers."""
    server = serve("keras", saved_models.keras)
    signatures = server.ask("GET", "/v1/models/keras/metadata").json["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"__saved_model_init_op", "serve", "serving_default"}
    assert signatures["serving_default"]["inputs"]["colour"]["dtype"] == "DT_STRING"
    instances = [{"colour": [colour], "size": [size]} for colour, size in (("red", 10), ("blue", 20), ("pink", 30))]
    assert server.predict({"instances": instances}).json == {"predictions": [[2.0], [5.0], [3.0]]}
    columns = {"colour": [["green"]], "size": [[0]]}
    assert server.predict({"inputs": columns, "signature_name": "serve"}).json == {"outputs": [[2.0]]}


def test_cors_flag_and_timeout_flag(saved_models, serve) -> None:
    """§2.7 [N], §2.8: a run over rest_api_timeout_in_ms is a 504, and the next request is answered."""
    server = serve("slow", saved_models.slow, "--rest_api_enable_cors_support", "--rest_api_timeout_in_ms=300")
    slow = server.predict({"signature_name": "wait", "inputs": {"seconds": 600, "x": 1}})
    assert slow.status == 504
    assert slow.error.startswith("Timed out waiting for notification")
    good = server.predict(GOOD)
    assert (good.status, good.json) == (200, ANSWER)
    for answer in (slow, good, server.ask("OPTIONS", "/v1/models/slow", None, {"Origin": "http://localhost"})):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type"


def test_a_name_that_must_be_encoded(saved_models, serve) -> None:
    """§2.1: names are decoded after the route matched."""
    server = serve("a b/ü", saved_models.half_plus[2])
    answer = server.ask("POST", "/v1/models/a%20b%2F%C3%BC:predict", GOOD)
    assert (answer.status, answer.json) == (200, ANSWER)
    metadata = server.ask("GET", "/v1/models/a%20b%2F%C3%BC/metadata").json
    assert metadata["model_spec"]["name"] == "a b/ü"


def test_versions_with_zeros_are_numbers(saved_models, serve, tmp_path: Path) -> None:
    """§6.1: a folder called 0002 is version 2 everywhere."""
    base = tmp_path / "zeros"
    saved_models.add_version(base, "0002")
    server = serve("zeros", base)
    assert server.states() == {2: "AVAILABLE"}
    assert server.predict(GOOD, version=2).json == ANSWER
    assert server.ask("GET", "/v1/models/zeros/versions/0002/metadata").json["model_spec"]["version"] == "2"
