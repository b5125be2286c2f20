"""One batch prediction job from its first replica to its last line."""

import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import grpc
import orjson
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format

from labkit.cloud.local import job_states, machines
from labkit.cloud.local.batch_inputs import Instance, Shape, find, instances
from labkit.cloud.local.batch_outputs import Outputs, output_folder
from labkit.cloud.local.batch_requests import Asker, Outcome
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.models import Models
from labkit.cloud.local.replicas import Replicas
from labkit.cloud.local.serving import serving_container
from labkit.cloud.local.status import ApiError

BATCH_SIZE = 64  # the real service's, if the job names none
BATCHES_PER_REPLICA = 4  # under way at the same time
ATTEMPTS = 3  # for a request that nobody answered, as in the real service
MOST_PARTIAL_FAILURES = 20
_LONGEST_RESTART = 60.0
_LOOK_SECONDS = 0.05


class BatchRun:
    """A job that runs in a thread of its own.

    Args:
        cloud: whose models, buckets and containers it uses.
        job: the stored message; it changes while the job runs.

    Raises:
        ApiError: NOT_FOUND, there is no such model.
    """

    def __init__(self, cloud: LocalCloud, job: types.BatchPredictionJob) -> None:
        self._cloud, self._job = cloud, job
        self._model = _model(cloud, job)
        if job.model:
            job.model_version_id = self._model.version_id
        self._cancelled = threading.Event()
        self._replicas: Replicas | None = None
        self._lock = threading.Lock()
        self._again = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=job.name, daemon=True)
        self._failures: dict[tuple[grpc.StatusCode, str], ApiError] = {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """End it soon: its replicas stop, and what they were asked fails. A job that is done stays as it is."""
        with self._lock:
            self._cancelled.set()
            replicas = self._replicas
        if replicas is not None:
            replicas.stop(at_once=True)

    def join(self) -> None:
        """Wait until it is done and its replicas are gone."""
        self._thread.join()

    def _stopped(self) -> bool:
        return self._cancelled.is_set() or self._cloud.stopping.is_set()

    def _run(self) -> None:
        error: ApiError | None = None
        try:
            self._predict()
        except ApiError as raised:
            error = raised
        except Exception as raised:
            traceback.print_exc(file=sys.stderr)
            error = ApiError(grpc.StatusCode.INTERNAL, f"{type(raised).__name__}: {raised}")
        if error and self._stopped():  # what failed may have failed because its replicas were stopped
            error = _cancelled()
        job_states.finish(self._cloud, self._job, error)

    def _predict(self) -> None:
        """Raise ApiError if the job failed or was cancelled."""
        objects, job = self._cloud.objects, self._job
        prefix = job.output_config.gcs_destination.output_uri_prefix
        files = find(objects, job.input_config.gcs_source.uris)
        objects.check_bucket(objects.bucket(prefix))
        with self._started_replicas() as replicas, Outputs(self._cloud.folder) as outputs:
            asker = Asker(partial(self._ask, replicas), _parameters(job))
            size = job.manual_batch_tuning_parameters.batch_size or BATCH_SIZE
            outcomes = asker.outcomes(
                self._instances(files),
                size=size,
                side_by_side=BATCHES_PER_REPLICA * _replica_count(job),
                stopped=self._stopped,
            )
            with closing(outcomes):
                for batch in outcomes:
                    self._keep(batch, outputs)
            if self._stopped():
                raise _cancelled()
            folder = output_folder(prefix, self._model.display_name, job.create_time)
            outputs.publish(objects, folder)
        self._conclude(folder, outputs)

    def _ask(self, replicas: Replicas, body: bytes) -> HttpAnswer:
        """Ask, and ask again when a replica ended meanwhile.

        Second attempts are made one after the other, so that a request that ends replicas takes no others with it.
        """
        answer = _answer(replicas, body)
        if isinstance(answer, HttpAnswer):
            return answer
        with self._again:
            for _ in range(ATTEMPTS - 1):
                self._wait_for_replica(replicas)
                answer = _answer(replicas, body)
                if isinstance(answer, HttpAnswer):
                    return answer
        raise answer

    def _wait_for_replica(self, replicas: Replicas) -> None:
        deadline = time.monotonic() + _LONGEST_RESTART
        while not replicas.available and not self._stopped() and time.monotonic() < deadline:
            self._cancelled.wait(_LOOK_SECONDS)

    def _instances(self, files: list[str]) -> Iterator[Instance]:
        config = self._job.instance_config
        shape = Shape(
            config.instance_type, config.key_field, tuple(config.included_fields), tuple(config.excluded_fields)
        )
        for uri in files:
            yield from instances(self._cloud.objects, uri, self._job.input_config.instances_format, shape)

    def _keep(self, batch: list[Outcome], outputs: Outputs) -> None:
        outputs.add(batch)
        for outcome in batch:
            if outcome.error and len(self._failures) < MOST_PARTIAL_FAILURES:
                self._failures[outcome.error.code, outcome.error.message] = outcome.error
        with self._changing() as job:
            job.completion_stats = types.CompletionStats(
                successful_count=outputs.successful, failed_count=outputs.failed, incomplete_count=-1
            )

    def _conclude(self, folder: str, outputs: Outputs) -> None:
        failures = list(self._failures.values())
        with self._changing() as job:
            job.output_info = types.BatchPredictionJob.OutputInfo(gcs_output_directory=folder)
            job.completion_stats = types.CompletionStats(
                successful_count=outputs.successful, failed_count=outputs.failed
            )
            job.partial_failures = [failure.proto() for failure in failures]
        if failures and not outputs.successful:
            raise ApiError(
                failures[0].code,
                f"All {outputs.failed} instances failed. The first error: {failures[0].message} "
                f"The others are in {folder}/prediction.errors_stats-*.",
            )

    @contextmanager
    def _started_replicas(self) -> Iterator[Replicas]:
        machine = self._job.dedicated_resources.machine_spec
        container = serving_container(
            self._cloud, self._model, self._job.name.rpartition("/")[2], machine_type=machine.machine_type
        )
        count = _replica_count(self._job)
        replicas = Replicas(
            self._cloud.containers, container, minimum=count, maximum=count, cores=machines.vcpus(machine)
        )
        started = time.monotonic()
        try:
            with self._lock:
                if self._stopped():
                    raise _cancelled()
                self._replicas = replicas
            replicas.start()
            job_states.move(self._cloud, self._job, "RUNNING")
            yield replicas
        finally:
            replicas.stop()
            if container.files and not self._job.model:  # a copy for this job alone
                shutil.rmtree(container.files, ignore_errors=True)
            hours = count * (time.monotonic() - started) / 3600
            with self._changing() as job:
                job.resources_consumed = types.ResourcesConsumed(replica_hours=hours)

    @contextmanager
    def _changing(self) -> Iterator[types.BatchPredictionJob]:
        with self._cloud.resources.lock:
            yield self._job
            self._cloud.resources.changed(self._job)


def _answer(replicas: Replicas, body: bytes) -> HttpAnswer | ApiError:
    """The answer, or the error of a replica that ended meanwhile; others are raised."""
    try:
        return replicas.predict(body)
    except ApiError as error:
        if error.code is not grpc.StatusCode.UNAVAILABLE:
            raise
        return error


def _model(cloud: LocalCloud, job: types.BatchPredictionJob) -> types.Model:
    if job.model:
        return Models(cloud).version(job.model)
    given = job.unmanaged_container_model
    return types.Model(
        display_name=job.display_name,
        artifact_uri=given.artifact_uri,
        container_spec=given.container_spec,
        predict_schemata=given.predict_schemata,
    )


def _replica_count(job: types.BatchPredictionJob) -> int:
    """The real service ignores the greatest number, too: it divides the input among the replicas it starts with."""
    return job.dedicated_resources.starting_replica_count or 1


def _parameters(job: types.BatchPredictionJob) -> bytes:
    value = types.BatchPredictionJob.pb(job).model_parameters
    if value.WhichOneof("kind") in (None, "null_value"):
        return b""
    return orjson.dumps(json_format.MessageToDict(value))


def _cancelled() -> ApiError:
    return ApiError(grpc.StatusCode.CANCELLED, "The batch prediction job was cancelled.")
