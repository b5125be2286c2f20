"""Objects made from others: copied, rewritten, moved, composed."""

from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.storage_call import Call, answer_json, described
from labkit.cloud.local.storage_checksums import Checksums
from labkit.cloud.local.storage_conditions import Conditions
from labkit.cloud.local.storage_errors import refused
from labkit.cloud.local.storage_store import Resource, Store

_SUMS = ("crc32c", "md5Hash", "componentCount")
_MOST_SOURCES = 32


class Copies:
    """Answers to what makes an object from others.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def copy(self, call: Call) -> HttpAnswer:
        return answer_json(described(self._copied(call), call.base))

    def rewrite(self, call: Call) -> HttpAnswer:
        """A copy; always done in one call, which Google's is not between places and for much."""
        new = self._copied(call)
        content = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": new["size"],
            "objectSize": new["size"],
            "done": True,
            "resource": described(new, call.base),
        }
        return answer_json(content)

    def move(self, call: Call) -> HttpAnswer:
        """A new name within the bucket, at once."""
        with self._store.lock:
            new = self._copied(call)
            if call.place[1] != new["name"]:
                self._store.delete(*call.place)
        return answer_json(described(new, call.base))

    def compose(self, call: Call) -> HttpAnswer:
        """Objects one after the other; it has no MD5 then, as at Google's."""
        body = call.json()
        sources = body.get("sourceObjects") or []
        if not 1 <= len(sources) <= _MOST_SOURCES:
            raise refused(
                f"The number of source components provided ({len(sources)}) is not within 1 to {_MOST_SOURCES}."
            )
        bucket, name = call.place
        found = []
        for source in sources:
            resource, content = self._store.with_content(
                bucket, source.get("name", ""), str(source.get("generation") or "")
            )
            Conditions.of(source.get("objectPreconditions") or {}).check(resource)
            found.append((resource, content))
        content = b"".join(content for _, content in found)
        count = sum(resource.get("componentCount", 1) for resource, _ in found)
        sums = {"crc32c": Checksums(content).crc32c, "componentCount": count}
        fields = {"contentType": found[0][0]["contentType"], **(body.get("destination") or {})}
        new = self._store.write(bucket, name, content, sums, fields, Conditions.of(call.query))
        return answer_json(described(new, call.base))

    def _copied(self, call: Call) -> Resource:
        with self._store.lock:
            old, content = self._store.with_content(*call.place, call.query.get("sourceGeneration", ""))
            Conditions.of(call.query, "ifSource").check(old)
            sums = {key: old[key] for key in _SUMS if key in old}
            fields = call.json()
            if "contentType" not in fields:
                fields = (
                    {**old, **fields}
                    if set(fields) <= {"storageClass"}
                    else {"contentType": old["contentType"], **fields}
                )
            bucket, name = call.names.get("to_bucket", call.names["bucket"]), call.names["to_object"]
            return self._store.write(bucket, name, content, sums, fields, Conditions.of(call.query))
