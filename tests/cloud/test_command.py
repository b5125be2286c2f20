"""`labkit cloud`: programs under a local cloud; what is left in a project, seen and removed.

The real cloud's part is tried on a local one: a program under it is told that the local cloud's project is a real one.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from labkit.cloud import cloud

PROJECT = "labkit-local"
YES = {"LABKIT_CLOUD_PROJECT": PROJECT, "LABKIT_CLOUD_YES": "1"}


@pytest.fixture(scope="module")
def google():
    """A cloud that plays the real one for what is started here."""
    with cloud(bucket="somebody-elses") as session:
        yield session


def labkit(*arguments, **options):
    command = [sys.executable, "-m", "labkit", "cloud", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, **options)


def python(program, variables):
    command = [sys.executable, "-c", textwrap.dedent(program)]
    quiet = {"capture_output": True, "text": True, "timeout": 100, "stdin": subprocess.DEVNULL}
    return subprocess.run(command, env={**os.environ, **variables}, **quiet)


def test_a_program_runs_under_a_local_cloud_and_its_status_is_the_commands():
    program = """
        import sys
        from google.cloud import storage
        print([bucket.name for bucket in storage.Client().list_buckets()])
        sys.exit(7)
    """
    answer = labkit("run", "--bucket", "for-my-script", "--", sys.executable, "-c", textwrap.dedent(program))
    assert answer.stdout == "['for-my-script']\n", answer.stderr
    assert answer.returncode == 7
    assert "bucket for-my-script" in answer.stderr


def test_a_program_ends_with_the_command_that_is_asked_to_end():
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    command = [sys.executable, "-m", "labkit", "cloud", "run", "--", sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        pid = int(run.stdout.readline())
        run.terminate()
        assert run.wait(60) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(pid)


def test_a_program_that_does_not_exist_and_none_at_all():
    answer = labkit("run", "--", "no-such-program")
    assert answer.returncode == 127
    assert "'no-such-program' could not be started" in answer.stderr
    answer = labkit("run")
    assert answer.returncode == 2
    assert "labkit cloud run -- python train.py" in answer.stderr


@pytest.mark.parametrize(("flag", "value"), [("--location", "us-nowhere1"), ("--bucket", "gs://mine")])
def test_a_region_or_bucket_that_cannot_be_is_named_in_a_line(flag, value):
    answer = labkit("run", flag, value, "--", "no-such-program")
    assert answer.returncode == 2
    assert value in answer.stderr
    assert "Traceback" not in answer.stderr


def test_without_a_project_there_is_nothing_to_list():
    answer = labkit("list", env={**os.environ, "LABKIT_CLOUD_PROJECT": ""})
    assert answer.returncode == 2
    assert "--project, or set LABKIT_CLOUD_PROJECT" in answer.stderr


def test_a_real_session_makes_a_bucket_with_its_label_and_removes_all_that_has_it(google):
    answer = python(
        """
        from google.cloud import aiplatform, storage
        from labkit.cloud import cloud
        with cloud() as session:
            assert not session.local
            client = storage.Client(session.project)
            bucket = client.get_bucket(session.bucket)
            assert bucket.labels == session.labels
            bucket.blob("a/file").upload_from_string("content")
            aiplatform.init(project=session.project, location=session.location, staging_bucket=session.bucket)
            aiplatform.Endpoint.create("mine", labels=dict(session.labels))
            aiplatform.Endpoint.create("not labelled")
        print([bucket.name for bucket in client.list_buckets()])
        print([endpoint.display_name for endpoint in aiplatform.Endpoint.list(project=session.project)])
        """,
        YES,
    )
    assert answer.returncode == 0, answer.stderr
    assert "every node by the hour" in answer.stdout
    assert "removed endpoint mine\n" in answer.stdout
    assert "removed bucket gs://labkit-" in answer.stdout
    assert answer.stdout.endswith("['somebody-elses']\n['not labelled']\n")


LEFT = """
    from google.cloud import aiplatform, storage
    from labkit.cloud import cloud
    session = cloud()
    aiplatform.init(project=session.project, location=session.location)
    aiplatform.Endpoint.create("left behind", labels=dict(session.labels))
    import os
    print(session.labels["labkit"], flush=True)
    {end}
"""


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "pass", "raise ValueError"], ids=["kill", "end", "error"])
def test_what_a_lost_notebook_made_is_removed_after_it(google, end):
    from google.cloud import storage

    answer = python(LEFT.format(end=end), YES)
    run = answer.stdout.splitlines()[-1]
    deadline = time.monotonic() + 60
    with storage.Client() as client:
        while client.lookup_bucket(f"labkit-{run}") and time.monotonic() < deadline:
            time.sleep(0.2)
    assert labkit("list", "--project", PROJECT, "--label", run).stdout == "Nothing is left.\n"


def test_clean_asks_and_removes_one_session_or_all(google):
    from google.cloud import storage

    with storage.Client() as client:
        for run in ("one", "two"):
            bucket = client.bucket(f"labkit-{run}")
            bucket.labels = {"labkit": run}
            client.create_bucket(bucket)
            bucket.blob("file").upload_from_string("content")
        listed = labkit("list", "--project", PROJECT).stdout
        assert "gs://labkit-one" in listed and "gs://labkit-two" in listed and "somebody-elses" not in listed
        asked = labkit("clean", "--project", PROJECT)
        assert asked.returncode == 1
        assert "nobody could be asked; --yes removes without asking" in asked.stderr
        answer = labkit("clean", "--project", PROJECT, "--label", "one", "--yes")
        assert (answer.returncode, answer.stdout) == (0, "removed bucket gs://labkit-one\n"), answer.stderr
        answer = labkit("clean", "--project", PROJECT, "--yes")
        assert answer.stdout == "removed bucket gs://labkit-two\n"
        assert [bucket.name for bucket in client.list_buckets()] == ["somebody-elses"]


def test_another_project_is_refused_in_googles_words(google):
    answer = labkit("list", "--project", "somebody-elses-project")
    assert answer.returncode == 1
    assert answer.stderr.startswith("labkit cloud: Google did not list what is in somebody-elses-project: ")
