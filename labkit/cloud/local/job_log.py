"""What a training job writes, line by line, and the part of Cloud Logging's API that reads it."""

import json
import operator
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from labkit.cloud.local.accounts import error
from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.listing import order, selects
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.status import ApiError, invalid

SERVICE = "service"  # the task that speaks for the training service itself
_SINCE = re.compile(r"""\s*(?:AND\s+)?timestamp\s*(?P<operator>>=|<=|>|<)\s*"(?P<moment>[^"]+)"\s*""")
_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_Compare = Callable[[datetime, datetime], bool]
_HEADERS = {"Content-Type": "application/json; charset=UTF-8"}


class JobLog:
    """The log of one job, a file of one JSON object a line.

    Args:
        folder: the job's own folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.jsonl"
        self._lock = threading.Lock()

    def write(self, task: str, text: str, severity: str = "INFO") -> None:
        """Add the lines of `text`, said by `task`, as in ``workerpool0-0``."""
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        lines = [{"timestamp": moment, "task": task, "severity": severity, "text": line} for line in text.splitlines()]
        with self._lock, open(self.path, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def lines(self) -> list[dict[str, str]]:
        """All so far: `timestamp`, `task`, `severity` and `text` of each line."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]  # the last may be half there

    def last(self, task: str, count: int) -> str:
        """The last `count` lines of `task`."""
        return "\n".join([line["text"] for line in self.lines() if line["task"] == task][-count:])


class Tail:
    """The growing end of a file, given to a log in whole lines.

    Args:
        file: what a process writes.
        log: where the lines go.
        task: who says them.
    """

    def __init__(self, file: Path, log: JobLog, task: str) -> None:
        self._file, self._log, self._task = file, log, task
        self._at = 0

    def follow(self, *, ended: bool = False) -> None:
        """Hand over what has come since the last call; half a line waits until the process has `ended`."""
        if self._file.stat().st_size <= self._at:
            return
        with open(self._file, "rb") as file:
            file.seek(self._at)
            new = file.read()
        if not ended:
            new = new[: new.rfind(b"\n") + 1]
        self._at += len(new)
        self._log.write(self._task, new.decode(errors="replace"))


def folder_of(cloud: LocalCloud, job_id: str) -> Path:
    """Where the files of a job lie."""
    return cloud.folder / "training" / job_id


def logging_app(cloud: LocalCloud) -> Callable[[HttpRequest], HttpAnswer]:
    """What answers for ``logging.googleapis.com``: ``POST /v2/entries:list`` about training jobs."""

    def answer(request: HttpRequest) -> HttpAnswer:
        try:
            if (request.method, request.target.partition("?")[0]) != ("POST", "/v2/entries:list"):
                raise invalid(f"Expected POST /v2/entries:list, not {request.method} {request.target}.")
            return HttpAnswer(200, _HEADERS, json.dumps(_page(cloud, _query(request.body))).encode())
        except ApiError as refusal:
            return error(refusal.http_status, refusal.code.name, refusal.message)

    return answer


def _query(body: bytes) -> dict[str, Any]:
    try:
        query = json.loads(body or b"{}")
    except ValueError as problem:
        raise invalid(f"Invalid JSON payload received. {problem}") from None
    if not isinstance(query, dict) or not str(query.get("pageToken") or 0).isdecimal():
        raise invalid("Invalid JSON payload received. Expected an object, with a pageToken of an earlier answer.")
    if not str(query.get("pageSize") or 0).isdecimal():
        raise invalid(f"Invalid JSON payload received. pageSize is {query['pageSize']!r}, no number of entries.")
    for field in ("filter", "orderBy"):
        if not isinstance(query.get(field) or "", str):
            raise invalid(f"Invalid JSON payload received. {field} is {query[field]!r}, no text.")
    return query


def _page(cloud: LocalCloud, query: dict[str, Any]) -> dict[str, Any]:
    text, since = _without_times(query.get("filter") or "")
    found = [entry for entry in _entries(cloud) if selects(text, entry) and all(keep(entry) for keep in since)]
    found = order(found, query.get("orderBy") or "timestamp asc")
    first, size = int(query.get("pageToken") or 0), int(query.get("pageSize") or 1000)
    more = {"nextPageToken": str(first + size)} if first + size < len(found) else {}
    return {"entries": found[first : first + size], **more}


def _without_times(text: str) -> tuple[str, list[Callable[[dict[str, Any]], bool]]]:
    """A filter's comparisons of times, which `gcloud logging read` adds, apart from the others."""
    checks: list[Callable[[dict[str, Any]], bool]] = []
    for match in _SINCE.finditer(text):
        checks.append(partial(_is_on_that_side, _moment(match["moment"]), _COMPARE[match["operator"]]))
    rest = re.sub(r"^\s*AND\b|\bAND\s*$", "", _SINCE.sub(" ", text)).strip()
    return re.sub(r"(?:\bAND)?\s*\n\s*(?:AND\b)?\s*", " AND ", rest), checks


def _is_on_that_side(moment: datetime, compare: _Compare, entry: dict[str, Any]) -> bool:
    return compare(_moment(entry["timestamp"]), moment)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"{text!r} is not a time such as 2026-01-31T08:00:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _entries(cloud: LocalCloud) -> Iterator[dict[str, Any]]:
    for file in (cloud.folder / "training").glob("*/log.jsonl"):
        job_id = file.parent.name
        for number, line in enumerate(JobLog(file.parent).lines()):
            labels = {"job_id": job_id, "project_id": cloud.project, "task_name": line["task"]}
            yield {
                "insertId": f"{job_id}-{number:06d}",
                "logName": f"projects/{cloud.project}/logs/{line['task']}",
                "resource": {"type": "ml_job", "labels": labels},
                "timestamp": line["timestamp"],
                "severity": line["severity"],
                "jsonPayload": {"message": line["text"], "levelname": line["severity"]},
            }
