"""RestClient and GrpcClient, whichever backend answers: arrays in, arrays out, and one kind of error."""

import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import labkit
from labkit import GrpcClient, RestClient
from labkit.errors import RequestError

pytestmark = pytest.mark.timeout(300)  # the first one with Docker also starts an engine and builds an image


@pytest.fixture(scope="module")
def server(backend, saved_models, tmp_path_factory):
    """The model `many`, its version 1 labelled `stable`."""
    root = "/models" if backend["backend"] == "docker" else saved_models.many.parent
    file = tmp_path_factory.mktemp("config") / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "many" base_path: "{root}/many" model_platform: "tensorflow"'
        ' version_labels { key: "stable" value: 1 } } }'
    )
    flags = {"model_config_file": file, "allow_version_labels_for_unavailable_models": True}
    with labkit.serve(saved_models.many, name="many", **backend, **flags) as server:
        yield server


@pytest.fixture
def rest(server):
    return server.rest


@pytest.fixture
def grpc(server):
    return server.grpc


@pytest.fixture(params=["rest", "grpc"])
def client(request, server):
    return getattr(server, request.param)


def test_one_input_and_one_output_are_plain_arrays(client):
    x = np.array([[1.0], [5.0]], np.float32)
    np.testing.assert_array_equal(client.predict(x), [[2.5], [4.5]])


def test_lists_take_the_type_the_signature_declares(client):
    np.testing.assert_array_equal(client.predict([[1], [5]]), [[2.5], [4.5]])
    np.testing.assert_array_equal(client.predict([1, 2], signature_name="echo_int64"), [1, 2])
    np.testing.assert_array_equal(client.predict([True, False], signature_name="echo_bool"), [True, False])


def test_several_inputs_and_outputs_are_dicts(client):
    answer = client.predict({"a": [1.0, 2.0], "b": [3.0, 4.0]}, signature_name="sum_and_product")
    np.testing.assert_array_equal(answer["sum"], [4.0, 6.0])
    np.testing.assert_array_equal(answer["product"], [3.0, 8.0])


def test_columnar_form_of_the_same(rest):
    inputs = {"a": np.float32([1, 2]), "b": np.float32([3, 4])}
    by_rows = rest.predict(inputs, signature_name="sum_and_product")
    by_columns = rest.predict(inputs, form="columnar", signature_name="sum_and_product")
    for name in ("sum", "product"):
        np.testing.assert_array_equal(by_rows[name], by_columns[name])


def test_text_and_bytes_travel(client):
    answer = client.predict(["naïve", "plain"], signature_name="echo_string")
    assert [v.decode() if isinstance(v, bytes) else v for v in answer.tolist()] == ["naïve", "plain"]
    answer = client.predict([b"\x89PNG\xff", b""], signature_name="text")
    assert answer["text_bytes"].tolist() == [b"\x89PNG\xff", b""]


def test_a_version_can_be_named(client):
    x = np.array([[1.0]], np.float32)
    np.testing.assert_array_equal(client.predict(x, version=1), [[2.5]])
    with pytest.raises(RequestError, match=r"Servable not found for request: Specific\(many, 9\)") as error:
        client.predict(x, version=9)
    assert error.value.code == "NOT_FOUND"


def test_a_label_names_a_version(client):
    """§7.5: the name of a version in the server's configuration."""
    x = np.array([[1.0]], np.float32)
    np.testing.assert_array_equal(client.predict(x, label="stable"), [[2.5]])
    assert "serving_default" in str(client.metadata(label="stable"))
    with pytest.raises(RequestError, match="Unrecognized servable version label: canary") as error:
        client.predict(x, label="canary")
    assert error.value.code == "INVALID_ARGUMENT"
    with pytest.raises(ValueError, match="by number or by label, not both; got 1 and 'stable'"):
        client.predict(x, version=1, label="stable")


