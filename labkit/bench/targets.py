"""Where requests go: a REST or a gRPC address of any server, and how a batch is written for it.

A target knows four steps that can be timed apart: `encode` arrays to bytes, `connect`, `send` bytes for bytes, and
`decode` bytes to arrays. The model server may be any: the embedded one, TensorFlow Serving, a Vertex AI endpoint.
"""

import http.client
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import grpc
import requests

from labkit.bench import payload
from labkit.errors import RequestError, needs_extra
from labkit.serving import rest_messages

if TYPE_CHECKING:
    from labkit.bench.inputs import Inputs
    from labkit.bench.payload import WireForm

PREDICT = "/tensorflow.serving.PredictionService/Predict"
LIBRARIES = ("requests", "urllib3", "httpx", "http.client")


class Connection(Protocol):
    """One client's connection to a target."""

    def send(self, request: bytes) -> bytes:
        """The answer to one request.

        Raises:
            RequestError: the server refused, or could not be reached.
        """

    def close(self) -> None:
        """Close it."""


class Target(Protocol):
    """What load and comparisons need of a server. `name` stands in tables and figures, `form` writes the batch."""

    name: str
    form: "WireForm"

    def encode(self, inputs: "Inputs") -> bytes:
        """The batch as a request."""

    def connect(self) -> Connection:
        """A new connection; where the library waits for the first request, nothing is sent yet."""

    def decode(self, answer: bytes) -> Any:
        """An array for one output, a dict of arrays by name for several."""


class RestTarget:
    """A server's ``:predict`` address over HTTP/1.1 with JSON."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "REST",
        form: "WireForm | None" = None,
        library: str = "requests",
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: the whole address, such as ``http://127.0.0.1:8501/v1/models/penguins:predict``.
            name: what tables and figures call it.
            form: how a batch is written; by default `payload.json_rows()`.
            library: who speaks HTTP: ``requests``, ``urllib3``, ``httpx`` or ``http.client``.
            headers: sent with each request, such as ``{"Authorization": "Bearer ..."}`` for a Vertex AI endpoint.
            timeout: seconds to wait for an answer.

        Raises:
            ValueError: `url` is no http address, `library` is none of these, or `form` is of gRPC.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"url is {url!r}; a whole address is wanted, as http://127.0.0.1:8501/v1/models/penguins:predict"
            )
        if library not in LIBRARIES:
            raise ValueError(f"library is {library!r}; there are {', '.join(LIBRARIES)}")
        self.url = url
        self.name = name
        self.library = library
        self.form = _of("REST", form or payload.json_rows())
        usual = {"Content-Type": "application/json", **({"Content-Encoding": "gzip"} if self.form.gzip else {})}
        given = {name.lower() for name in headers or {}}
        self.headers = {name: value for name, value in usual.items() if name.lower() not in given} | dict(headers or {})
        self.timeout = timeout

    def encode(self, inputs: "Inputs") -> bytes:
        """The batch as the body of a request."""
        return self.form.encode(inputs)

    def connect(self) -> Connection:
        """A connection that is kept open between requests.

        Raises:
            EnvironmentProblem: the library is not installed.
        """
        return _HTTP[self.library](self)

    def decode(self, answer: bytes) -> Any:
        """The predictions, or outputs, of an answer's body."""
        return rest_messages.predict_answer(answer)


