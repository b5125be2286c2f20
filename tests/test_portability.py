"""What labkit does on systems that it cannot be run on here: Windows and macOS, played by `other_system`."""

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from labkit import preloaded, processes
from labkit.browser import devtools, find, headless
from labkit.cluster import links
from labkit.cluster.spec import Task
from labkit.errors import EnvironmentProblem
from labkit.waiting import wait_until

from . import other_system
from .children import runs

IMPORTS_ALL = """
import importlib, pkgutil, sys
import labkit
own = {"labkit.__main__", "labkit.start_devices"}  # a program; what refuses to follow labkit.start
for module in pkgutil.walk_packages(labkit.__path__, "labkit."):
    if module.name not in own:
        importlib.import_module(module.name)
print("imported", len([name for name in sys.modules if name.startswith("labkit.")]))
"""
SERVES = """
import sys
from labkit import serve
with serve(sys.argv[1], name="half plus two") as server:
    print("answered", server.rest.predict([1.0, 2.0]), server.grpc.predict([4.0]))
print(server.logs())
print("ended with", server._process.exit_code)
"""
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print('ready', child.pid, flush=True)
time.sleep(600)
"""
PARENT = f"""
import sys, time
from labkit import processes
family = processes.start([sys.executable, "-u", "-c", {FAMILY!r}], name="family", ready="ready .*\\n")
print(family.pid, family.log().split()[1], flush=True)
if sys.stdin.readline():
    family.stop()
    print("stopped", family.exit_code, flush=True)
