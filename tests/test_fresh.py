"""What `make fresh` does before it makes anything; the rest needs root and a network, and is `make fresh` itself."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

from .fresh import __main__ as fresh
from .fresh import machine, network, newcomer


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A machine whose only settings are those that a test makes; gives its home."""
    monkeypatch.setattr(network, "_FILES", ())
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})
    return tmp_path


def test_what_reaches_packages_comes_along_and_nothing_else(settings):
    wanted = {
        "https_proxy": "http://proxy:3128",
        "PIP_INDEX_URL": "https://mirror",
        "SSL_CERT_FILE": "/x",
        "UV_OFFLINE": "1",
    }
    os.environ.update(wanted, AWS_SECRET_ACCESS_KEY="secret", PYTHONPATH="/x")
    assert network.variables() == wanted


def test_what_settings_name_is_shown_inside_once(settings):
    (settings / "index" / "simple").mkdir(parents=True)
    (settings / "proxy.pem").touch()
    (settings / ".config" / "pip").mkdir(parents=True)
    text = f"[global]\ncert = {settings}/proxy.pem\nextra-index-url =\n  file://{settings}/index/simple\n  https://x{settings}\n"
    (settings / ".config" / "pip" / "pip.conf").write_text(text)
    os.environ.update(PIP_FIND_LINKS=f"{settings}/index {settings}/not-there", HTTPS_PROXY="http://proxy/")
    assert network.paths() == [settings / "index", settings / "proxy.pem"]


def test_the_newcomer_gets_the_settings_but_not_the_place_of_a_link(settings):
    (settings / ".npmrc").write_text("registry=https://mirror\n")
    home = settings / "root" / "home" / "newcomer"
    home.mkdir(parents=True)
    (settings / "outside").write_text("kept")
    (home / ".npmrc").symlink_to(settings / "outside")
    network.settle_home(home)
    assert (home / ".npmrc").read_text() == "registry=https://mirror\n"
    assert (settings / "outside").read_text() == "kept"


def test_without_root_it_says_how(monkeypatch, capsys):
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine, "debian", None)  # not to be reached
    assert fresh.main([]) == 1
    assert "sudo make fresh" in capsys.readouterr().err


def test_without_debootstrap_it_names_the_package(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.shutil, "which", lambda program: None)
    assert "sudo apt-get install debootstrap" in machine.lacking()
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert "needs Linux" in machine.lacking()


@pytest.fixture
def able(monkeypatch):
    """A machine that lacks nothing, and makes nothing."""
    monkeypatch.setattr(machine, "lacking", lambda: None)
    monkeypatch.setattr(machine, "debian", None)  # not to be reached


def test_a_machine_whose_apt_has_no_source_is_told_to_name_one(able, monkeypatch, tmp_path, capsys):
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fresh.main(["--suite=trixie"]) == 1
    assert capsys.readouterr().err.startswith("make fresh: apt has no source for ")


def test_a_readme_that_names_no_packages_is_told(able, monkeypatch, tmp_path, capsys):
    (tmp_path / "README.md").write_text("Nothing is needed.\n")
    monkeypatch.setattr(fresh, "REPOSITORY", tmp_path)
    assert fresh.main(["--suite=trixie", "--mirror=http://127.0.0.1:9"]) == 1
    assert "README.md has 0 lines that begin with `sudo apt-get install`" in capsys.readouterr().err


def test_without_apt_it_says_so(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(
        machine.shutil, "which", lambda program: None if program == "apt-get" else f"/usr/bin/{program}"
    )
    assert machine.lacking().startswith("there is no apt-get. ")


def test_a_process_is_gone_when_its_block_ends():
    with machine._process(["sleep", "1000"]) as process:
        place = Path(f"/proc/{process.pid}")
        assert process.poll() is None
    assert not place.exists()


JUPYTERLAB = """
import http.server, json, os, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        cells = [] if os.environ["CELLS"] == "0" else [{"cell_type": "markdown"}]
        known = self.path.endswith("?token=abc") and "labs/00_start_here.ipynb" in self.path
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"content": {"cells": cells}}).encode())
    def log_message(self, *_): pass
print("3/4  The packages", flush=True)
with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
    place = f"http://127.0.0.1:{server.server_port}/lab/tree/labs/00_start_here.ipynb?token=abc"
    print(f"[I ServerApp]     {place if os.environ['CELLS'] != 'none' else 'nothing'}", flush=True)
    if os.environ["CELLS"] != "none":
        server.serve_forever()
"""


class OnThisMachine:
    """A root whose every script is a program that says and answers what JupyterLab would."""

    def __init__(self, cells: str) -> None:
        self.cells, self.process = cells, None

    @contextlib.contextmanager
    def running(self, script):
        assert script == "cd labkit && make lab"
        with machine._process(
            [sys.executable, "-c", f"import os; os.environ['CELLS'] = {self.cells!r}{JUPYTERLAB}"]
        ) as it:
            self.process = it
            yield it


def test_the_first_lab_is_open_when_jupyterlab_answers_with_it(capsys):
    root = OnThisMachine("1")
    newcomer.open_first_lab(root, print)
    assert "3/4  The packages" in capsys.readouterr().out, "what it says is shown meanwhile"
    assert root.process.poll() is not None


@pytest.mark.parametrize(("cells", "said"), [("0", "has no cells"), ("none", "with status 0, without an address")])
def test_a_first_lab_that_does_not_open_is_a_failure(cells, said):
    with pytest.raises(machine.Failed, match=said):
        newcomer.open_first_lab(OnThisMachine(cells), print)
