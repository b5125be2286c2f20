"""The `labkit` command: finds the subcommand's function and hands it the rest of the line, untouched.

Nothing else is imported before that, because the start-up time of `labkit serve` is a product.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

# name: (what it does, "module:function"); each function is `(argv: list[str]) -> int`.
COMMANDS = {
    "lab": ("open JupyterLab at the first lab", "labkit.cli:open_lab"),
    "doctor": ("say what this machine has and lacks for the labs", "labkit.doctor:main"),
    "serve": ("serve models as tensorflow_model_server does, with its flags", "labkit.serving.embedded.main:main"),
    "bench": ("put load on a model server, and compare what requests cost", "labkit.bench.command:main"),
    "cloud": (
        "run a program under a local cloud, clean up in a real one",
        "labkit.cloud.command:main",
    ),
    "cluster": ("run a script as a TensorFlow cluster on this machine", "labkit.cluster.command:main"),
    "run": ("execute labs in a fresh kernel and store their outputs", "labkit.notebooks.run:main"),
    "site": ("build the labs and the documents as a static site", "labkit.notebooks.site:main"),
    "new": ("lay out a new lab from the template", "labkit.notebooks.template:main"),
    "exercises": ("write the exercise notebooks from the labs", "labkit.notebooks.exercises:main"),
    "pack": ("put packages and labs into a folder for a room without a network", "labkit.pack.command:main"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: the command line without the program's name; `sys.argv` when None.

    Returns:
        The exit status: the subcommand's own; 1 for an error that labkit explains, 130 for Ctrl-C.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] not in COMMANDS:
        return _explain(arguments)
    module, function = COMMANDS[arguments[0]][1].split(":")
    try:
        return getattr(import_module(module), function)(arguments[1:])
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from labkit.errors import LabkitError

        if not isinstance(error, LabkitError):
            raise
        print(f"labkit {arguments[0]}: {error}", file=sys.stderr)
        return 1


def _explain(arguments: list[str]) -> int:
    """Answer a command line without a known subcommand: help, the version, or an error that lists the subcommands."""
    import argparse

    import labkit

    parser = argparse.ArgumentParser(prog="labkit", description="Real model servers and notebooks for the labs.")
    parser.add_argument("--version", action="version", version=f"labkit {labkit.__version__}")
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (purpose, _) in COMMANDS.items():
        subcommands.add_parser(name, help=purpose)
    parser.epilog = "labkit COMMAND --help says more about one command."
    parser.parse_args(arguments or ["--help"])
    return 0


def open_lab(argv: list[str]) -> int:
    """Open JupyterLab at the first lab; further arguments go to `jupyter lab`.

    Raises:
        EnvironmentProblem: there is no labs folder to open, JupyterLab is not installed, or has nowhere to write.
    """
    from importlib.util import find_spec

    from labkit import checkout
    from labkit.errors import EnvironmentProblem

    root = checkout.root()
    if find_spec("jupyterlab") is None:
        raise EnvironmentProblem("JupyterLab is not installed here. Use `make lab`, or: pip install -e '.[labs]'")
    _make_room_for_jupyterlab()
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not any("allow-root" in one.replace("_", "-") for one in argv):
        print("JupyterLab refuses to run as root unless told so: make lab ARGS=--allow-root", file=sys.stderr)
    # The environment's programs (saved_model_cli, labkit) must be found by `!` lines and terminals in JupyterLab.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # The kernel named python3 is this environment's, whatever other kernels the user once installed.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    place = [f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{checkout.FIRST_LAB.as_posix()}"]
    command = [sys.executable, "-m", "jupyterlab", *place, *argv]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(sys.executable, command)
    import subprocess

    from labkit.waiting import wait_through_ctrl_c

    # For kernels: Windows' own is not UTF-8.
    return wait_through_ctrl_c(subprocess.Popen(command, env={"PYTHONUTF8": "1", **os.environ}))


def _make_room_for_jupyterlab() -> None:
    from tempfile import TemporaryFile

    from jupyter_core.paths import jupyter_runtime_dir

    from labkit.errors import EnvironmentProblem

    folder = Path(jupyter_runtime_dir())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EnvironmentProblem(
            f"JupyterLab writes to {folder} while it runs, and that failed: {error.strerror}. "
            "Free some space, or name a home folder that can be written to: HOME=/folder/of/yours make lab"
        ) from error
