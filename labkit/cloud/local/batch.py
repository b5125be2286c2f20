"""Batch prediction jobs: the part of Vertex AI's JobService that is about them."""

from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from labkit.cloud.local import job_states
from labkit.cloud.local.batch_inputs import FORMATS
from labkit.cloud.local.batch_run import BatchRun
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.machines import MOST_REPLICAS, vcpus
from labkit.cloud.local.resources import new_id, page
from labkit.cloud.local.status import invalid, unimplemented


class BatchPredictionJobs:
    """What JobService answers about batch prediction jobs.

    Args:
        cloud: whose models and buckets the jobs use.
    """

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._batch_runs: dict[str, BatchRun] = {}

    def CreateBatchPredictionJob(self, request: types.CreateBatchPredictionJobRequest) -> types.BatchPredictionJob:
        job = types.BatchPredictionJob(request.batch_prediction_job)
        check(job)
        job.name = f"{request.parent}/batchPredictionJobs/{new_id()}"
        job.state = types.JobState.JOB_STATE_PENDING
        run = BatchRun(self._cloud, job)
        self._cloud.resources.add(job)
        self._batch_runs[job.name] = run
        created = types.BatchPredictionJob(job)
        run.start()
        return created

    def GetBatchPredictionJob(self, request: types.GetBatchPredictionJobRequest) -> types.BatchPredictionJob:
        return job_states.get_when_final(self._cloud, request.name, types.BatchPredictionJob)

    def ListBatchPredictionJobs(
        self, request: types.ListBatchPredictionJobsRequest
    ) -> types.ListBatchPredictionJobsResponse:
        found = self._cloud.resources.list(request.parent, types.BatchPredictionJob, request.filter)
        return page(found, request, types.ListBatchPredictionJobsResponse, "batch_prediction_jobs")

    def CancelBatchPredictionJob(self, request: types.CancelBatchPredictionJobRequest) -> empty_pb2.Empty:
        answer = job_states.cancel(self._cloud, request.name, types.BatchPredictionJob)
        self._batch_runs[request.name].cancel()
        return answer

    def DeleteBatchPredictionJob(self, request: types.DeleteBatchPredictionJobRequest) -> operations_pb2.Operation:
        operation = job_states.delete(self._cloud, request.name, types.BatchPredictionJob)
        self._batch_runs.pop(request.name, None)
        return operation

    def stop_batch_prediction(self) -> None:
        """Cancel what runs and wait until no container of it is left."""
        for run in list(self._batch_runs.values()):
            run.cancel()
        for run in list(self._batch_runs.values()):
            run.join()


def check(job: types.BatchPredictionJob) -> None:
    """Raise what the service says at once about a job that it cannot run.

    Raises:
        ApiError: INVALID_ARGUMENT, something is missing or does not fit; UNIMPLEMENTED, it is not part of the local
            cloud.
    """
    if not job.display_name:
        raise invalid("batch_prediction_job.display_name is required.")
    if bool(job.model) == bool(job.unmanaged_container_model):
        raise invalid("Exactly one of model and unmanaged_container_model must be set.")
    if job.generate_explanation:
        raise unimplemented("generate_explanation")
    _check_input(job.input_config)
    _check_instances(job.instance_config, job.input_config.instances_format)
    _check_output(job.output_config)
    _check_machines(job)


def _check_input(config: types.BatchPredictionJob.InputConfig) -> None:
    if config.instances_format == "bigquery" or config.bigquery_source:
        raise unimplemented("Input from BigQuery")
    if config.instances_format not in FORMATS:
        raise invalid(
            f"Unsupported instances_format {config.instances_format!r}. Expected one of {', '.join(FORMATS)}."
        )
    if not config.gcs_source.uris:
        raise invalid("input_config.gcs_source.uris is required.")
    for uri in config.gcs_source.uris:
        _check_uri("input_config.gcs_source.uris", uri)


def _check_instances(config: types.BatchPredictionJob.InstanceConfig, format: str) -> None:
    by_field = bool(config.key_field or config.included_fields or config.excluded_fields)
    if config.instance_type not in ("", "object", "array"):
        raise invalid(f"Unsupported instance_type {config.instance_type!r}. Expected object or array.")
    if config.included_fields and config.excluded_fields:
        raise invalid("instance_config: when included_fields is populated, excluded_fields must be empty.")
    if config.instance_type == "object" and format != "jsonl":
        raise invalid(f"instance_type 'object' does not apply to {format}.")
    if by_field and format not in ("jsonl", "csv"):
        raise invalid(f"instance_config: the instances of {format} have no fields to choose from.")
    if config.instance_type == "array" and format == "jsonl" and by_field and not config.included_fields:
        raise invalid("instance_config: arrays of jsonl need included_fields, which say their order.")


def _check_output(config: types.BatchPredictionJob.OutputConfig) -> None:
    if config.predictions_format == "bigquery" or config.bigquery_destination:
        raise unimplemented("Output to BigQuery")
    if config.predictions_format == "csv":
        raise unimplemented("predictions_format 'csv'")
    if config.predictions_format != "jsonl":
        raise invalid(f"Unsupported predictions_format {config.predictions_format!r}. Expected jsonl.")
    _check_uri("output_config.gcs_destination.output_uri_prefix", config.gcs_destination.output_uri_prefix)


def _check_machines(job: types.BatchPredictionJob) -> None:
    resources = job.dedicated_resources
    if not resources.machine_spec.machine_type:
        raise invalid(
            "dedicated_resources.machine_spec.machine_type is required: custom models do not support "
            "AUTOMATIC_RESOURCES. Pass machine_type, as in n1-standard-2."
        )
    vcpus(resources.machine_spec)
    first, most = resources.starting_replica_count, resources.max_replica_count
    if not 0 <= first <= MOST_REPLICAS or most < 0:
        raise invalid(f"starting_replica_count is {first}, max_replica_count {most}; expected 1 to {MOST_REPLICAS}.")
    if 0 < most < first:
        raise invalid(f"starting_replica_count is {first}; it must not be greater than max_replica_count, {most}.")
    if job.manual_batch_tuning_parameters.batch_size < 0:
        raise invalid("manual_batch_tuning_parameters.batch_size must be positive.")


def _check_uri(field: str, uri: str) -> None:
    if not uri.startswith("gs://") or not uri.removeprefix("gs://").partition("/")[0]:
        raise invalid(f"{field}: {uri!r} is no Cloud Storage URI. Expected gs://BUCKET/NAME.")
