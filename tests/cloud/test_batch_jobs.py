"""Batch prediction jobs with a container that is a process: it doubles numbers."""

import gc
import json
from pathlib import Path

import grpc
import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.batch import BatchPredictionJobs
from labkit.cloud.local.containers import Containers
from labkit.cloud.local.job_states import is_final
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.models import Models
from labkit.cloud.local.objects import Objects
from labkit.cloud.local.status import ApiError
from labkit.cloud.local.storage import Storage
from labkit.waiting import wait_until

from ..children import descendants_with

PARENT = "projects/123456789012/locations/europe-west4"
MACHINES = {"machine_spec": {"machine_type": "n1-standard-2"}}
JobState = types.JobState

WORDS = ("double", "hold", "broken", "mortal")
PROGRAM = Path(__file__).with_name("serving_doubles.py")


@pytest.fixture
def cloud(tmp_path):
    images = {f"eu.gcr.io/lab/{word}": ["python", str(PROGRAM), word, str(tmp_path)] for word in WORDS}
    objects = Objects(Storage())
    objects.create_bucket("lab")
    folder = tmp_path / "cloud"
    folder.mkdir()
    return LocalCloud(
        project="lab",
        project_number="123456789012",
        folder=folder,
        objects=objects,
        containers=Containers(folder, {}, images=images),
        environment={},
    )


@pytest.fixture
def jobs(cloud):
    found = BatchPredictionJobs(cloud)
    yield found
    found.stop_batch_prediction()
    assert not descendants_with(PROGRAM.name)
    gc.collect()  # a connection that was left open is reported here, and not in whichever test comes later


def model(image="double", artifact_uri=""):
    return types.UnmanagedContainerModel(
        artifact_uri=artifact_uri,
        container_spec={
            "image_uri": f"eu.gcr.io/lab/{image}",
            "predict_route": "/predict",
            "health_route": "/health",
        },
    )


def job(**changes):
    fields = {
        "display_name": "nightly",
        "unmanaged_container_model": model(),
        "input_config": {"instances_format": "jsonl", "gcs_source": {"uris": ["gs://lab/in.jsonl"]}},
        "output_config": {"predictions_format": "jsonl", "gcs_destination": {"output_uri_prefix": "gs://lab/out"}},
        "dedicated_resources": MACHINES,
        "manual_batch_tuning_parameters": {"batch_size": 8},
    }
    return types.BatchPredictionJob({**fields, **changes})


def create(jobs, wanted):
    request = types.CreateBatchPredictionJobRequest(parent=PARENT, batch_prediction_job=wanted)
    return jobs.CreateBatchPredictionJob(request)


def wait(jobs, name):
    while True:
        found = jobs.GetBatchPredictionJob(types.GetBatchPredictionJobRequest(name=name))
        if is_final(found):
            return found


def lines(cloud, found, kind):
    folder = found.output_info.gcs_output_directory
    names = [info.uri for info in cloud.objects.below(folder) if info.name_below_prefix.startswith(kind)]
    return [json.loads(line) for name in names for line in cloud.objects.read(name).splitlines()]


def cancel(jobs, name):
    jobs.CancelBatchPredictionJob(types.CancelBatchPredictionJobRequest(name=name))


def delete(jobs, name):
    return jobs.DeleteBatchPredictionJob(types.DeleteBatchPredictionJobRequest(name=name))


def test_a_job_predicts_all_and_says_so(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"\n".join(b"%d" % number for number in range(50)))
    created = create(jobs, job())
    assert created.state == JobState.JOB_STATE_PENDING
    found = wait(jobs, created.name)
    assert found.state == JobState.JOB_STATE_SUCCEEDED
    assert found.output_info.gcs_output_directory.startswith("gs://lab/out/prediction-nightly-2")
    assert lines(cloud, found, "prediction.results") == [{"instance": n, "prediction": 2 * n} for n in range(50)]
    assert lines(cloud, found, "prediction.errors_stats") == []
    assert (found.completion_stats.successful_count, found.completion_stats.failed_count) == (50, 0)
    assert found.create_time <= found.start_time <= found.end_time
    assert found.resources_consumed.replica_hours > 0
    assert not found.partial_failures and not found.error.message


