"""Images as processes: TensorFlow Serving's, Vertex AI's prebuilt ones, a learner's own, Docker's."""

import json
import os
import re
import stat
import sys
from pathlib import Path

import grpc
import pytest

from labkit.cloud.local.containers import Containers, ServingContainer
from labkit.cloud.local.replicas import Replicas
from labkit.cloud.local.status import ApiError
from labkit.serving import backends

from ..serving import savedmodels
from .patient_containers import PatientContainers

PROGRAM = Path(__file__).with_name("serving_program.py")
TF_SERVING = "europe-west4-docker.pkg.dev/my-project/images/tf-serving:2.19.1"
PREBUILT = "europe-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
STORAGE = "gs://caip-tenant/model-7/artifacts"
HALF_PLUS_TWO = b'{"instances": [[1.0], [5.0]]}'


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder `half` with versions 1 (x / 2 + 2) and 2 (x / 2 + 3)."""
    folder = tmp_path_factory.mktemp("models")
    made = savedmodels.make(folder / "made")
    made.add_version(folder / "half", "1", plus=2)
    made.add_version(folder / "half", "2", plus=3)
    return folder


@pytest.fixture
def containers(tmp_path):
    return PatientContainers(
        tmp_path, {"HTTPS_PROXY": "http://local"}, images={"mine": ["python", str(PROGRAM)], "theirs:2": ["theirs"]}
    )


def tf_serving(*args, files, **options):
    options.setdefault("variables", {})
    options["variables"] = {"AIP_STORAGE_URI": STORAGE, **options["variables"]}
    routes = options.pop("routes", ("/v1/models/default:predict", "/v1/models/default"))
    return ServingContainer("7", options.pop("image", TF_SERVING), *routes, args=args, files=files, **options)


def mine(*args, **options):
    return ServingContainer("8", "mine:1", "/ask", "/healthy", args=args, **options)


def predictions(containers, container, body=HALF_PLUS_TWO):
    with Replicas(containers, container, minimum=1, maximum=1) as replicas:
        return json.loads(replicas.predict(body).body)


def refusal(containers, container):
    with pytest.raises(ApiError) as error, Replicas(containers, container, minimum=1, maximum=1):
        pass
    return error.value.code.name, error.value.message


@pytest.mark.parametrize(
    "image",
    [
        "tensorflow/serving",
        "tensorflow/serving:2.19.0-gpu",
        "docker.io/tensorflow/serving@sha256:" + 64 * "0",
        TF_SERVING,
        "localhost:5000/tensorflow-serving",
        "us-central1-docker.pkg.dev/p/r/tf_serving:latest",
        "us-central1-docker.pkg.dev/p/r/tfserving",
        PREBUILT,
        "us-docker.pkg.dev/vertex-ai/prediction/tf2-gpu.2-0",
        "mine",
        "mine:any",
        "theirs:2",
    ],
)
def test_images_that_run(containers, image):
    containers.check(image)


def test_the_command_that_stands_for_an_image(containers):
    assert containers.stand_in("theirs:2") == ("theirs",)
    assert containers.stand_in("mine:1") == containers.stand_in("mine") == ("python", str(PROGRAM))
    assert containers.stand_in("theirs:3") == containers.stand_in(TF_SERVING) == ()


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        ("europe-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-21:latest", "NOT_FOUND", "the newest .* is .*2-15. For"),
        ("us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-3:latest", "FAILED_PRECONDITION", "cannot run"),
        ("us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15/more", "FAILED_PRECONDITION", "cannot run"),
        ("tensorflow/tensorflow", "FAILED_PRECONDITION", "It runs TensorFlow Serving"),
        ("europe-west4-docker.pkg.dev/p/r/my-tf-serving-client:1", "FAILED_PRECONDITION", "cannot run"),
        ("theirs:3", "FAILED_PRECONDITION", "images="),
        ("theirs", "FAILED_PRECONDITION", "docker"),
    ],
)
def test_images_that_do_not_run(containers, image, code, words):
    with pytest.raises(ApiError, match=words) as error:
        containers.check(image)
    assert error.value.code == grpc.StatusCode[code]
    assert refusal(containers, ServingContainer("7", image, "/p", "/h"))[0] == code


def test_tensorflow_serving_with_the_arguments_that_vertex_ai_is_given(containers, models):
    args = ("--rest_api_port=8080", "--port=8500", "--model_name=default", "--model_base_path=$(AIP_STORAGE_URI)")
    assert predictions(containers, tf_serving(*args, files=models / "half")) == {"predictions": [[3.5], [5.5]]}


def test_a_base_path_below_the_storage_and_a_trailing_slash(containers, models):
    args = ("--rest_api_port=8080", "--model_name=default", f"--model_base_path={STORAGE}/half/")
    assert predictions(containers, tf_serving(*args, files=models)) == {"predictions": [[3.5], [5.5]]}


@pytest.mark.parametrize("command", [(), ("/usr/bin/tf_serving_entrypoint.sh",)])
def test_the_images_own_entry_point(containers, models, command):
    container = tf_serving(
        *("--rest_api_port=8501", "--file_system_poll_wait_seconds=0"),
        files=models,
        command=command,
        port=8501,
        routes=("/v1/models/half/versions/2:predict", "/v1/models/half"),
        variables={"MODEL_NAME": "half", "MODEL_BASE_PATH": "$(AIP_STORAGE_URI)"},
    )
    assert predictions(containers, container) == {"predictions": [[3.5], [5.5]]}


def test_the_model_server_as_command(containers, models):
    args = ("--rest_api_port=9000", "--model_base_path=$(AIP_STORAGE_URI)")
    container = tf_serving(*args, files=models / "half", command=("tensorflow_model_server",), port=9000)
    assert predictions(containers, container) == {"predictions": [[3.5], [5.5]]}


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        (("--rest_api_port=8501",), {}, "listens for REST at port 8501, and .* port 8080; pass --rest_api_port=8080"),
        ((), {"command": ("tensorflow_model_server",)}, "at port none"),
        ((), {"command": ("/bin/sh", "-c", "true")}, "not with '/bin/sh'"),
        (
            ("--rest_api_port=8080", "--model_base_path=$(AIP_STORAGE_URI)", "--bach=1"),
            {},
            "unknown argument: --bach=1",
        ),
        (("--rest_api_port=8080", "--model_base_path=gs://other/model"), {}, "(?s)exited .*gs://other/model"),
    ],
)
def test_tensorflow_serving_that_cannot_serve(containers, models, args, options, words):
    code, message = refusal(containers, tf_serving(*args, files=models / "half", **options))
    assert code == "FAILED_PRECONDITION"
    assert re.search(words, message), message


def test_a_health_route_that_is_wrong(containers, models):
    container = tf_serving(
        *("--rest_api_port=8080", "--model_base_path=$(AIP_STORAGE_URI)"),
        files=models / "half",
        routes=("/v1/models/default:predict", "/v1/models/other"),
        health_timeout=0.5,
    )
    containers.said = backends.READY
    assert "answered GET /v1/models/other with status 404 instead of 200" in refusal(containers, container)[1]


def test_a_prebuilt_image_serves_a_savedmodel_behind_vertex_ais_routes(containers, models):
    routes = ("/v1/endpoints/1/deployedModels/2:predict", "/v1/endpoints/1/deployedModels/2")
    container = tf_serving(image=PREBUILT, files=models / "half" / "1", routes=routes)
    assert predictions(containers, container) == {"predictions": [[2.5], [4.5]]}
    assert predictions(containers, container) == {"predictions": [[2.5], [4.5]]}  # its folder is there already


@pytest.mark.parametrize("files", ["half", None])
def test_a_prebuilt_image_without_a_savedmodel(containers, models, files):
    container = tf_serving(image=PREBUILT, files=files and models / files)
    code, message = refusal(containers, container)
    assert code == "FAILED_PRECONDITION"
    assert "there is no saved_model.pb; upload the model with the folder that holds that file" in message


def test_what_a_container_of_ones_own_gets(containers, tmp_path):
    variables = {"AIP_STORAGE_URI": STORAGE, "AIP_ENDPOINT_ID": "9", "ROOT": "$(AIP_STORAGE_URI)/x"}
    said = predictions(containers, mine("--at=$(ROOT)", "$$(ROOT)", "$(UNKNOWN)", variables=variables), b"{}")
    assert said["words"] == [f"--at={STORAGE}/x", "$(ROOT)", "$(UNKNOWN)"]
    assert said["cwd"] == os.getcwd()
    environment = said["environment"]
    assert environment["AIP_STORAGE_URI"] == STORAGE
    assert environment["ROOT"] == f"{STORAGE}/x"
    assert environment["HTTPS_PROXY"] == "http://local"
    assert environment["AIP_HTTP_PORT"].isdecimal()
    contract = ("AIP_MODE", "AIP_ACCELERATOR_TYPE", "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE", "AIP_ENDPOINT_ID")
    assert [environment[name] for name in contract] == ["PREDICTION", "", "/healthy", "/ask", "9"]


def test_a_command_takes_the_place_of_the_entry_point(containers):
    for python in ("python3", "/opt/conda/bin/python3.9"):
        said = predictions(containers, mine("two", command=(python, str(PROGRAM), "one")), b"{}")
        assert said["words"] == ["one", "two"]


def test_a_command_that_is_not_there(containers):
    code, message = refusal(containers, mine(command=("no-such-program",)))
    assert code == "FAILED_PRECONDITION"
    assert "'no-such-program'" in message


def test_a_mistake_on_the_way_is_internal_and_logged(containers, capsys):
    assert refusal(containers, mine(variables={"A": "\0"})) == ("INTERNAL", "ValueError: embedded null byte")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not bind processes to cores")
def test_a_container_keeps_to_its_machines_cores(containers):
    before = os.sched_getaffinity(0)
    assert predictions(containers, mine(), b"{}")["cores"] == 1
    with Replicas(containers, mine(), minimum=1, maximum=1, cores=64) as replicas:
        assert json.loads(replicas.predict(b"{}").body)["cores"] == len(before)
    containers.start(mine(), sorted(before)[:1]).stop()
    assert os.sched_getaffinity(0) == before


FAKE_DOCKER = f"""#!{sys.executable}
# As docker with an engine behind it, for one container: `run` becomes its program and is found again by `port`.
import json, os, pathlib, socket, subprocess, sys
words, state = sys.argv[1:], pathlib.Path(__file__).with_suffix(".json")
if words[0] == "run":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state.write_text(json.dumps({{"words": words, "port": port}}))
    given = dict(word.removeprefix("--env=").split("=", 1) for word in words if word.startswith("--env="))
    os.execve(sys.executable, [sys.executable, {str(PROGRAM)!r}], {{**os.environ, **given, "AIP_HTTP_PORT": str(port)}})
