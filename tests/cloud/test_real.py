"""A session in a real project: whom it asks and what it refuses. A local cloud plays the real one."""

import builtins
import os

import psutil
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.auth.exceptions import RefreshError

from labkit import processes
from labkit.cloud import cloud, real, session
from labkit.cloud.leftovers import Leftovers
from labkit.errors import CloudError


@pytest.fixture(scope="module")
def google():
    running = session.start_local(bucket="mine-already")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def answers(monkeypatch):
    """What is answered to the question, in turn; an exception is raised."""
    given = []

    def answer(question):
        said = given.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(builtins, "input", answer)
    monkeypatch.delenv("LABKIT_CLOUD_YES", raising=False)
    monkeypatch.setattr(real, "_agreed", set())
    return given


def test_the_costs_are_said_and_agreed_to_once(google, answers, capsys):
    answers += ["y"]
    before = psutil.Process().children()
    with cloud(google.project) as first:
        assert not first.local
        assert first.project == google.project
        assert first.bucket == f"labkit-{first.labels['labkit']}"
        with cloud(google.project) as second:
            assert not first.running
            assert second.labels != first.labels
    assert psutil.Process().children() == before
    said = capsys.readouterr().out
    assert "costs money" in said and "every node by the hour" in said
    assert said.count("removed bucket gs://labkit-") == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("n", r"is not to be used \(the answer was 'n'\); nothing was made there"),
        ("", "nothing was made there"),
        (EOFError(), "LABKIT_CLOUD_YES=1 says yes"),
        (RuntimeError("no stdin"), "LABKIT_CLOUD_YES=1 says yes"),
    ],
)
def test_without_a_yes_nothing_is_made(google, answers, answer, words):
    answers += [answer]
    with pytest.raises(CloudError, match=words):
        cloud(google.project)
    assert buckets() == ["mine-already"]


def buckets():
    from google.cloud import storage

    with storage.Client() as client:
        return [bucket.name for bucket in client.list_buckets()]


def test_a_bucket_of_the_users_is_used_and_stays(google, answers):
    answers += ["y"]
    with cloud(google.project, bucket="mine-already") as running:
        assert running.bucket == "mine-already"
    assert buckets() == ["mine-already"]
    with pytest.raises(CloudError, match="There is no bucket 'not-there'"):
        cloud(google.project, bucket="not-there")


@pytest.mark.parametrize("error", [ServiceUnavailable("not now"), RefreshError("logged out")])
def test_a_stop_that_google_does_not_answer_says_how_to_try_again(google, answers, monkeypatch, error):
    answers += ["y"]
    watchers, start = [], processes.start
    monkeypatch.setattr(
        processes, "start", lambda *given, **named: watchers.append(start(*given, **named)) or watchers[-1]
    )
    running = cloud(google.project)

    def refused(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Leftovers, "find", refused)
        words = rf"(?s){error}.*labkit cloud clean --project {google.project} --label {running.labels['labkit']}"
        with pytest.raises(CloudError, match=words):
            running.stop()
    (watcher,) = watchers
    assert watcher.running, "at this process's end it tries again"
    run = running.labels["labkit"]
    (processes.folder() / f"session-{run}.json").unlink()
    watcher.stop()
    leftovers = Leftovers(google.project, google.location)
    assert leftovers.remove(leftovers.find(run), str) == {}


def test_a_project_that_is_not_ours_is_refused_before_anybody_is_asked(google, answers):
    with pytest.raises(CloudError, match=r"(?s)somebody-elses.*gcloud services enable aiplatform\.googleapis\.com"):
        cloud("somebody-elses")


def test_without_an_account_it_says_how_to_log_in(google, answers, monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(CloudError, match="gcloud auth application-default login"):
        cloud(google.project)
    assert os.environ["GOOGLE_APPLICATION_CREDENTIALS"] == str(tmp_path / "none.json")
