"""What is in the buckets, for the services in this process: by ``gs://`` addresses, without HTTP."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labkit.cloud.local.status import invalid, not_found
from labkit.cloud.local.storage import Storage
from labkit.cloud.local.storage_checksums import Checksums
from labkit.cloud.local.storage_errors import StorageError
from labkit.cloud.local.storage_store import sums_of


@dataclass(frozen=True)
class ObjectInfo:
    """An object in a listing.

    Attributes:
        uri: where it is, as in ``gs://bucket/model/saved_model.pb``.
        name_below_prefix: its name behind the listing's, as in ``saved_model.pb``.
    """

    uri: str
    name_below_prefix: str


class Objects:
    """Buckets and objects by their addresses. Whatever is missing raises `ApiError` with the address in its words.

    Args:
        storage: what answers for them over HTTP.
    """

    def __init__(self, storage: Storage) -> None:
        self._store = storage.store
        self._buckets = storage.buckets

    @staticmethod
    def split(uri: str) -> tuple[str, str]:
        """Bucket and name of an address; the name may be empty.

        Raises:
            ApiError: INVALID_ARGUMENT, it is no ``gs://`` address.
        """
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        if not uri.startswith("gs://") or not bucket:
            raise invalid(f"Invalid Cloud Storage URI {uri!r}. Expected gs://BUCKET/NAME.")
        return bucket, name

    def bucket(self, uri: str) -> str:
        """The bucket of an address."""
        return self.split(uri)[0]

    def create_bucket(self, name: str) -> None:
        """Make a bucket; one that is there stays as it is."""
        try:
            self._buckets.create(name)
        except StorageError as error:
            if error.status != 409:
                raise

    def check_bucket(self, name: str) -> None:
        """Raise NOT_FOUND unless there is this bucket."""
        if name not in self._store.buckets:
            raise not_found(f"The Cloud Storage bucket gs://{name} does not exist.")

    def exists(self, uri: str) -> bool:
        """Whether there is an object of exactly this address."""
        bucket, name = self.split(uri)
        return name in self._store.objects.get(bucket, {})

    def below(self, prefix_uri: str) -> list[ObjectInfo]:
        """The objects below an address, in order.

        Args:
            prefix_uri: a folder, with or without a ``/`` at its end; or with ``*`` at its end, how the names start.
        """
        bucket, prefix = self.split(prefix_uri)
        self.check_bucket(bucket)
        if prefix.endswith("*"):
            prefix = prefix[:-1]
        elif prefix and not prefix.endswith("/"):
            prefix += "/"
        with self._store.lock:
            found = list(self._store.objects.get(bucket, {}))
        return [
            ObjectInfo(f"gs://{bucket}/{name}", name[len(prefix) :])
            for name in sorted(found, key=str.encode)
            if name.startswith(prefix)
        ]

    def read(self, uri: str) -> bytes:
        """An object's content."""
        bucket, name = self.split(uri)
        self.check_bucket(bucket)
        try:
            return self._store.with_content(bucket, name)[1]
        except StorageError:
            raise not_found(f"There is no object {uri}.") from None

    def write(self, uri: str, data: bytes | memoryview) -> None:
        """Write an object in the place of what was there."""
        bucket, name = self.split(uri)
        self.check_bucket(bucket)
        content, fields = bytes(data), {"contentType": "application/octet-stream"}
        self._store.write(bucket, name, content, sums_of(Checksums(content)), fields)

    def remove_folder(self, uri: str) -> None:
        """Remove the objects below an address; a bucket that is not there is no error."""
        bucket, _ = self.split(uri)
        if bucket not in self._store.buckets:
            return
        for info in self.below(uri):
            with suppress(StorageError):  # somebody else has removed it
                self._store.delete(bucket, self.split(info.uri)[1])

    def download_folder(self, uri: str, folder: Path) -> list[Path]:
        """Write the objects below an address as files.

        Args:
            uri: a folder in a bucket.
            folder: where to, made if it is not there.

        Returns:
            The files, in order; objects that stand for empty folders become folders.

        Raises:
            ApiError: NOT_FOUND, there is nothing; INVALID_ARGUMENT, an object's name leads out of `folder`, or is one
                of a file and of a folder at once.
        """
        found = self.below(uri)
        if not found:
            raise not_found(f"There is nothing below {uri}.")
        folder.mkdir(parents=True, exist_ok=True)
        root = folder.resolve()
        files = []
        for info in found:
            try:
                path = (root / info.name_below_prefix).resolve()
                if not path.is_relative_to(root) or info.name_below_prefix.startswith("/"):
                    raise invalid(f"The object {info.uri} would be written outside of the folder it is copied to.")
                if info.uri.endswith("/"):
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(self.read(info.uri))
                    files.append(path)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise invalid(
                    f"The object {info.uri} cannot be a file: another one is a file or a folder there."
                ) from None
            except (OSError, ValueError) as error:  # too long a name, a NUL in it, no room
                raise invalid(f"The object {info.uri} cannot be a file on this machine: {error}") from None
        return files
