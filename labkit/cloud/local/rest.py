"""Vertex AI's services over REST: the same calls, found by the HTTP rules that the SDK's own REST client follows."""

import importlib
import json
import re
import sys
import traceback
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
from google.api import httpbody_pb2
from google.protobuf import json_format

from labkit.cloud.local import accounts
from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.services import PACKAGE, VERTEX, Answer, Services
from labkit.cloud.local.status import ApiError, invalid, unimplemented

_OPERATIONS = "google.longrunning.Operations"
_LOCATIONS = "google.cloud.location.Locations"
_JSON = {"Content-Type": "application/json; charset=UTF-8"}
_PLACE = "projects/*/locations/*"
# https://cloud.google.com/apis/docs/system-parameters; those that start with $ have no other meaning either.
_SYSTEM = ("access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser")


@dataclass(frozen=True)
class Route:
    """One HTTP rule: what a method and a path mean."""

    method: str
    path: re.Pattern[str]
    service: str
    rpc: str
    body: str | None


def error_answer(error: ApiError) -> HttpAnswer:
    """An error as Google's REST APIs write it: https://cloud.google.com/apis/design/errors#http_mapping."""
    return accounts.error(error.http_status, error.code.name, error.message)


class RestServices:
    """The REST door of the services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._routes = [*_mixed_in(), *(route for name in VERTEX for route in _routes(name))]

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one HTTP request; whatever goes wrong is an answer, too."""
        try:
            return self._answer(request)
        except ApiError as error:
            return error_answer(error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return error_answer(ApiError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"))

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        target = urlsplit(request.target)
        route, found = self._route(request.method, unquote(target.path))
        query = parse_qs(target.query, keep_blank_values=True)
        kind = self._services.request_type(route.service, route.rpc)
        if route.rpc == "RawPredict":
            content_type = request.headers.get("content-type", "application/json")
            body = httpbody_pb2.HttpBody(content_type=content_type, data=request.body)
            message = kind(endpoint=found["endpoint"], http_body=body)
        else:
            message = _message(kind, route, found, query, request.body)
        answer = self._services.call(route.service, route.rpc, message)
        return _http(answer, as_numbers="enum-encoding=int" in query.get("$alt", [""])[0])

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        for route in self._routes:
            if route.method == method and (match := route.path.fullmatch(path)):
                return route, {name.replace("__", "."): value for name, value in match.groupdict().items()}
        raise unimplemented(f"{method} {path}")


def _message(kind: Any, route: Route, found: dict[str, str], query: dict[str, list[str]], body: bytes) -> Any:
    fields: dict[str, Any] = {}
    if body and route.body:
        try:
            content = json.loads(body)
        except ValueError as error:
            raise invalid(f"Invalid JSON payload received. {error}") from None
        fields = content if route.body == "*" else {route.body: content}
    if not isinstance(fields, dict):
        raise invalid("Invalid JSON payload received. Expected an object.")
    for path, values in query.items():
        if not path.startswith("$") and path not in _SYSTEM:
            _set(fields, path, values[0])
    for path, value in found.items():
        _set(fields, path, value)
    try:
        return json_format.ParseDict(fields, kind(), ignore_unknown_fields=False)
    except json_format.ParseError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from None


def _set(fields: dict[str, Any], path: str, value: str) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        fields = fields.setdefault(parent, {})
        if not isinstance(fields, dict):
            raise invalid(f"Invalid JSON payload received. Expected an object as {parent}, got {fields!r}.")
    fields[last] = value


def _http(answer: Answer, *, as_numbers: bool) -> HttpAnswer:
    if isinstance(answer.message, httpbody_pb2.HttpBody):
        return HttpAnswer(200, {"Content-Type": answer.message.content_type, **answer.headers}, answer.message.data)
    text = json_format.MessageToJson(answer.message, use_integers_for_enums=as_numbers)
    return HttpAnswer(200, {**_JSON, **answer.headers}, text.encode())


def _routes(service: str) -> list[Route]:
    """The HTTP rules of a service's RPCs, those that are not answered here included: they must be named, too."""
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", service).lower()
    module = importlib.import_module(f"google.cloud.aiplatform_v1.services.{snake}.transports.rest_base")
    found = []
    for name, rules in vars(getattr(module, f"_Base{service}RestTransport")).items():
        if name.startswith("_Base") and hasattr(rules, "_get_http_options"):
            for rule in rules._get_http_options():
                rpc = name.removeprefix("_Base")
                found.append(_rule(rule["method"], rule["uri"], f"{PACKAGE}.{service}", rpc, rule.get("body")))
    return found


def _mixed_in() -> list[Route]:
    operation = _PLACE + "/**/operations/*"
    return [
        _rule("get", "/v1/{name=projects/*}/locations", _LOCATIONS, "ListLocations", None),
        _rule("get", f"/v1/{{name={_PLACE}}}", _LOCATIONS, "GetLocation", None),
        *(
            _rule(method, f"/{prefix}/{{name={path}}}{suffix}", _OPERATIONS, rpc, body)
            for prefix in ("v1", "ui")
            for path, collection in ((operation, _PLACE + "/**"), (f"{_PLACE}/operations/*", _PLACE))
            for method, path, suffix, rpc, body in (
                ("get", path, "", "GetOperation", None),
                ("delete", path, "", "DeleteOperation", None),
                ("post", path, ":wait", "WaitOperation", "*"),
                ("post", path, ":cancel", "CancelOperation", "*"),
                ("get", collection, "/operations", "ListOperations", None),
            )
        ),
    ]


def _rule(method: str, uri: str, service: str, rpc: str, body: str | None) -> Route:
    """A rule of https://google.aip.dev/127 as a regular expression."""

    def variable(match: re.Match[str]) -> str:
        name, pattern = match[1].replace(".", "__"), match[2].replace("**", ".+").replace("*", "[^/:]+")
        return f"(?P<{name}>{pattern})"

    path = re.sub(r"\{([\w.]+)=([^}]*)\}", variable, uri)
    return Route(method.upper(), re.compile(path), service, rpc, body)
