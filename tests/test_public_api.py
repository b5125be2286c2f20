"""The public names: docs/api.md lists them all, each exists, says what it is, and is used.

``python tests/test_public_api.py`` writes docs/api.md anew, from the docstrings.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"

# Packages say in `__all__` what is public.
PACKAGES = [
    "labkit",
    "labkit.serving",
    "labkit.bench",
    "labkit.cloud",
    "labkit.browser",
    "labkit.devices",
    "labkit.threads",
    "labkit.cluster",
    "labkit.cluster.elsewhere",
    "labkit.parallel",
]
# In a module, every function and class without an underscore is, but what other modules of labkit alone need.
MODULES = [
    "labkit.start",
    "labkit.data",
    "labkit.models",
    "labkit.export",
    "labkit.warmup",
    "labkit.show",
    "labkit.plot",
    "labkit.checks",
    "labkit.waiting",
    "labkit.errors",
    "labkit.serving.traffic",
    "labkit.serving.memory_curve",
    "labkit.bench.payload",
    "labkit.bench.wire",
    "labkit.bench.results",
    "labkit.devices.gpu",
    "labkit.devices.tpu",
    "labkit.devices.strategy",
    "labkit.devices.pictures",
    "labkit.devices.memory",
    "labkit.devices.memory_models",
    "labkit.devices.memory_measured",
    "labkit.cluster.links",
    "labkit.cluster.namespaces",
    "labkit.parallel.digits",
    "labkit.parallel.step_time",
    "labkit.parallel.two_levels",
]
FOR_LABKIT_ITSELF = {
    "labkit.checks.exercise",
    "labkit.checks.is_number",
    "labkit.devices.memory.check_available",
    "labkit.devices.memory.check_batch",
    "labkit.errors.needs_extra",
    "labkit.errors.pip_install",
    "labkit.show.is_watched",
    "labkit.waiting.wait_through_ctrl_c",
}
ALSO = {"labkit.start_devices", "labkit.doctor", "labkit.serving.backends.IMAGE"}  # whole modules, and a constant
HEAD = """# The public names

What labs and other programs may use. Everything else in `labkit` may change without a word. `labkit.start_devices` is
`labkit.start` with the machine's GPUs in sight.

This page is made from the docstrings, which say more: `help(labkit.serve)`, or in a notebook `labkit.serve?`.
A test compares the two; `python tests/test_public_api.py` writes the page anew.
"""

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(file.read_text(encoding="utf-8"))


def defined(module: str) -> dict[str, Node]:
    return {node.name: node for node in tree(module).body if isinstance(node, Node)}


def public(module: str) -> dict[str, Node | ast.Module]:
    """The public names of a package or module, and where each is defined."""
    if module in MODULES:
        names = [name for name in defined(module) if f"{module}.{name}" not in FOR_LABKIT_ITSELF]
        return {name: defined(module)[name] for name in names if not name.startswith("_")}
    stub = ROOT.joinpath(*module.split("."), "__init__.pyi")
    body = ast.parse(stub.read_text(encoding="utf-8")).body if stub.exists() else tree(module).body
    origins = {}
    for node in body:
        if isinstance(node, ast.ImportFrom):
            origin = ".".join([module, node.module or ""]).rstrip(".") if node.level else node.module
            origins |= {alias.name: origin for alias in node.names}
    names = next(node.value for node in body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
    return {name: where(origins[name], name, module) for name in ast.literal_eval(names)}


def where(origin: str, name: str, package: str) -> Node | ast.Module:
    """Where a package's name is defined: as a module of its own, behind another package, or in a module."""
    if origin == package:
        return tree(f"{package}.{name}")
    return public(origin)[name] if origin in PACKAGES else defined(origin)[name]


def first_sentence(node: Node | ast.Module) -> str:
    text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def page() -> str:
    parts = [HEAD]
    for module in [*PACKAGES, *MODULES]:
        what = ast.get_docstring(tree(module)).partition("\n")[0]
        parts.append(f"\n## `{module}`\n\n{what}\n\n| name | |\n|---|---|")
        for name, node in public(module).items():
            said = first_sentence(node).replace("|", "\\|")
            parts.append(f"| `{name}` | {said} |")
    return "\n".join(parts) + "\n"


