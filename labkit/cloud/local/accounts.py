"""Which of Google's hosts answers what, and the small ones: tokens, projects, a word for the rest."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest

App = Callable[[HttpRequest], HttpAnswer]
STORAGE = "storage.googleapis.com"
# How its JSON API's paths start; what starts otherwise is a bucket's name.
STORAGE_PATHS = (
    "/storage/v1/",
    "/upload/storage/",
    "/download/storage/",
    "/resumable/upload/storage/",
    "/batch/storage/",
)
_LIFETIME = 3599  # seconds, as Google says
_GRANTS = (
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "refresh_token",
)


class Hosts:
    """Hands a request to what stands for its host."""

    def __init__(self, project: str, project_number: str) -> None:
        """Know the one project's id and number."""
        self._apps: dict[str, App] = {}
        self._accounts = Accounts(project, project_number)

    def add(self, suffix: str, app: App) -> None:
        """From now on `app` answers for the host `suffix` and for those whose names end in it after ``.`` or ``-``."""
        self._apps[suffix] = app

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request to any of Google's hosts."""
        host = request.host.lower().rstrip(".").replace(".mtls.", ".")
        if host == "www.googleapis.com" and request.target.startswith(STORAGE_PATHS):
            host = STORAGE  # its first address, still used by some clients
        for suffix, app in self._apps.items():
            if host == suffix or host.endswith((f".{suffix}", f"-{suffix}")):
                return app(request)
        return self._accounts.answer(request)


class Accounts:
    """Hands out tokens that say nothing, and knows one project. Signatures are not checked: nothing is guarded."""

    def __init__(self, project: str, project_number: str) -> None:
        """Know the one project's id and number."""
        self._project, self._number = project, project_number

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request; 404 says what is not part of the local cloud."""
        path = unquote(urlsplit(request.target).path)
        service = request.host.lower().rstrip(".").removesuffix(".googleapis.com").removesuffix(".mtls")
        if service in ("oauth2", "sts", "www") and (service != "www" or path.startswith("/oauth2/")):
            if path.endswith(("/tokeninfo", "/userinfo")):
                return self._identity()
            if path.endswith("/token") and request.method == "POST":
                return _token(request)
        if service in ("iamcredentials", "sts") and path.endswith("/allowedLocations"):
            return _json({"locations": [], "encodedLocations": "0x0"})  # no location is out of bounds
        if service == "iamcredentials" and path.endswith(":generateAccessToken"):
            return _json({"accessToken": "local", "expireTime": "2100-01-01T00:00:00Z"})
        project = re.fullmatch(r"/(v1|v3)/projects/([^/:]+)", path)
        if service == "cloudresourcemanager" and request.method == "GET" and project:
            return self._described(project[1], project[2])
        return _missing(request, path)

    def _identity(self) -> HttpAnswer:
        email = f"lab@{self._project}.iam.gserviceaccount.com"
        scope = "https://www.googleapis.com/auth/cloud-platform"
        return _json({"email": email, "email_verified": "true", "scope": scope, "expires_in": str(_LIFETIME)})

    def _described(self, version: str, project: str) -> HttpAnswer:
        if project not in (self._project, self._number):
            words = (
                f"The caller does not have permission on project {project} (or it may not exist). "
                f"The project of this session is {self._project}."
            )
            return error(403, "PERMISSION_DENIED", words)
        common = {"projectId": self._project, "createTime": "2020-01-01T00:00:00Z"}
        if version == "v1":
            state = {"projectNumber": self._number, "name": self._project, "lifecycleState": "ACTIVE"}
        else:
            state = {"name": f"projects/{self._number}", "displayName": self._project, "state": "ACTIVE"}
        return _json({**common, **state})


def error(code: int, status: str, message: str) -> HttpAnswer:
    """An error as Google's REST APIs write it."""
    return _json({"error": {"code": code, "message": message, "status": status}}, code)


def _token(request: HttpRequest) -> HttpAnswer:
    try:
        form = json.loads(request.body) if request.body[:1] == b"{" else parse_qs(request.body.decode())
    except ValueError:
        form = {}
    grant = form.get("grant_type", form.get("grantType", ""))
    grant = grant[0] if isinstance(grant, list) else grant
    if grant not in _GRANTS:
        words = f"grant_type is {grant!r}; the local cloud knows {', '.join(_GRANTS)}"
        return _json({"error": "unsupported_grant_type", "error_description": words}, 400)
    kind = {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"} if "exchange" in grant else {}
    return _json({"access_token": "local", "expires_in": _LIFETIME, "token_type": "Bearer", **kind})


def _missing(request: HttpRequest, path: str) -> HttpAnswer:
    words = f"{request.method} {path} of {request.host} is not part of the local cloud."
    return error(404, "NOT_FOUND", words)


def _json(content: dict[str, Any], status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(content).encode())
