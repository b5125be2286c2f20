"""The model registry of the local cloud."""

import grpc
import pytest
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.serving import serving_container

from .refusals import refused

PARENT = "projects/123456789012/locations/europe-west4"
PREBUILT = "europe-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"


@pytest.fixture
def two_versions(vertex):
    """A model's name; version 1 is called old, version 2 is the default one."""
    name = vertex.upload(version_aliases=["default", "old"]).model
    assert vertex.upload(parent_model=name, version_aliases=["default"]).model_version_id == "2"
    return name


def aliases(vertex, name):
    return {
        each.version_id: sorted(each.version_aliases) for each in vertex.call("ListModelVersions", name=name).models
    }


def test_an_uploaded_model_has_what_the_service_knows_about_it(vertex):
    uploaded = vertex.upload(model_id="birds", description="by beak", labels={"lab": "five"})
    assert (uploaded.model, uploaded.model_version_id) == (f"{PARENT}/models/birds", "1")
    model = vertex.model(uploaded.model)
    assert (model.name, model.version_id, list(model.version_aliases)) == (uploaded.model, "1", ["default"])
    assert (model.display_name, model.description, model.labels["lab"]) == ("penguins", "by beak", "five")
    assert model.create_time
    assert model.create_time == model.version_create_time
    assert model.etag
    assert [port.container_port for port in model.container_spec.ports] == [8080]
    assert [kind.name for kind in model.supported_deployment_resources_types] == ["DEDICATED_RESOURCES"]


def test_a_version_is_found_by_its_number_and_its_aliases(vertex, two_versions):
    names = {word: vertex.model(f"{two_versions}@{word}").name for word in ("1", "old", "2", "default")}
    assert names == {"1": f"{two_versions}@1", "old": f"{two_versions}@1", "2": f"{two_versions}@2"} | {
        "default": f"{two_versions}@2"
    }
    assert vertex.model(two_versions).version_id == "2"
    assert refused(lambda: vertex.model(f"{two_versions}@golden"), "golden", "1, 2") is grpc.StatusCode.NOT_FOUND
    assert refused(lambda: vertex.model(f"{PARENT}/models/none"), "models/none") is grpc.StatusCode.NOT_FOUND


def test_a_new_version_that_is_not_to_be_the_default_one_leaves_it(vertex):
    name = vertex.upload().model
    vertex.upload(parent_model=name)
    assert aliases(vertex, name) == {"1": ["default"], "2": []}


def test_models_are_listed_by_their_default_versions(vertex, two_versions):
    other = vertex.upload(display_name="others", labels={"kind": "b"}).model
    found = vertex.call("ListModels", parent=PARENT).models
    assert [(each.name, each.version_id) for each in found] == [(other, "1"), (two_versions, "2")]
    chosen = vertex.call("ListModels", parent=PARENT, filter='labels.kind="b"').models
    assert [each.name for each in chosen] == [other]
    ordered = vertex.call("ListModels", parent=PARENT, order_by="display_name desc").models
    assert [each.display_name for each in ordered] == ["penguins", "others"]
    first = vertex.call("ListModels", parent=PARENT, page_size=1)
    second = vertex.call("ListModels", parent=PARENT, page_size=1, page_token=first.next_page_token)
    assert [first.models[0].name, second.models[0].name] == [other, two_versions]


def test_aliases_move_come_and_go(vertex, two_versions):
    merge = {"name": f"{two_versions}@1", "version_aliases": ["golden", "default", "-old"]}
    assert sorted(vertex.call("MergeVersionAliases", **merge).version_aliases) == ["default", "golden"]
    assert aliases(vertex, two_versions) == {"1": ["default", "golden"], "2": []}
    taken = {"name": f"{two_versions}@1", "version_aliases": ["-default"]}
    code = refused(lambda: vertex.call("MergeVersionAliases", **taken), "exactly one default")
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    wrong = {"name": f"{two_versions}@1", "version_aliases": ["7"]}
    assert refused(lambda: vertex.call("MergeVersionAliases", **wrong), "'7'") is grpc.StatusCode.INVALID_ARGUMENT
    assert aliases(vertex, two_versions) == {"1": ["default", "golden"], "2": []}