def test_status_and_metadata(client):
    (status,) = client.status()
    assert (status.version, status.state, status.error_code) == (1, "AVAILABLE", "OK")
    assert client.status(version=1) == [status]
    with pytest.raises(RequestError, match=r"NOT_FOUND.*version 9 of model many"):
        client.status(version=9)
    metadata = client.metadata()
    signatures = metadata if isinstance(client, GrpcClient) else metadata["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "sum_and_product"} <= set(signatures)


def test_an_error_of_the_server_has_its_code_and_words(rest, grpc):
    with pytest.raises(RequestError) as error:
        rest.predict(["one"])
    assert (error.value.code, error.value.http_status) == ("INVALID_ARGUMENT", 400)
    assert 'JSON Value: "one" Type: String is not of expected type: float' in error.value.message
    with pytest.raises(RequestError) as error:
        grpc.predict({"x": np.array([1], np.int64)})
    assert (error.value.code, error.value.http_status) == ("INVALID_ARGUMENT", None)
    assert error.value.message.startswith("Expects arg[0] to be float but int64 is provided")


def test_nobody_listening_is_unavailable():
    with socket.socket() as held:  # bound and not listening: connections are refused
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        for client in (RestClient(f"http://127.0.0.1:{port}", "m"), GrpcClient(f"127.0.0.1:{port}", "m")):
            with pytest.raises(RequestError) as error:
                client.status()
            assert error.value.code == "UNAVAILABLE"
            client.close()


@pytest.mark.timeout(50)  # the default, which must not count here, is 60
def test_a_client_waits_for_an_answer_as_long_as_it_was_told():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and nobody answers
        port = silent.getsockname()[1]
        for client in (
            RestClient(f"http://127.0.0.1:{port}", "m", timeout=0.2),
            GrpcClient(f"127.0.0.1:{port}", "m", timeout=0.2),
        ):
            with client, pytest.raises(RequestError, match="DEADLINE_EXCEEDED: "):
                client.status()


def test_a_proxy_in_the_environment_is_not_asked(server, monkeypatch):
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    x = np.array([[1.0]], np.float32)
    with RestClient(server.rest_url, "many") as rest, GrpcClient(server.grpc_address, "many") as grpc:
        for client in (rest, grpc):
            np.testing.assert_array_equal(client.predict({"x": x}), [[2.5]])


def test_an_error_that_is_no_json_has_its_status_and_its_text(server):
    said = pytest.raises(RequestError, match=r"NOT_FOUND \(HTTP 404\): <html>")
    with RestClient(f"{server.rest_url}/elsewhere", "many") as client, said as error:
        client.status()
    assert error.value.http_status == 404


def test_an_answer_that_breaks_off_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:

        def break_off():
            asked, _ = listener.accept()
            with asked:
                asked.recv(65536)
                asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of")

        threads.submit(break_off)
        said = pytest.raises(RequestError, match=r"UNAVAILABLE: No server answers at http://127.0.0.1:\d+: .*broken")
        with RestClient(f"http://127.0.0.1:{listener.getsockname()[1]}", "m") as client, said:
            client.status()


def test_messages_beyond_four_mebibytes_pass(client):
    x = np.linspace(0, 1, 2_000_000, dtype=np.float32).reshape(-1, 1)
    np.testing.assert_allclose(client.predict(x), x / 2 + 2)


def test_what_cannot_be_asked_is_said_before_it_is_sent(rest, grpc):
    with pytest.raises(ValueError, match="'row' or 'columnar', got 'diagonal'"):
        rest.predict([1.0], form="diagonal")
    with pytest.raises(ValueError, match=r"same number of rows, got \{'a': 1, 'b': 2\}"):
        rest.predict({"a": [1.0], "b": [1.0, 2.0]}, signature_name="sum_and_product")
    with pytest.raises(ValueError, match=r"list with an element a row; \['b'\] are not lists"):
        rest.predict({"a": [1.0], "b": 2.0}, signature_name="sum_and_product")
    with pytest.raises(TypeError, match="not JSON serializable: complex"):
        rest.predict([1j])
    with pytest.raises(ValueError, match=r"has the inputs \['a', 'b'\]: pass a dict"):
        grpc.predict([1.0], signature_name="sum_and_product")


def test_a_closed_client_says_so(server):
    client = GrpcClient(server.grpc_address, "many")
    client.close()
    with pytest.raises(RequestError, match="UNAVAILABLE: This client was closed"):
        client.status()


def test_numbers_that_are_not_finite_travel(client):
    x = np.array([[np.nan], [np.inf], [-np.inf]], np.float32)
    np.testing.assert_array_equal(client.predict(x), x)
