"""The instances of a batch prediction job, read from its files one after the other."""

import csv
import gzip
import io
import re
import shutil
import tempfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from labkit.cloud.local.status import ApiError, invalid
from labkit.serving.embedded.tfrecord import TFRecordError, records

if TYPE_CHECKING:
    from labkit.cloud.local.objects import Objects


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance, or one place in a file where there should be one.

    Attributes:
        sent: what the container gets, as JSON.
        shown: what the output says it is, as JSON.
        label: the output's name for that, ``instance`` or ``key``.
        problem: why there is nothing to send; empty if there is.
    """

    sent: bytes
    shown: bytes
    label: str = "instance"
    problem: str = ""


@dataclass(frozen=True)
class Shape:
    """How what a file holds becomes an instance: a job's `instance_config`.

    Attributes:
        kind: ``object``, ``array``, or empty, as it stands in the file.
        key: the field that names an instance in the output and is not sent.
        included: the fields that are sent, for arrays in this order; empty for all.
        excluded: the fields that are not sent.
    """

    kind: str = ""
    key: str = ""
    included: Sequence[str] = ()
    excluded: Sequence[str] = ()

    @property
    def plain(self) -> bool:
        """Whether instances are sent as they are."""
        return not (self.kind or self.key or self.included or self.excluded)

    def instance(self, value: Any, shown: bytes) -> Instance:
        """The instance that a line's value is.

        Raises:
            ValueError: it does not fit; the words say how.
        """
        if isinstance(value, dict):
            label, shown = self._label(value, shown)
            return Instance(orjson.dumps(self._of_object(value)), shown, label)
        if self.key or self.included or self.excluded or self.kind == "object":
            raise ValueError(f"Expected a JSON object, as instance_config asks for, got {_kind(value)}.")
        if self.kind == "array" and not isinstance(value, list):
            raise ValueError(f"Expected a JSON array, as instance_config asks for, got {_kind(value)}.")
        return Instance(orjson.dumps(value), shown)

    def row(self, columns: Sequence[str], cells: list[Any]) -> Instance:
        """The instance that a row of a table is: an array.

        Raises:
            ValueError: it does not fit; the words say how.
        """
        if len(cells) != len(columns):
            raise ValueError(f"Expected {len(columns)} values, one for each column of the header, got {len(cells)}.")
        value = dict(zip(columns, cells, strict=True))
        label, shown = self._label(value, orjson.dumps(cells))
        wanted = self.included or [name for name in columns if name not in (self.key, *self.excluded)]
        return Instance(orjson.dumps([self._field(value, name) for name in wanted]), shown, label)

    def _of_object(self, value: dict[str, Any]) -> Any:
        if self.kind == "array":
            return [self._field(value, name) for name in self.included]
        if self.included:
            return {name: self._field(value, name) for name in self.included}
        return {name: each for name, each in value.items() if name != self.key and name not in self.excluded}

    def _label(self, value: dict[str, Any], shown: bytes) -> tuple[str, bytes]:
        return ("key", orjson.dumps(self._field(value, self.key))) if self.key else ("instance", shown)

    @staticmethod
    def _field(value: dict[str, Any], name: str) -> Any:
        if name not in value:
            raise ValueError(f"There is no field {name!r}, which instance_config names; there is {', '.join(value)}.")
        return value[name]


def find(objects: "Objects", uris: Sequence[str]) -> list[str]:
    """The files that addresses with or without wildcards mean, each once.

    Raises:
        ApiError: one means no file, or its bucket is not there.
    """
    found: dict[str, None] = {}
    for uri in uris:
        start = re.split(r"[*?\[]", uri, maxsplit=1)[0]
        if start == uri:
            objects.check_bucket(objects.bucket(uri))
            matched = [uri] if objects.exists(uri) else []
        else:
            pattern = _pattern(uri)
            matched = [info.uri for info in objects.below(start + "*") if pattern.fullmatch(info.uri)]
        if not matched:
            raise invalid(f"The input {uri} matched no files.")
        found.update(dict.fromkeys(matched))
    return list(found)


def _pattern(uri: str) -> re.Pattern[str]:
    """Cloud Storage's wildcards: ``*`` and ``?`` stop at a slash, ``**`` does not."""
    stand_for = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?|\[[^\]/]+\])", uri)
    return re.compile(
        "".join(
            stand_for.get(part) or (part if part[:1] == "[" and len(part) > 2 else re.escape(part)) for part in parts
        )
    )