def methods(node: Node | ast.Module) -> Iterator[ast.FunctionDef]:
    """What a class offers itself; what it inherits stands where it comes from."""
    if isinstance(node, ast.ClassDef):
        inner = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
        yield from (each for each in inner if not each.name.startswith("_"))


def labs_and_pages() -> Iterator[tuple[str, str]]:
    """The code of each lab, and that on each page in docs/."""
    for file in sorted((ROOT / "labs").glob("*.ipynb")):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code").splitlines()
        yield file.name, "\n".join(line for line in lines if not line.startswith(("!", "%")))
    for file in sorted((ROOT / "docs").glob("*.md")):
        yield file.name, "\n".join(re.findall(r"```python\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL))


def returned(module: str) -> set[str]:
    """The classes of what functions in a package or module return."""
    place = ROOT.joinpath(*module.split("."))
    files = [place.with_suffix(".py")] if module in MODULES and not place.is_dir() else place.glob("*.py")
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in files)
    functions = (node for parsed in trees for node in ast.walk(parsed) if isinstance(node, ast.FunctionDef))
    named = (each for node in functions if node.returns for each in ast.walk(node.returns))
    return {each.id for each in named if isinstance(each, ast.Name)}


def test_the_page_lists_the_public_names():
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/api.md is old: python tests/test_public_api.py"


def test_every_package_that_names_its_public_names_is_on_the_page():
    inits = [file for file in (ROOT / "labkit").rglob("__init__.py") if "__all__" in file.read_text(encoding="utf-8")]
    assert {".".join(file.relative_to(ROOT).parts[:-1]) for file in inits} == set(PACKAGES)


def test_every_public_name_and_method_says_what_it_is():
    silent = []
    for module in [*PACKAGES, *MODULES]:
        for name, node in public(module).items():
            silent += [f"{module}.{name}"] if not first_sentence(node).endswith((".", ".``")) else []
            silent += [f"{module}.{name}.{method.name}" for method in methods(node) if not ast.get_docstring(method)]
    assert silent == []


def test_every_public_name_is_there():
    """In a process of its own: some of these modules set up TensorFlow for a lab."""
    wanted = {module: list(public(module)) for module in [*PACKAGES, *MODULES]}
    program = (
        "import importlib, json, sys\n"
        "for module, names in json.loads(sys.argv[1]).items():\n"
        "    found = importlib.import_module(module)\n"
        "    for name in names: getattr(found, name)\n"
        "    assert set(names) <= set(dir(found)), module\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program, json.dumps(wanted)], check=True)


def used(text: str) -> set[str]:
    """The names that a program takes from labkit: imported from one of its modules, or asked of one."""
    parsed, names, of_labkit = ast.parse(text), set(), set()
    for node in ast.walk(parsed):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "labkit":
            names |= {alias.name for alias in node.names}
            of_labkit |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            of_labkit |= {alias.asname or "labkit" for alias in node.names if alias.name.partition(".")[0] == "labkit"}
    for node in ast.walk(parsed):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).partition(".")[0] in of_labkit:
            names.add(node.attr)
    return names


def test_every_public_name_is_used():
    """By a test, a measurement, a lab or a page: otherwise it is dead, or nobody would notice when it breaks."""
    names = set().union(*(used(text) for _, text in labs_and_pages()))
    for folder in ("tests", "bench", "soak"):
        for file in (ROOT / folder).rglob("*.py"):
            if ".venv" not in file.parts:
                names |= used(file.read_text(encoding="utf-8"))
    dead = {
        f"{module}.{name}"
        for module in [*PACKAGES, *MODULES]
        for name in set(public(module)) - names - returned(module)
    }
    assert dead == set()


def test_labs_and_pages_use_public_names_only():
    known = {f"{module}.{name}" for module in [*PACKAGES, *MODULES] for name in public(module)}
    known |= ALSO | {*PACKAGES, *MODULES}
    strange = set()
    for place, text in labs_and_pages():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "labkit":
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                strange |= {f"{place}: {name}" for name in names - known}
    assert strange == set()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
