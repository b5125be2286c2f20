"""The REST API: HTTP in, HTTP out. Routes and answers are TensorFlow Serving's (http_rest_api_handler.cc)."""

import asyncio
import logging
import re
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import unquote

from labkit.serving.embedded import json_answer, rest_steps
from labkit.serving.embedded.dispatch import Dispatcher
from labkit.serving.embedded.http_server import LARGEST_BODY, Request, Response
from labkit.serving.embedded.manager import ModelManager
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.status_answers import metadata_answer, status_answer
from labkit.serving.embedded.steps import StepTimes, timed

if TYPE_CHECKING:
    from labkit.serving.embedded.metrics import Metrics

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

    def __init__(
        self,
        manager: ModelManager,
        dispatcher: Dispatcher,
        *,
        timeout_ms: int,
        cors: bool,
        metrics: "Metrics | None" = None,
    ) -> None:
        """Ready to answer.

        Args:
            manager: keeps the models.
            dispatcher: runs the requests.
            timeout_ms: longest run of a model for one request.
            cors: answer with CORS headers.
            metrics: counts every request under ``/v1/``, and is to be had at its own path.
        """
        self._manager = manager
        self._dispatcher = dispatcher
        self._timeout_ms = timeout_ms
        self._headers = {**_JSON, **(_CORS if cors else {})}
        self._metrics = metrics

    async def answer(self, request: Request) -> Response:
        """One request to one response; every error becomes an answer with its status."""
        if self._metrics and request.target == self._metrics.path:
            return Response(self._metrics.page(), headers={"Content-Type": "text/plain"})
        if request.target[:4].lower() != "/v1/":
            return Response(_NOT_FOUND_PAGE, 404, {"Content-Type": "text/html"})
        started, match = perf_counter(), _match(request)
        times = StepTimes(started) if self._metrics and request.method == "POST" else None
        code, response = await self._answered(request, match, times)
        if self._metrics:
            name = unquote(match["name"] or "") if match else ""
            api = match["verb"] if match and request.method == "POST" else ""
            seconds = perf_counter() - started
            self._metrics.note_request(name, api, "REST", code, seconds, times, known=name in self._manager.models)
        return response

    async def _answered(
        self, request: Request, match: re.Match[str] | None, times: StepTimes | None
    ) -> tuple[Code, Response]:
        if request.method == "OPTIONS":
            return self._preflight(request)
        try:
            return Code.OK, Response(await self._route(request, match, times), headers=self._headers)
        except StatusError as error:
            failure = error
        except Exception:
            logger.exception("A %s request to %s failed", request.method, request.target)
            failure = StatusError(Code.INTERNAL, "The server failed on this request; its log has the details")
        body = json_answer.document({"error": failure.message})
        return failure.code, Response(body, failure.http_status, self._headers)

    def _preflight(self, request: Request) -> tuple[Code, Response]:
        origin = request.headers.get("origin", "")
        known = "http://" in origin or "https://" in origin
        code = Code.OK if known else Code.FAILED_PRECONDITION
        return code, Response(status=200 if known else 400, headers=self._headers)

    async def _route(self, request: Request, match: re.Match[str] | None, times: StepTimes | None) -> bytes:
        if match and request.method == "GET":
            return self._get(match)
        if match and match["verb"] in rest_steps.STEPS:  # which the route itself takes in capitals, too
            return await self._post(match, request, times)
        raise invalid_argument(f"Malformed request: {request.method} {request.target}")

    def _get(self, match: re.Match[str]) -> bytes:
        name, version = _model(match), _version(match)
        if match["metadata"] == "/metadata":  # upstream compares it as it is: in capitals it is the status
            return metadata_answer(self._manager.servable(name, version, _label(match)))
        return status_answer(self._manager.statuses(name, version))

    async def _post(self, match: re.Match[str], request: Request, times: StepTimes | None) -> bytes:
        verb, name, version = match["verb"], _model(match), _version(match)
        # A packed body may be a thousand times larger than it looks: never on the event loop.
        size = LARGEST_BODY if "content-encoding" in request.headers else request.size
        try:
            servable = self._manager.servable(name, version, _label(match))
        except StatusError:
            # As upstream, errors in the body come before those in the model's name.
            if size <= _SMALL_BODY:
                rest_steps.check(verb, request)
            else:
                await asyncio.to_thread(rest_steps.check, verb, request)
            raise
        steps = rest_steps.STEPS[verb](servable, request)
        return await self._dispatcher.run(servable, size, self._timeout_ms, timed(steps, times) if times else steps)


def _match(request: Request) -> re.Match[str] | None:
    """What the path says, if it is a path of this API."""
    pattern = {"POST": _POST, "GET": _GET}.get(request.method)
    return pattern.fullmatch(request.target) if pattern else None


def _model(match: re.Match[str]) -> str:
    if not match["name"]:
        raise invalid_argument("Missing model name in request.")
    return unquote(match["name"])


def _label(match: re.Match[str]) -> str | None:
    return unquote(match["label"]) if match["label"] else None


def _version(match: re.Match[str]) -> int | None:
    if match["version"] is None:
        return None
    digits = match["version"].lstrip("0") or "0"
    if len(digits) > 19 or int(digits) >= 1 << 63:
        raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
    return int(digits)
