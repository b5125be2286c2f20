"""Worker pools: Google's own SDK takes them, and a local Vertex AI trains with them."""

import json

import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud import cloud
from labkit.cluster.elsewhere import vertex
from labkit.cluster.spec import ClusterSpec

IMAGE = "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest"

# Two workers add their numbers, and both must come to the same sum. The chief writes it to the store.
REDUCE = """
import json, os, sys
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
number = 1.0 if json.loads(os.environ["TF_CONFIG"])["task"]["type"] == "chief" else 10.0


@tf.function
def step():
    def each():
        return tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(number))

    return strategy.run(each)


result = {"replicas": strategy.num_replicas_in_sync, "sum": float(strategy.experimental_local_results(step())[0])}
result["arguments"] = sys.argv[1:]
if number == 1.0:
    with tf.io.gfile.GFile(os.environ["AIP_MODEL_DIR"] + "result.json", "w") as file:
        json.dump(result, file)
"""

# Each says what it found, and the chief waits for the others, which never end.
SHOW = """
import json, os, time
found = json.loads(os.environ["TF_CONFIG"])
from google.cloud import storage
bucket = storage.Client(project=os.environ["CLOUD_ML_PROJECT_ID"]).bucket(os.environ["BUCKET"])
bucket.blob(f"found/{found['task']['type']}-{found['task']['index']}").upload_from_string(os.environ["TF_CONFIG"])
while found["task"]["type"] != "chief" or len(list(bucket.list_blobs(prefix="found/"))) < 5:
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def session():
    with cloud() as started:
        from google.cloud import aiplatform

        aiplatform.init(project=started.project, location=started.location, staging_bucket=f"gs://{started.bucket}")
        yield started


@pytest.fixture
def script(tmp_path):
    def write(text="print('trained')\n"):
        file = tmp_path / "train.py"
        file.write_text(text)
        return file

    return write


def train(session, pools, name):
    """Run a custom job as Google's documentation does, and give its bucket."""
    from google.cloud import aiplatform, storage

    output = f"gs://{session.bucket}/{name}"
    job = aiplatform.CustomJob(display_name=name, worker_pool_specs=pools, base_output_dir=output)
    job.run()
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    return storage.Client(project=session.project).bucket(session.bucket)


def test_a_chief_and_a_worker_train_together_and_the_result_is_in_the_store(session, script):
    arguments = ["--steps", 100, "$(AIP_MODEL_DIR)"]
    pools = vertex(ClusterSpec(chief=1, worker=1), script(REDUCE), image=IMAGE, arguments=arguments)
    result = json.loads(train(session, pools, "reduce").blob("reduce/model/result.json").download_as_bytes())
    assert (result["replicas"], result["sum"]) == (2, 11.0)
    assert result["arguments"] == ["--steps", "100", f"gs://{session.bucket}/reduce/model/"]


def test_every_role_finds_a_tf_config_of_the_same_form_as_in_a_local_cluster(session, script):
    spec = ClusterSpec(chief=1, worker=2, ps=1, evaluator=1)
    pools = vertex(spec, script(SHOW), image=IMAGE, env={"BUCKET": session.bucket})
    bucket = train(session, pools, "show")
    found = {
        blob.name.split("/")[1]: json.loads(blob.download_as_bytes()) for blob in bucket.list_blobs(prefix="found/")
    }
    assert set(found) == {f"{task.type}-{task.index}" for task in spec.tasks}
    for task in spec.tasks:
        config = found[f"{task.type}-{task.index}"]
        addresses = {each: config["cluster"][each.type][each.index] for each in spec.training_tasks}
        expected = json.loads(spec.tf_config(task, addresses))
        assert {key: config[key] for key in expected} == expected


def counts(pools):
    return [types.WorkerPoolSpec(pool).replica_count for pool in pools]


def test_the_place_of_a_pool_is_its_role(script):
    pools = vertex(ClusterSpec(chief=1, worker=3, ps=2, evaluator=1), script(), image=IMAGE)
    assert counts(pools) == [1, 3, 2, 1]
    assert counts(vertex(ClusterSpec(chief=1, ps=2), script(), image=IMAGE)) == [1, 0, 2]
    assert counts(vertex(ClusterSpec(chief=1, worker=1), script(), image=IMAGE)) == [1, 1]
    assert counts(vertex(ClusterSpec(worker=1, evaluator=1), script(), image=IMAGE)) == [1, 0, 0, 1]


def test_without_a_chief_the_first_worker_is_it(script):
    assert counts(vertex(ClusterSpec(worker=3, ps=1), script(), image=IMAGE)) == [1, 2, 1]


def test_machines_are_those_asked_for(script):
    pools = vertex(
        ClusterSpec(chief=1, worker=2, ps=1),
        script(),
        image=IMAGE,
        machine_type="n1-standard-8",
        machine_types={"ps": "n1-highmem-8"},
        accelerator_type="NVIDIA_TESLA_T4",
        accelerator_count=2,
        env={"COLOUR": "red"},
    )
    chief, workers, servers = map(types.WorkerPoolSpec, pools)
    assert [each.machine_spec.machine_type for each in (chief, workers, servers)] == [
        "n1-standard-8",
        "n1-standard-8",
        "n1-highmem-8",
    ]
    assert [each.machine_spec.accelerator_count for each in (chief, workers, servers)] == [2, 2, 0]
    assert workers.machine_spec.accelerator_type.name == "NVIDIA_TESLA_T4"
    assert chief.container_spec.image_uri == IMAGE
    assert [(each.name, each.value) for each in chief.container_spec.env] == [("COLOUR", "red")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": ""}, "image is ''"),
        ({"machine_types": {"workers": "n1"}}, "machine_types has 'workers'; its keys are of chief, worker, ps"),
        ({"accelerator_count": 0}, "accelerator_count is 0; 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(script, options, words):
    with pytest.raises(ValueError, match=words):
        vertex(ClusterSpec(worker=2), script(), **{"image": IMAGE, **options})


def test_a_script_that_is_too_long_for_a_command_line_is_refused(script):
    with pytest.raises(ValueError, match="too long to travel with the job, 98301 bytes at most"):
        vertex(ClusterSpec(worker=2), script(f"x = '{'1' * 98_296}'"), image=IMAGE)
