"""The files that a batch prediction job writes."""

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

import orjson

from labkit.cloud.local.batch_requests import Outcome

if TYPE_CHECKING:
    from labkit.cloud.local.objects import Objects

SHARD_BYTES = 16 << 20  # a file that has this many is full


def output_folder(prefix: str, model: str, moment: datetime) -> str:
    """Where a job writes: ``<prefix>/prediction-<model's display name>-2026_07_01T09_30_00_123Z``."""
    utc = moment.astimezone(UTC)
    stamp = f"{utc:%Y_%m_%dT%H_%M_%S}_{utc.microsecond // 1000:03}Z"
    return f"{prefix.rstrip('/')}/prediction-{model}-{stamp}"


class Outputs:
    """Collects outcomes in files of this machine; `publish` writes them to a bucket.

    Lines stand in the order of the instances. Closing it removes what was not published.

    Args:
        folder: where the files of this machine lie.
        shard_bytes: a file that has this many is followed by another.
    """

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self._results = _Shards(folder, shard_bytes)
        self._errors = _Shards(folder, shard_bytes)

    @property
    def successful(self) -> int:
        """How many predictions there are."""
        return self._results.lines

    @property
    def failed(self) -> int:
        """How many instances have none."""
        return self._errors.lines

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Keep what became of some instances."""
        results, errors = [], []
        for outcome in outcomes:
            instance, error = outcome.instance, outcome.error
            start = b'{"%b":%b,' % (instance.label.encode(), instance.shown)
            if error is None:
                results.append(b'%b"prediction":%b}\n' % (start, outcome.prediction))
            else:
                said = {"code": error.code.value[0], "message": error.message}
                errors.append(b'%b"error":%b}\n' % (start, orjson.dumps(said)))
        self._results.write(results)
        self._errors.write(errors)

    def publish(self, objects: "Objects", folder: str) -> None:
        """Write all files below ``folder``; there is one of each kind at least, be it empty.

        Raises:
            ApiError: the bucket is not there.
        """
        self._results.publish(objects, f"{folder}/prediction.results")
        self._errors.publish(objects, f"{folder}/prediction.errors_stats")

    def __enter__(self) -> "Outputs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._results.close()
        self._errors.close()


class _Shards:
    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._open = ExitStack()
        self._files: list[IO[bytes]] = []
        self.lines = 0
        self._another()

    def write(self, lines: list[bytes]) -> None:
        if lines and self._files[-1].tell() >= self._most_bytes:
            self._another()
        self._files[-1].write(b"".join(lines))
        self.lines += len(lines)

    def publish(self, objects: "Objects", name: str) -> None:
        for number, file in enumerate(self._files):
            file.seek(0)
            objects.write(f"{name}-{number:05}-of-{len(self._files):05}", file.read())

    def close(self) -> None:
        self._open.close()

    def _another(self) -> None:
        self._files.append(self._open.enter_context(tempfile.TemporaryFile(dir=self._folder)))  # noqa: SIM115