def instances(objects: "Objects", uri: str, format: str, shape: Shape) -> Iterator[Instance]:
    """The instances in one file, in order; what is no instance is there with its problem.

    Args:
        objects: where the file is.
        uri: its address.
        format: one of `FORMATS`.
        shape: how what it holds becomes instances.
    """
    try:
        content = objects.read(uri)
    except ApiError as error:  # it was there when the job looked
        yield Instance(b"", orjson.dumps(uri), problem=error.message)
        return
    yield from FORMATS[format](content, shape, objects, uri)


def _json_lines(content: bytes, shape: Shape, objects: "Objects", uri: str) -> Iterator[Instance]:
    for number, line in _lines(content):
        try:
            value = orjson.loads(line)
            yield Instance(line, line) if shape.plain else shape.instance(value, line)
        except ValueError as error:
            yield _bad(line, f"{uri}, line {number}: {error}")


def _table(content: bytes, shape: Shape, objects: "Objects", uri: str) -> Iterator[Instance]:
    columns: list[str] | None = None
    for number, line in _lines(content):
        try:
            text = line.decode()
            if columns is None:
                columns = next(csv.reader([text]))
            else:
                yield shape.row(columns, _cells(text))
        except (ValueError, csv.Error) as error:
            if columns is None:
                raise invalid(f"{uri}: the header is no line of CSV: {error}") from None
            yield _bad(line, f"{uri}, line {number}: {error}")


def _cells(line: str) -> list[Any]:
    try:
        return next(csv.reader([line], quoting=csv.QUOTE_NONNUMERIC, strict=True))
    except ValueError as error:
        raise ValueError(f'{error}. Values without quotes are numbers; write others as "text".') from None


def _records(content: bytes, shape: Shape, objects: "Objects", uri: str) -> Iterator[Instance]:
    yield from _records_of(io.BytesIO(content), uri)


def _zipped_records(content: bytes, shape: Shape, objects: "Objects", uri: str) -> Iterator[Instance]:
    yield from _records_of(gzip.GzipFile(fileobj=io.BytesIO(content)), uri)


def _records_of(source: io.BufferedIOBase, uri: str) -> Iterator[Instance]:
    """A damaged file gives what comes before the damage, and one problem for all behind it."""
    problem = ""
    with tempfile.TemporaryFile() as file:
        try:
            shutil.copyfileobj(source, file)
        except (OSError, EOFError, zlib.error) as error:
            problem = f"{uri}: {error}"
        file.seek(0)
        try:
            for record in records(file):
                sent = _encoded(record)
                yield Instance(sent, sent)
        except TFRecordError as error:
            problem = problem or f"{uri}: {error}"
    if problem:
        yield Instance(b"", orjson.dumps(uri), problem=problem)


def _listed_files(content: bytes, shape: Shape, objects: "Objects", uri: str) -> Iterator[Instance]:
    for number, line in _lines(content):
        address = line.decode(errors="replace")
        try:
            yield Instance(_encoded(objects.read(address)), orjson.dumps(address))
        except ApiError as error:
            yield _bad(line, f"{uri}, line {number}: {error.message}")


def _encoded(content: bytes) -> bytes:
    return b'{"b64":"' + b64encode(content) + b'"}'


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that are not empty, with their numbers from 1."""
    file = io.BytesIO(content.removeprefix(b"\xef\xbb\xbf"))
    for number, line in enumerate(file, 1):
        if line := line.strip():
            yield number, line


def _bad(line: bytes, problem: str) -> Instance:
    return Instance(b"", orjson.dumps(line.decode(errors="replace")), problem=problem)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


FORMATS: dict[str, Callable[[bytes, Shape, "Objects", str], Iterator[Instance]]] = {
    "jsonl": _json_lines,
    "csv": _table,
    "tf-record": _records,
    "tf-record-gzip": _zipped_records,
    "file-list": _listed_files,
}