def test_a_version_of_a_registered_model_predicts(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n")
    spec = {"image_uri": "eu.gcr.io/lab/double", "predict_route": "/predict", "health_route": "/health"}
    request = types.UploadModelRequest(
        parent=PARENT, model_id="m", model={"display_name": "cnn", "container_spec": spec}
    )
    assert Models(cloud).UploadModel(request).done
    for name in ("m", "m@1", "m@default"):
        created = create(jobs, job(model=f"{PARENT}/models/{name}", unmanaged_container_model=None))
        found = wait(jobs, created.name)
        assert (found.state, found.model_version_id) == (JobState.JOB_STATE_SUCCEEDED, "1")
        assert "/prediction-cnn-" in found.output_info.gcs_output_directory


def test_several_replicas_and_parameters(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n2\n3\n")
    wanted = job(
        dedicated_resources={**MACHINES, "starting_replica_count": 2}, manual_batch_tuning_parameters={"batch_size": 1}
    )
    wanted.model_parameters = {"bias": 10}
    found = wait(jobs, create(jobs, wanted).name)
    assert [each["prediction"] for each in lines(cloud, found, "prediction.results")] == [12, 14, 16]


def test_files_of_a_model_that_is_not_registered_are_there_while_the_job_runs(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n")
    cloud.objects.write("gs://lab/model/bias", b"5")
    name = create(jobs, job(unmanaged_container_model=model("hold", "gs://lab/model"))).name
    wait_until(lambda: cloud.resources.get(name).state == JobState.JOB_STATE_RUNNING)
    assert [path.read_bytes() for path in cloud.folder.rglob("bias")] == [b"5"]
    cancel(jobs, name)
    wait(jobs, name)
    assert not list(cloud.folder.rglob("bias"))


def test_bad_instances_stand_in_the_errors_and_the_job_succeeds(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n2\nnull\n{\n5\n")
    found = wait(jobs, create(jobs, job()).name)
    assert found.state == JobState.JOB_STATE_SUCCEEDED
    assert [each["instance"] for each in lines(cloud, found, "prediction.results")] == [1, 2, 5]
    errors = lines(cloud, found, "prediction.errors_stats")
    assert [each["instance"] for each in errors] == [None, "{"]
    assert "Non-OK result 400" in errors[0]["error"]["message"]
    assert (found.completion_stats.successful_count, found.completion_stats.failed_count) == (3, 2)
    assert len(found.partial_failures) == 2


def test_instances_that_end_the_container_take_no_others_with_them(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"\n".join(b"%d" % number for number in range(40)))
    found = wait(jobs, create(jobs, job(unmanaged_container_model=model("mortal"))).name)
    assert found.state == JobState.JOB_STATE_SUCCEEDED
    errors = lines(cloud, found, "prediction.errors_stats")
    assert [each["instance"] for each in errors] == list(range(8, 16))
    assert {each["error"]["code"] for each in errors} == {grpc.StatusCode.UNAVAILABLE.value[0]}
    assert found.completion_stats.successful_count == 32


def test_a_job_without_any_prediction_fails_and_writes_why(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"null\nnull\n")
    found = wait(jobs, create(jobs, job()).name)
    assert found.state == JobState.JOB_STATE_FAILED
    assert "All 2 instances failed" in found.error.message
    assert len(lines(cloud, found, "prediction.errors_stats")) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_config": {"instances_format": "jsonl", "gcs_source": {"uris": ["gs://lab/no*"]}}}, "matched no files"),
        (
            {"output_config": {"predictions_format": "jsonl", "gcs_destination": {"output_uri_prefix": "gs://no/x"}}},
            "gs://no",
        ),
        ({"unmanaged_container_model": model("broken")}, "Model server exited"),
        ({"unmanaged_container_model": model("none")}, "eu.gcr.io/lab/none"),
    ],
)
def test_a_job_that_cannot_run_fails_with_the_reason(cloud, jobs, changes, words):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n")
    found = wait(jobs, create(jobs, job(**changes)).name)
    assert found.state == JobState.JOB_STATE_FAILED
    assert words in found.error.message
    assert not found.start_time
    assert not found.output_info.gcs_output_directory


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"display_name": ""}, "display_name is required"),
        ({"model": f"{PARENT}/models/1"}, "Exactly one of model"),
        ({"input_config": {"instances_format": "xml", "gcs_source": {"uris": ["gs://lab/a"]}}}, "'xml'.*jsonl, csv"),
        ({"input_config": {"instances_format": "csv", "gcs_source": {"uris": ["lab/a"]}}}, "'lab/a'.*gs://BUCKET"),
        ({"input_config": {"instances_format": "csv"}}, "uris is required"),
        ({"output_config": {"predictions_format": "xml"}}, "'xml'"),
        ({"dedicated_resources": None}, "machine_type is required"),
        ({"dedicated_resources": {"machine_spec": {"machine_type": "m-3"}}}, "'m-3' is not supported"),
        ({"dedicated_resources": {**MACHINES, "starting_replica_count": 3, "max_replica_count": 2}}, "is 3.*, 2"),
        ({"instance_config": {"instance_type": "list"}}, "'list'"),
        ({"instance_config": {"included_fields": ["a"], "excluded_fields": ["b"]}}, "must be empty"),
        ({"instance_config": {"instance_type": "array", "key_field": "a"}}, "need included_fields"),
    ],
)
def test_a_request_that_is_wrong_is_refused(jobs, changes, words):
    with pytest.raises(ApiError, match=words) as refused:
        create(jobs, job(**changes))
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_config": {"instances_format": "bigquery", "bigquery_source": {"input_uri": "bq://a"}}}, "BigQuery"),
        ({"generate_explanation": True}, "generate_explanation"),
    ],
)
def test_what_is_not_there_says_so(jobs, changes, words):
    with pytest.raises(ApiError, match=words) as refused:
        create(jobs, job(**changes))
    assert refused.value.code == grpc.StatusCode.UNIMPLEMENTED


