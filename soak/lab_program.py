"""The program of lab 13, read from the notebook: what is put under stress is what its readers run."""

import ast
from pathlib import Path

import nbformat

from labkit.cluster import write_script

LAB = Path(__file__).resolve().parent.parent / "labs" / "13_a_tensorflow_cluster.ipynb"
_BUILT = "        model, optimizer, step = build()\n"
_MANAGED = f"{_BUILT}    manager = checkpoints_of(folder, model, optimizer, step)\n"


def functions(lab: Path = LAB) -> list[str]:
    """The texts of the functions of which the lab makes its script; of one that it defines twice, the last.

    Raises:
        KeyError: the lab names a function that it does not define.
        ValueError: it does not say ``parts = [...]``.
    """
    defined: dict[str, str] = {}
    names: list[str] = []
    for cell in nbformat.read(lab, as_version=4).cells:
        for node in ast.parse(cell.source).body if cell.cell_type == "code" else ():
            if isinstance(node, ast.FunctionDef):
                defined[node.name] = ast.get_source_segment(cell.source, node) or ""
            elif ast.unparse(node).startswith(("parts = [", "parts += [")):
                before = names if isinstance(node, ast.AugAssign) else []
                names = [*before, *(ast.unparse(each) for each in node.value.elts)]
    if not names:
        raise ValueError(f"{lab} names no functions in `parts = [...]`, of which its script is made")
    return [defined[name] for name in names]


def script(folder: Path) -> Path:
    """The lab's script in `folder`. With parameter servers, too, it begins where its newest checkpoint is."""
    return write_script([_resumable(text) for text in functions()], folder / "lab_program.py")


def _resumable(text: str) -> str:
    """The lab's training on parameter servers writes no checkpoints; here it does, after every round of steps."""
    if text.startswith("def train_on_servers(resolver, steps):"):
        text = text.replace("(resolver, steps)", "(resolver, steps, folder)").replace(_BUILT, _MANAGED)
        return f"{text}\n        save(manager)"
    return text.replace("train_on_servers(resolver, steps)", "train_on_servers(resolver, steps, folder)")