@pytest.mark.parametrize("alias", ["2", "a", "Upper", "under_score", "end-"])
def test_what_cannot_be_an_alias_is_refused(vertex, alias):
    code = refused(lambda: vertex.upload(version_aliases=[alias]), repr(alias))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_model_and_a_version_are_updated_apart(vertex, two_versions):
    model = {"name": two_versions, "display_name": "birds", "description": "ignored", "labels": {"a": "b"}}
    vertex.call("UpdateModel", model=model, update_mask={"paths": ["display_name", "labels"]})
    for version in ("1", "2"):
        found = vertex.model(f"{two_versions}@{version}")
        assert (found.display_name, found.description, dict(found.labels)) == ("birds", "", {"a": "b"})
    version = {"name": f"{two_versions}@1", "version_description": "first"}
    vertex.call("UpdateModel", model=version, update_mask={"paths": ["version_description"]})
    assert vertex.model(f"{two_versions}@1").version_description == "first"
    assert vertex.model(f"{two_versions}@2").version_description == ""
    code = refused(
        lambda: vertex.call("UpdateModel", model=version, update_mask={"paths": ["display_name"]}), "display_name"
    )
    assert code is grpc.StatusCode.FAILED_PRECONDITION


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(vertex, two_versions):
    vertex.done("DeleteModelVersion", name=f"{two_versions}@old")
    assert aliases(vertex, two_versions) == {"2": ["default"]}
    assert vertex.upload(parent_model=two_versions).model_version_id == "3"
    vertex.done("DeleteModelVersion", name=f"{two_versions}@3")
    assert vertex.upload(parent_model=two_versions).model_version_id == "4"


def test_the_default_and_the_last_version_cannot_be_deleted(vertex, two_versions):
    code = refused(lambda: vertex.done("DeleteModelVersion", name=f"{two_versions}@2"), "default version")
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    vertex.done("DeleteModelVersion", name=f"{two_versions}@1")
    refused(lambda: vertex.done("DeleteModelVersion", name=f"{two_versions}@2"), "last version", "delete the model")


def test_a_deleted_model_is_gone_with_its_versions(vertex, cloud, two_versions):
    vertex.done("DeleteModel", name=two_versions)
    assert not vertex.call("ListModels", parent=PARENT).models
    assert refused(lambda: vertex.model(f"{two_versions}@1")) is grpc.StatusCode.NOT_FOUND
    assert not [path for path in cloud.folder.rglob("*") if path.is_file()]


def test_an_id_is_given_once_until_its_model_is_deleted(vertex):
    vertex.upload(model_id="birds")
    code = refused(lambda: vertex.upload(model_id="birds"), "already exists", "parent_model")
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert refused(lambda: vertex.upload(model_id="1st"), "1st") is grpc.StatusCode.INVALID_ARGUMENT
    vertex.done("DeleteModel", name=f"{PARENT}/models/birds")
    assert vertex.upload(model_id="birds").model_version_id == "1"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"display_name": ""}, "display_name"),
        ({"display_name": "x" * 129}, "129"),
        ({"image": ""}, "image_uri"),
        ({"spec": {"predict_route": "predict"}}, "predict_route"),
        ({"spec": {"health_route": "health"}}, "health_route"),
        ({"spec": {"ports": [{"container_port": 99999}]}}, "99999"),
        ({"labels": {"Upper": "x"}}, "Upper"),
        ({"labels": {"a": "with space"}}, "with space"),
        ({"image": PREBUILT}, "artifact_uri"),
        ({"artifact_uri": "model"}, "'model'"),
    ],
)
def test_what_cannot_be_a_model_is_refused_with_words(vertex, fields, word):
    assert refused(lambda: vertex.upload(**fields), word) is grpc.StatusCode.INVALID_ARGUMENT


