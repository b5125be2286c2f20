"""The REST API: HTTP in, HTTP out. Routes and answers are TensorFlow Serving's (http_rest_api_handler.cc)."""

import logging
import re
from typing import Any
from urllib.parse import unquote

from labkit.serving.embedded import json_answer, json_document, json_numbers, json_tensor
from labkit.serving.embedded.dispatch import Dispatcher
from labkit.serving.embedded.http_server import LARGEST_BODY, Request, Response
from labkit.serving.embedded.predict import predict
from labkit.serving.embedded.servable import DEFAULT_SIGNATURE, Servable
from labkit.serving.embedded.session import RunLimits
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.status_answers import metadata_answer, status_answer
from labkit.serving.embedded.versions import ModelManager

logger = logging.getLogger(__name__)

_NAME = r"/(?P<name>[^/:]+)"
_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(f"/v1/models{_NAME}{_WHICH}:(?P<verb>predict|classify|regress)", re.IGNORECASE)
_GET = re.compile(f"/v1/models(?:{_NAME})?{_WHICH}(?P<metadata>/metadata)?", re.IGNORECASE)
_SMALL_BODY = 65_536
_JSON = {"Content-Type": "application/json"}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_NOT_FOUND_PAGE = (
    b"<html><head><title>404 Not Found</title></head>"
    b"<body><h1>Not Found</h1><p>Only /v1/models/... is served here.</p></body></html>\n"
)


class RestApi:
    """Answers HTTP requests from the models that `manager` keeps."""

    def __init__(self, manager: ModelManager, dispatcher: Dispatcher, *, timeout_ms: int, cors: bool) -> None:
        self._manager = manager
        self._dispatcher = dispatcher
        self._timeout_ms = timeout_ms
        self._headers = {**_JSON, **(_CORS if cors else {})}

    async def answer(self, request: Request) -> Response:
        """One request to one response; every error becomes an answer with its status."""
        if request.target[:4].lower() != "/v1/":
            return Response(_NOT_FOUND_PAGE, 404, {"Content-Type": "text/html"})
        if request.method == "OPTIONS":
            return self._preflight(request)
        try:
            return Response(await self._route(request, request.target), headers=self._headers)
        except StatusError as error:
            return self._error(error)
        except Exception:
            logger.exception("A %s request to %s failed", request.method, request.target)
            return self._error(StatusError(Code.INTERNAL, "The server failed on this request; its log has the details"))

    def _error(self, error: StatusError) -> Response:
        return Response(json_answer.document({"error": error.message}), error.http_status, self._headers)

    def _preflight(self, request: Request) -> Response:
        origin = request.headers.get("origin", "")
        known = "http://" in origin or "https://" in origin
        return Response(status=200 if known else 400, headers=self._headers)

    async def _route(self, request: Request, path: str) -> bytes:
        if request.method == "POST" and (match := _POST.fullmatch(path)):
            return await self._post(match, request)
        if request.method == "GET" and (match := _GET.fullmatch(path)):
            return self._get(match)
        raise invalid_argument(f"Malformed request: {request.method} {path}")

    def _get(self, match: re.Match[str]) -> bytes:
        name, version = _model(match), _version(match)
        if match["metadata"]:
            self._refuse_label(match)
            return metadata_answer(self._manager.servable(name, version))
        return status_answer(self._manager.statuses(name, version))

    async def _post(self, match: re.Match[str], request: Request) -> bytes:
        verb = match["verb"]
        if verb not in ("predict", "classify", "regress"):
            raise invalid_argument(f"Malformed request: POST {match.string}")
        name, version = _model(match), _version(match)
        if verb != "predict":
            raise StatusError(Code.UNIMPLEMENTED, f":{verb} is not implemented by this server yet; use :predict")
        try:
            self._refuse_label(match)
            servable = self._manager.servable(name, version)
        except StatusError:
            if request.size <= _SMALL_BODY:
                _parsed(request.body())  # as upstream, errors in the body come before those in the model's name
            raise

        def answer(limits: RunLimits) -> bytes:
            return _predict(servable, request.body(), limits)

        # A packed body may be a thousand times larger than it looks: never on the event loop.
        size = LARGEST_BODY if "content-encoding" in request.headers else request.size
        return await self._dispatcher.run(servable, size, self._timeout_ms, answer)

    def _refuse_label(self, match: re.Match[str]) -> None:
        if match["label"]:
            raise invalid_argument(f"Unrecognized servable version label: {unquote(match['label'])}")


def _model(match: re.Match[str]) -> str:
    if not match["name"]:
        raise invalid_argument("Missing model name in request.")
    return unquote(match["name"])


def _version(match: re.Match[str]) -> int | None:
    if match["version"] is None:
        return None
    digits = match["version"].lstrip("0") or "0"
    if len(digits) > 19 or int(digits) >= 1 << 63:
        raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
    return int(digits)


def _parsed(body: bytes) -> dict[str, Any]:
    """The request's JSON object with a `signature_name` that is a string."""
    request = json_document.parse(body)
    if not isinstance(request, dict):
        raise invalid_argument(f"JSON Value: {json_document.shown(request)} Is not object")
    if not isinstance(request.get("signature_name", ""), str):
        raise invalid_argument(
            f"JSON Value: {json_document.shown(request)} not formatted correctly. 'signature_name' key must be a "
            "string value."
        )
    return request


def _predict(servable: Servable, body: bytes, limits: RunLimits) -> bytes:
    if numbers := json_numbers.read(body, servable.signatures):
        signature_name, inputs, by_rows = numbers.signature_name, numbers.inputs, numbers.by_rows
    else:
        request = _parsed(body)
        signature_name = request.get("signature_name") or DEFAULT_SIGNATURE
        inputs, by_rows = json_tensor.tensors(request, _input_types(servable, signature_name))
    results = predict(servable, inputs, signature_name=signature_name, limits=limits)
    return json_answer.predictions(results) if by_rows else json_answer.outputs(results)


def _input_types(servable: Servable, signature_name: str) -> dict[str, int]:
    if signature_name not in servable.signatures:
        raise invalid_argument(f'Serving signature name: "{signature_name}" not found in signature def')
    types = servable.signatures[signature_name].input_types
    if not types:
        raise invalid_argument(f"Failed to get input map for signature: {signature_name}")
    return types
