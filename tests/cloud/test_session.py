"""A session with the local cloud: it starts, is found by Google's own clients, and leaves nothing behind."""

import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

import labkit.cloud.session
from labkit.cloud import cloud
from labkit.errors import CloudError, EnvironmentProblem

from ..children import descendants_with, runs


def python(program, **options):
    """Run a Python program as a kernel of its own, and answer what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100, **options)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_it_is_there_at_once_and_everything_is_as_before_after_it(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    before = dict(os.environ)
    session = cloud()
    try:
        assert session.running and session.local
        assert (session.project, session.location) == ("labkit-local", "us-central1")
        assert "local cloud at 127.0.0.1:" in session.logs()
        assert os.environ["GOOGLE_CLOUD_PROJECT"] == session.project
        assert "intranet.example" in os.environ["NO_PROXY"]
        assert "STORAGE_EMULATOR_HOST" not in os.environ
        assert buckets() == [session.bucket]
    finally:
        session.stop()
    assert dict(os.environ) == before
    assert not session.running
    session.stop()
    assert repr(session) == "<Cloud 'labkit-local' (local), stopped>"


def buckets():
    from google.cloud import storage

    with storage.Client() as client:
        return [bucket.name for bucket in client.list_buckets()]


def test_a_cell_that_is_run_again_replaces_the_session():
    before = dict(os.environ)
    first = cloud(bucket="first-bucket")
    with cloud(bucket="second-bucket") as second:
        assert not first.running
        assert buckets() == ["second-bucket"]
        first.stop()
        assert buckets() == ["second-bucket"], "the first session's end is not the second's"
        assert second.running
    assert dict(os.environ) == before


def test_a_second_cloud_knows_nothing_of_the_first():
    from google.cloud import aiplatform

    for _ in range(2):
        with cloud() as running:
            aiplatform.init(project=running.project, location=running.location)
            image = "us-docker.pkg.dev/labkit-local/lab/tf-serving:1"
            model = aiplatform.Model.upload(image, display_name="penguins", model_id="m")
            assert model.version_id == "1"


def test_after_an_error_everything_is_restored_but_what_the_user_has_set_since(monkeypatch):
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    before = dict(os.environ)

    def failing_cell():
        with cloud():
            assert os.environ["HTTPS_PROXY"] != "http://proxy.example:3128"
            os.environ["NO_PROXY"] = "localhost,elsewhere.example"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_cell()
    assert dict(os.environ) == {**before, "NO_PROXY": "localhost,elsewhere.example"}


def test_other_hosts_are_reached_through_the_proxy_that_was_set_before(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as company:
        company.settimeout(20)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:password@127.0.0.1:{company.getsockname()[1]}")
        monkeypatch.delenv("https_proxy", raising=False)
        with cloud(), ThreadPoolExecutor(1) as pool:
            asked = pool.submit(requests.get, "https://elsewhere.example", timeout=20)
            connection = company.accept()[0]
            with connection:
                assert connection.recv(4096).startswith(b"CONNECT elsewhere.example:443 ")
            with pytest.raises(requests.exceptions.RequestException):
                asked.result()
            assert descendants_with("labkit.cloud.local.main")
            assert not descendants_with("password"), "others on this machine can read it there"


def test_the_sdk_forgets_its_account_and_is_quiet(capsys):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform
    from google.cloud.aiplatform import base, initializer

    mine = AnonymousCredentials()
    aiplatform.init(project="my-real-project", credentials=mine, staging_bucket="gs://mine")
    earlier = logging.StreamHandler()
    earlier.setLevel(logging.INFO)
    loggers = logging.getLogger("google.cloud.aiplatform.imported_earlier")
    loggers.addHandler(earlier)
    with cloud() as session:
        assert earlier.level == logging.WARNING
        aiplatform.init(project=session.project, location=session.location)
        assert initializer.global_config.credentials is not mine
        assert initializer.global_config.staging_bucket is None
        logger = base.Logger("google.cloud.aiplatform.a_module_of_its_own")
        logger.info("Creating Model")
        logger.warning("a warning")
        assert capsys.readouterr().out == "a warning\n"
    assert earlier.level == logging.INFO
    loggers.removeHandler(earlier)
    logger.info("Creating Endpoint")
    assert capsys.readouterr().out == "Creating Endpoint\n"
    assert initializer.global_config._credentials is None
    assert initializer.global_config._project is None


def test_wrong_arguments_are_refused_before_the_session_that_runs_is_stopped():
    refused = [
        ({"containers": "podman"}, "containers is one of processes, docker; got 'podman'"),
        ({"bucket": "gs://mine"}, "without gs://"),
        ({"bucket": "google-lab"}, "no 'google'"),
        ({"bucket": "a..b"}, "several such parts with '.' between them"),
        ({"bucket": "192.168.0.1"}, "no IP address"),
        ({"images": {"birds:1": "python serve.py"}}, r"images\['birds:1'\] is 'python serve.py'; a list of words"),
        ({"location": "Iowa"}, "location='Iowa': a region such as"),
    ]
    with cloud() as running:
        for arguments, words in refused:
            with pytest.raises(ValueError, match=words):
                cloud(**arguments)
        assert running.running


def test_a_name_with_dots_may_be_longer():
    name = f"{40 * 'a'}.{47 * 'b'}"
    with cloud(bucket=name):
        assert buckets() == [name]


def test_a_region_that_there_is_not():
    before = dict(os.environ)
    with pytest.raises(ValueError, match=r"us-nowhere1.*us-central1"):
        cloud(location="us-nowhere1")
    assert dict(os.environ) == before


def test_a_local_cloud_that_does_not_start_says_what_it_wrote(monkeypatch):
    monkeypatch.setattr(labkit.cloud.session, "LOCAL_PROJECT", "--no-such-flag")
    with pytest.raises(CloudError, match="The local cloud did not start") as error:
        cloud()
    assert "usage:" in error.value.log


def test_without_googles_clients_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform", None)
    monkeypatch.setattr(labkit.cloud.session, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r'pip install "labkit\[cloud\]"'):
        cloud()


def test_grpc_over_tls_before_the_session_is_found_and_named():
    said = python("""
        import os
        import grpc
        with grpc.secure_channel("127.0.0.1:1", grpc.ssl_channel_credentials()) as channel:
            try:
                channel.unary_unary("/any/thing")(b"", timeout=5)
            except grpc.RpcError:
                pass
        from labkit.cloud import cloud
        from labkit.errors import CloudError
        before = dict(os.environ)
        try:
            cloud()
        except CloudError as error:
            print(error)
        assert dict(os.environ) == before
    """)
    assert "Restart the kernel and call cloud() first" in " ".join(said.split())


def test_plain_grpc_before_the_session_does_no_harm():
    said = python("""
        import grpc
        with grpc.insecure_channel("127.0.0.1:1") as channel:
            try:
                channel.unary_unary("/any/thing")(b"", timeout=5)
            except grpc.RpcError:
                pass
        from labkit.cloud import cloud
        with cloud() as session:
            print(session)
    """)
    assert said == "<Cloud 'labkit-local' (local), running>\n"


def test_grpc_is_answered_to_those_only_who_know_the_proxys_password():
    import grpc
    from google.cloud.location import locations_pb2

    with cloud() as running:
        (local,) = descendants_with("labkit.cloud.local.main")
        ports = {each.laddr.port for each in local.net_connections() if each.status == "LISTEN"}
        (port,) = ports - {int(os.environ["HTTPS_PROXY"].rpartition(":")[2])}
        options = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "storage.googleapis.com")]
        with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(), options) as channel:
            ask = channel.unary_unary("/google.cloud.location.Locations/GetLocation")
            name = f"projects/{running.project}/locations/{running.location}"
            request = locations_pb2.GetLocationRequest(name=name).SerializeToString()
            with pytest.raises(grpc.RpcError) as refused:
                ask(request, timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_importing_it_is_quick():
    said = python("""
        import sys
        import labkit.cloud
        assert not {"grpc", "tensorflow", "google.cloud.aiplatform"} & set(sys.modules)
        labkit.cloud.cloud
        assert not {"tensorflow", "google.cloud.aiplatform"} & set(sys.modules)
    """)
    assert said == ""


def test_nothing_survives_a_kernel_that_is_killed():
    program = """
        import json, os, time
        from labkit.cloud import cloud
        session = cloud()
        import psutil
        folder = os.path.dirname(os.environ["GOOGLE_APPLICATION_CREDENTIALS"])
        children = [child.pid for child in psutil.Process().children(recursive=True)]
        print(json.dumps([folder, children]), flush=True)
        time.sleep(600)
    """
    kernel = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    folder, children = json.loads(kernel.stdout.readline())
    assert Path(folder, "environment.json").exists() and len(children) >= 2
    assert Path(folder).stat().st_mode & 0o077 == 0
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()
    deadline = time.monotonic() + 20
    while (any(map(runs, children)) or Path(folder).parent.exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(runs, children))
    assert not Path(folder).parent.exists()


def test_the_machines_own_account_is_never_read(tmp_path):
    """A home with accounts wherever Google's libraries look for one; opening any of them is noted."""
    decoys = [".config/gcloud/application_default_credentials.json", ".config/gcloud/credentials.db", "key.json"]
    decoys += [".config/gcloud/configurations/config_default", ".config/gcloud/active_config"]
    for decoy in decoys:
        file = tmp_path / decoy
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"type": "authorized_user"}))
    program = """
        import os, sys
        opened = []
        def note(event, arguments):
            if event == "open" and str(arguments[0]).startswith(os.environ["HOME"]):
                opened.append(str(arguments[0]))
        sys.addaudithook(note)
        open(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).close()
        assert opened.pop(), "openings are noted"
        from labkit.cloud import cloud
        with cloud() as session:
            import google.auth, gcsfs
            from google.cloud import aiplatform, storage
            credentials, project = google.auth.default()
            assert project == session.project
            assert list(storage.Client().list_buckets())
            gcsfs.GCSFileSystem(skip_instance_cache=True).ls(session.bucket)
            aiplatform.init(project=session.project, location=session.location)
            aiplatform.initializer.global_config.credentials
        print(*opened, sep="\\n")
    """
    home = {"HOME": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
    opened = python(program, env={**os.environ, **home, "CLOUDSDK_CONFIG": str(tmp_path / ".config/gcloud")})
    assert not {str(tmp_path / decoy) for decoy in decoys} & set(opened.splitlines())
