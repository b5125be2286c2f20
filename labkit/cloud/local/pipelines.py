"""Training pipelines: Vertex AI's PipelineService, as far as it trains with custom code."""

import threading
from typing import Any

import grpc
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format, struct_pb2

from labkit.cloud.local import custom_jobs, job_states
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.models import Models
from labkit.cloud.local.operations import bare
from labkit.cloud.local.resources import new_id, page
from labkit.cloud.local.status import ApiError, invalid, unimplemented
from labkit.cloud.local.training import output_directories, train

_CUSTOM_TASK = "/custom_task_"


class Pipelines:
    """What PipelineService answers about training pipelines: a custom job, and then a model of what it wrote.

    Args:
        cloud: where pipelines are kept and what they may use.
    """

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._models = Models(cloud)
        self._running: list[threading.Thread] = []

    def CreateTrainingPipeline(self, request: types.CreateTrainingPipelineRequest) -> types.TrainingPipeline:
        pipeline = types.TrainingPipeline(request.training_pipeline)
        spec = job_spec(pipeline)
        if not pipeline.display_name:
            raise invalid("display_name is required.")
        if pipeline.model_to_upload and not spec.base_output_directory.output_uri_prefix:
            raise invalid("baseOutputDirectory is required when model_to_upload is set: the model is taken from there.")
        job = types.CustomJob(display_name=f"{pipeline.display_name}-custom-job", job_spec=spec, labels=pipeline.labels)
        custom_jobs.add_job(self._cloud, request.parent, job)
        pipeline.name = f"{request.parent}/trainingPipelines/{new_id()}"
        pipeline.state = types.PipelineState.PIPELINE_STATE_PENDING
        metadata = struct_pb2.Value(struct_value=struct_pb2.Struct())
        metadata.struct_value["backingCustomJob"] = job.name
        bare(pipeline).training_task_metadata.CopyFrom(metadata)
        self._cloud.resources.add(pipeline)
        created = types.TrainingPipeline(pipeline)
        thread = threading.Thread(target=self._run, args=(pipeline, job), daemon=True)
        self._running.append(thread)
        thread.start()
        return created

    def GetTrainingPipeline(self, request: types.GetTrainingPipelineRequest) -> types.TrainingPipeline:
        return job_states.get_when_final(self._cloud, request.name, types.TrainingPipeline)

    def ListTrainingPipelines(self, request: types.ListTrainingPipelinesRequest) -> types.ListTrainingPipelinesResponse:
        found = self._cloud.resources.list(request.parent, types.TrainingPipeline, request.filter)
        return page(found, request, types.ListTrainingPipelinesResponse, "training_pipelines")

    def CancelTrainingPipeline(self, request: types.CancelTrainingPipelineRequest) -> empty_pb2.Empty:
        pipeline = job_states.get(self._cloud, request.name, types.TrainingPipeline)
        answer = job_states.cancel(self._cloud, request.name, types.TrainingPipeline)
        job = self._cloud.resources.get(bare(pipeline).training_task_metadata.struct_value["backingCustomJob"])
        job_states.move(self._cloud, job, "CANCELLING")
        return answer

    def DeleteTrainingPipeline(self, request: types.DeleteTrainingPipelineRequest) -> operations_pb2.Operation:
        return job_states.delete(self._cloud, request.name, types.TrainingPipeline)

    def stop(self) -> None:
        """Wait until no process of a pipeline is left; the cloud is stopping."""
        for thread in self._running:
            thread.join()

    def _run(self, pipeline: types.TrainingPipeline, job: types.CustomJob) -> None:
        job_states.move(self._cloud, pipeline, "RUNNING")
        train(self._cloud, job)
        error = ApiError(_code(job.error.code), job.error.message) if job.error.code else None
        if error is None and pipeline.model_to_upload:
            try:
                self._upload(pipeline, job)
            except ApiError as reason:
                error = reason
        job_states.finish(self._cloud, pipeline, error)

    def _upload(self, pipeline: types.TrainingPipeline, job: types.CustomJob) -> None:
        """Make a model of what the job wrote and name it in the pipeline."""
        artifacts = output_directories(job.job_spec)["AIP_MODEL_DIR"].rstrip("/")
        if not self._cloud.objects.below(artifacts):
            raise invalid(
                f'There are no files under "{artifacts}" to copy. The training code is to write its model to the '
                "folder in the variable AIP_MODEL_DIR."
            )
        parent = pipeline.name.rpartition("/trainingPipelines/")[0]
        model = types.Model(pipeline.model_to_upload)
        model.artifact_uri = artifacts
        model.training_pipeline = pipeline.name
        request = types.UploadModelRequest(
            parent=parent, model=model, model_id=pipeline.model_id, parent_model=pipeline.parent_model
        )
        operation = self._models.UploadModel(request)
        operation = self._cloud.operations.wait(operation.name, 600)
        if operation.HasField("error"):
            raise ApiError(_code(operation.error.code), operation.error.message)
        uploaded = types.UploadModelResponse.pb()()
        operation.response.Unpack(uploaded)
        stored = self._models.version(f"{uploaded.model}@{uploaded.model_version_id}")
        stored.name = uploaded.model  # the version is in version_id, as clients expect it
        with self._cloud.resources.lock:
            pipeline.model_to_upload = stored


def job_spec(pipeline: types.TrainingPipeline) -> types.CustomJobSpec:
    """The custom job that a pipeline asks for, from its inputs, which are free JSON with the names of its fields.

    Raises:
        ApiError: UNIMPLEMENTED, it is another kind of pipeline; INVALID_ARGUMENT, the inputs are not understood.
    """
    if _CUSTOM_TASK not in pipeline.training_task_definition:
        raise unimplemented(f"The training task {pipeline.training_task_definition!r}")
    if pipeline.input_data_config:
        raise unimplemented("A training pipeline with a dataset (training code can read its data itself)")
    inputs: Any = json_format.MessageToDict(bare(pipeline).training_task_inputs)
    spec = types.CustomJobSpec.pb()()
    try:
        json_format.ParseDict(inputs, spec)
    except json_format.ParseError as error:
        raise invalid(f"training_task_inputs is not understood. {error}") from None
    return types.CustomJobSpec(types.CustomJobSpec.wrap(spec))


def _code(number: int) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == number)