def test_artifacts_that_are_not_there_are_refused_as_the_service_does(vertex, cloud):
    code = refused(
        lambda: vertex.upload(artifact_uri="gs://lab/none"), 'There are no files under "gs://lab/none/" to copy.'
    )
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    agent = "service-123456789012@gcp-sa-aiplatform.iam.gserviceaccount.com"
    code = refused(lambda: vertex.upload(artifact_uri="gs://other/x"), agent, "gs://other")
    assert code is grpc.StatusCode.PERMISSION_DENIED
    cloud.objects.write("gs://lab/deep/1/saved_model.pb", b"pb")
    words = "is expected to contain exactly one of: [saved_model.pb, saved_model.pbtxt]"
    code = refused(lambda: vertex.upload(artifact_uri="gs://lab/deep", image=PREBUILT), words)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert vertex.upload(artifact_uri="gs://lab/deep/1", image=PREBUILT)
    assert not vertex.call("ListModels", parent=PARENT, filter="display_name=none").models


def test_a_version_keeps_its_artifacts_whatever_happens_to_the_bucket(vertex, cloud):
    cloud.objects.write("gs://lab/model/assets/words.txt", b"first")
    name = vertex.upload(artifact_uri="gs://lab/model/").model
    cloud.objects.write("gs://lab/model/assets/words.txt", b"second")
    vertex.upload(artifact_uri="gs://lab/model/", parent_model=name, version_aliases=["default"])
    for number, words in (("1", b"first"), ("2", b"second")):
        version = vertex.models.version(f"{name}@{number}")
        assert version.artifact_uri == "gs://lab/model/"
        container = serving_container(cloud, version, "7", "8")
        assert (container.files / "assets" / "words.txt").read_bytes() == words
        storage = container.variables["AIP_STORAGE_URI"]
        assert storage != "gs://lab/model"
        assert cloud.objects.read(f"{storage}/assets/words.txt") == words
    vertex.done("DeleteModelVersion", name=f"{name}@1")
    assert cloud.objects.read(f"{storage}/assets/words.txt") == words
    vertex.done("DeleteModel", name=name)
    assert not cloud.objects.below(f"gs://{cloud.objects.bucket(storage)}/")


def test_a_container_is_told_what_the_service_tells_it(vertex, cloud):
    name = vertex.upload(
        arguments=["--quiet"],
        spec={"env": [{"name": "MODE", "value": "fast"}], "ports": [{"container_port": 7080}], "command": ["serve"]},
    ).model
    container = serving_container(cloud, vertex.models.version(name), "7", "8", "n1-standard-2")
    assert (container.image_uri, container.command, container.args) == ("mine", ("serve",), ("--quiet",))
    assert (container.port, container.files) == (7080, None)
    assert container.predict_route == "/v1/endpoints/8/deployedModels/7:predict"
    assert container.health_route == "/v1/endpoints/8/deployedModels/7"
    told = {"AIP_ENDPOINT_ID": "8", "AIP_DEPLOYED_MODEL_ID": "7", "AIP_MACHINE_TYPE": "n1-standard-2", "MODE": "fast"}
    assert container.variables.items() >= told.items()


def test_a_model_without_a_name_is_served_from_a_copy_of_its_own(cloud):
    cloud.objects.write("gs://lab/model/words.txt", b"words")
    model = types.Model(artifact_uri="gs://lab/model", container_spec={"image_uri": "mine", "predict_route": "/ask"})
    container = serving_container(cloud, model, "99")
    assert container.predict_route == "/ask"
    assert (container.files / "words.txt").read_bytes() == b"words"
    assert container.variables["AIP_STORAGE_URI"] == "gs://lab/model"
