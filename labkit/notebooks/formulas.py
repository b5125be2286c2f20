"""Formulas as MathML, which browsers draw by themselves: no script, no fonts, no network."""

import re

from latex2mathml.converter import convert

from labkit.errors import NotebookError


def mathml(latex: str, *, display: bool = False) -> str:
    """A formula in LaTeX as a MathML element.

    Args:
        display: whether it stands on a line of its own (``$$…$$``).

    Raises:
        NotebookError: it cannot be read.
    """
    try:
        drawn = convert(latex.strip(), display="block" if display else "inline")
    except Exception as error:  # latex2mathml has an error for each thing that can be wrong
        raise NotebookError(f"the formula {latex!r} cannot be drawn ({type(error).__name__}: {error})") from error
    if unknown := re.search(r"\\[a-zA-Z]+", drawn):  # it leaves what it does not know as it is
        raise NotebookError(
            f"the formula {latex!r} cannot be drawn: {unknown[0]} is not known here; write it otherwise"
        )
    return drawn
