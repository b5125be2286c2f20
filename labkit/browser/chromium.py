"""A browser's process without a window: with a profile of its own, talking to this machine only."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from labkit import processes
from labkit.errors import BrowserError

_FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--mute-audio",
    "--password-store=basic",
    "--use-mock-keychain",
    "--no-proxy-server",
    # The page's policy forbids other machines; here their names do not even resolve.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--enable-logging=stderr",
)
_SOFTWARE_GPU = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
)
_MACHINE_GPU = ("--enable-gpu", "--enable-unsafe-webgpu", "--ignore-gpu-blocklist")


@contextlib.contextmanager
def running(
    browser: Path, arguments: Sequence[str], *, wrapper: Sequence[str] = (), pass_fds: Sequence[int] = ()
) -> Iterator[processes.ManagedProcess]:
    """A running browser; afterwards neither its processes nor its profile are left.

    WebGL and WebGPU run in software (SwiftShader), the same everywhere, unless ``LABKIT_GPU=1``: then on this
    machine's GPU.

    Args:
        browser: its program.
        arguments: further flags, and the address to open.
        wrapper: a command that becomes the browser, put before it.
        pass_fds: file descriptors that it inherits.
    """
    profile = tempfile.mkdtemp(prefix="browser-", dir=processes.folder())
    gpu = _MACHINE_GPU if os.environ.get("LABKIT_GPU") == "1" else _SOFTWARE_GPU
    # Chromium refuses to run as root in its sandbox, and does nothing but our own page here.
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [*wrapper, str(browser), *_FLAGS, *gpu, *sandbox, f"--user-data-dir={profile}", *arguments]
    process = processes.start(command, name="browser", pass_fds=pass_fds)
    try:
        yield process
    finally:
        process.stop(grace=2.0)
        shutil.rmtree(profile, ignore_errors=True)


def ended(browser: Path, process: processes.ManagedProcess) -> BrowserError:
    """What to raise when the browser has ended by itself."""
    log = process.log()
    advice = ""
    if "sandbox" in log.lower():
        advice = (
            "\nIt found no sandbox it may use, as in some containers. Name a script with LABKIT_BROWSER that starts "
            "it with --no-sandbox; it opens nothing but labkit's own page."
        )
    elif "error while loading shared libraries" in log:
        advice = "\nIt lacks a library: install the browser by the system's package manager."
    return BrowserError(
        f"{browser} ended with exit status {process.exit_code} before the page had answered.{advice}\n{log[-2000:]}",
        log,
    )


def console(log: str) -> str:
    """The lines of a browser's log that pages wrote to their console, without the rest."""
    return "\n".join(line.partition("] ")[2] or line for line in log.splitlines() if ":CONSOLE" in line)


def python_wrapper(code: str) -> list[str]:
    """A command that runs `code` in a bare Python and then is to become the command behind it (`sys.argv[1:]`)."""
    return [sys.executable, "-I", "-S", "-c", code]
