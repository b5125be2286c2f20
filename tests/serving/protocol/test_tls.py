"""TLS on the gRPC listeners, and client certificates (§11.1)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme

from ..grpc_calls import GrpcCalls, failure, outcome, request
from ..served import Command, Served


def pem(blob: trustme.Blob) -> str:
    return blob.bytes().decode()


class Authority:
    """Somebody who signs certificates; `server` is one for this machine, with its key."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.server = self.ca.issue_cert("localhost", "127.0.0.1")

    @property
    def certificate(self) -> str:
        return pem(self.ca.cert_pem)

    def configuration(self, **other: str | bool) -> str:
        """An SSLConfig in text; None leaves a field out."""
        fields = {
            "server_key": pem(self.server.private_key_pem),
            "server_cert": "".join(map(pem, self.server.cert_chain_pems)),
        } | other
        return "".join(f"{name}: {_text(value)}\n" for name, value in fields.items() if value is not None)

    @contextmanager
    def calls(self, place: str, client: trustme.LeafCert | None = None) -> Iterator[GrpcCalls]:
        """Calls of a client that trusts this authority, and shows `client` who it is."""
        credentials = grpc.ssl_channel_credentials(
            self.certificate.encode(),
            client and client.private_key_pem.bytes(),
            client and b"".join(blob.bytes() for blob in client.cert_chain_pems),
        )
        # A unix socket has no name that could stand in a certificate.
        options = [("grpc.ssl_target_name_override", "localhost")] if place.startswith("unix:") else []
        with grpc.secure_channel(place, credentials, options) as channel:
            yield GrpcCalls(channel)


