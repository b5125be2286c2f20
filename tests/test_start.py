"""`from labkit import start`: quiet, seeded, once and again, in a plain process and in a kernel."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = r"""
import os, sys
before = os.fstat(2)
from labkit import start
import tensorflow as tf
assert os.fstat(2).st_ino == before.st_ino, "descriptor 2 is another file now"
assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3" and os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
assert tf.config.get_visible_devices("GPU") == []
folder = start.workspace("01")
assert folder.as_posix() == "work/01" and not list(folder.iterdir())
import random, numpy, keras
def draw():
    layer = keras.layers.Dense(1)
    return random.random(), float(numpy.random.random()), float(tf.random.normal([])), layer.name
first = draw()
(folder / "left.txt").write_text("from the first run")
from labkit import start
again = start.workspace("01")
assert not list(again.iterdir()), "the folder was not emptied"
assert draw() == first, "another run gives other numbers"
assert draw() != first
for name in ("1", "..", "ab", "/x", "", 1, "\u0660\u0661", "01\n"):
    try:
        start.workspace(name)
    except ValueError as error:
        assert "two digits" in str(error)
    else:
        raise AssertionError(f"workspace({name!r}) was accepted")
assert folder.exists()
from labkit.errors import EnvironmentProblem
os.mkdir("elsewhere")
open("elsewhere/mine.txt", "w").close()
os.symlink("../elsewhere", "work/02")
try:
    start.workspace("02")
except EnvironmentProblem as error:
    assert "remove the link" in str(error) and "../elsewhere" in str(error)
else:
    raise AssertionError("a link was accepted")
assert os.listdir("elsewhere") == ["mine.txt"]
tf.get_logger().warning("chatter")
import matplotlib
assert "marker" in matplotlib.rcParams["axes.prop_cycle"].keys
print("done")
os.write(2, b"still mine")
"""


@pytest.fixture(scope="module")
def plain_process(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "CUDA", "LABKIT"))}
    environment["PYTHONPATH"] = str(ROOT)
    folder = tmp_path_factory.mktemp("start")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_start_seeds_empties_its_folder_and_gives_descriptor_2_back(
    plain_process: subprocess.CompletedProcess[str],
) -> None:
    assert plain_process.stdout == "done\n", plain_process.stderr


def test_nothing_reaches_stderr_but_what_the_program_writes(plain_process: subprocess.CompletedProcess[str]) -> None:
    assert plain_process.stderr == "still mine"


def test_in_a_kernel_no_cell_writes_to_stderr_and_the_setup_runs_twice(tmp_path: Path) -> None:
    from nbformat import v4

    from labkit.notebooks import run

    setup = 'from labkit import start\nimport tensorflow as tf\nfolder = start.workspace("01")'
    fit = (
        "model = tf.keras.Sequential([tf.keras.layers.Dense(1)])\n"
        'model.compile(loss="mse")\n'
        "history = model.fit(tf.random.normal([8, 2]), tf.random.normal([8]), verbose=0)\n"
        'print(model.name, round(history.history["loss"][0], 4))'
    )
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in (setup, fit, setup, fit)])
    run.execute(notebook, tmp_path, name="try")
    outputs = [cell.outputs for cell in notebook.cells]
    assert outputs[0] == outputs[2] == []
    assert [output.name for output in outputs[1]] == ["stdout"]
    assert outputs[1][0].text == outputs[3][0].text


def test_a_failing_import_shows_what_tensorflow_said(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("import os\nos.write(2, b'libcuda is broken')\nraise ImportError('no')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", "from labkit import start"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "libcuda is broken" in done.stderr
    assert "ImportError: no" in done.stderr


@pytest.fixture
def run_with_light_tensorflow(tmp_path: Path) -> Callable[..., str]:
    """Runs a program that nobody told about GPUs, but for the variables given; returns what it writes.

    In it, TensorFlow and Keras hold only what `start` calls, and are there at once.
    """
    (tmp_path / "tensorflow.py").write_text(
        "import logging, os, types\n"
        "os.write(2, b'chatter')\n"
        "get_logger = logging.getLogger\n"
        "config = types.SimpleNamespace(list_physical_devices=list, set_visible_devices=lambda *_: None)\n"
    )
    (tmp_path / "keras.py").write_text(
        "import types\nutils = types.SimpleNamespace(clear_session=list, set_random_seed=lambda _: None)\n"
    )

    def run(program: str, **variables: str) -> str:
        unwanted = ("CUDA_VISIBLE_DEVICES", "LABKIT_GPU")
        environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])} | variables
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def test_an_import_that_succeeds_shows_nothing_where_another_error_is_being_handled(
    run_with_light_tensorflow: Callable[..., str],
) -> None:
    program = (
        "from labkit import quiet_tensorflow\n"
        "try:\n"
        "    1 / 0\n"
        "except ZeroDivisionError:\n"
        "    print(quiet_tensorflow.import_it(use_gpu=True))\n"
    )
    assert run_with_light_tensorflow(program) == "chatter\n"


@pytest.mark.parametrize(
    ("module", "set_to", "visible"),
    [
        ("start", None, "-1"),
        ("start", "1", "None"),
        ("start_devices", None, "None"),
        ("start_devices", "", "None"),
        ("start_devices", "0", "-1"),
    ],
)
def test_gpus_are_hidden_but_from_labs_about_devices(
    run_with_light_tensorflow: Callable[..., str], module: str, set_to: str | None, visible: str
) -> None:
    program = (
        "import os\n"
        f"from labkit import {module}\n"
        f"from labkit import {module}\n"  # as when a cell runs twice
        "print(os.environ.get('CUDA_VISIBLE_DEVICES'))\n"
    )
    given = {} if set_to is None else {"LABKIT_GPU": set_to}
    assert run_with_light_tensorflow(program, **given) == f"{visible}\n"


def test_gpus_that_are_hidden_already_are_not_said_to_be_seen(run_with_light_tensorflow: Callable[..., str]) -> None:
    program = (
        "import os\n"
        "from labkit import start\n"
        "from labkit.errors import EnvironmentProblem\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        from labkit import start_devices\n"
        "    except EnvironmentProblem as error:\n"
        "        print('Restart the kernel' in str(error))\n"
        "print(os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ.get('LABKIT_GPU'))\n"
        "os.environ['LABKIT_GPU'] = '0'\n"
        "from labkit import start_devices\n"
    )
    assert run_with_light_tensorflow(program).split() == ["True", "True", "-1", "None"]


def test_devices_and_threads_can_still_be_set_after_start() -> None:
    program = (
        "from labkit import start\n"
        "import tensorflow as tf\n"
        'start.workspace("01")\n'
        'cpu = tf.config.list_physical_devices("CPU")[0]\n'
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "tf.config.threading.set_intra_op_parallelism_threads(1)\n"
        'print(len(tf.config.list_logical_devices("CPU")))\n'
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    assert (done.stdout, done.stderr) == ("2\n", "")


PROXIES = """
import importlib, json, os, sys
import tensorflow as tf
_ = tf.constant(0) + 0
from labkit import start
from requests.utils import should_bypass_proxies
from urllib.request import getproxies_environment
assert start.SEED == 7
for variables in json.load(sys.stdin):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    os.environ.update(variables)
    importlib.reload(start)
    hosts = "127.0.0.1", "localhost", "example.org", "example.com"
    past = [host for host in hosts if should_bypass_proxies(f"http://{host}:8501/", None)]
    print(json.dumps([past, getproxies_environment(), os.environ.get("NO_PROXY")]))
