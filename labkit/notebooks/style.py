"""The rules of a lab's form, each a small function with a name; see docs/writing-a-lab.md for what they add up to.

A rule looks at a whole lab or at one cell and yields a message for everything that breaks it. The message says what
was found and what to do. The rules stand in `rules_shape` (sections, exercises), `rules_cells` (what is written) and
`rules_outputs` (what was stored).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.notebooks.lab import Cell, Lab


@dataclass(frozen=True)
class Finding:
    """A rule that a lab breaks, where, and what to do about it."""

    rule: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.rule}]"


LabRule = Callable[[Lab], Iterator[str]]
CellRule = Callable[[Cell], Iterator[str]]

lab_rules: dict[str, LabRule] = {}
cell_rules: dict[str, CellRule] = {}


def lab_rule(function: LabRule) -> LabRule:
    """Registers a rule about a whole lab; its name is the function's, with hyphens."""
    lab_rules[function.__name__.replace("_", "-")] = function
    return function


def cell_rule(function: CellRule) -> CellRule:
    """Registers a rule about one cell; its name is the function's, with hyphens."""
    cell_rules[function.__name__.replace("_", "-")] = function
    return function


def findings(path: Path) -> list[Finding]:
    """Everything in a lab that breaks a rule; empty for a lab in good form.

    Args:
        path: the lab's file; its figures are looked for beside it.

    Raises:
        NotebookError: the file is no notebook.
    """
    from labkit.notebooks import rules_cells, rules_outputs, rules_shape  # noqa: F401 (importing registers the rules)

    lab = Lab(path)
    found = [Finding(name, path.name, message) for name, rule in lab_rules.items() for message in rule(lab)]
    for cell in lab.cells:
        where = f"{path.name}, {cell.where}"
        found += [Finding(name, where, message) for name, rule in cell_rules.items() for message in rule(cell)]
    return found
