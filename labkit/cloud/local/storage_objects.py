"""Objects: https://cloud.google.com/storage/docs/json_api/v1/objects."""

from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.storage_call import Call, answer_json, described
from labkit.cloud.local.storage_conditions import Conditions
from labkit.cloud.local.storage_download import download
from labkit.cloud.local.storage_emulator import passed_on
from labkit.cloud.local.storage_errors import StorageError
from labkit.cloud.local.storage_listing import objects_page
from labkit.cloud.local.storage_store import Resource, Store


class StoredObjects:
    """Answers for objects that are there.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, call: Call) -> HttpAnswer:
        bucket = call.names["bucket"]

        def resource(name: str) -> Resource | None:
            found = self._store.objects.get(bucket, {}).get(name)
            return found and described(found, call.base)

        return answer_json(objects_page(self._store.names(bucket), call.query, resource))

    def get(self, call: Call) -> HttpAnswer:
        """An object's resource, or with ``alt=media`` its content."""
        if call.query.get("alt") == "media":
            return self.download(call)
        resource = self._store.live(*call.place, call.query.get("generation", ""))
        Conditions.of(call.query).check(resource, reading=True)
        return answer_json(described(resource, call.base), {"ETag": resource["etag"]})

    def download(self, call: Call) -> HttpAnswer:
        try:
            resource, content = self._store.with_content(*call.place, call.query.get("generation", ""))
            Conditions.of(call.query).check(resource, reading=True)
            return download(resource, content, call.request.headers)
        except StorageError as error:
            return error.as_text() if error.status != 304 else error.as_json()

    def patch(self, call: Call) -> HttpAnswer:
        return self._change(call, whole=False)

    def update(self, call: Call) -> HttpAnswer:
        return self._change(call, whole=True)

    def delete(self, call: Call) -> HttpAnswer:
        self._store.delete(*call.place, Conditions.of(call.query), call.query.get("generation", ""))
        return HttpAnswer(204)

    def access(self, call: Call) -> HttpAnswer:
        """The access list: kept and handed out, never enforced."""
        self._store.live(*call.place)
        return passed_on(self._store, call.request)

    def _change(self, call: Call, *, whole: bool) -> HttpAnswer:
        new = self._store.change(*call.place, call.json(), Conditions.of(call.query), whole=whole)
        return answer_json(described(new, call.base), {"ETag": new["etag"]})
