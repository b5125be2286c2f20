import pytest
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format, struct_pb2

from labkit.cloud.local import job_states
from labkit.cloud.local.models import Models
from labkit.cloud.local.pipelines import Pipelines
from labkit.cloud.local.status import ApiError

PARENT = "projects/123456789012/locations/us-central1"
TASK = "gs://google-cloud-aiplatform/schema/trainingjob/definition/custom_task_1.0.0.yaml"
STATES = types.PipelineState
IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
FOR_EVER = "import time\nprint('here', flush=True)\nwhile True: time.sleep(1)"


class Trainer:
    def __init__(self, lab):
        self.lab = lab
        self.pipelines = Pipelines(lab.cloud)

    def inputs(self, script, output="gs://lab/out"):
        """As the SDK writes them: a structure with the fields' own names, absent parts as null."""
        package = self.lab.package(script)
        return {
            "worker_pool_specs": [
                {
                    "replica_count": 1,
                    "machine_spec": {"machine_type": "n1-standard-4"},
                    "disk_spec": {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": 100},
                    "python_package_spec": {
                        "executor_image_uri": "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest",
                        "python_module": "trainer.task",
                        "package_uris": [package],
                    },
                }
            ],
            "base_output_directory": {"output_uri_prefix": output},
            "scheduling": {"timeout": "60s", "restart_job_on_worker_restart": False, "max_wait_duration": None},
        }

    def create(self, script="print('trained')", inputs=None, model=None, **fields):
        pipeline = types.TrainingPipeline(
            **{"display_name": "pipeline", "training_task_definition": TASK, "model_to_upload": model, **fields}
        )
        value = json_format.ParseDict(inputs or self.inputs(script), struct_pb2.Value())
        types.TrainingPipeline.pb(pipeline).training_task_inputs.CopyFrom(value)
        return self.pipelines.CreateTrainingPipeline(
            types.CreateTrainingPipelineRequest(parent=PARENT, training_pipeline=pipeline)
        )

    def run(self, *args, **fields):
        pipeline = self.lab.cloud.resources.get(self.create(*args, **fields).name)
        self.lab.cloud.resources.wait(lambda: job_states.is_final(pipeline), 1000)
        return pipeline

    def job(self, pipeline):
        return self.lab.cloud.resources.get(pipeline.training_task_metadata["backingCustomJob"])


@pytest.fixture
def trainer(lab):
    return Trainer(lab)


@pytest.fixture
def model():
    return {"display_name": "penguins", "container_spec": {"image_uri": IMAGE}}


def test_a_pipeline_is_a_custom_job(trainer):
    pipeline = trainer.run()
    assert pipeline.state == STATES.PIPELINE_STATE_SUCCEEDED
    assert pipeline.start_time <= pipeline.end_time
    assert trainer.lab.log(trainer.job(pipeline)) == ["trained"]
    assert not pipeline.model_to_upload


def test_what_the_job_wrote_becomes_a_model(trainer, model):
    trainer.lab.cloud.objects.write("gs://lab/out/model/saved_model.pb", b"model")
    pipeline = trainer.run(model=model, model_id="penguins")
    assert pipeline.state == STATES.PIPELINE_STATE_SUCCEEDED, pipeline.error
    assert pipeline.model_to_upload.name == f"{PARENT}/models/penguins"
    assert pipeline.model_to_upload.version_id == "1"
    found = Models(trainer.lab.cloud).GetModel(types.GetModelRequest(name=f"{PARENT}/models/penguins"))
    assert found.artifact_uri == "gs://lab/out/model"
    assert found.display_name == "penguins"
    again = trainer.run(model=model, parent_model=f"{PARENT}/models/penguins")
    assert again.model_to_upload.version_id == "2"


def test_a_job_that_wrote_no_model_fails_the_pipeline(trainer, model):
    pipeline = trainer.run(model=model)
    assert pipeline.state == STATES.PIPELINE_STATE_FAILED
    assert 'There are no files under "gs://lab/out/model" to copy.' in pipeline.error.message
    assert trainer.job(pipeline).state == types.JobState.JOB_STATE_SUCCEEDED


def test_a_model_that_cannot_be_uploaded_fails_the_pipeline(trainer, model):
    trainer.lab.cloud.objects.write("gs://lab/out/model/saved_model.pb", b"model")
    pipeline = trainer.run(model=model, parent_model=f"{PARENT}/models/gone")
    assert pipeline.state == STATES.PIPELINE_STATE_FAILED
    assert "gone" in pipeline.error.message


def test_a_job_that_failed_fails_the_pipeline_with_its_words(trainer, model):
    pipeline = trainer.run("1 / 0", model=model)
    assert pipeline.state == STATES.PIPELINE_STATE_FAILED
    assert pipeline.error.code == 3
    assert "ZeroDivisionError" in pipeline.error.message


def test_a_cancelled_pipeline_ends_its_job(trainer, model):
    pipeline = trainer.create(FOR_EVER, model=model)
    job = trainer.job(pipeline)
    trainer.lab.wait_for_log(job, "here")
    trainer.pipelines.CancelTrainingPipeline(types.CancelTrainingPipelineRequest(name=pipeline.name))
    found = trainer.pipelines.GetTrainingPipeline(types.GetTrainingPipelineRequest(name=pipeline.name))
    assert found.state == STATES.PIPELINE_STATE_CANCELLED
    assert job.state == types.JobState.JOB_STATE_CANCELLED
    trainer.pipelines.stop()
    listed = trainer.pipelines.ListTrainingPipelines(types.ListTrainingPipelinesRequest(parent=PARENT))
    assert [each.name for each in listed.training_pipelines] == [pipeline.name]
    assert trainer.pipelines.DeleteTrainingPipeline(types.DeleteTrainingPipelineRequest(name=pipeline.name)).done


def test_a_pipeline_that_cannot_run_is_refused_in_words(trainer, model):
    unknown = {**trainer.inputs("1"), "worker_pools": []}
    without = {**trainer.inputs("1"), "base_output_directory": {}}
    for fields, words in (
        ({"training_task_definition": TASK.replace("custom_task", "automl_tabular")}, "automl_tabular.* is not part"),
        ({"input_data_config": {"dataset_id": "1"}}, "with a dataset"),
        ({"inputs": unknown}, "worker_pools"),
        ({"inputs": without, "model": model}, "baseOutputDirectory is required"),
        ({"display_name": ""}, "display_name"),
    ):
        with pytest.raises(ApiError, match=words):
            trainer.create(**fields)
