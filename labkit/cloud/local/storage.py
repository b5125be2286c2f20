"""`storage.googleapis.com`: the JSON API, the XML API, batches; everything in memory."""

import re
import sys
import traceback
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from labkit.cloud.local.accounts import STORAGE_PATHS
from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.storage_batch import answer_batch
from labkit.cloud.local.storage_buckets import Buckets
from labkit.cloud.local.storage_call import Call, answer_json
from labkit.cloud.local.storage_copies import Copies
from labkit.cloud.local.storage_errors import StorageError
from labkit.cloud.local.storage_objects import StoredObjects
from labkit.cloud.local.storage_store import Store
from labkit.cloud.local.storage_uploads import Uploads
from labkit.cloud.local.storage_xml import XmlApi

Handler = Callable[[Call], HttpAnswer]
_API = "/storage/v1"
_BUCKET = _API + "/b/{bucket}"
_OBJECT = _BUCKET + "/o/{object}"
_UPLOAD = r"(?:/upload|/resumable/upload)" + _BUCKET + "/o"


class Storage:
    """Answers what is asked of storage; many threads may ask at once.

    Args:
        project_number: whose the buckets are.

    Attributes:
        store: what is in the buckets.
        buckets: makes new ones.
    """

    def __init__(self, project_number: str = "123456789012") -> None:
        self.store = Store(project_number)
        self.buckets = Buckets(self.store)
        self._json = _json_routes(self.store, self.buckets)
        xml = XmlApi(self.store)
        self._xml: dict[str, Handler] = {
            "GET": xml.get,
            "HEAD": xml.get,
            "PUT": xml.put,
            "POST": xml.post,
            "DELETE": xml.delete,
        }

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Answer one HTTP request; whatever goes wrong is an answer, too."""
        path = urlsplit(request.target).path
        is_json = path.startswith(STORAGE_PATHS)
        try:
            return self._json_answer(request, path) if is_json else self._xml_answer(request, path)
        except StorageError as error:
            return error.as_json() if is_json else error.as_xml()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            failure = StorageError(500, "internalError", f"{type(error).__name__}: {error}")
            return failure.as_json() if is_json else failure.as_xml()

    def _json_answer(self, request: HttpRequest, path: str) -> HttpAnswer:
        if path.startswith("/batch/") and request.method == "POST":
            return answer_batch(request, self.answer)
        method = request.headers.get("x-http-method-override", request.method)
        for route_method, pattern, handler in self._json:
            if route_method == method and (found := pattern.fullmatch(path)):
                return handler(_call(request, found.groupdict()))
        raise StorageError(501, "notImplemented", f"{method} {path} is not part of the local cloud's storage.")

    def _xml_answer(self, request: HttpRequest, path: str) -> HttpAnswer:
        bucket, _, name = path.removeprefix("/").partition("/")
        if request.host.endswith(".storage.googleapis.com"):
            bucket, name = request.host.removesuffix(".storage.googleapis.com"), path.removeprefix("/")
        handler = self._xml.get(request.method)
        if handler is None or not bucket or not name:
            raise StorageError(
                501, "notImplemented", f"{request.method} {path} is not part of the local cloud's storage."
            )
        return handler(_call(request, {"bucket": bucket, "object": name}))


def _call(request: HttpRequest, names: dict[str, str]) -> Call:
    query = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
    return Call(request, {key: unquote(value) for key, value in names.items()}, dict(query))


def _json_routes(store: Store, buckets: Buckets) -> list[tuple[str, re.Pattern[str], Handler]]:
    objects, copies, uploads = StoredObjects(store), Copies(store), Uploads(store)
    to_object = "/b/{to_bucket}/o/{to_object}"
    routes: list[tuple[str, str, Handler]] = [
        ("POST", _UPLOAD, uploads.insert),
        ("PUT", _UPLOAD, uploads.resume),
        ("DELETE", _UPLOAD, uploads.cancel),
        ("GET", _OBJECT, objects.get),
        ("GET", "/download" + _OBJECT, objects.download),
        ("GET", _BUCKET + "/o", objects.list),
        ("PATCH", _OBJECT, objects.patch),
        ("PUT", _OBJECT, objects.update),
        ("DELETE", _OBJECT, objects.delete),
        ("GET", _OBJECT + "/acl", objects.access),
        ("POST", _OBJECT + "/rewriteTo" + to_object, copies.rewrite),
        ("POST", _OBJECT + "/copyTo" + to_object, copies.copy),
        ("POST", _OBJECT + "/moveTo/o/{to_object}", copies.move),
        ("POST", _OBJECT + "/compose", copies.compose),
        ("GET", _API + "/b", buckets.list),
        ("POST", _API + "/b", buckets.insert),
        ("GET", _BUCKET, buckets.get),
        ("PATCH", _BUCKET, buckets.patch),
        ("PUT", _BUCKET, buckets.patch),
        ("DELETE", _BUCKET, buckets.delete),
        ("GET", _BUCKET + "/storageLayout", buckets.layout),
        ("GET", _BUCKET + "/notificationConfigs", buckets.notifications),
        ("GET", _BUCKET + "/iam", buckets.access),
        ("PUT", _BUCKET + "/iam", buckets.access),
        ("GET", _BUCKET + "/iam/testPermissions", buckets.access),
        ("GET", _BUCKET + "/acl", buckets.access),
        ("GET", _BUCKET + "/defaultObjectAcl", buckets.access),
        ("GET", _API + "/projects/{project}/serviceAccount", _service_account),
    ]
    return [
        (method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), handler) for method, path, handler in routes
    ]


def _service_account(call: Call) -> HttpAnswer:
    address = f"service-{call.names['project']}@gs-project-accounts.iam.gserviceaccount.com"
    return answer_json({"kind": "storage#serviceAccount", "email_address": address})
