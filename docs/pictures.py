"""The README's pictures, taken from the product: `make pictures` writes labs/figures/readme_*.png.

Those of labs show what is stored in the notebooks, in JupyterLab, and their alternative text in the README is the
figure's own: a test compares the two, so that a figure that says something else is noticed. Nothing is run but
`labkit doctor`.
"""

import io
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from labkit.browser.devtools import Browser
from labkit.browser.tab import Tab
from labkit.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parent.parent
FIGURES = REPOSITORY / "labs" / "figures"
# Only with `--LabApp.expose_app_in_browser` a page has `jupyterapp`; the sidebar and its file list say nothing here.
_SCROLL = """(async () => {
  const notebook = window.jupyterapp?.shell.currentWidget?.content;
  if (!notebook?.widgets?.length) return false;
  jupyterapp.shell.collapseLeft();
  for (const one of jupyterapp.shell.widgets('main')) if (one.title.label === 'Launcher') one.close();
  const at = notebook.widgets.findIndex((cell) => cell.model.sharedModel.source.includes(%(alt)s));
  await notebook.scrollToItem(at, %(align)s);
  const image = [...document.querySelectorAll('.jp-OutputArea-output [alt]')].find((one) => one.alt === %(alt)s);
  if (!image?.complete || !image.naturalWidth) return false;
  image.closest('.jp-OutputArea-output').dataset.wanted = '';
  return true;
})()"""


@dataclass(frozen=True)
class Figure:
    """A figure that a lab's notebook holds; `alt`, its alternative text, says which."""

    lab: str
    alt: str
    whole_window: bool = False


PICTURES = {
    "readme_lab": Figure(
        "01_export_a_model",
        "Four bars: scaled, accuracy and confidence are near 1; scaling forgotten, accuracy is a third, confidence 1.",
        whole_window=True,
    ),
    "readme_rest_vs_grpc": Figure(
        "03_rest_vs_grpc",
        "With json.dumps, writing and reading text is nearly all of the time; with tensor_content all is short.",
    ),
    "readme_browser": Figure(
        "06_in_the_browser",
        "Paper to draw on, the 8 by 8 squares that the model sees, and a bar of probability for each digit.",
    ),
}


def main() -> int:
    """Take all pictures, say where they are."""
    with Browser() as browser:
        with jupyterlab() as (address, token):
            for name, figure in PICTURES.items():
                save(name, of_a_lab(browser, f"{address}/lab/tree/labs/{figure.lab}.ipynb?reset&token={token}", figure))
        save("readme_doctor", of_the_doctor(browser))
    return 0


@contextmanager
def jupyterlab() -> Iterator[tuple[str, str]]:
    """A JupyterLab on a free port, with settings of its own; gives its address and its token."""
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder:
        own = {f"JUPYTER_{name}_DIR": f"{folder}/{name}" for name in ("RUNTIME", "CONFIG", "DATA")}
        silent = Path(folder, "@jupyterlab", "apputils-extension", "notification.jupyterlab-settings")
        silent.parent.mkdir(parents=True)
        silent.write_text('{"fetchNews": "false", "checkForUpdates": false}')
        own |= {"JUPYTERLAB_SETTINGS_DIR": folder, "JUPYTERLAB_WORKSPACES_DIR": folder}
        options = ["--no-browser", "--allow-root", "--ServerApp.port=0", f"--IdentityProvider.token={token}"]
        command = [sys.executable, "-m", "labkit", "lab", *options, "--LabApp.expose_app_in_browser=True"]
        log = Path(folder, "log.txt")
        with (
            log.open("w") as said,
            subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | own, stderr=said) as server,
        ):
            try:
                wait_until(lambda: server.poll() is not None or address_in(log), timeout=120)
                if not (address := address_in(log)):
                    raise SystemExit(f"JupyterLab ended without an address:\n{log.read_text()}")
                yield address, token
            finally:
                server.terminate()


def address_in(log: Path) -> str | None:
    """The address that JupyterLab said it has."""
    found = re.search(r"(http://127\.0\.0\.1:[1-9]\d*)/lab", log.read_text())
    return found[1] if found else None


def of_a_lab(browser: Browser, address: str, figure: Figure) -> bytes:
    """The output of the cell that draws `figure`, or all of JupyterLab with it."""
    tab = browser.open(address, width=1000, height=900)
    try:
        question = _SCROLL % {"alt": repr(figure.alt), "align": repr("center" if figure.whole_window else "start")}
        tab.wait_for(question, timeout=120)
        settle(tab)
        tab.wait_for(question, timeout=60)  # cells above it have been drawn by now, and have moved it
        return tab.picture(None if figure.whole_window else "[data-wanted]")
    finally:
        tab.close()


def of_the_doctor(browser: Browser) -> bytes:
    """What `labkit doctor` prints on a terminal."""
    said = subprocess.run(
        [sys.executable, "-m", "labkit", "doctor"],
        env=os.environ | {"COLUMNS": "118", "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
    ).stdout
    terminal = Console(record=True, width=118, file=io.StringIO())
    terminal.print(Text.from_ansi(f"$ .venv/bin/labkit doctor\n{said}"))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "doctor.html")
        page.write_text(f"<!doctype html><meta charset=utf-8>{terminal.export_svg(title='labkit doctor')}")
        tab = browser.open(page.as_uri(), width=1000, height=800)
        return tab.picture("svg")


def settle(tab: Tab) -> None:
    """Wait until the page has drawn two more frames."""
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def save(name: str, png: bytes) -> None:
    """Write the picture with 128 colours, a third of its size, and say so."""
    path = FIGURES / f"{name}.png"
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(REPOSITORY)}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
