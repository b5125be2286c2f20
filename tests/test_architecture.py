"""The picture in docs/design.md shows which room of labkit imports which, no more and no less."""

import ast
import re
import tomllib
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "labkit"
GROUND = "ground"  # what every room may import, without an arrow
ONE_WAY = ["models", "export", "serving", "bench", "show"]  # none imports one behind it
NEVER_EACH_OTHER = {"browser", "cloud", "cluster"}

Edges = dict[tuple[str, str], list[str]]


def picture() -> tuple[dict[str, str], set[tuple[str, str]]]:
    """The room of each module at the top of labkit, and the arrows between rooms."""
    drawing = re.search(r"```mermaid\n(.*?)```", DESIGN, re.DOTALL)[1]
    rooms = {}
    for room, label in re.findall(r'^\s*(\w+)\["(.*)"\]', drawing, re.MULTILINE):
        for module in re.sub(r"<.*?>", " ", label).split():
            assert module not in rooms, f"{module} stands in two rooms of the picture"
            rooms[module] = room
    arrows = set()
    for source, targets in re.findall(r"^\s*(\w+) --> (.*)$", drawing, re.MULTILINE):
        arrows |= {(source, target) for target in targets.split(" & ")}
    return rooms, arrows


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def names_imported(file: Path, tree: ast.AST) -> list[tuple[int, str]]:
    """Line and full name of all that a file imports, anywhere in it, or names for others: "labkit.cli:main"."""
    package = ("labkit", *file.relative_to(PACKAGE).parts[:-1])
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = re.fullmatch(r"(labkit(?:\.\w+)+)(?::\w+)?", node.value)
            if named and is_module(named[1]):
                found.append((node.lineno, named[1]))
    return found


def edges(rooms: dict[str, str]) -> Edges:
    """What imports what, from room to room, and where."""
    found = defaultdict(list)
    for file in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]):
        own = rooms[file.relative_to(PACKAGE).parts[0].partition(".")[0]]
        for line, name in names_imported(file, ast.parse(file.read_text(encoding="utf-8"))):
            if name == "labkit" or name.startswith("labkit."):
                _, module, *_ = [*name.split("."), "__init__"]
                if module == "__version__":
                    continue  # a text, which needs no room
                module = module if module in rooms else "__init__"
                if rooms[module] not in (own, GROUND):
                    found[own, rooms[module]].append(f"{file.relative_to(ROOT)}:{line}")
    return dict(found)


@pytest.fixture(scope="module")
def rooms() -> dict[str, str]:
    return picture()[0]


@pytest.fixture(scope="module")
def found(rooms) -> Edges:
    return edges(rooms)


def test_every_module_has_a_room_in_the_picture_and_every_room_a_row_below_it(rooms):
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(rooms) == modules
    section = re.search(r"^## The rooms$(.*?)^## ", DESIGN, re.DOTALL | re.MULTILINE)[1]
    described = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(described) == sorted(set(rooms.values()))


def test_each_arrow_of_the_picture_is_an_import_and_each_import_an_arrow(found):
    arrows = picture()[1]
    missing = {f"{a} --> {b}": places[:3] for (a, b), places in found.items() if (a, b) not in arrows}
    assert not missing, "imports that the picture in docs/design.md does not allow"
    assert not arrows - set(found), "arrows of the picture in docs/design.md that no import stands behind"


def test_the_ground_imports_no_room(found):
    assert [places for (room, _), places in found.items() if room == GROUND] == []


def test_no_room_imports_one_that_imports_it(found):
    below = defaultdict(set)
    for room, other in found:
        below[room].add(other)
    TopologicalSorter(below).prepare()  # raises CycleError, which names the circle


def test_upper_rooms_never_import_lower_ones(rooms, found):
    assert {*ONE_WAY, *NEVER_EACH_OTHER} <= set(rooms.values())
    wrong = {edge for edge in found if edge[0] in ONE_WAY and edge[1] in ONE_WAY[ONE_WAY.index(edge[0]) + 1 :]}
    assert wrong == set()
    assert [edge for edge in found if set(edge) <= NEVER_EACH_OTHER] == []


def test_every_library_is_in_the_table_with_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    lines = sum([*extras.values(), *groups.values()], project["project"]["dependencies"])
    table = re.search(r"^\| library \| why \|$(.*?)\n\n", DESIGN, re.DOTALL | re.MULTILINE)[1]
    named = [name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.partition(" | ")[0])]
    assert sorted(named) == sorted({re.match(r"[\w.-]+", line)[0] for line in lines} - {"labkit"})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def late():\n    from labkit.cloud import cloud", ["labkit.cloud.cloud"]),
        ("from .tab import Tab", ["labkit.browser.tab.Tab"]),
        ("from .. import cloud", ["labkit.cloud"]),
        ("if TYPE_CHECKING:\n    import labkit.cloud.local", ["labkit.cloud.local"]),
        ('COMMANDS = {"lab": ("opens it", "labkit.cli:open_lab")}', ["labkit.cli"]),
        ('run(sys.executable, "-m", "labkit.devices.tpu")', ["labkit.devices.tpu"]),
        ('"""Ask labkit.cloud for more."""', []),
    ],
)
def test_every_kind_of_import_is_seen(text, names):
    assert [name for _, name in names_imported(PACKAGE / "browser" / "page.py", ast.parse(text))] == names