time.sleep(600)
"""


def command(system: str, *arguments: str) -> list[str]:
    return [sys.executable, other_system.__file__, system, *arguments]


def run(system: str, *arguments: str) -> str:
    """What a program wrote that ran on `system`."""
    done = subprocess.run(command(system, *arguments), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.timeout(400)
def test_every_module_can_be_imported_on_windows() -> None:
    """Without fcntl, resource, uvloop and whatever else it lacks. (At import nothing else is missing on macOS.)"""
    said = run("win32", "-c", IMPORTS_ALL)
    assert int(said.split()[-1]) > 250, said


def test_the_stand_in_lacks_what_windows_lacks() -> None:
    """Else the other tests here would say nothing."""
    tries = {
        "import fcntl": "ModuleNotFoundError",
        "from signal import SIGKILL": "ImportError",
        "import os; os.fork": "AttributeError",
        "import socket; socket.AF_UNIX": "AttributeError",
        "import subprocess; subprocess.Popen(['true'], start_new_session=True)": "AssertionError",
    }
    for statement, error in tries.items():
        done = subprocess.run(command("win32", "-c", statement), capture_output=True, text=True)
        assert done.stderr.splitlines()[-1].startswith(error), (statement, done.stderr)


@pytest.fixture(scope="module")
def half_plus_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow as tf

    base = tmp_path_factory.mktemp("a folder with spaces, größer") / "half_plus_two"
    module = tf.Module()
    module.half, module.two = tf.Variable(0.5), tf.Variable(2.0)
    module.call = tf.function(
        lambda x: {"y": x * module.half + module.two}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")]
    )
    tf.saved_model.save(module, str(base / "1"), signatures=module.call)
    return base


def test_on_windows_a_server_answers_and_drains(half_plus_two: Path, tmp_path: Path) -> None:
    """Through Python's TensorFlow, on asyncio's own event loop; Ctrl-Break is the polite way to end it."""
    (tmp_path / "serves.py").write_text(SERVES, encoding="utf-8")
    said = run("win32", str(tmp_path / "serves.py"), str(half_plus_two))
    assert "answered [2.5 3. ] [4.]" in said
    assert "Stopping: no new requests" in said and "Stopped" in said, said
    assert said.endswith("ended with 0\n")


@pytest.fixture
def parent() -> Iterator[Callable[[], subprocess.Popen]]:
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        both = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command("win32", "-c", PARENT), text=True, **both))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_on_windows_a_group_ends_together(parent: Callable[[], subprocess.Popen]) -> None:
    process = parent()
    pids = [*map(int, process.stdout.readline().split())]
    assert [os.getpgid(pid) for pid in pids] == [pids[0]] * 2, "the flag for a new group was given"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline().split() == ["stopped", str(-other_system.SIGBREAK)]
    wait_until(lambda: not any(map(runs, pids)))


def test_on_windows_nothing_survives_a_parent_that_is_killed(parent: Callable[[], subprocess.Popen]) -> None:
    process = parent()
    pids = [*map(int, process.stdout.readline().split())]
    assert all(map(runs, pids))
    process.kill()
    wait_until(lambda: not any(map(runs, pids)))


def test_on_windows_a_detached_program_has_no_console(tmp_path: Path) -> None:
    starts = "import subprocess, sys\nfrom labkit import processes\n"
    starts += "processes.start_detached([sys.executable, '-c', ''])\nprint(subprocess.Popen.flags)"
    assert run("win32", "-c", starts) == f"[{0x208}]\n"


def test_on_windows_a_port_is_free_and_a_unix_socket_refused() -> None:
    asks = """
        import socket
        from pathlib import Path
        from labkit.cluster.ports import Port
        from labkit.serving.embedded.unix_socket import clear
        with socket.create_server(('127.0.0.1', Port().number)):
            try:
                clear(Path("serving.sock"))
            except Exception as error:
                print(error)
    """
    said = run("win32", "-c", textwrap.dedent(asks))
    assert (
        said
        == "INVALID_ARGUMENT: --grpc_socket_path=serving.sock: Python has no unix sockets on Windows; use --port.\n"
    )


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_networks_of_their_own_are_refused_where_there_are_none(system: str) -> None:
    asks = """
        from labkit.cluster.namespaces import Namespaces
        from labkit.cluster.spec import Task
        try:
            Namespaces({}).open({Task("worker", 0): "127.0.0.1:1"})
        except Exception as error:
            print(error)
    """
    assert "on Linux only" in run(system, "-c", textwrap.dedent(asks))


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_doctor_looks_at_another_system(system: str) -> None:
    """Its looks at ports, memory, packages and programs need nothing that the system lacks."""
    said = run(system, "-m", "labkit", "doctor")
    assert {"win32": "Windows", "darwin": "Darwin"}[system] in said
    assert "The labs need" not in said
    assert said.splitlines()[-1].startswith("Everything that the labs require")


def test_on_windows_labkit_lab_waits_for_jupyterlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JupyterLab cannot take the command's place there: it is a child, whose exit status is the command's."""
    (tmp_path / "jupyterlab").mkdir()
    program = "import os, sys\nprint(sys.argv[1:], os.environ['PYTHONUTF8'])\nsys.exit(5)\n"
    (tmp_path / "jupyterlab" / "__main__.py").write_text(program, encoding="utf-8")
    (tmp_path / "jupyterlab" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    asked = command("win32", "-m", "labkit", "lab", "--no-browser")
    done = subprocess.run(asked, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.returncode == 5, done.stderr
    assert "/lab/tree/labs/00_start_here.ipynb', '--no-browser'] 1\n" in done.stdout


def test_where_children_inherit_no_descriptors_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PASSES_DESCRIPTORS", False)
    with pytest.raises(EnvironmentProblem, match="sheep is to inherit open files, which Windows cannot do"):
        processes.start([sys.executable, "-c", ""], name="sheep", pass_fds=[0])
    with pytest.raises(EnvironmentProblem, match="pictures are not taken on Windows"):
        devtools.Browser()
    with pytest.raises(EnvironmentProblem, match="Windows cannot share a port"):
        links.Relays({}).open({Task("worker", 0): "127.0.0.1:1"})


def test_a_browser_without_pipes_is_given_the_page_s_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on Windows: no debugging pipe, the address on the command line."""
    program = tmp_path / "browser.py"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[-1], flush=True)\n", encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setattr(processes, "PASSES_DESCRIPTORS", False)
    with headless._opened(program, "http://127.0.0.1:1/secret/") as (process, crashed):
        process.wait_for_log("http://127.0.0.1:1/secret/\n", 60)
        assert not crashed()


@pytest.mark.parametrize("variable", ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"])
@pytest.mark.parametrize("name", ["Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe"])
def test_browsers_are_found_where_windows_has_them(
    variable: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "Program Files" / name
    program.parent.mkdir(parents=True)
    program.touch()
    nowhere(monkeypatch, tmp_path)
    monkeypatch.setenv(variable, str(tmp_path / "Program Files"))
    monkeypatch.setattr(find, "_ANSWERS_VERSION", False)  # the file is none that could be started
    assert find.find_browser() == program
    assert find.version(str(program)) == program.name


@pytest.mark.parametrize("name", ["Google Chrome", "Chromium", "Microsoft Edge"])
def test_browsers_are_found_where_macos_has_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "Applications" / f"{name}.app" / "Contents" / "MacOS" / name
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'A browser 1.0'\n", encoding="utf-8")
    program.chmod(0o700)
    nowhere(monkeypatch, tmp_path)
    assert find.find_browser() == program


def nowhere(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for variable in (find.NAMED_BY, "PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(home))


def test_names_of_the_c_api_s_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ask = "from labkit.serving.embedded import protos, session; import pathlib, sys\n"
    ask += "protos.tensorflow_folder = lambda: pathlib.Path(sys.argv[1])\nprint(session.choose_runtime('auto'))"
    (tmp_path / "ask.py").write_text(ask, encoding="utf-8")
    (tmp_path / "libtensorflow_cc.2.dylib").touch()
    assert run("darwin", str(tmp_path / "ask.py"), str(tmp_path)) == "c_api\n"
    assert run("win32", str(tmp_path / "ask.py"), str(tmp_path)) == "python\n"


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_programs_are_forked_on_linux_only(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere each is a Python of its own, which imports TensorFlow when it wants it; on Windows with UTF-8."""
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    assert preloaded.FORKS is (sys.platform == "linux")
    program = "import sys\nprint('tensorflow' in sys.modules, sys.flags.utf8_mode)"
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    starts = (
        "import sys\nfrom labkit import preloaded\nfrom labkit.waiting import wait_until\n"
        "process = preloaded.start([sys.argv[1]], name='program')\n"
        "wait_until(lambda: not process.running, timeout=60)\n"
        "print(preloaded.FORKS, process.exit_code, process.log())"
    )
    (tmp_path / "starts.py").write_text(starts, encoding="utf-8")
    assert (
        run(system, str(tmp_path / "starts.py"), str(tmp_path / "program.py"))
        == f"False 0 False {system == 'win32':d}\n\n"
    )


RELAYS = """
import os, socket
from labkit.cluster.links import Relays
from labkit.cluster.ports import Port
from labkit.cluster.spec import Task

port, task, us, ours = Port(), Task("worker", 0), Task("worker", 1), Port()
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
server.bind(("::", port.number))  # on all addresses, as TensorFlow's servers do
server.listen()
with Relays({"worker": 100}) as relays:
    address = relays.open({task: port.address, us: ours.address})[task]
    relays.know(us, os.getpid())
    assert address == f"127.0.0.1:{port.number}"  # macOS has no 127.0.0.2
    with socket.create_connection(address.split(":")) as client:
        client.sendall(b"0123456789")
        with server.accept()[0] as connection:
            print("received", connection.recv(10), "from", connection.getpeername()[0])
            print(relays.traffic()[task].received_bytes, relays.traffic()[us].sent_bytes)
"""


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_on_macos_a_relay_stands_before_the_task_s_port(tmp_path: Path) -> None:
    (tmp_path / "relays.py").write_text(RELAYS, encoding="utf-8")
    said = run("darwin", str(tmp_path / "relays.py"))
    assert said == "received b'0123456789' from ::1\n10 10\n", "whose connection it is was found without /proc"


MACOS_LIMITS = """
import resource, sys
really_set, (_, most) = resource.setrlimit, resource.getrlimit(resource.RLIMIT_NOFILE)
really_set(resource.RLIMIT_NOFILE, (256, most))

def setrlimit(which, limits):
    if not 0 <= limits[0] <= 10_240:
        raise ValueError("current limit exceeds maximum limit")
    really_set(which, (limits[0], most))

resource.getrlimit, resource.setrlimit = lambda which: (256, resource.RLIM_INFINITY), setrlimit
from labkit.serving.embedded.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux shows another process's limits")
def test_on_macos_the_server_takes_the_open_files_that_it_can_get(half_plus_two: Path) -> None:
    """There the limit above the limit says "any number", and what can be set is OPEN_MAX."""
    server = [sys.executable, "-c", MACOS_LIMITS, "--port=auto", f"--model_base_path={half_plus_two}"]
    with processes.start(server, name="server", ready="Running gRPC ModelServer") as process:
        assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE)[0] == 10_240
