"""`from labkit import start`: quiet, seeded, once and again, in a plain process and in a kernel."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
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
for name in ("1", "..", "ab", "/x", "", 1):
    try:
        start.workspace(name)
    except ValueError as error:
        assert "two digits" in str(error)
    else:
        raise AssertionError(f"workspace({name!r}) was accepted")
assert folder.exists()
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


@pytest.mark.parametrize(
    ("module", "set_to", "visible"),
    [("start", None, "-1"), ("start", "1", "None"), ("start_devices", None, "None"), ("start_devices", "0", "-1")],
)
def test_gpus_are_hidden_but_from_labs_about_devices(module: str, set_to: str | None, visible: str) -> None:
    program = f"import os; from labkit import {module}; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    unwanted = ("CUDA_VISIBLE_DEVICES", "LABKIT_GPU")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"LABKIT_GPU": set_to} if set_to else {})
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{visible}\n"


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


def test_start_works_where_tensorflow_already_runs() -> None:
    import tensorflow as tf

    _ = tf.constant(0) + 0
    from labkit import start

    assert start.SEED == 7


def test_requests_to_this_machine_go_past_a_proxy():
    program = (
        "from labkit import start\n"
        "import http.server, threading, requests\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "server.RequestHandlerClass.log_message = lambda *_: None\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "print(requests.get(f'http://127.0.0.1:{server.server_port}/').status_code)\n"
    )
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "example.org"}
    environment = {**{k: v for k, v in os.environ.items() if k.lower() != "no_proxy"}, **proxies}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "200\n"