def test_a_model_that_is_missing_is_not_found(jobs):
    with pytest.raises(ApiError) as refused:
        create(jobs, job(model=f"{PARENT}/models/1", unmanaged_container_model=None))
    assert refused.value.code == grpc.StatusCode.NOT_FOUND


def test_a_running_job_is_cancelled_and_not_deleted(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n")
    name = create(jobs, job(unmanaged_container_model=model("hold"))).name
    with pytest.raises(ApiError, match="cancel it, or wait"):
        delete(jobs, name)
    cancel(jobs, name)
    found = wait(jobs, name)
    assert found.state == JobState.JOB_STATE_CANCELLED
    assert found.error.code == grpc.StatusCode.CANCELLED.value[0]
    with pytest.raises(ApiError, match="only what is not done"):
        cancel(jobs, name)
    assert delete(jobs, name).done
    with pytest.raises(ApiError, match="not found"):
        wait(jobs, name)


@pytest.mark.timeout(30)  # half of what waiting for the answer would take
def test_a_job_whose_request_is_under_way_is_cancelled(cloud, jobs, tmp_path):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n")
    name = create(jobs, job(unmanaged_container_model=model("hold"))).name
    wait_until((tmp_path / "held").exists)
    cancel(jobs, name)
    assert wait(jobs, name).state == JobState.JOB_STATE_CANCELLED


def test_jobs_are_listed(cloud, jobs):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n")
    names = [create(jobs, job(display_name=name)).name for name in ("one", "two")]
    for name in names:
        wait(jobs, name)
    request = types.ListBatchPredictionJobsRequest(parent=PARENT, filter='display_name="two"')
    assert [each.display_name for each in jobs.ListBatchPredictionJobs(request).batch_prediction_jobs] == ["two"]
    everything = jobs.ListBatchPredictionJobs(types.ListBatchPredictionJobsRequest(parent=PARENT, page_size=1))
    assert everything.batch_prediction_jobs[0].name == names[1] and everything.next_page_token == "1"


@pytest.mark.timeout(30)
def test_stopping_ends_jobs_and_their_processes(cloud, jobs, tmp_path):
    cloud.objects.write("gs://lab/in.jsonl", b"1\n")
    name = create(jobs, job(unmanaged_container_model=model("hold"))).name
    wait_until((tmp_path / "held").exists)
    jobs.stop_batch_prediction()
    assert cloud.resources.get(name).state == JobState.JOB_STATE_CANCELLED
