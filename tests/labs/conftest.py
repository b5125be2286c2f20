"""What the tests of labs share: running nbval, a copy of the checkout to make labs in, small notebooks."""

import copy
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from nbformat import NotebookNode, v4

from labkit.checks import check
from labkit.notebooks import exercises, files
from labkit.notebooks.lab import Lab

ROOT = Path(__file__).parents[2]
MARK = "LABKIT_TEST_RUN"
# pytest, without the grammar of web addresses that jsonschema compiles for a second at each start, and notebooks lack.
PYTEST = "import sys; sys.modules['rfc3987_syntax'] = None; import pytest; sys.exit(pytest.main())"


@dataclass(frozen=True)
class Compared:
    """What nbval said about a notebook: all of it, the numbers of the cells that failed, what still runs afterwards."""

    output: str
    returncode: int
    survivors: list[str]

    @property
    def failed_cells(self) -> list[int]:
        lines = [line for line in self.output.splitlines() if line.startswith("FAILED")]
        return [int(line.partition("::Cell ")[2].split()[0]) for line in lines]


@pytest.fixture(scope="session")
def compare() -> Callable[..., Compared]:
    """Runs a notebook in a fresh kernel with strict nbval, in the notebook's folder.

    `labkit_of` names another checkout whose labkit the kernel imports; `patience` is how many seconds processes have to
    end by themselves after the run. What is still there then is reported, and killed.
    """

    def run_nbval(notebook: Path, *options: str, labkit_of: Path = ROOT, patience: float = 10) -> Compared:
        run_id = uuid.uuid4().hex
        command = [sys.executable, "-c", PYTEST, "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"]
        command += ["--nbval-sanitize-with", str(Path(__file__).with_name("sanitize.cfg")), "-q", "-rf", "--color=no"]
        command += ["-p", "no:cacheprovider", *options, notebook.name]
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        environment |= {MARK: run_id, "PYTHONPATH": str(labkit_of), "LABKIT_GPU": "0"}  # as `labkit run` does
        place = notebook.parent
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        return Compared(done.stdout + done.stderr, done.returncode, survivors(run_id, patience))

    return run_nbval


def survivors(run_id: str, patience: float) -> list[str]:
    """Kills what a run started and what did not end by itself; returns what that was."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == run_id:
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
            continue
    _, alive = psutil.wait_procs(found, timeout=patience)
    for process in alive:
        process.kill()
    return [f"{process.pid} {process.name()}" for process in alive]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of labkit and of the figure style without labs that can be read, as a place to make labs in."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "labkit", root / "labkit", ignore=shutil.ignore_patterns("__pycache__", "lab_*.py"))
    shutil.copytree(ROOT / "labs" / "figures" / "style", root / "labs" / "figures" / "style")
    (root / "labs" / "00_start_here.ipynb").touch()  # by it labkit knows a checkout
    return root


@pytest.fixture(scope="session")
def labkit_in() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a labkit command of another checkout: ``labkit_in(root, "run", "01")``."""

    def command(root: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(root)}
        words = [sys.executable, "-m", "labkit", name, *arguments]
        return subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=False)

    return command


@pytest.fixture(scope="session")
def laid_out(checkout: Path, labkit_in: Callable[..., subprocess.CompletedProcess[str]]) -> Path:
    """What ``labkit new`` makes, in a copy of the checkout that nothing else changes."""
    done = labkit_in(checkout, "new", "98", "Watch a server's memory")
    assert done.returncode == 0, done.stderr
    return checkout / "labs" / "98_watch_a_servers_memory.ipynb"


@pytest.fixture(scope="session")
def good_lab(
    laid_out: Path,
    tmp_path_factory: pytest.TempPathFactory,
    labkit_in: Callable[..., subprocess.CompletedProcess[str]],
) -> Path:
    """The template lab with every TODO replaced, and run: a lab that breaks no rule."""
    root = tmp_path_factory.mktemp("filled")
    shutil.copytree(laid_out.parents[1], root, dirs_exist_ok=True)
    lab = root / "labs" / laid_out.name
    notebook = files.read(lab)
    for cell in notebook.cells:
        cell.source = cell.source.replace("TODO: ", "").replace("TODO", "nothing")
    files.write(lab, notebook)
    checks = root / "labkit" / "checks" / "lab_98.py"
    checks.write_text(checks.read_text(encoding="utf-8").replace("TODO: ", ""), encoding="utf-8")
    done = labkit_in(root, "run", "98")
    assert done.returncode == 0, done.stderr
    return lab


@pytest.fixture
def verdict(capsys: pytest.CaptureFixture[str]) -> Callable[[str, object], str]:
    """What an exercise's check says about an answer."""

    def said(number: str, answer: object) -> str:
        check(number, answer)
        return capsys.readouterr().out

    return said


@pytest.fixture
def hears(verdict: Callable[[str, object], str]) -> Callable[[str, object, str], None]:
    """Asserts what an answer hears: "right" alone and nothing else, or what `said` says with a *not* before it."""

    def asserted(number: str, answer: object, said: str) -> None:
        heard = verdict(number, answer).removeprefix(f"{number}: ")
        if said == "right":
            assert heard == "right\n"
        else:
            assert heard.startswith("not")
            assert said in heard

    return asserted


@pytest.fixture
def write_lab(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook of code cells (str) and text cells (str starting with '#' and a space) to a folder of labs."""

    def write(*sources: str, name: str = "01_try.ipynb") -> Path:
        folder = tmp_path / "labs"
        folder.mkdir(exist_ok=True)
        cells = [v4.new_markdown_cell(s) if s.startswith("# ") else v4.new_code_cell(s) for s in sources]
        files.write(folder / name, v4.new_notebook(cells=cells))
        return folder / name

    return write


@pytest.fixture(scope="session")
def twice_over() -> Callable[[Path], NotebookNode]:
    """Makes of a lab the notebook that `compare` runs to see whether the lab holds."""
    return _twice


def _twice(lab: Path) -> NotebookNode:
    """The lab's code cells twice over, for one kernel; the first time each exercise also as students get it.

    "Run all" twice is what readers do, and the students' cells must run while nothing is filled in.
    """
    code = Lab(lab).code
    student = [cell for cell in exercises.student_copy(files.read(lab), lab).cells if cell.cell_type == "code"]
    with_students: list[NotebookNode] = []
    in_exercise = {cell.number: number for number, cells in Lab(lab).exercises() for cell in cells if cell.is_code}
    for cell in code:
        number = in_exercise.get(cell.number)
        if number and in_exercise.get(cell.number - 1) != number:
            numbers = [one for one, exercise in in_exercise.items() if exercise == number]
            with_students += [_as_student(code[one - 1].node, student[one - 1], number) for one in numbers]
        with_students.append(cell.node)
    both = [copy.deepcopy(cell) for cell in [*with_students, *(cell.node for cell in code)]]
    for place, cell in enumerate(both):
        cell.id = f"cell-{place}"
    return v4.new_notebook(cells=both)


def _as_student(solved: NotebookNode, unsolved: NotebookNode, number: str) -> NotebookNode:
    """A student's cell; where the lab's says only *right*, it must say only *not answered yet*."""
    cell = copy.deepcopy(unsolved)
    if [output.get("text") for output in solved.outputs] == [f"{number}: right\n"]:
        cell.outputs, cell.execution_count = [v4.new_output("stream", text=f"{number}: not answered yet\n")], 1
    return cell
