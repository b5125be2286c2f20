"""`labkit.browser.run`: one script in a headless browser, its answer, its progress, and every way it can fail."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import psutil
import pytest

from labkit import processes
from labkit.browser import run
from labkit.browser.chromium import running
from labkit.browser.find import find_browser
from labkit.errors import BrowserError, EnvironmentProblem
from labkit.waiting import wait_until

pytestmark = pytest.mark.usefixtures("browser_is_here")
SAYS_WHO = "export default async function ({ tf }) {\n  return tf ? tf.getBackend() : 'none';\n}"


def browsers_of(pid: int) -> list[psutil.Process]:
    """The processes below `pid` that have a browser's profile."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if any("--user-data-dir" in part for part in command_line(child))]


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_what_a_script_returns_comes_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("deep")
    script = """
        export default async function ({ tf, args, report }) {
          for (const step of [1, 2, 3]) await report({ step });
          const x = tf.tensor(args.x.data, args.x.shape, 'int32');
          const text = async (url) => (await fetch(url)).text();
          return {
            tensors: [tf.add(x, tf.scalar(1, 'int32')), tf.greater(x, 2)], letters: 'ä€', nothing: null, number: 0.1,
            odd: [NaN, -Infinity, args.odd], typed: new Float64Array([0.1, 2]),
            bytes: Uint8Array.of(0, 255).buffer, answer: args.answer,
            files: [await text('files/greeting.txt'), await text('files/folder/a/b.txt')],
          };
        }"""
    progress: list[dict] = []
    answer = run(
        script,
        args={"x": np.arange(6).reshape(2, 3), "answer": {"a": [1, "b"]}, "odd": float("inf")},
        files={"greeting.txt": b"hello", "folder": tmp_path},
        on_progress=progress.append,
    )
    assert progress == [{"step": 1}, {"step": 2}, {"step": 3}]
    added, greater = answer.pop("tensors")
    np.testing.assert_array_equal(added, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(greater, [[False, False, False], [True, True, True]])
    assert (added.dtype, greater.dtype) == (np.int32, np.bool_)
    np.testing.assert_array_equal(answer.pop("odd"), [np.nan, -np.inf, np.inf])
    np.testing.assert_array_equal(answer.pop("typed"), [0.1, 2])
    np.testing.assert_array_equal(answer.pop("bytes"), np.array([0, 255], np.uint8))
    assert answer == {
        "letters": "ä€",
        "nothing": None,
        "number": 0.1,
        "answer": {"a": [1, "b"]},
        "files": ["hello", "deep"],
    }


@pytest.mark.parametrize("backend", ["cpu", "webgl", "webgpu", None])
def test_the_backend_is_the_one_that_was_asked_for(backend: str | None) -> None:
    assert run(SAYS_WHO, backend=backend) == (backend or "none")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("throw new RangeError('too far');", ["RangeError: too far", "job.js:2"]),
        ("return import('./absent.js');", ["absent.js"]),
        ("tf.loadGraphModel('files/absent/model.json');\n  await new Promise(() => 0);", ["absent/model.json", "404"]),
        ("return await fetch('http://127.0.0.1:9/');", ["Content Security Policy"]),
        ("const a = ;", ["SyntaxError", "job.js:2:"]),
        ("return new Map([[1, 2]]);", ["a Map cannot be sent"]),
        ("throw { message: 'odd', stack: 5 };", ["odd"]),
        ("return new BigInt64Array(1);", ["BigInt64Array", "Float32Array"]),
    ],
)
def test_a_script_that_fails_says_why_and_where(body: str, words: list[str]) -> None:
    with pytest.raises(BrowserError) as caught:
        run(f"export default async function ({{ tf }}) {{\n  {body}\n}}", timeout=30)
    for word in words:
        assert word in str(caught.value)
    assert "127.0.0.1:" not in str(caught.value).replace("127.0.0.1:9", ""), "an address with its secret is shown"


def test_a_script_without_a_default_export_is_told_what_to_write() -> None:
    with pytest.raises(BrowserError, match="export default async function"):
        run("export const a = 1;\n")


def test_a_script_that_never_returns_is_ended_with_its_last_progress_and_console() -> None:
    script = """
        export default async function ({ report }) {
          console.log('I wait for ever');
          await report({ phase: 'waiting' });
          await new Promise(() => 0);
        }"""
    before = set(browsers_of(os.getpid()))
    with pytest.raises(BrowserError, match=r"within 10 s.*waiting") as caught:
        run(script, backend=None, timeout=10)
    assert "I wait for ever" in str(caught.value)
    assert set(browsers_of(os.getpid())) <= before


def test_a_browser_that_is_killed_is_an_error_with_its_log() -> None:
    """The page's progress is the sign that it runs; then its browser is killed."""

    def kill(_: object) -> None:
        for process in browsers_of(os.getpid()):
            process.kill()

    with pytest.raises(BrowserError, match="ended with exit status"):
        run(
            "export default async function ({ report }) {\n  await report(1);\n  await new Promise(() => 0);\n}",
            on_progress=kill,
        )


