"""Batch prediction as a learner's code asks for it: Google's own SDK, unchanged."""

import json
from pathlib import Path

import pytest

from labkit.cloud import cloud

PROGRAM = Path(__file__).with_name("serving_doubles.py")
IMAGE = "europe-west4-docker.pkg.dev/labkit-local/images/{}"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("batch"))
    images = {IMAGE.format(word): ["python", str(PROGRAM), word, folder] for word in ("double", "hold")}
    with cloud(images=images) as started:
        from google.cloud import aiplatform

        aiplatform.init(project=started.project, location=started.location, staging_bucket=f"gs://{started.bucket}")
        yield started


@pytest.fixture
def bucket(session):
    from google.cloud import storage

    return storage.Client(project=session.project).bucket(session.bucket)


def upload(word):
    from google.cloud import aiplatform

    return aiplatform.Model.upload(
        display_name=f"numbers-{word}",
        serving_container_image_uri=IMAGE.format(word),
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )


def predict(model, bucket, content, **options):
    bucket.blob("in/numbers.jsonl").upload_from_string(content)
    return model.batch_predict(
        job_display_name="nightly",
        gcs_source=f"gs://{bucket.name}/in/*.jsonl",
        gcs_destination_prefix=f"gs://{bucket.name}/out",
        machine_type="n1-standard-2",
        **options,
    )


def test_a_model_predicts_what_is_in_a_bucket(session, bucket):
    from google.cloud import aiplatform

    job = predict(upload("double"), bucket, "1\n2\nnull\n", batch_size=2, model_parameters={"bias": 1}, sync=True)
    files = {blob.name.rpartition("/")[2]: blob.download_as_text() for blob in job.iter_outputs()}
    results = files["prediction.results-00000-of-00001"].splitlines()
    assert [json.loads(line) for line in results] == [
        {"instance": 1, "prediction": 3},
        {"instance": 2, "prediction": 5},
    ]
    assert json.loads(files["prediction.errors_stats-00000-of-00001"])["instance"] is None
    assert job.output_info.gcs_output_directory.startswith(f"gs://{session.bucket}/out/prediction-numbers-double-")
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (2, 1)
    assert len(job.partial_failures) == 1
    assert job.resource_name in [each.resource_name for each in aiplatform.BatchPredictionJob.list()]
    job.delete()
    assert job.resource_name not in [each.resource_name for each in aiplatform.BatchPredictionJob.list()]


def test_a_job_in_the_background_is_cancelled(bucket):
    from google.cloud.aiplatform_v1.types import JobState

    job = predict(upload("hold"), bucket, "1\n", sync=False)
    job.wait_for_resource_creation()
    job.cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        job.wait()
    assert job.state == JobState.JOB_STATE_CANCELLED


def test_a_job_without_input_fails_and_says_so(bucket):
    model = upload("double")
    with pytest.raises(RuntimeError, match="matched no files"):
        model.batch_predict(
            job_display_name="nothing",
            gcs_source=f"gs://{bucket.name}/none/*",
            gcs_destination_prefix=f"gs://{bucket.name}/out",
            machine_type="n1-standard-2",
        )
