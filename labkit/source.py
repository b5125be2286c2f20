"""A function as text, so that another process can run it: it must bring along all that it uses."""

import ast
import builtins
import inspect
import symtable
import textwrap
from collections.abc import Callable, Collection
from dataclasses import dataclass

GIVEN = ("tf", "np")
_BUILTINS = frozenset({*dir(builtins)} - {"display", "get_ipython"})  # those two are IPython's, in notebooks only
_INDENTED = "if True:\n"
_RULE = "it runs in another process"


@dataclass(frozen=True)
class Source:
    """A function as text.

    Attributes:
        name: the function's name.
        text: its definition.
    """

    name: str
    text: str

    @classmethod
    def of(cls, fn: Callable[..., object] | str, given: Collection[str] = GIVEN, *, called: bool = True) -> "Source":
        """The source of a function, or `fn` itself if it is text already.

        Args:
            fn: the function.
            given: names that it finds there besides Python's own.
            called: whether it is called there, which is done without arguments.

        Raises:
            TypeError: `fn` is neither.
            ValueError: its source cannot be had, is not exactly one function, needs arguments although it is called, or
                uses a name that the other process would not know.
        """
        text = _unindented(fn if isinstance(fn, str) else _text(fn))
        definition = _only_function(text)
        if called:
            _check_arguments(definition)
        if unknown := sorted(_outside_names(text) - {definition.name, *given}):
            names = ", ".join(f"`{name}`" for name in unknown)
            raise ValueError(
                f"`{definition.name}` uses {names} from outside, but {_RULE}, where {_what_is(given)} given. Import or "
                f"define {names} inside `{definition.name}`."
            )
        return cls(definition.name, text)


def name_of(fn: Callable[..., object] | str) -> str:
    """The name of a function, or of the one that a text defines.

    Raises:
        TypeError: `fn` is neither.
        ValueError: its source cannot be had, or is not exactly one function.
    """
    return _only_function(_unindented(fn if isinstance(fn, str) else _text(fn))).name


def _text(fn: Callable[..., object]) -> str:
    if not callable(fn):
        raise TypeError(f"a function or its source text is needed, not {fn!r}")
    if getattr(fn, "__name__", "") == "<lambda>":
        raise ValueError(f"a lambda was given, but {_RULE}, so its text is needed: write it as a function with `def`")
    try:
        return inspect.getsource(fn)
    except (OSError, TypeError) as error:
        raise ValueError(
            f"the source of {fn!r} cannot be had ({error}), but {_RULE}, so it is needed: pass a function that a "
            "notebook cell or a file defines with `def`, or the text of one"
        ) from None


def _unindented(text: str) -> str:
    dedented = textwrap.dedent(text)
    if dedented.lstrip("\n").startswith((" ", "\t")):
        return _INDENTED + text  # it holds a text in triple quotes that goes further to the left
    return dedented


def _only_function(text: str) -> ast.FunctionDef:
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f"this is no Python function: {error}\n{text}") from None
    if text.startswith(_INDENTED) and len(body) == 1 and isinstance(body[0], ast.If):
        body = body[0].body
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        raise ValueError(f"exactly one function, `def name(): ...`, is needed, not this:\n{text}")
    return body[0]


def _check_arguments(definition: ast.FunctionDef) -> None:
    given = definition.args
    needed = [*given.posonlyargs, *given.args][: len(given.posonlyargs) + len(given.args) - len(given.defaults)]
    needed += [one for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True) if default is None]
    if needed:
        raise ValueError(
            f"`{definition.name}` needs {', '.join(f'`{one.arg}`' for one in needed)}, but it is called without "
            "arguments; set the values inside it"
        )


def _what_is(given: Collection[str]) -> str:
    *others, last = [f"`{name}`" for name in given] or ["nothing"]
    return f"only {', '.join(others)} and {last} are" if others else f"{'only ' if given else ''}{last} is"


def _outside_names(text: str) -> set[str]:
    """Names that the text uses and neither sets itself nor finds among Python's own or the given ones."""
    tables = [symtable.symtable(text, "function", "exec")]
    for table in tables:
        tables += table.get_children()
    symbols = [symbol for table in tables for symbol in table.get_symbols() if symbol.is_global()]
    known = _BUILTINS | {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
    return {symbol.get_name() for symbol in symbols if symbol.is_referenced()} - known
