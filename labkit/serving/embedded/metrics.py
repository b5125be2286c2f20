"""Counters and histograms in Prometheus' text format, under TensorFlow Serving's names (util/prometheus_exporter.cc).

What TensorFlow Serving does not count has a name that begins with ``:labkit:serving:``.

The text is written here and not by prometheus_client: that library puts ``_total`` behind the name of every counter
and a ``# HELP`` line before every metric, and neither is in what dashboards for TensorFlow Serving ask for.
"""

import logging
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from labkit.serving.embedded.status import Code, invalid_argument

if TYPE_CHECKING:
    from labkit.serving.embedded.flags import Flags
    from labkit.serving.embedded.steps import StepTimes

logger = logging.getLogger("labkit.serving")

DEFAULT_PATH = "/monitoring/prometheus/metrics"
OTHER = "(other)"
_MOST_SERIES = 1000
_MOST_STRANGERS, _LONGEST_STRANGER = 100, 200

Labels = tuple[str | Code, ...]


def exponential(first: float, growth: float, count: int) -> list[float]:
    """The upper limits of `count` buckets: `first`, and each `growth` times the one before."""
    return [first * growth**index for index in range(count)]


LATENCY = exponential(10, 1.8, 33)  # microseconds, to about 25 minutes
QUEUING = exponential(100, 1.2, 52)  # microseconds, to about a second


class _Metric:
    """What counters and histograms share: a name, names of labels, and one series for each set of their values."""

    kind: str

    def __init__(self, name: str, *labels: str) -> None:
        self._name, self._labels = name, labels
        self._lock = threading.Lock()

    def lines(self) -> Iterator[str]:
        """The metric as text."""
        yield f"# TYPE {self._name} {self.kind}"
        with self._lock:
            series = list(self._samples())
        for suffix, labels, more, value in series:
            named = [f'{name}="{_escaped(text)}"' for name, text in zip(self._labels, labels, strict=True)]
            yield f"{self._name}{suffix}{{{','.join([*named, *more])}}} {value}"

    def _samples(self) -> Iterator[tuple[str, Labels, Sequence[str], str]]:
        """Suffix of the name, labels, more labels as text, value."""
        raise NotImplementedError

    def _new(self, labels: Labels, series: int) -> Labels:
        """The labels to count under, which are others once there are too many: no client can fill the memory."""
        return labels if series < _MOST_SERIES else (OTHER, *labels[1:])


class Counter(_Metric):
    """A number for each set of labels that only grows."""

    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        super().__init__(name, *labels)
        self._values: dict[Labels, int] = {}

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Add to the number of these labels; any thread may."""
        with self._lock:
            try:
                self._values[labels] += amount
            except KeyError:
                labels = self._new(labels, len(self._values))
                self._values[labels] = self._values.get(labels, 0) + amount

    def _samples(self) -> Iterator[tuple[str, Labels, Sequence[str], str]]:
        for labels, value in self._values.items():
            yield "", labels, (), str(value)


class _Cell:
    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts, self.total = [0] * buckets, 0.0


class Histogram(_Metric):
    """How often a value was in which range, for each set of labels."""

    kind = "histogram"

    def __init__(self, limits: list[float], name: str, *labels: str) -> None:
        """Args: limits: the upper limits of all buckets but the last, which has none."""
        super().__init__(name, *labels)
        self._limits = limits
        self._cells: dict[Labels, _Cell] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value; any thread may."""
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                labels = self._new(labels, len(self._cells))
                cell = self._cells.setdefault(labels, _Cell(len(self._limits) + 1))
            cell.counts[bisect_left(self._limits, value)] += 1
            cell.total += value

    def _samples(self) -> Iterator[tuple[str, Labels, Sequence[str], str]]:
        limits = [*(f"{limit:.6g}" for limit in self._limits), "+Inf"]
        for labels, cell in self._cells.items():
            count = 0
            for limit, more in zip(limits, cell.counts, strict=True):
                count += more
                yield "_bucket", labels, (f'le="{limit}"',), str(count)
            yield "_sum", labels, (), repr(cell.total)
            yield "_count", labels, (), str(count)