class GrpcTarget:
    """A server's Predict method over gRPC."""

    def __init__(
        self,
        address: str,
        model_name: str,
        *,
        name: str = "gRPC",
        form: "WireForm | None" = None,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Nothing is sent yet; messages of any size pass (gRPC's own limit would be 4 MiB).

        Args:
            address: host and port, such as ``127.0.0.1:8500``.
            model_name: the model's name on that server; a `form` brings its own.
            name: what tables and figures call it.
            form: how a batch is written; by default `payload.tensor_content(model_name)`. gRPC itself compresses a
                form with gzip, so the time for that is part of `send`.
            credentials: for a server that speaks TLS, what `grpc.ssl_channel_credentials` makes.
            metadata: sent with each call, such as ``{"authorization": "Bearer ..."}``.
            timeout: seconds until a call gives up.

        Raises:
            ValueError: `form` is of REST.
        """
        self.address = address
        self.name = name
        self.timeout = timeout
        self.credentials = credentials
        self.metadata = tuple((metadata or {}).items())
        self.form = _of("gRPC", form or payload.tensor_content(model_name))

    def encode(self, inputs: "Inputs") -> bytes:
        """The batch as a serialized PredictRequest."""
        return self.form.write(inputs)

    def connect(self) -> Connection:
        """A channel with a connection of its own; grpc would let channels of one process share one."""
        return _GrpcConnection(self)

    def decode(self, answer: bytes) -> Any:
        """The outputs of a serialized PredictResponse.

        Raises:
            ValueError: it is none.
        """
        import tensorflow as tf
        from google.protobuf.message import DecodeError
        from tensorflow_serving.apis.predict_pb2 import PredictResponse

        try:
            outputs = PredictResponse.FromString(answer).outputs
        except DecodeError as error:
            raise ValueError(f"{error}: {answer[:80]!r}") from error
        arrays = {name: tf.make_ndarray(proto) for name, proto in outputs.items()}
        return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def _of(protocol: str, form: "WireForm") -> "WireForm":
    if form.protocol != protocol:
        raise ValueError(
            f"form is {form.name!r}, a way to write {form.protocol} requests; this target speaks {protocol}"
        )
    return form


class _GrpcConnection:
    def __init__(self, target: GrpcTarget) -> None:
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        compression = grpc.Compression.Gzip if target.form.gzip else None
        if target.credentials is None:
            self._channel = grpc.insecure_channel(target.address, options, compression)
        else:
            self._channel = grpc.secure_channel(target.address, target.credentials, options, compression)
        self._predict = self._channel.unary_unary(PREDICT)
        self._timeout, self._metadata = target.timeout, target.metadata

    def send(self, request: bytes) -> bytes:
        try:
            return self._predict(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise RequestError(error.code().name, error.details() or "") from error

    def close(self) -> None:
        self._channel.close()


class _HttpConnection:
    """What the four HTTP libraries have in common: `_post` gives status and body, `failures` is what it may raise."""

    failures: tuple[type[Exception], ...]

    def send(self, request: bytes) -> bytes:
        try:
            status, answer = self._post(request)
        except self.failures as error:
            code = "DEADLINE_EXCEEDED" if _timed_out(error) else "UNAVAILABLE"
            raise RequestError(code, f"{type(error).__name__}: {error}") from error
        if status != 200:
            raise rest_messages.request_error(status, answer)
        return answer

    def _post(self, request: bytes) -> tuple[int, bytes]:
        raise NotImplementedError


def _timed_out(error: BaseException | None) -> bool:
    """Whether the system's own timeout is behind a library's error. Not each library calls all of them one."""
    while error and not isinstance(error, TimeoutError):
        error = error.__cause__ or error.__context__
    return error is not None


class _Requests(_HttpConnection):
    failures = (requests.RequestException,)

    def __init__(self, target: RestTarget) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._url, self._headers, self._timeout = target.url, target.headers, target.timeout
        self.close = self._session.close

    def _post(self, request: bytes) -> tuple[int, bytes]:
        # As the other libraries have it: who was sent elsewhere would ask twice, the second time with GET.
        response = self._session.post(
            self._url, data=request, headers=self._headers, timeout=self._timeout, allow_redirects=False
        )
        return response.status_code, response.content


class _Urllib3(_HttpConnection):
    def __init__(self, target: RestTarget) -> None:
        import urllib3

        self.failures = (urllib3.exceptions.HTTPError,)
        self._pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=target.timeout)
        self._url, self._headers = target.url, target.headers
        self.close = self._pool.clear

    def _post(self, request: bytes) -> tuple[int, bytes]:
        response = self._pool.request("POST", self._url, body=request, headers=self._headers)
        return response.status, response.data


class _Httpx(_HttpConnection):
    def __init__(self, target: RestTarget) -> None:
        with needs_extra("The HTTP client httpx", "bench"):
            import httpx
        self.failures = (httpx.HTTPError,)
        self._client = httpx.Client(timeout=target.timeout, trust_env=False)
        self._url, self._headers = target.url, target.headers
        self.close = self._client.close

    def _post(self, request: bytes) -> tuple[int, bytes]:
        response = self._client.post(self._url, content=request, headers=self._headers)
        return response.status_code, response.content


class _HttpClient(_HttpConnection):
    failures = (http.client.HTTPException, OSError)

    def __init__(self, target: RestTarget) -> None:
        parts = urlsplit(target.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=target.timeout)
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._headers = target.headers
        self.close = self._connection.close

    def _post(self, request: bytes) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", self._path, request, self._headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except self.failures:
            self._connection.close()  # or it would wait for this answer for ever; the next request opens it again
            raise


_HTTP: dict[str, Callable[[RestTarget], Connection]] = {
    "requests": _Requests,
    "urllib3": _Urllib3,
    "httpx": _Httpx,
    "http.client": _HttpClient,
}