def _text(value: str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("\n", "\\n") + "'"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def stranger() -> Authority:
    return Authority()


@pytest.fixture
def model(saved_models) -> Path:
    return saved_models.half_plus[2]


@pytest.fixture
def secure(serve, model: Path, tmp_path: Path) -> Callable[..., Served]:
    """`secure(text, *flags)`: a server with that SSLConfig."""

    def started(text: str, *flags: str) -> Served:
        (tmp_path / "ssl.config").write_text(text)
        return serve("half", model, f"--ssl_config_file={tmp_path / 'ssl.config'}", *flags)

    return started


def _place(server: Served) -> str:
    return f"localhost:{server.grpc_port}"


def _ask(grpc_calls: GrpcCalls) -> tuple[str, str]:
    return outcome(grpc_calls.predict, request("half", x=[1.0]))


def test_encrypted(secure, authority: Authority, stranger: Authority) -> None:
    """§11.1: key and certificate as PEM text in the file; who trusts the signer is served, others are not."""
    server = secure(authority.configuration())
    with authority.calls(_place(server)) as grpc_calls:
        assert list(grpc_calls.predict(request("half", x=[1.0])).outputs["y"].float_val) == [2.5]
        assert _ask(grpc_calls)[0] == "OK"
    with stranger.calls(_place(server)) as grpc_calls:
        assert _ask(grpc_calls)[0] == "UNAVAILABLE"
    with grpc.insecure_channel(_place(server)) as channel:
        assert _ask(GrpcCalls(channel))[0] == "UNAVAILABLE"


def test_rest_stays_plain(secure, authority: Authority) -> None:
    """§11.1: gRPC only."""
    server = secure(authority.configuration(custom_ca=authority.certificate, client_verify=True))
    assert server.predict({"instances": [1.0]}).json == {"predictions": [2.5]}


def test_client_certificates(secure, authority: Authority, stranger: Authority) -> None:
    """§11.1: client_verify serves only who has a certificate signed by custom_ca."""
    server = secure(authority.configuration(custom_ca=authority.certificate, client_verify=True))
    with authority.calls(_place(server), authority.ca.issue_cert("client@example.org")) as grpc_calls:
        assert _ask(grpc_calls)[0] == "OK"
    for client in (None, stranger.ca.issue_cert("client@example.org")):
        with authority.calls(_place(server), client) as grpc_calls:
            assert failure(grpc_calls.predict, request("half", x=[1.0]))[0] == "UNAVAILABLE"


def test_without_client_verify_nobody_is_asked(secure, authority: Authority, stranger: Authority) -> None:
    """§11.1: custom_ca alone asks for nothing."""
    server = secure(authority.configuration(custom_ca=stranger.certificate))
    with authority.calls(_place(server)) as grpc_calls:
        assert _ask(grpc_calls)[0] == "OK"


def test_the_unix_socket_is_encrypted_too(secure, authority: Authority, place: Path) -> None:
    """§11.1 for §1.4's grpc_socket_path."""
    secure(authority.configuration(), f"--grpc_socket_path={place}")
    with authority.calls(f"unix:{place}") as grpc_calls:
        assert _ask(grpc_calls)[0] == "OK"
    with grpc.insecure_channel(f"unix:{place}") as channel:
        assert _ask(GrpcCalls(channel))[0] == "UNAVAILABLE"


def _wrong_files(authority: Authority, stranger: Authority) -> dict[str, tuple[str | None, str]]:
    """What may be wrong with the file -> its text, and what the error says."""
    plain, key = authority.configuration, pem(stranger.server.private_key_pem)
    return {
        "no file": (None, "NOT_FOUND: {file}"),
        "no SSLConfig": ("server_kye: 'x'", "INVALID_ARGUMENT: Invalid protobuf file: '{file}'"),
        "no key": (plain(server_key=None), "INVALID_ARGUMENT: TLS cannot start with '{file}': server_key is missing"),
        "no certificate": (
            plain(server_cert=None),
            "INVALID_ARGUMENT: TLS cannot start with '{file}': server_cert is missing",
        ),
        "a file's name for a key": (
            plain(server_key="/etc/key.pem"),
            "INVALID_ARGUMENT: TLS cannot start with '{file}': server_key is no private key in PEM text",
        ),
        "a file's name for a certificate": (
            plain(server_cert="/etc/cert.pem"),
            "INVALID_ARGUMENT: TLS cannot start with '{file}': server_cert is no certificate in PEM text",
        ),
        "another's key": (
            plain(server_key=key),
            "INVALID_ARGUMENT: TLS cannot start with '{file}': server_key is not the key of server_cert",
        ),
        "no authority to verify clients": (
            plain(client_verify=True),
            "INVALID_ARGUMENT: TLS cannot start with '{file}': client_verify needs custom_ca",
        ),
        "an authority that is none": (
            plain(custom_ca="me", client_verify=True),
            "INVALID_ARGUMENT: TLS cannot start with '{file}': custom_ca is no certificate in PEM text",
        ),
    }


def test_wrong_files(authority: Authority, stranger: Authority, model: Path, tmp_path: Path) -> None:
    """§11.1, §1.3: a start failure that says which part of the file is wrong."""
    file = tmp_path / "ssl.config"
    for title, (text, expected) in _wrong_files(authority, stranger).items():
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        assert _start_error(tmp_path, model, f"--ssl_config_file={file}").startswith(expected.format(file=file)), title


def test_alts(authority: Authority, model: Path, tmp_path: Path) -> None:
    """§11.1: with use_alts_credentials a start error; ours without ssl_config_file, too: there is no ALTS."""
    (tmp_path / "ssl.config").write_text(authority.configuration())
    for flags in ((), (f"--ssl_config_file={tmp_path / 'ssl.config'}",)):
        error = _start_error(tmp_path, model, "--use_alts_credentials", *flags)
        assert error.startswith("INVALID_ARGUMENT: --use_alts_credentials needs Google Cloud's ALTS")


def _start_error(folder: Path, model: Path, *flags: str) -> str:
    with Command(folder, "--port=auto", f"--model_base_path={model}", *flags) as command:
        assert command.exit_status() == 255, command.output
        assert "Traceback" not in command.stderr, command.output
        return command.stdout.removeprefix("Failed to start server. Error: ")
