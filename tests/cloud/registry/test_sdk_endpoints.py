"""Models and endpoints as a learner's code has them: Google's own SDK, unchanged, over gRPC and over REST."""

import json
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest

from labkit.cloud import cloud

PROGRAM = Path(__file__).with_name("answering_program.py")
IMAGE = "europe-west4-docker.pkg.dev/labkit-local/images/answering"


@pytest.fixture(scope="module")
def session():
    with cloud(images={IMAGE: ["python", str(PROGRAM)]}) as started:
        yield started


@pytest.fixture(params=["grpc", "rest"])
def aiplatform(session, request):
    from google.cloud import aiplatform

    aiplatform.init(
        project=session.project,
        location=session.location,
        staging_bucket=f"gs://{session.bucket}",
        api_transport=request.param,
    )
    return aiplatform


@pytest.fixture
def cleaned():
    """Collects what has a `delete`, and deletes it, the last first."""
    made = []
    yield made
    for each in reversed(made):
        each.delete(**({"force": True} if hasattr(each, "undeploy_all") else {}))


@pytest.fixture
def upload(aiplatform, cleaned, tmp_path):
    (tmp_path / "words.txt").write_text("beak")

    def make(**options):
        defaults = {"display_name": "penguins", "artifact_uri": str(tmp_path)}
        model = aiplatform.Model.upload(serving_container_image_uri=IMAGE, **(defaults | options))
        if "parent_model" not in options:
            cleaned.append(model)
        return model

    return make


def test_a_model_is_uploaded_deployed_asked_and_cleaned_up(aiplatform, upload, cleaned):
    model = upload(labels={"lab": "five"})
    endpoint = aiplatform.Endpoint.create(display_name="birds", labels={"lab": "five"})
    cleaned.append(endpoint)
    model.deploy(endpoint, machine_type="n1-standard-2", min_replica_count=1, max_replica_count=2)
    answer = endpoint.predict([[1, 2.5], {"beak": "long"}], parameters={"bias": 1})
    assert answer.predictions[1:] == [[1, 2.5], {"beak": "long"}]
    assert json.loads(answer.predictions[0]["asked"])["parameters"] == {"bias": 1}
    assert (answer.model_resource_name, answer.model_version_id) == (model.resource_name, "1")
    (deployed,) = endpoint.list_models()
    assert answer.deployed_model_id == deployed.id
    assert endpoint.traffic_split == {deployed.id: 100}
    with pytest.raises(BadRequest, match="is deployed or being deployed at the following"):
        model.delete()
    endpoint.undeploy_all()
    assert endpoint.list_models() == []
    with pytest.raises(BadRequest, match="doesn't have traffic_split"):
        endpoint.predict([1])


def test_a_raw_prediction_is_passed_through(aiplatform, upload, cleaned):
    endpoint = upload().deploy(machine_type="n1-standard-2")
    cleaned.append(endpoint)
    answer = endpoint.raw_predict(b"beak", {"Content-Type": "text/plain"})
    assert (answer.status_code, answer.content) == (200, b"BEAK")
    assert endpoint.predict([1, 2], use_raw_predict=True).predictions[1:] == [1, 2]
    assert answer.headers["X-Vertex-AI-Deployed-Model-Id"] == endpoint.list_models()[0].id


def test_a_container_finds_its_artifacts_in_a_bucket_that_is_not_the_learners(session, aiplatform, upload, cleaned):
    from google.cloud import storage

    endpoint = upload().deploy(machine_type="n1-standard-2")
    cleaned.append(endpoint)
    uri = endpoint.predict([]).predictions[0]["environment"]["AIP_STORAGE_URI"]
    client = storage.Client(project=session.project)
    bucket, _, folder = uri.removeprefix("gs://").partition("/")
    assert client.bucket(bucket).blob(f"{folder}/words.txt").download_as_bytes() == b"beak"
    assert [each.name for each in client.list_buckets()] == [session.bucket]


def test_versions_have_aliases_and_infos(aiplatform, upload):
    first = upload(version_aliases=["old"], version_description="the first")
    second = upload(parent_model=first.resource_name, is_default_version=False, version_aliases=["new"])
    assert (first.version_id, second.version_id, second.resource_name) == ("1", "2", first.resource_name)
    registry = first.versioning_registry
    infos = {each.version_id: each for each in registry.list_versions()}
    assert infos["1"].version_description == "the first"
    assert sorted(infos["1"].version_aliases) == ["default", "old"]
    registry.add_version_aliases(["default", "golden"], "2")
    registry.remove_version_aliases(["new"], "2")
    assert sorted(registry.get_version_info("golden").version_aliases) == ["default", "golden"]
    assert aiplatform.Model(first.resource_name).version_id == "2"
    assert registry.get_model("old").version_id == "1"
    registry.update_version("2", version_description="the second", labels={"team": "birds"})
    assert registry.get_version_info("2").version_description == "the second"
    assert registry.get_version_info("1").version_description == "the first"
    registry.delete_version("old")
    assert [each.version_id for each in registry.list_versions()] == ["2"]


def test_lists_are_filtered_and_ordered(aiplatform, upload):
    a, b = upload(display_name="a-model", labels={"kind": "x"}), upload(display_name="b-model", labels={"kind": "x"})
    names = [each.display_name for each in aiplatform.Model.list(filter="labels.kind=x", order_by="display_name")]
    assert names == ["a-model", "b-model"]
    assert [each.name for each in aiplatform.Model.list(filter='display_name="b-model"')] == [b.name]
    assert [each.name for each in aiplatform.Model.list(filter="labels.kind=x", order_by="create_time desc")] == [
        b.name,
        a.name,
    ]


def test_models_and_endpoints_are_updated(aiplatform, upload, cleaned):
    model = upload()
    model.update(display_name="owls", labels={"a": "b"})
    assert (aiplatform.Model(model.resource_name).display_name, model.labels) == ("owls", {"a": "b"})
    endpoint = model.deploy(machine_type="n1-standard-2")
    cleaned.append(endpoint)
    model.deploy(endpoint, machine_type="n1-standard-2", traffic_percentage=20)
    shares = dict(endpoint.traffic_split)
    assert sorted(shares.values()) == [20, 80]
    endpoint.update(display_name="nest", traffic_split={key: 100 - share for key, share in shares.items()})
    found = aiplatform.Endpoint(endpoint.resource_name)
    assert (found.display_name, sorted(found.traffic_split.values())) == ("nest", [20, 80])
    endpoint.undeploy(next(iter(shares)))
    assert list(endpoint.traffic_split.values()) == [100]


def test_errors_have_googles_classes_and_the_services_words(aiplatform, upload):
    with pytest.raises(BadRequest, match="There are no files under"):
        upload(artifact_uri=f"{aiplatform.initializer.global_config.staging_bucket}/none")
    model = upload()
    with pytest.raises(BadRequest, match="n1-standard-3"):
        model.deploy(machine_type="n1-standard-3")
    broken = upload(serving_container_args=["broken"])
    with pytest.raises(BadRequest, match="no model in here"):
        broken.deploy(machine_type="n1-standard-2")
    for endpoint in aiplatform.Endpoint.list():
        endpoint.delete()
