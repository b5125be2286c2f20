"""Who this machine's `googleapis.com` is: its certificate, its made-up account, and the environment that trusts both.

The certificate's authority may vouch for names below `googleapis.com` only, and its key is forgotten as soon as it has
signed, so that trusting it opens nothing else. Nothing is written outside one folder that only its owner may read.
"""

import json
import os
import re
import secrets
import ssl
import stat
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from labkit.cloud.local.certificates import issue
from labkit.errors import EnvironmentProblem

DOMAIN = "googleapis.com"
# A wildcard stands for one label: `*.googleapis.com` covers us-central1-aiplatform.googleapis.com, no bucket's host.
NAMES = (DOMAIN, *(f"*.{below}{DOMAIN}" for below in ("", "storage.", "aiplatform.", "mtls.", "p.")))
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "grpc_proxy")
_NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy", "no_grpc_proxy")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# gRPC reads the authorities it trusts once, so a later cloud of the same kernel keeps the certificate while it lasts.
_VALID = timedelta(days=1)
_VALID_AT_LEAST = timedelta(hours=1)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Authority:
    """The keys of one local cloud; a later one in the same folder has the same certificate.

    Attributes:
        folder: where its files lie, readable for this user only.
        secret: what a client must say to be let through the proxy; new each time.
        bundle: the file of the authorities that a client is to trust.
    """

    def __init__(self, folder: Path) -> None:
        """Make `folder`, or use it again.

        Raises:
            EnvironmentProblem: `folder` is there, and is somebody else's or readable for others.
        """
        self.folder = _private_folder(folder)
        self.secret = secrets.token_urlsafe(16)
        self.bundle = self.folder / "bundle.pem"
        self._leaf = self.folder / "certificate.pem"
        self._authority = self.folder / "authority.pem"
        if not self._still_valid():
            made = issue(NAMES, DOMAIN, _VALID)
            write_private(self._leaf, made.key + made.certificate)
            write_private(self._authority, made.authority)

    def server_context(self) -> ssl.SSLContext:
        """How a server of HTTP/1.1 ends TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._leaf)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """The same certificate for a gRPC server."""
        content = self._leaf.read_bytes()
        certificate = _PEM.findall(content)[0]
        return grpc.ssl_server_credentials([(content.replace(certificate, b"").strip(), certificate)])

    def environment(self, proxy_port: int, project: str) -> dict[str, str]:
        """Write what a process must have to find this cloud, and name it.

        Args:
            proxy_port: where the proxy listens on loopback.
            project: the id of the project that the made-up account is in.

        Returns:
            Environment variables; they are read when a process makes its first connection, so set them before.
        """
        given = os.environ
        write_private(self.bundle, _bundle([self._authority, *_trusted_so_far(given)]))
        credentials = self.folder / "credentials.json"
        if not credentials.exists() or json.loads(credentials.read_bytes())["project_id"] != project:
            write_private(credentials, json.dumps(_account(project)).encode())
        proxy = f"http://labkit:{self.secret}@127.0.0.1:{proxy_port}"
        direct = ",".join([*_LOOPBACK, *_reached_directly(given)])
        return {
            **dict.fromkeys(_PROXY_VARIABLES, proxy),
            **dict.fromkeys(_NO_PROXY_VARIABLES, direct),
            **dict.fromkeys(_CA_VARIABLES, str(self.bundle)),
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
            "GOOGLE_CLOUD_PROJECT": project,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "local",  # TensorFlow's `gs://`
            "GOOGLE_API_USE_CLIENT_CERTIFICATE": "false",
            "GOOGLE_API_USE_MTLS_ENDPOINT": "never",
            "NO_GCE_CHECK": "true",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "FSSPEC_GCS": json.dumps({"session_kwargs": {"trust_env": True}}),  # gcsfs looks for no proxy by itself
        }

    def _still_valid(self) -> bool:
        if not (self._leaf.exists() and self._authority.exists()):
            return False
        certificate = x509.load_pem_x509_certificate(_PEM.findall(self._leaf.read_bytes())[0])
        return certificate.not_valid_after_utc > datetime.now(UTC) + _VALID_AT_LEAST


def is_google(host: str) -> bool:
    """Whether `host` is one of those that this machine answers for, and that must never be reached."""
    host = host.lower().rstrip(".")
    return host == DOMAIN or host.endswith(f".{DOMAIN}")


def _private_folder(folder: Path) -> Path:
    folder = Path(folder).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):  # on Windows a user's own folders are closed to others from the start
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o077:
            raise EnvironmentProblem(
                f"The folder for the local cloud's keys is {folder}; it must be a folder of yours that nobody else may "
                f"read. Give another one, or: chmod 700 '{folder}'"
            )
    return folder


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` at once, so that nobody reads half of it, with a file for its owner only."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    unfinished.replace(path)


def _bundle(files: Iterable[Path]) -> bytes:
    """The certificates in `files`, each once: clients read them all for every new connection pool."""
    found = (each for file in files for each in _PEM.findall(file.read_bytes()))
    return b"\n".join(dict.fromkeys(found)) + b"\n"


def _trusted_so_far(given: Mapping[str, str]) -> list[Path]:
    """Where a process finds its authorities without the local cloud: a company's proxy must go on working."""
    named = [given.get(name) for name in _CA_VARIABLES] + [ssl.get_default_verify_paths().cafile]
    paths = [Path(certifi.where()), *(Path(name) for name in named if name)]
    return [file for path in paths for file in ([path] if path.is_file() else sorted(path.glob("*.pem")))]


def _reached_directly(given: Mapping[str, str]) -> list[str]:
    """Hosts that were exempt from proxies before, without those that would let a client past ours to Google."""
    hosts = [host.strip() for name in ("NO_PROXY", "no_proxy") for host in given.get(name, "").split(",")]
    return [host for host in dict.fromkeys(hosts) if host and host not in _LOOPBACK and not _may_be_google(host)]


def _may_be_google(exempt: str) -> bool:
    host = exempt.partition(":")[0].strip("*.").lower()
    return is_google(host) or DOMAIN.endswith(host)  # clients compare the ends of names, not labels


def _account(project: str) -> dict[str, str]:
    """A service account's key as Google's console would give it out; nobody but this machine knows it."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": secrets.token_hex(20),
        "private_key": key.decode(),
        "client_email": f"lab@{project}.iam.gserviceaccount.com",
        "client_id": "100000000000000000000",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": DOMAIN,
    }