"""
PROXY = {"HTTP_PROXY": "http://127.0.0.1:9"}
CASES = {
    "no exception": PROXY,
    "upper": PROXY | {"NO_PROXY": "example.org"},
    "lower": {"http_proxy": "http://127.0.0.1:9", "no_proxy": "example.org"},
    "both": PROXY | {"no_proxy": "example.org", "NO_PROXY": "example.com"},
    "every host": PROXY | {"NO_PROXY": "*"},
    "only https": {"https_proxy": "http://127.0.0.1:9"},
    "no proxy": {},
    "no proxy, an exception": {"NO_PROXY": "example.org"},
}


@pytest.fixture(scope="module")
def behind_proxies() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROXIES],
        input=json.dumps(list(CASES.values())),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def proxied(behind_proxies: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Case -> after the import: the hosts that `requests` asks directly, the proxies Python finds, and NO_PROXY."""
    return dict(zip(CASES, map(json.loads, behind_proxies.stdout.splitlines()), strict=True))


def test_start_works_where_tensorflow_already_runs(behind_proxies: subprocess.CompletedProcess[str]) -> None:
    assert behind_proxies.returncode == 0, behind_proxies.stderr


@pytest.mark.parametrize(
    ("case", "others"),
    [
        ("no exception", []),
        ("upper", ["example.org"]),
        ("lower", ["example.org"]),
        ("both", ["example.org"]),
        ("every host", ["example.org", "example.com"]),
        ("only https", []),
    ],
)
def test_requests_to_this_machine_go_past_a_proxy_and_so_do_the_reader_s_own(
    proxied: dict[str, Any], case: str, others: list[str]
) -> None:
    assert proxied[case][0] == ["127.0.0.1", "localhost", *others]


def test_each_of_the_two_names_keeps_its_own_hosts(proxied: dict[str, Any]) -> None:
    assert proxied["every host"][1]["no"] == proxied["every host"][2] == "*"
    assert proxied["upper"][1]["no"] == proxied["upper"][2] == "example.org,127.0.0.1,localhost"
    assert proxied["both"][1]["no"] == "example.org,127.0.0.1,localhost"
    assert proxied["both"][2] == "example.com,127.0.0.1,localhost"


def test_without_a_proxy_the_environment_stays_as_it_was(proxied: dict[str, Any]) -> None:
    assert proxied["no proxy"][1] == {}, "macOS and Windows would ask the system no more"
    assert proxied["no proxy, an exception"][1] == {"no": "example.org"}
