"""labkit.devices.tpu: signs of a TPU, and what comes of following them. No TPU takes part."""

import os
import re
import socket
import subprocess
import sys

import psutil
import pytest

from labkit import processes
from labkit.devices import tpu
from labkit.devices.tpu import Finding, Hint, Tpu

GOOGLE, OTHER = "0x1ae0\n", "0x10de\n"


@pytest.fixture
def environment(monkeypatch):
    """The environment of a machine without a TPU, to put a sign into."""
    for name in (*tpu.ADDRESS_VARIABLES, *tpu.MACHINE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    if tpu.hint():
        pytest.skip("this machine has a TPU's chip")
    return monkeypatch


@pytest.fixture
def other_process(environment):
    """Gives a sign of a TPU at an address, and lets the process that tries it run another program."""
    environment.setenv("TPU_NAME", "grpc://10.0.0.2:8470")
    start = processes.start

    def runs(program):
        environment.setattr(processes, "start", lambda _, **rest: start([sys.executable, "-c", program], **rest))

    return runs


def machine(root, *files, vendor=OTHER):
    """A folder that looks like the root of a machine with these device files and one PCI card."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    card = root / "sys/bus/pci/devices/0000:00:04.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text(vendor)
    return root


@pytest.mark.parametrize(
    ("files", "vendor", "seen"),
    [
        ((), OTHER, None),
        (("dev/accel1", "dev/accel0"), GOOGLE, "/dev/accel0"),
        (("dev/vfio/0", "dev/vfio/vfio"), GOOGLE, "/dev/vfio/0"),
        (("dev/vfio/0", "dev/vfio/vfio"), OTHER, None),  # some other card was handed to user space
        (("dev/vfio/vfio",), GOOGLE, None),  # a virtual machine of Google's without a TPU
        (("dev/accel/accel0",), OTHER, None),  # the neural unit of a laptop
    ],
)
def test_chips_are_told_from_other_devices(tmp_path, files, vendor, seen):
    found = tpu.hint({}, machine(tmp_path, *files, vendor=vendor))
    assert found == (seen and Hint(seen, "local"))


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"COLAB_TPU_ADDR": "10.0.0.2:8470"}, "grpc://10.0.0.2:8470"),
        ({"COLAB_TPU_ADDR": "grpc://10.0.0.2:8470"}, "grpc://10.0.0.2:8470"),
        ({"KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS": "grpc://10.0.0.3:8470"}, "grpc://10.0.0.3:8470"),
        ({"TPU_NAME": "local"}, "local"),
        ({"TPU_NAME": "", "TPU_WORKER_ID": "0"}, "local"),
        ({"TPU_ACCELERATOR_TYPE": "v5litepod-1"}, "local"),
    ],
)
def test_variables_say_where_it_is(tmp_path, environ, address):
    assert tpu.hint(environ, tmp_path).address == address


def test_chips_come_before_a_name(tmp_path):
    found = tpu.hint({"TPU_NAME": "my-tpu"}, machine(tmp_path, "dev/accel0"))
    assert found == Hint("/dev/accel0", "local")


def test_without_a_sign_tensorflow_is_not_even_imported(environment):
    code = (
        "import sys; from labkit.devices import tpu; found = tpu.look(); "
        "assert tpu.find() is None and 'tensorflow' not in sys.modules; print(found.hint, found.reason)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.stdout.startswith("None No sign of a TPU: no chip in /dev, and none of COLAB_TPU_ADDR"), done.stderr


def test_a_tensorflow_without_tpu_support_is_named_as_the_reason(environment, capfd):
    environment.setenv("TPU_WORKER_ID", "0")
    found = tpu.look()
    assert (found.hint, found.tpu) == (Hint("TPU_WORKER_ID=0", "local"), None)
    assert "TPU_WORKER_ID=0 points to a TPU, but" in found.reason
    assert "built without TPU support. Install tensorflow-tpu" in found.reason
    assert "Traceback" not in "".join(capfd.readouterr())


def test_tensorflow_computes_on_after_a_failed_search(environment):
    import tensorflow as tf

    environment.setenv("TPU_WORKER_ID", "0")
    assert tpu.find() is None
    assert tf.function(lambda x: x * 2)(tf.constant(3)).numpy() == 6


def test_an_address_that_never_answers_is_given_up_and_nothing_is_left(environment):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        environment.setenv("COLAB_TPU_ADDR", address)
        found = tpu.look(timeout=0.5)
    assert found.hint.address == f"grpc://{address}"
    assert found.tpu is None
    assert f"grpc://{address} did not answer within 0.5 s." in found.reason
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if "labkit.devices.tpu" in child.cmdline()]


def test_what_the_other_process_met_is_told(environment):
    environment.setenv("TPU_NAME", "my-tpu")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    environment.setenv("GCE_METADATA_HOST", nobody)  # where TensorFlow looks a name up
    environment.setenv("no_proxy", "127.0.0.1")
    found = tpu.look()
    assert (found.hint, found.tpu) == (Hint("TPU_NAME=my-tpu", "my-tpu"), None)
    assert found.reason.startswith("TPU_NAME=my-tpu points to a TPU, but it cannot be used: URLError: <urlopen error")
    assert "A name like 'my-tpu' belongs to the old TPU Nodes" in found.reason


def test_an_other_process_that_ends_is_told_with_its_last_words(environment, other_process):
    environment.setenv("CUDA_VISIBLE_DEVICES", "0")
    other_process("import os, sys; print('GPUs:', os.environ['CUDA_VISIBLE_DEVICES']); sys.exit(3)")
    reason = tpu.look().reason
    assert reason.endswith("the process that tried it ended with exit status 3: GPUs: -1\n")  # it leaves GPUs alone


def test_an_import_that_never_ends_is_not_blamed_on_the_tpu(environment, other_process):
    graces = []
    stop = processes.ManagedProcess.stop
    environment.setattr(processes.ManagedProcess, "stop", lambda self, grace: (graces.append(grace), stop(self, grace)))
    environment.setattr(tpu, "_IMPORT_SECONDS", 0.2)
    other_process("import threading; threading.Event().wait()")
    reason = tpu.look().reason
    assert reason.endswith("cannot be used: TensorFlow took over 0.2 s to import there; the TPU was not asked.")
    assert graces == [1.0]  # it may hang, so the reader does not wait the usual 10 s for it to end


def test_the_import_does_not_count_and_the_cores_are_told(other_process):
    other_process("""print('imported\\nlabkit-tpu [8, ""]')""")
    address = "grpc://10.0.0.2:8470"
    found = tpu.look(timeout=1e-6)
    assert found == Finding(
        Hint(f"TPU_NAME={address}", address), Tpu(address, 8), f"TPU_NAME={address}: a TPU with 8 cores."
    )


@pytest.mark.parametrize("cores", [0, 8])
def test_the_cores_that_tensorflow_sees_decide(environment, cores):
    import tensorflow as tf

    environment.setenv("TPU_WORKER_ID", "0")
    environment.setattr(tpu, "connect", lambda address: None)
    listed = [tf.config.LogicalDevice(f"/device:TPU:{number}", "TPU") for number in range(cores)]
    environment.setattr(tf.config, "list_logical_devices", lambda kind: listed if kind == "TPU" else [])
    found = tpu.look()
    assert found.tpu == (Tpu("local", 8) if cores else None)
    assert found.reason == (
        "TPU_WORKER_ID=0: a TPU with 8 cores."
        if cores
        else "TPU_WORKER_ID=0 points to a TPU, but it cannot be used: TensorFlow initialised it and then saw no core."
    )


def test_a_tpu_is_initialised_once(monkeypatch):
    import tensorflow as tf

    calls = []
    monkeypatch.setattr(
        tf.distribute.cluster_resolver, "TPUClusterResolver", lambda tpu: calls.append(f"resolve {tpu}") or "resolver"
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda it: calls.append(f"connect {it}"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda it: calls.append(f"initialise {it}"))
    address = "grpc://tpu-of-this-test:8470"  # no other test's: the result is kept
    assert tpu.connect(address) == tpu.connect(address) == "resolver"
    assert calls == [f"resolve {address}", "connect resolver", "initialise resolver"]


def test_the_code_of_the_page_runs_without_a_tpu(environment, repository):
    page = (repository / "docs" / "tpu.md").read_text()
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE):
        exec(code, names)
    assert names["strategy"].num_replicas_in_sync == 1
    first, last = names["history"].history["loss"]
    assert last < first


def test_a_message_is_explained():
    ours = tpu.explain("NotFoundError: No OpKernel was registered to support Op 'ConfigureDistributedTPU'", "local")
    assert "tensorflow-tpu" in ours
    late = "DeadlineExceededError: Deadline Exceeded [[{{node ConfigureDistributedTPU}}]]"  # asked, so supported
    assert tpu.explain(late, "local") == late
    named = tpu.explain("URLError: <urlopen error\n [Errno -2] Name or service not known>", "my-tpu")
    assert named.startswith("URLError: <urlopen error [Errno -2] Name or service not known> A name like 'my-tpu'")
    assert tpu.explain("ValueError: odd", "local") == "ValueError: odd"
    assert len(tpu.explain("x " * 5000, "local")) < 600


def test_no_time_is_refused():
    with pytest.raises(ValueError, match=r"look\(\) was given timeout=0; it takes a positive number of seconds"):
        tpu.find(timeout=0)
