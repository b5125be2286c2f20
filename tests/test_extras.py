"""What labkit imports is what it asks for: packages of every installation, or those of an extra that is named."""

import ast
import os
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from labkit.errors import pip_install

from .installed import HIDDEN, HIDES, hidden_from, modules, packages

# Rooms that are entered past a check, which names the extra (`test_what_is_missing_is_said_in_a_sentence`).
ROOMS = {
    "cli.py": "labs",
    "cloud/": "cloud",
    "cluster/elsewhere/ray_program.py": "ray",
    "devices/picture": "labs",  # pictures are drawn on a `labkit.plot.Figure`
    "devices/timeline.py": "labs",
    "doctor.py": "labs",
    "notebooks/site": "site",
    "notebooks/": "labs",
    "plot.py": "labs",
    "serving/embedded/tflite_": "tflite",
}
IN_A_KERNEL = "IPython"  # imported only where code runs in one
BY_HAND = "tensorflowjs"  # without its dependencies; its import has a message of its own


@pytest.fixture(scope="module")
def extras(repository) -> dict[str, list[str]]:
    """Extra -> requirements; "" are those of every installation."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def is_guard(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.With)
        and isinstance(call := node.items[0].context_expr, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "needs_extra"
    )


def may_fail(node: ast.AST) -> bool:
    """Whether what is imported there is tried only, or read by type checkers only."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    if isinstance(node, ast.With):
        return "suppress(ImportError" in ast.unparse(node.items[0])
    return isinstance(node, ast.Try) and any("ImportError" in ast.unparse(each.type) for each in node.handlers)


def imports(node: ast.AST, extra: str) -> Iterator[tuple[str, str]]:
    """The modules that are imported below `node`, each with the extra that is named around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, extra) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield from ((f"{child.module}.{alias.name}", extra) for alias in child.names)
        elif is_guard(child):
            yield from imports(child, child.items[0].context_expr.args[1].value)
        elif isinstance(child, ast.If) and "sys.version_info" in (asked := ast.unparse(child.test)):
            taken = child.body if eval(asked, {"sys": sys}) else child.orelse
            yield from imports(ast.Module(taken, []), extra)
        elif not may_fail(child):
            yield from imports(child, extra)


def test_every_import_is_of_an_installed_package_or_names_its_extra(repository, extras):
    extras = {**extras, "site": extras["site"] + extras["labs"]}  # its room is in that of the labs
    known = {extra: modules(packages(extras[""] + extras[extra])) for extra in extras}
    known_anywhere = set().union(*known.values())
    missing = []
    for path in (repository / "labkit").rglob("*.py"):
        place = path.relative_to(repository / "labkit").as_posix()
        room = next((extra for start, extra in ROOMS.items() if place.startswith(start)), "")
        for name, extra in imports(ast.parse(path.read_text(encoding="utf-8")), room):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in ("labkit", IN_A_KERNEL, BY_HAND):
                continue
            # `from a import b`: b is a module, or something in the module a
            module = name if name in known_anywhere else name.rpartition(".")[0] or name
            if module not in known[extra]:
                missing.append(f"{place} imports {name}, which is not in extra {extra!r}")
    assert not missing, "\n".join(missing)


# What a reader does -> the extra that is named then.
DONE = {
    "from labkit.cloud import cloud; cloud()": "cloud",
    "from labkit.cloud.command import main; main(['run', '--', 'true'])": "cloud",
    "from labkit.cloud.command import main; main(['list', '--project', 'p'])": "cloud",
    "from labkit.browser import run; run('predict.js')": "browser",
    "from labkit.browser import show; show('draw', files={}, alt='A page.')": "browser",
    "from labkit.browser.widget import PageWidget": "browser",
    "from labkit.cluster.elsewhere import to_yaml; to_yaml([])": "cluster",
    "from labkit.cluster import *; LocalCluster(ClusterSpec(worker=1), numpy.__file__).table()": "cluster",
    "from labkit.bench import image_files; image_files(numpy.zeros((1, 4, 4), 'uint8'))": "bench",
    "from labkit.bench.targets import RestTarget; RestTarget(URL, library='httpx').connect()": "bench",
    "from labkit.bench.server_metrics import read; read(URL, 'm', 'REST')": "bench",
    "from labkit.bench import wire_http2": "bench",
    "from labkit import start": "labs",
    "from labkit import plot; plot.bars({'a': 1}, title='t', x='x', y='y (s)', alt='One bar stands here.')": "labs",
    "from labkit.show import table; table([], ['a'])": "labs",
    "from labkit.parallel import History; History([])": "labs",
    "from labkit.parallel.digits import examples": "labs",
    "from labkit.data import digits; digits()": "labs",
    "from labkit.data import penguins; penguins()": "labs",
    "from labkit.devices.picture_parts import text_width; text_width('MatMul', 8)": "labs",
    "import labkit.notebooks.run": "labs",
    "from labkit.serving.embedded.tflite_session import check_installed; check_installed()": "tflite",
}
WITHOUT = """
    import sys, numpy
    URL = "http://127.0.0.1:1/v1/models/m:predict"
    for line in sys.stdin.read().splitlines():
        try:
            exec(line, {"numpy": numpy, "URL": URL})
            print("nothing was said")
        except BaseException as error:
            print(type(error).__name__, error)
