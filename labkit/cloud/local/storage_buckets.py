"""Buckets: https://cloud.google.com/storage/docs/json_api/v1/buckets."""

from typing import Any

from gcp_storage_emulator.handlers import buckets as emulator

from labkit.cloud import bucket_names
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.storage_call import Call, answer_json
from labkit.cloud.local.storage_conditions import Conditions
from labkit.cloud.local.storage_emulator import passed_on
from labkit.cloud.local.storage_errors import StorageError, refused
from labkit.cloud.local.storage_listing import page
from labkit.cloud.local.storage_store import Resource, Store, merged

_FIXED = ("kind", "id", "selfLink", "projectNumber", "name", "timeCreated", "updated", "metageneration", "etag")
SERVICE_BUCKETS = "caip-tenant-"  # how the names of Vertex AI's own buckets start, which are in its own projects
_MULTI_REGIONS = ("US", "EU", "ASIA")
_OFF = {"softDeletePolicy": {"retentionDurationSeconds": "0"}}  # or what was deleted would stay in memory for a week


class Buckets:
    """Answers for buckets.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, fields: dict[str, Any] | None = None) -> Resource:
        """Make a bucket.

        Raises:
            StorageError: 400, the name cannot be one; 409, it is there.
        """
        check_name(name)
        with self._store.lock:
            if not emulator.create_bucket(name, self._store):
                raise StorageError(
                    409,
                    "conflict",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )
            return self._changed(name, fields or {}, metageneration=1)

    def insert(self, call: Call) -> HttpAnswer:
        fields = call.json()
        return answer_json(self.create(str(fields.get("name", "")), fields))

    def list(self, call: Call) -> HttpAnswer:
        with self._store.lock:
            names = sorted(name for name in self._store.buckets if not name.startswith(SERVICE_BUCKETS))
            buckets = {name: dict(self._store.buckets[name]) for name in names}
        prefix = call.query.get("prefix", "")
        shown, token = page((name for name in buckets if name.startswith(prefix)), call.query)
        content = {"kind": "storage#buckets", "items": [buckets[name] for name in shown]}
        return answer_json(content | ({"nextPageToken": token} if token else {}))

    def get(self, call: Call) -> HttpAnswer:
        with self._store.lock:
            bucket = self._store.existing_bucket(call.names["bucket"])
            Conditions.of(call.query).check(bucket, reading=True)
            return answer_json(bucket)

    def patch(self, call: Call) -> HttpAnswer:
        """Change what is named; also for PUT, which would take away what is not."""
        fields = call.json()
        with self._store.lock:
            Conditions.of(call.query).check(self._store.existing_bucket(call.names["bucket"]))
            return answer_json(self._changed(call.names["bucket"], fields))

    def delete(self, call: Call) -> HttpAnswer:
        name = call.names["bucket"]
        with self._store.lock:
            Conditions.of(call.query).check(self._store.existing_bucket(name))
            if self._store.objects.get(name):
                raise StorageError(409, "conflict", "The bucket you tried to delete is not empty.")
            self._store.delete_bucket(name)
        return HttpAnswer(204)

    def layout(self, call: Call) -> HttpAnswer:
        """What gcsfs asks for first."""
        with self._store.lock:
            bucket = self._store.existing_bucket(call.names["bucket"])
            shown = {key: bucket[key] for key in ("location", "locationType")}
        flat = {"hierarchicalNamespace": {"enabled": False}}
        return answer_json({"kind": "storage#storageLayout", "bucket": call.names["bucket"], **shown, **flat})

    def notifications(self, call: Call) -> HttpAnswer:
        with self._store.lock:
            self._store.existing_bucket(call.names["bucket"])
        return answer_json({"kind": "storage#notifications"})

    def access(self, call: Call) -> HttpAnswer:
        """Access lists and policies: kept and handed out, never enforced."""
        with self._store.lock:
            self._store.existing_bucket(call.names["bucket"])
        return passed_on(self._store, call.request)

    def _changed(self, name: str, fields: dict[str, Any], metageneration: int = 0) -> Resource:
        old = self._store.buckets[name]
        new = merged(old, {key: value for key, value in fields.items() if key not in _FIXED})
        new["location"] = str(new["location"]).upper()
        new["locationType"] = "multi-region" if new["location"] in _MULTI_REGIONS else "region"
        new["softDeletePolicy"] = {**new["softDeletePolicy"], **_OFF["softDeletePolicy"]}
        new["metageneration"] = str(metageneration or int(old["metageneration"]) + 1)
        return self._store.create_bucket(name, new)


def check_name(name: str) -> None:
    """Raise `StorageError` 400 unless a bucket may have this name."""
    if not bucket_names.fits(name):
        raise refused(f"Invalid bucket name: '{name}'. Expected {bucket_names.RULE}.")