def test_a_page_that_crashes_is_noticed_at_once() -> None:
    def crash(_: object) -> None:
        for process in browsers_of(os.getpid()):
            if "--type=renderer" in command_line(process):
                process.kill()

    with pytest.raises(BrowserError, match="The page crashed"):
        run(
            "export default async function ({ report }) {\n  await report(1);\n  await new Promise(() => 0);\n}",
            on_progress=crash,
        )


def test_progress_that_nobody_waits_for_comes_in_order_and_before_the_result() -> None:
    got: list[int] = []
    script = "export default function ({ report }) {\n  for (let i = 0; i < 100; i++) report(i);\n}"
    assert run(script, backend=None, on_progress=got.append) is None
    assert got == list(range(100))


def test_a_file_that_was_lost_on_the_way_is_asked_for_once_more() -> None:
    script = """
        export default async function () {
          const { get, loadScript } = await import('./page/backends.js');
          const ask = globalThis.fetch;
          let lost = 1;
          globalThis.fetch = (...all) => (lost-- > 0 ? Promise.reject(new TypeError('Failed to fetch')) : ask(...all));
          const here = await (await get('files/here')).text();
          lost = 2;
          const twice = await get('files/here').catch((error) => error.message);
          const refused = await loadScript('absent.js').catch((error) => error.message);
          return [here, twice, refused, document.querySelectorAll('script[src$="absent.js"]').length];
        }"""
    got = run(script, backend=None, files={"here": b"text"})
    assert got == ["text", "Failed to fetch", "absent.js could not be loaded", 2]


def test_no_command_line_has_the_secret_address() -> None:
    """Every user of a machine can read with which arguments programs were started."""
    seen: list[str] = []
    script = "export default async function ({ report }) {\n  await report(location.pathname.split('/')[1]);\n}"

    def look(secret: str) -> None:
        lines = [" ".join(command_line(process)) for process in psutil.Process().children(recursive=True)]
        assert any("--user-data-dir" in line for line in lines)
        seen.extend(line for line in lines if secret in line)

    run(script, backend=None, on_progress=look)
    assert not seen


def test_nothing_is_left_when_the_kernel_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        from labkit.browser import run
        script = "export default async function ({ report }) {\\n  await report(1);\\n  await new Promise(() => 0);\\n}"
        run(script, timeout=100, on_progress=lambda _: print("running", flush=True))
        """)
    )
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as kernel:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "running\n"
        left = browsers_of(kernel.pid)
        profiles = {
            part.split("=", 1)[1] for p in left for part in command_line(p) if part.startswith("--user-data-dir")
        }
        kernel.send_signal(signal.SIGKILL)
    assert left
    assert profiles
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in left), timeout=20)
    wait_until(lambda: not any(Path(profile).exists() for profile in profiles), timeout=20)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backend": "tpu"}, "backend is 'tpu'; it is one of cpu, wasm"),
        ({"script": "absent.js"}, "no such file"),
        ({"files": {"../up": b""}}, "files has the name '../up'"),
        ({"files": {"model": "nowhere"}}, "there is nothing"),
        ({"args": {"x": np.array([2**40])}}, "32 bits"),
        ({"args": {"x": np.array(["a"])}}, "give one of numbers"),
        ({"args": {"x": {1, 2}}}, "a set cannot be sent"),
    ],
)
def test_what_cannot_be_run_is_refused_before_a_browser_starts(given: dict, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        run(**{"script": SAYS_WHO, "browser": "/bin/false"} | given)


def test_a_browser_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentProblem, match=r"browser is 'netscape'.*apt-get install chromium"):
        run(SAYS_WHO, browser="netscape")
    monkeypatch.setenv("LABKIT_BROWSER", "/nowhere/chrome")
    with pytest.raises(EnvironmentProblem, match="LABKIT_BROWSER is '/nowhere/chrome'"):
        find_browser()


def test_no_browser_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LABKIT_BROWSER", raising=False)
    monkeypatch.setattr("labkit.browser.find._MAC", ())
    with pytest.raises(EnvironmentProblem, match="No Chromium, Chrome or Edge was found"):
        find_browser()
    stub = tmp_path / "chromium-browser"
    stub.write_text("#!/bin/sh\necho install the snap >&2\nexit 1\n")
    stub.chmod(0o755)
    with pytest.raises(EnvironmentProblem, match="does not start"):
        find_browser()


def test_the_browser_that_is_named_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mine.write_text(f'#!/bin/sh\ntouch "{tmp_path}/used"\nexec {find_browser()} "$@"\n')
    mine.chmod(0o755)
    monkeypatch.setenv("LABKIT_BROWSER", str(mine))
    assert run(SAYS_WHO, backend=None) == "none"
    assert (tmp_path / "used").exists()


def test_a_browser_that_ends_at_once_is_an_error_with_advice(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'FATAL: No usable sandbox!'\nexit 7\n")
    broken.chmod(0o755)
    with pytest.raises(BrowserError, match=r"(?s)exit status 7.*--no-sandbox.*No usable sandbox"):
        run(SAYS_WHO, browser=broken)


def test_a_profile_is_removed_with_its_browser() -> None:
    before = set(processes.folder().glob("browser-*/"))
    with running(find_browser(), ["about:blank"]) as process:
        (profile,) = set(processes.folder().glob("browser-*/")) - before
    assert not profile.exists()
    assert not process.running