class Metrics:
    """All that one server counts. Times come in seconds and are kept in microseconds.

    Attributes:
        path: where the page is to be had over REST.
    """

    def __init__(self, path: str = DEFAULT_PATH) -> None:
        """Nothing is counted yet."""
        self.path = path
        self._strangers: set[str] = set()
        serving, saved_model, ours = ":tensorflow:serving:", ":tensorflow:cc:saved_model:", ":labkit:serving:"
        request_labels = ("model_name", "API", "entrypoint")
        self._loads = Counter(saved_model + "load_attempt_count", "model_path", "status")
        self._load_time = Counter(saved_model + "load_latency", "model_path")
        self._queuing = Histogram(QUEUING, serving + "batching_session:queuing_latency", "thread_pool_name")
        self._warmup = Histogram(LATENCY, serving + "model_warmup_latency", "model_path", "status")
        self._requests = Counter(serving + "request_count", "model_name", "status")
        self._latency = Histogram(LATENCY, serving + "request_latency", *request_labels)
        self._runs = Histogram(LATENCY, serving + "runtime_latency", "model_name", "API", "runtime")
        self._decoding = Histogram(LATENCY, ours + "decode_latency", *request_labels)
        self._encoding = Histogram(LATENCY, ours + "encode_latency", *request_labels)

    def note_request(
        self,
        model: str,
        api: str,
        entrypoint: str,
        code: Code,
        seconds: float,
        times: "StepTimes | None" = None,
        *,
        known: bool,
    ) -> None:
        """Count one answered request; only on the event loop.

        Args:
            model: what the client calls the model.
            api: ``Predict``, ``Classify`` or ``Regress``; over REST in small letters, or nothing.
            entrypoint: ``GRPC`` or ``REST``.
            code: how it ended; only successes count for the latencies.
            seconds: how long it took.
            times: what it spent before and after the model's run; None for one that no model answers.
            known: whether this server has, or had, such a model. Of all other names only so many are kept.
        """
        if not known and model:
            model = self._stranger(model)
        self._requests.add((model, code))
        if code is not Code.OK:
            return
        labels = model, api, entrypoint
        self._latency.observe(labels, seconds * 1e6)
        if times:
            self._decoding.observe(labels, times.decode * 1e6)
            self._encoding.observe(labels, times.encode * 1e6)

    def note_run(self, model: str, api: str, seconds: float) -> None:
        """Count one run of a model, that of its batch and the wait for it included."""
        self._runs.observe((model, api, "TF1"), seconds * 1e6)

    def note_queuing(self, thread_pool: str, seconds: float) -> None:
        """Count one request's wait for its batch."""
        self._queuing.observe((thread_pool,), seconds * 1e6)

    def note_load(self, folder: str, seconds: float, *, succeeded: bool) -> None:
        """Count one attempt to load the SavedModel in `folder`."""
        self._loads.add((folder, "success" if succeeded else "fail"))
        if succeeded:
            self._load_time.add((folder,), round(seconds * 1e6))

    def note_warmup(self, folder: str, status: str, seconds: float) -> None:
        """Count one warm-up of the SavedModel in `folder`; `status` is ``OK`` or the code's name."""
        self._warmup.observe((folder, status), seconds * 1e6)

    def page(self) -> bytes:
        """All of it as Prometheus reads it."""
        loads = self._loads, self._load_time, self._queuing, self._warmup
        requests = self._requests, self._latency, self._runs, self._decoding, self._encoding
        text = "".join(f"{line}\n" for metric in (*loads, *requests) for line in metric.lines())
        return text.encode("utf-8", "replace")

    def _stranger(self, model: str) -> str:
        if model in self._strangers:
            return model
        if len(self._strangers) == _MOST_STRANGERS or len(model) > _LONGEST_STRANGER:
            return OTHER
        self._strangers.add(model)
        return model


def _escaped(value: str | Code) -> str:
    if isinstance(value, Code):
        return value.name
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def configured(flags: "Flags") -> Metrics | None:
    """The metrics that ``--monitoring_config_file`` asks for; None if it does not.

    Raises:
        StatusError: the file cannot be read, does not parse, or has a path that is none.
    """
    if not flags.monitoring_config_file:
        return None
    from labkit.serving.embedded import config_protos

    config = config_protos.read("MonitoringConfig", flags.monitoring_config_file).prometheus_config
    if not config.enable:
        return None
    path = config.path or DEFAULT_PATH
    if not path.startswith("/"):
        raise invalid_argument(f"{flags.monitoring_config_file}: the path must begin with a slash, it is {path!r}")
    if not flags.rest_api_port:
        logger.warning("--monitoring_config_file has no effect: the metrics are at the REST port, which is off.")
        return None
    return Metrics(path)