if words[0] == "port":
    sys.exit(print(f"127.0.0.1:{{json.loads(state.read_text())['port']}}") if state.exists() else 1)
if words[:2] == ["image", "inspect"]:
    sys.exit("missing" in words[2])
sys.exit(words[0] in ("pull", "inspect"))
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """The only program on the PATH; the words that `docker run` got."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(FAKE_DOCKER)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return lambda: json.loads(program.with_suffix(".json").read_text())["words"]


@pytest.mark.skipif(os.name != "posix", reason="the test's docker command is a script")
def test_docker_runs_any_image(docker, models, tmp_path):
    containers = Containers(tmp_path, {}, engine="docker")
    container = ServingContainer(
        *(
            "9",
            "europe-docker.pkg.dev/p/r/own:1",
            "/ask",
            "/healthy",
            ("serve", "--fast"),
            ("--at=$(AIP_STORAGE_URI)",),
        ),
        variables={"AIP_STORAGE_URI": STORAGE, "SIZE": "3"},
        files=models,
    )
    said = predictions(containers, container, b"{}")
    assert said["environment"]["SIZE"] == "3"
    words = docker()
    assert "--publish=127.0.0.1::8080" in words
    assert "--env=AIP_HTTP_PORT=8080" in words
    assert f"--mount=type=bind,source={models},target=/vertex-ai/model,readonly" in words
    assert words[-4:] == ["--entrypoint=serve", "europe-docker.pkg.dev/p/r/own:1", "--fast", "--at=/vertex-ai/model"]


@pytest.mark.skipif(os.name != "posix", reason="the test's docker command is a script")
def test_docker_without_the_image(docker, tmp_path):
    with pytest.raises(ApiError, match="There is no image 'missing'"):
        Containers(tmp_path, {}, engine="docker").check("missing")


def test_docker_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ApiError, match="install Docker"):
        Containers(tmp_path, {}, engine="docker").check("any")
