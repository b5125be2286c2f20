"""What a session left behind is found by its label and removed: what is deployed, what still runs, what is stored."""

import sys
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import RefreshError

from labkit.cloud import session
from labkit.cloud.leftovers import Leftovers

PROGRAM = Path(__file__).with_name("serving_program.py")
SERVING, TRAINING = "birds/serving:1", "birds/training:1"


@pytest.fixture(scope="module")
def google():
    """A cloud that plays the real one."""
    forever = "import threading; threading.Event().wait()"
    images = {SERVING: [sys.executable, str(PROGRAM)], TRAINING: [sys.executable, "-c", forever]}
    running = session.start_local(images=images)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def aiplatform(google):
    from google.cloud import aiplatform

    aiplatform.init(project=google.project, location=google.location, staging_bucket=google.bucket)
    return aiplatform


@pytest.fixture
def leftovers(google):
    return Leftovers(google.project, google.location)


def test_a_deployed_model_is_undeployed_and_removed_with_its_endpoint(aiplatform, leftovers):
    labels = {"labkit": "deployed"}
    model = aiplatform.Model.upload(
        display_name="penguins",
        serving_container_image_uri=SERVING,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        labels=labels,
    )
    endpoint = aiplatform.Endpoint.create("birds", labels=labels)
    endpoint.deploy(model, machine_type="n1-standard-2")
    found = leftovers.find("deployed")
    assert [(one.kind, one.title, one.state, one.costs) for one in found] == [
        ("endpoint", "birds", "1 deployed", True),
        ("model", "penguins", "", False),
    ]
    said = []
    assert leftovers.remove(found, said.append) == {}
    assert said == ["removed endpoint birds", "removed model penguins"]
    assert leftovers.find("deployed") == []


def test_a_job_that_runs_is_cancelled_first(aiplatform, leftovers):
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "container_spec": {"image_uri": TRAINING}}
    job = aiplatform.CustomJob("endless", [{**pool, "replica_count": 1}], labels={"labkit": "training"})
    job.submit()
    (found,) = leftovers.find("training")
    assert (found.kind, found.title, found.run, found.costs) == ("custom job", "endless", "training", True)
    assert leftovers.remove([found], lambda line: None) == {}
    assert leftovers.find("training") == []


def test_only_what_has_the_label_is_found_and_one_sessions_apart(aiplatform, leftovers):
    made = [aiplatform.Endpoint.create(run, labels={"labkit": run}) for run in ("one", "two")]
    made.append(aiplatform.Endpoint.create("theirs", labels={"team": "birds"}))
    assert [one.title for one in leftovers.find("one")] == ["one"]
    assert sorted(one.title for one in leftovers.find()) == ["one", "two"]
    for each in made:
        each.delete()


def test_what_cannot_be_removed_is_named_and_the_rest_is_removed(google, aiplatform, leftovers):
    from google.cloud import storage

    labels = {"labkit": "mixed"}
    model = aiplatform.Model.upload(
        display_name="in use",
        serving_container_image_uri=SERVING,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        labels=labels,
    )
    theirs = aiplatform.Endpoint.create("theirs")
    theirs.deploy(model, machine_type="n1-standard-2")
    with storage.Client(google.project) as client:
        bucket = client.bucket("of-the-session")
        bucket.labels = labels
        client.create_bucket(bucket)
    found = leftovers.find("mixed")
    failed = leftovers.remove(found, lambda line: None)
    assert [(one.kind, one.title) for one in failed] == [("model", "in use")]
    assert "deployed" in next(iter(failed.values()))
    assert leftovers.find("mixed") == list(failed)
    theirs.delete(force=True)
    assert leftovers.remove(leftovers.find("mixed"), lambda line: None) == {}


@pytest.mark.parametrize("error", [GoogleAPIError("what is this"), RefreshError("logged out")])
def test_whatever_google_says_of_one_thing_the_others_are_removed(aiplatform, leftovers, monkeypatch, error):
    from google.cloud import aiplatform_v1

    made = [aiplatform.Endpoint.create(run, labels={"labkit": "broken"}) for run in ("one", "two")]
    found = leftovers.find("broken")
    client = aiplatform_v1.EndpointServiceClient
    delete = client.delete_endpoint

    def failing(self, *, name):
        if name == found[0].name:
            raise error
        return delete(self, name=name)

    monkeypatch.setattr(client, "delete_endpoint", failing)
    said = []
    failed = leftovers.remove(found, said.append)
    assert list(failed) == [found[0]]
    assert said == [f"removed endpoint {found[1].title}"]
    monkeypatch.undo()
    next(each for each in made if each.display_name == found[0].title).delete()


def test_what_is_gone_already_is_no_failure(aiplatform, leftovers):
    endpoint = aiplatform.Endpoint.create("short-lived", labels={"labkit": "gone"})
    found = leftovers.find("gone")
    endpoint.delete()
    said = []
    assert leftovers.remove(found, said.append) == {}
    assert said == []


def test_models_that_share_an_endpoints_traffic_are_undeployed_one_after_the_other(aiplatform, leftovers):
    labels = {"labkit": "canary"}
    model = aiplatform.Model.upload(
        display_name="penguins",
        serving_container_image_uri=SERVING,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        labels=labels,
    )
    endpoint = aiplatform.Endpoint.create("canary", labels=labels)
    endpoint.deploy(model, machine_type="n1-standard-2")
    endpoint.deploy(model, machine_type="n1-standard-2", traffic_percentage=10)
    assert leftovers.remove(leftovers.find("canary"), lambda line: None) == {}
    assert leftovers.find("canary") == []