"""


def said_without(hidden: set[str], lines: Iterable[str], folder: Path) -> list[str]:
    """What a reader is told who does this where these modules are not installed."""
    command = [sys.executable, "-c", HIDES + textwrap.dedent(WITHOUT)]
    environment = {**os.environ, HIDDEN: ",".join(hidden)}
    answer = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, timeout=100, cwd=folder, env=environment
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


@pytest.mark.parametrize("missing", ["all of it", "furo", "myst_nb"])
def test_the_site_needs_its_extra_beside_that_of_the_labs(extras, tmp_path, missing):
    labs, site = (modules(packages(extras[""] + extras["labs"] + more)) for more in ([], extras["site"]))
    hidden = hidden_from(labs, site) if missing == "all of it" else {missing}
    build = "from pathlib import Path; from labkit.notebooks.site import build; build([], Path('site'))"
    (said,) = said_without(hidden, [build], tmp_path)
    assert said.startswith("EnvironmentProblem labkit site needs the package ")
    assert said.endswith(f"which is not installed here: {pip_install('site')}")


def test_jupyter_alone_is_not_the_extra_of_the_labs(extras, tmp_path):
    """With Jupyter's packages, as in Colab, and what builds the site: nbformat and most others are there."""
    jupyter = [line for line in extras["labs"] if line.startswith(("ipykernel", "jupyter", "nb"))]
    site = [line for line in extras["site"] if not line.startswith("labkit")]
    hidden = hidden_from(*(modules(packages(extras[""] + more)) for more in (jupyter + site, extras["labs"])))
    assert not hidden & {"nbformat", "nbclient", "nbconvert", "ipykernel"}
    commands = ("run.main(['all', '--html'])", "site.main([])", "exercises.main([])")
    lines = [f"from labkit.notebooks import run, site, exercises; {command}" for command in commands]
    for said in said_without(hidden, lines, tmp_path):
        assert said.startswith("EnvironmentProblem labkit.notebooks, for the labs")
        assert said.endswith(f"needs the package latex2mathml, which is not installed here: {pip_install('labs')}")


def test_the_advice_adds_to_the_python_that_runs(monkeypatch):
    assert pip_install("labs") == f'{sys.executable} -m pip install "labkit[labs]"'
    monkeypatch.setattr(sys, "executable", "/my labs/python")
    assert pip_install("labs") == '"/my labs/python" -m pip install "labkit[labs]"'


def test_what_is_missing_is_said_in_a_sentence(extras, tmp_path):
    """With the packages of every installation and no extra's, as after `pip install labkit`."""
    base = modules(packages(extras[""]))
    every = modules(packages([line for lines in extras.values() for line in lines if "nbval" not in line]))
    for (done, extra), said in zip(DONE.items(), said_without(hidden_from(base, every), DONE, tmp_path), strict=True):
        assert said.startswith("EnvironmentProblem "), f"{done}: {said}"
        assert said.endswith(f"which is not installed here: {pip_install(extra)}"), f"{done}: {said}"
