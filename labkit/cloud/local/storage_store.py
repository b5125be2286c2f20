"""What is in the buckets: gcp-storage-emulator's store in memory, made fit for many connections and for exact names."""

import re
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gcp_storage_emulator import storage as emulator

from labkit.cloud.local.storage_checksums import Checksums
from labkit.cloud.local.storage_conditions import Conditions
from labkit.cloud.local.storage_errors import no_bucket, no_object, refused

Resource = dict[str, Any]
NO_CONDITIONS = Conditions({})
WRITABLE = (
    "acl",
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "metadata",
    "storageClass",
)


class Store(emulator.Storage):
    """Buckets and objects, in memory.

    An object's resource is never changed once it is stored, another takes its place: what `live` hands out may be read
    without the lock.

    Attributes:
        lock: held while anything is looked up and changed.
    """

    def __init__(self, project_number: str) -> None:
        super().__init__(use_memory_fs=True, project_number=project_number)
        self.lock = threading.RLock()
        self._last_generation = 0

    def _write_config_to_file(self) -> None:
        """Nothing: the emulator would write all resources as one JSON document after each request."""

    def _object_path(self, bucket_name: str, file_name: str) -> str:
        # As it is, the emulator takes "a/", "/a" and "a" for one place, and refuses "..".
        return f"{bucket_name}/{quote(file_name, safe='')}"

    def existing_bucket(self, bucket: str) -> Resource:
        """A bucket's resource, as the emulator keeps it: hold the lock while you read it.

        Raises:
            StorageError: 404.
        """
        if bucket not in self.buckets:
            raise no_bucket()
        return self.buckets[bucket]

    def live(self, bucket: str, name: str, generation: str = "") -> Resource:
        """An object's resource.

        Args:
            bucket: its bucket.
            name: its name.
            generation: this one, or none.

        Raises:
            StorageError: 404.
        """
        with self.lock:
            self.existing_bucket(bucket)
            resource = self.objects.get(bucket, {}).get(name)
        if resource is None or (generation and resource["generation"] != generation):
            raise no_object(bucket, name)
        return resource

    def names(self, bucket: str) -> list[str]:
        """The names in a bucket, in Google's order (that of their UTF-8).

        Raises:
            StorageError: 404.
        """
        with self.lock:
            self.existing_bucket(bucket)
            return sorted(self.objects.get(bucket, {}), key=str.encode)

    def with_content(self, bucket: str, name: str, generation: str = "") -> tuple[Resource, bytes]:
        """An object's resource and the content that belongs to it."""
        with self.lock:
            return self.live(bucket, name, generation), self.get_file(bucket, name)

    def write(
        self,
        bucket: str,
        name: str,
        content: bytes,
        sums: Mapping[str, Any],
        fields: Mapping[str, Any],
        conditions: Conditions = NO_CONDITIONS,
    ) -> Resource:
        """Put an object in the place of what was there.

        Args:
            bucket: where to.
            name: its name.
            content: all of it.
            sums: ``crc32c``, and ``md5Hash`` unless it was put together from others.
            fields: what the sender says about it, in the resource's terms; what cannot be written is left out.
            conditions: what must hold for the object that is there.

        Raises:
            StorageError: 404, no such bucket; 412, a condition does not hold; 400, the name cannot be one.
        """
        _check_name(name)
        with self.lock:
            self.existing_bucket(bucket)
            conditions.check(self.objects.get(bucket, {}).get(name))
            resource = self._resource(bucket, name, len(content), {**_writable(fields), **sums})
            self.create_file(bucket, name, content, resource)
        return resource

    def change(
        self, bucket: str, name: str, fields: Mapping[str, Any], conditions: Conditions, *, whole: bool
    ) -> Resource:
        """Change what is said about an object: ``None`` takes a field away.

        Args:
            bucket: its bucket.
            name: its name.
            fields: the new values.
            conditions: what must hold.
            whole: fields that are not named are taken away.
        """
        with self.lock:
            old = self.live(bucket, name)
            conditions.check(old)
            kept = {
                key: value for key, value in old.items() if not (whole and key in WRITABLE and key != "storageClass")
            }
            new = merged(kept, {key: value for key, value in fields.items() if key in WRITABLE})
            new["metageneration"] = str(int(old["metageneration"]) + 1)
            new["updated"] = _now()
            new["etag"] = _etag(new)
            self.objects[bucket][name] = new
        return new

    def delete(self, bucket: str, name: str, conditions: Conditions = NO_CONDITIONS, generation: str = "") -> None:
        """Take an object away, its bytes included.

        Raises:
            StorageError: 404, 412.
        """
        with self.lock:
            conditions.check(self.live(bucket, name, generation))
            self.delete_file(bucket, name)

    def _resource(self, bucket: str, name: str, size: int, fields: Mapping[str, Any]) -> Resource:
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        generation, now = str(self._last_generation), _now()
        resource = {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{generation}",
            "name": name,
            "bucket": bucket,
            "generation": generation,
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "storageClass": self.buckets[bucket].get("storageClass", "STANDARD"),
            "size": str(size),
            "timeCreated": now,
            "updated": now,
            "timeStorageClassUpdated": now,
            "timeFinalized": now,
            **fields,
        }
        return {**resource, "etag": _etag(resource)}


def sums_of(checksums: Checksums) -> dict[str, str]:
    """Checksums as the resource of an object has them."""
    return {"crc32c": checksums.crc32c, "md5Hash": checksums.md5}


def _writable(fields: Mapping[str, Any]) -> Resource:
    return {key: value for key, value in fields.items() if key in WRITABLE and value not in (None, "", {}, [])}


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> Resource:
    """What `JSON merge patch <https://www.rfc-editor.org/rfc/rfc7396>`_ makes of it."""
    new = dict(old)
    for key, value in changes.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = merged(new.get(key) or {}, value) if isinstance(value, dict) else value
    return new


def _check_name(name: str) -> None:
    if not name:
        raise refused("Required object name is missing.")
    if len(name.encode()) > 1024 or name in (".", "..") or re.search(r"[\r\n]", name):
        raise refused(
            f"Invalid object name: {name[:100]!r}. Expected 1 to 1024 bytes of UTF-8, no line ends, not '.' or '..'."
        )


def _etag(resource: Mapping[str, Any]) -> str:
    return b64encode(f"{resource['generation']}/{resource['metageneration']}".encode()).decode()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
