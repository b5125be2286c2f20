"""What every task of a cluster runs: a script, or functions of a notebook written to one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.source import Source, name_of

Program = str | Path | Callable[..., object] | Sequence[Callable[..., object]]
_HEAD = "import keras\nimport numpy as np\nimport tensorflow as tf\n"
_GIVEN = ("keras", "np", "tf")


def script(program: Program, folder: Path) -> Path:
    """The script's path; functions are written to `folder` first.

    Raises:
        FileNotFoundError: there is no such script.
        TypeError: `program` is neither a path nor functions.
        ValueError: as for `write_script`.
    """
    if isinstance(program, str | Path):
        path = Path(program).expanduser().absolute()
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file; pass the path of a Python script, or functions")
        return path
    if callable(program):
        return write_script([program], folder / "program.py")
    if not isinstance(program, Sequence):
        raise TypeError(f"the program is {program!r}; pass the path of a script, a function, or a list of functions")
    return write_script(program, folder / "program.py")


def write_script(functions: Sequence[Callable[..., object] | str], path: str | Path) -> Path:
    """Write functions to a script that calls the last of them, and return its path.

    The script stands on its own: it runs wherever TensorFlow is installed. ``tf``, ``np``, ``keras`` and the other
    functions are there; whatever else a function uses, it has to import or define itself.

    Args:
        functions: functions that a notebook's cells or a file define, or their texts; the last is called without
            arguments.
        path: where to write.

    Raises:
        TypeError: one is no function.
        ValueError: there is none, two have one name, one uses a name that the script would not know, or the last one
            needs arguments.
    """
    if not functions:
        raise ValueError("no function was given; the script needs at least the one that it calls")
    names = [name_of(each) for each in functions]
    if len(set(names)) < len(names):
        raise ValueError(f"the functions are {', '.join(names)}; of two with one name the script would know only one")
    given = [*_GIVEN, *names]
    sources = [Source.of(each, given, called=each is functions[-1]) for each in functions]
    texts = "\n\n".join(source.text.strip() + "\n" for source in sources)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{_HEAD}\n\n{texts}\n\nif __name__ == "__main__":\n    {sources[-1].name}()\n', encoding="utf-8")
    return path
