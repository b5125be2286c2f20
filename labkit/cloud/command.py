"""`labkit cloud`: a program under a local cloud; what sessions have left in a real project, and its removal."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from labkit import processes
from labkit.cloud import session
from labkit.cloud.leftovers import Leftover, Leftovers
from labkit.errors import CloudError
from labkit.waiting import wait_through_ctrl_c

_NOT_FOUND = 127  # as a shell says it


def main(argv: list[str]) -> int:
    """The command: the program's own status for `run`; 1 when something could not be removed, else 0."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.what == "run":
        return _run(given, parser)
    if not given.project:
        parser.error("no project: give --project, or set LABKIT_CLOUD_PROJECT")
    return {"list": _list, "clean": _clean}[given.what](given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="labkit cloud", description="The local cloud, and order in a real one.")
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    run = commands.add_parser("run", help="run a program that finds a local cloud where it looks for Google's")
    run.add_argument("--location", default=session.LOCATION, help="region (%(default)s)")
    run.add_argument("--bucket", help="the name of the bucket that is there")
    run.add_argument("--containers", choices=("processes", "docker"), default="processes")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the program and its arguments")
    _real(commands.add_parser("list", help="list what labkit's sessions have left in a project"))
    clean = _real(commands.add_parser("clean", help="remove what labkit's sessions have left in a project"))
    clean.add_argument("--yes", action="store_true", help="do not ask")
    clean.add_argument("--session-file", type=Path, help=argparse.SUPPRESS)
    return parser


def _real(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--project", default=os.environ.get("LABKIT_CLOUD_PROJECT"), help="or LABKIT_CLOUD_PROJECT")
    parser.add_argument("--location", default=session.LOCATION, help="region (%(default)s); buckets are found in all")
    parser.add_argument("--label", metavar="RUN", help="only that session's")
    return parser


def _run(given: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error("no program: labkit cloud run -- python train.py")
    try:
        started = session.start_local(location=given.location, bucket=given.bucket, containers=given.containers)
    except ValueError as error:
        parser.error(str(error))
    with started as cloud:
        print(f"local cloud: project {cloud.project}, {cloud.location}, bucket {cloud.bucket}", file=sys.stderr)
        try:
            program = subprocess.Popen(command)
            signal.signal(signal.SIGTERM, lambda *_: program.terminate())
        except OSError as error:
            print(f"labkit cloud run: {command[0]!r} could not be started: {error}", file=sys.stderr)
            return _NOT_FOUND
        status = wait_through_ctrl_c(program)
        return status if status >= 0 else 128 - status  # ended by a signal: as a shell says it


def _list(given: argparse.Namespace) -> int:
    found = _found(given)[1]
    _show(found)
    return 0


def _clean(given: argparse.Namespace) -> int:
    if given.session_file:
        return _clean_in_background(given)
    leftovers, found = _found(given)
    if not found or not given.yes:
        _show(found)
    if not found or not (given.yes or _agreed(given.project)):
        return 0
    failed = leftovers.remove(found)
    for each, why in failed.items():
        print(f"not removed: {each.kind} {each.name}: {why}", file=sys.stderr)
    return 1 if failed else 0


def _agreed(project: str) -> bool:
    try:
        return input(f"Remove all of these from {project}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise CloudError("nobody could be asked; --yes removes without asking") from None


def _clean_in_background(given: argparse.Namespace) -> int:
    """Clean up after a notebook that is gone, in a process of its own: whoever asks here has not the time.

    Nothing is done for a session that has cleaned up itself, which has removed its file.
    """
    try:
        account = json.loads(given.session_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0
    command = [sys.executable, "-P", "-m", "labkit", "cloud", "clean", "--yes", "--project", given.project]
    command += ["--location", given.location, *(["--label", given.label] if given.label else [])]
    processes.start_detached(command, account)
    return 0


def _found(given: argparse.Namespace) -> tuple[Leftovers, list[Leftover]]:
    session.check_installed()
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        leftovers = Leftovers(given.project, given.location)
        return leftovers, leftovers.find(given.label)
    except (GoogleAuthError, GoogleAPIError) as error:
        raise CloudError(f"Google did not list what is in {given.project}: {error}") from None


def _show(found: list[Leftover]) -> None:
    if not found:
        print("Nothing is left.")
        return
    table = Table("what", "name", "session", "state")
    for each in found:
        state = f"{each.state}, costs money" if each.costs else each.state
        table.add_row(each.kind, each.title, each.run, state)
    Console(highlight=False, markup=False, emoji=False).print(table)
