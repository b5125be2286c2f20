"""Training as a learner's code asks for it: Google's own SDK, unchanged."""

import json

import pytest

from labkit.cloud import cloud

IMAGE = "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest"
SERVING = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
MACHINE = "n1-standard-4"

WRITE_A_MODEL = """
import os
import tensorflow as tf

class Double(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32)])
    def serve(self, x):
        return 2 * x

model = Double()
tf.saved_model.save(model, os.environ["AIP_MODEL_DIR"], signatures={"serving_default": model.serve})
"""

MEASURE = """
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--units", type=int)
flags = parser.parse_args()
with open(os.environ["CLOUD_ML_HP_METRIC_FILE"], "w") as file:
    file.write(json.dumps({"global_step": "1", "loss": str((flags.rate - 0.1) ** 2 + flags.units)}) + "\\n")
"""


@pytest.fixture(scope="module")
def session():
    with cloud() as started:
        from google.cloud import aiplatform

        aiplatform.init(project=started.project, location=started.location, staging_bucket=f"gs://{started.bucket}")
        yield started


@pytest.fixture
def script(tmp_path):
    def write(text):
        file = tmp_path / "train.py"
        file.write_text(text)
        return str(file)

    return write


def log(job):
    """What a job's first process wrote, asked of Cloud Logging."""
    import requests

    text = f'resource.labels.job_id="{job.name}" AND resource.labels.task_name="workerpool0-0"'
    query = {"resourceNames": ["projects/x"], "filter": text}
    answer = requests.post("https://logging.googleapis.com/v2/entries:list", data=json.dumps(query), timeout=30)
    return [entry["jsonPayload"]["message"] for entry in answer.json()["entries"]]


def test_a_script_runs_as_a_custom_job(session, script):
    from google.cloud import aiplatform

    job = aiplatform.CustomJob.from_local_script(
        display_name="script",
        script_path=script("import sys; print(sys.argv[1:])"),
        container_uri=IMAGE,
        args=["--epochs", "2"],
    )
    job.run()
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert log(job) == ["['--epochs', '2']"]
    job.delete()


def test_a_failing_script_raises_what_it_said(session, script):
    from google.cloud import aiplatform

    job = aiplatform.CustomJob.from_local_script(
        display_name="failing", script_path=script("raise SystemExit('no data')"), container_uri=IMAGE
    )
    with pytest.raises(RuntimeError, match=r"workerpool0-0 exited with a non-zero status of 1(.|\n)*no data"):
        job.run()


def test_a_job_is_cancelled(session, script):
    from google.cloud import aiplatform

    job = aiplatform.CustomJob.from_local_script(
        display_name="long", script_path=script("import time\nwhile True: time.sleep(1)"), container_uri=IMAGE
    )
    job.submit()
    job.cancel()
    with pytest.raises(RuntimeError, match="CANCELED"):
        job._block_until_complete()
    assert job.state.name == "JOB_STATE_CANCELLED"


def test_a_training_job_becomes_a_model(session, script):
    from google.cloud import aiplatform

    job = aiplatform.CustomTrainingJob(
        display_name="double",
        script_path=script(WRITE_A_MODEL),
        container_uri=IMAGE,
        model_serving_container_image_uri=SERVING,
    )
    model = job.run(model_display_name="double", machine_type=MACHINE)
    assert model.display_name == "double"
    assert model.uri.endswith("/model")
    assert model.version_id == "1"
    assert job.get_model().resource_name == model.resource_name
    job.delete()


def test_a_training_job_without_a_model_says_so(session, script):
    from google.cloud import aiplatform

    job = aiplatform.CustomTrainingJob(
        display_name="none",
        script_path=script("print('trained')"),
        container_uri=IMAGE,
        model_serving_container_image_uri=SERVING,
    )
    with pytest.raises(RuntimeError, match="There are no files under"):
        job.run(model_display_name="none", machine_type=MACHINE)


def test_hyperparameters_are_tuned(session, script):
    from google.cloud import aiplatform
    from google.cloud.aiplatform import hyperparameter_tuning as tuning

    trial = aiplatform.CustomJob.from_local_script(
        display_name="trial", script_path=script(MEASURE), container_uri=IMAGE
    )
    job = aiplatform.HyperparameterTuningJob(
        display_name="tuning",
        custom_job=trial,
        metric_spec={"loss": "minimize"},
        parameter_spec={
            "rate": tuning.DoubleParameterSpec(min=0.001, max=1, scale="log"),
            "units": tuning.DiscreteParameterSpec(values=[4, 8], scale="linear"),
        },
        max_trial_count=5,
        parallel_trial_count=2,
    )
    job.run()
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert len(job.trials) == 5
    for each in job.trials:
        found = {parameter.parameter_id: parameter.value for parameter in each.parameters}
        loss = each.final_measurement.metrics[0].value
        assert loss == pytest.approx((found["rate"] - 0.1) ** 2 + found["units"])


def test_a_container_trains(session):
    from google.cloud import aiplatform

    job = aiplatform.CustomContainerTrainingJob(
        display_name="container",
        container_uri=IMAGE,
        command=["python", "-c", "import sys; print(sys.argv[1:])"],
    )
    assert job.run(args=["--directory=$(AIP_MODEL_DIR)"], base_output_dir=f"gs://{session.bucket}/out") is None
    assert job.state.name == "PIPELINE_STATE_SUCCEEDED"
    (backing,) = aiplatform.CustomJob.list(filter='display_name="container-custom-job"')
    assert log(backing) == [f"['--directory=gs://{session.bucket}/out/model/']"]


def test_a_training_job_that_runs_aside_is_cancelled(session, script):
    from google.cloud import aiplatform

    job = aiplatform.CustomTrainingJob(
        display_name="aside", script_path=script("import time\nwhile True: time.sleep(1)"), container_uri=IMAGE
    )
    job.run(sync=False, machine_type=MACHINE)
    job.wait_for_resource_creation()
    job.cancel()
    with pytest.raises(RuntimeError, match="CANCELED"):
        job.wait()
    assert job.state.name == "PIPELINE_STATE_CANCELLED"


def test_jobs_run_over_rest_too(session, script):
    from google.cloud import aiplatform

    settings = {"project": session.project, "location": session.location, "staging_bucket": f"gs://{session.bucket}"}
    aiplatform.init(**settings, api_transport="rest")
    try:
        job = aiplatform.CustomJob.from_local_script(
            display_name="rest", script_path=script("print('trained')"), container_uri=IMAGE
        )
        job.run(timeout=100)
    finally:
        aiplatform.init(**settings, api_transport="grpc")
    assert log(job) == ["trained"]
