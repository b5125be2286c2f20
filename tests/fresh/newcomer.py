"""What a newcomer types: `git clone`, `make lab`, `make test`."""

import json
import os
import re
import shlex
import subprocess
import time
import urllib.request
from pathlib import Path

from tests.fresh import machine

FIRST_LAB = "labs/00_start_here.ipynb"
_ADDRESS = re.compile(rf"(http://127\.0\.0\.1:\d+)/lab/tree/{re.escape(FIRST_LAB)}\?token=(\w+)")


def bring(repository: Path, root: machine.Root, say: machine.Say) -> None:
    """Put the last commit of `repository` where the newcomer can clone it."""
    if subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True, text=True).stdout:
        say("There are changes that are not committed: the last commit is tried, without them")
    place = root.folder / "srv/labkit.git"
    command = ["git", "clone", "--quiet", "--bare", "--no-local", "--depth", "1", f"file://{repository}", str(place)]
    subprocess.run(command, check=True)
    home = (root.folder / machine.HOME.lstrip("/")).stat()
    for path in (place, *place.rglob("*")):
        os.chown(path, home.st_uid, home.st_gid)


def clone(root: machine.Root, say: machine.Say) -> None:
    """`git clone`."""
    say("git clone")
    root.run("git clone --quiet /srv/labkit.git labkit", "git clone")


def open_first_lab(root: machine.Root, say: machine.Say) -> None:
    """`make lab`, until JupyterLab answers over HTTP with the first lab's page and the lab itself; then it is killed.

    Raises:
        Failed: it ended before, or does not answer with the lab.
    """
    say("make lab")
    with root.running("cd labkit && make lab") as process:
        for line in process.stdout:
            print("          ", line, end="", flush=True)
            if found := _ADDRESS.search(line):
                _ask(process, found[1], found[2])
                return
        raise machine.Failed(f"make lab ended with status {process.wait()}, without an address of JupyterLab")


def _ask(process: subprocess.Popen, server: str, token: str) -> None:
    _answer(process, f"{server}/lab/tree/{FIRST_LAB}?token={token}")
    lab = json.loads(_answer(process, f"{server}/api/contents/{FIRST_LAB}?token={token}"))
    if not lab["content"]["cells"]:
        raise machine.Failed(f"JupyterLab answers, but {FIRST_LAB} has no cells")


def _answer(process: subprocess.Popen, address: str) -> bytes:
    """Ask until there is an answer: JupyterLab tells its address a moment before it listens."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with direct.open(address, timeout=120) as answer:
                return answer.read()
        except OSError as problem:
            if process.poll() is not None or not isinstance(getattr(problem, "reason", None), ConnectionRefusedError):
                raise machine.Failed(f"{address.partition('?')[0]} does not answer: {problem}") from problem
            time.sleep(0.2)


def test(root: machine.Root, arguments: str, say: machine.Say) -> None:
    """`make test`, with `arguments` for pytest.

    Raises:
        Failed: a test failed.
    """
    command = f"make test ARGS={shlex.quote(arguments)}" if arguments else "make test"
    say(command)
    root.run(f"cd labkit && {command}", command)
