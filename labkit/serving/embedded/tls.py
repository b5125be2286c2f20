"""TLS on the gRPC listeners, from an SSLConfig text file as TensorFlow Serving reads it (`--ssl_config_file`).

gRPC says nothing about a certificate that it cannot use; a port then fails to open for no reason given. So everything
is first tried in Python's own TLS, which names what is wrong.
"""

import ssl
import tempfile
from pathlib import Path
from typing import Any

import grpc

from labkit.serving.embedded import config_protos
from labkit.serving.embedded.flags import Flags
from labkit.serving.embedded.status import StatusError, invalid_argument


def server_credentials(flags: Flags) -> grpc.ServerCredentials:
    """What the gRPC listeners identify themselves with, where a flag asks for more than plain connections.

    Raises:
        StatusError: NOT_FOUND, no such file; INVALID_ARGUMENT, the file, a key or a certificate in it is not usable, or
            ALTS was asked for.
    """
    if flags.use_alts_credentials:
        raise invalid_argument(
            "--use_alts_credentials needs Google Cloud's ALTS, which this server does not speak; "
            "--ssl_config_file=FILE encrypts with TLS."
        )
    config = config_protos.read("SSLConfig", flags.ssl_config_file)
    _check(config, flags.ssl_config_file)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _check(config: Any, path: str) -> None:
    for field in ("server_key", "server_cert"):
        if not getattr(config, field):
            raise _wrong(path, f"{field} is missing; it holds the PEM text itself, not a file's name")
    if config.client_verify and not config.custom_ca:
        raise _wrong(path, "client_verify needs custom_ca, the certificates of those who sign the clients' ones")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _check_certificate(config.server_cert, "server_cert", path)
    if config.custom_ca:
        _check_certificate(config.custom_ca, "custom_ca", path)
    with tempfile.TemporaryDirectory() as folder:  # Python reads keys from files only; the folder is the user's alone
        key, certificate = Path(folder, "key"), Path(folder, "certificate")
        key.write_text(config.server_key, encoding="utf-8")
        certificate.write_text(config.server_cert, encoding="utf-8")
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise _wrong(path, "server_key is not the key of server_cert") from None
            raise _wrong(path, f"server_key is no private key in PEM text without a password ({error})") from None


def _check_certificate(text: str, field: str, path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise _wrong(path, f"{field} is no certificate in PEM text ({error})") from None


def _no_password() -> str:
    return ""  # else OpenSSL asks the terminal


def _wrong(path: str, what: str) -> StatusError:
    return invalid_argument(f"TLS cannot start with '{path}': {what}.")
