"""The drawing page, operated as people do: by mouse, finger and keyboard, in a real browser."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import data
from labkit.browser import PageServer, export_tflite
from labkit.browser.devtools import Browser
from labkit.browser.tab import Tab

SETTLED = "document.querySelector('.labkit').getAttribute('aria-busy') === 'false'"
TROUBLE = "document.querySelector('.lk-trouble').textContent"
ZERO = [(0.5 + 0.22 * np.sin(a), 0.5 - 0.38 * np.cos(a)) for a in np.linspace(0, 6.2, 24)]
ONE = [(0.5, 0.1), (0.5, 0.3), (0.49, 0.6), (0.49, 0.9)]
SEVEN = [(0.25, 0.15), (0.5, 0.15), (0.75, 0.15), (0.68, 0.32), (0.57, 0.55), (0.5, 0.72), (0.45, 0.88)]


def about(**more: Any) -> bytes:
    test = data.digits().test
    ink = test.inputs["image"][:5].reshape(5, 64).astype(int).tolist()
    examples = [{"label": int(label), "ink": counts} for label, counts in zip(test.labels, ink, strict=False)]
    return json.dumps({"title": "Draw a digit", "classes": list("0123456789"), "examples": examples, **more}).encode()


@pytest.fixture(scope="module")
def server(drawings_web: Path, drawings_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    lite = export_tflite(drawings_model, tmp_path_factory.mktemp("lite") / "model.tflite")
    files = {"model": drawings_web, "model.tflite": lite, "page.json": about(tflite="model.tflite")}
    with PageServer("draw", files=files) as running:
        yield running


@pytest.fixture(scope="module")
def opened(browser: Browser, server: PageServer) -> Iterator[Tab]:
    tab = browser.open(server.url, width=900, height=600)
    tab.wait_for(SETTLED)
    assert tab.evaluate(TROUBLE) == "", tab.console  # it is settled, too, when it could not be loaded
    yield tab
    tab.close()


@pytest.fixture
def another(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Opens further tabs and closes them, as a page behind another one is not painted."""
    with ExitStack() as stack:

        def opener(url: str, **options: Any) -> Tab:
            tab = browser.open(url, **options)
            stack.callback(tab.close)
            return tab

        yield opener


@pytest.fixture
def tab(opened: Tab) -> Tab:
    """The page with empty paper, on WebAssembly."""
    if opened.evaluate("document.querySelector('select').value !== 'wasm'"):
        choose(opened, "wasm")
    while opened.evaluate("!document.querySelector('.lk-button').disabled"):
        opened.click_button("Undo")
    opened.wait_for(SETTLED)
    return opened


def draw(tab: Tab, stroke: list[tuple[float, float]]) -> None:
    left, top, width, height = tab.box(".lk-paper")
    tab.drag([(left + x * width, top + y * height) for x, y in stroke])
    tab.wait_for(SETTLED)


def choose(tab: Tab, backend: str) -> None:
    tab.evaluate(
        f"(() => {{ const s = document.querySelector('select'); s.value = '{backend}'; "
        "s.dispatchEvent(new Event('change')); })()"
    )
    tab.evaluate("new Promise((done) => setTimeout(done))")  # the change begins after the event
    tab.wait_for(SETTLED, timeout=60)


def probabilities(tab: Tab) -> np.ndarray:
    values = tab.evaluate("[...document.querySelectorAll('.lk-bar-value')].map((e) => e.value)")
    return np.array([float(value) if value else np.nan for value in values])


def winner(tab: Tab) -> str:
    return tab.evaluate("document.querySelector('.lk-winner').textContent")


@pytest.mark.parametrize(("stroke", "digit"), [(ZERO, 0), (ONE, 1), (SEVEN, 7)], ids=["0", "1", "7"])
def test_a_digit_drawn_by_mouse_is_recognised(tab: Tab, stroke: list, digit: int) -> None:
    draw(tab, stroke)
    assert winner(tab) == str(digit)
    assert probabilities(tab).argmax() == digit and probabilities(tab).sum() == pytest.approx(1, abs=1e-4)
    assert tab.evaluate("document.querySelector('.lk-bar-best .lk-bar-name').textContent") == str(digit)
    rows = tab.evaluate("[...document.querySelectorAll('.lk-bar')].map((e) => e.textContent)")
    assert [row[0] for row in rows] == list("0123456789") and all(row.endswith("%") for row in rows)
    fill = "document.querySelectorAll('.lk-bar-fill')[%d].getBoundingClientRect().width"
    tab.wait_for(f"{fill % digit} > 100 && {fill % 5} < 20")  # the bars, once they stand still


def test_an_example_is_shown_and_answered_as_python_answers(tab: Tab, drawings_model: Any) -> None:
    tab.click_button("Show me one")
    tab.wait_for(SETTLED)
    first = data.digits().test.take(slice(0, 1))
    expected = drawings_model.predict(data.bitmaps(first.inputs["image"]), verbose=0)[0]
    assert probabilities(tab) == pytest.approx(expected, abs=1e-5)
    assert f"the data says: {first.labels[0]}" in tab.evaluate("document.querySelector('.lk-draw-seen').textContent")
    draw(tab, SEVEN)  # the example goes
    assert winner(tab) == "7"
    assert "the data says" not in tab.evaluate("document.querySelector('.lk-draw-seen').textContent")


def test_undo_takes_back_strokes_and_clearing(tab: Tab) -> None:
    draw(tab, SEVEN)
    seven = probabilities(tab)
    draw(tab, [(0.35, 0.5), (0.7, 0.5)])
    assert abs(probabilities(tab) - seven).max() > 1e-6
    tab.click_button("Undo")
    tab.wait_for(SETTLED)
    assert (probabilities(tab) == seven).all()
    tab.click_button("Clear")
    tab.wait_for(SETTLED)
    assert winner(tab) == "?" and np.isnan(probabilities(tab)).all()
    tab.click_button("Undo")
    tab.wait_for(SETTLED)
    assert (probabilities(tab) == seven).all()


def test_every_backend_gives_the_same_answer(tab: Tab) -> None:
    draw(tab, [(0.3, 0.1), (0.32, 0.5), (0.7, 0.45), (0.62, 0.9)])  # between a 4 and a 9
    expected = probabilities(tab)
    for backend in ("cpu", "webgl", "webgpu", "litert"):
        choose(tab, backend)
        assert tab.evaluate(TROUBLE) == ""
        assert tab.evaluate("document.querySelector('select').value") == backend
        if backend != "litert":
            assert tab.evaluate("tf.getBackend()") == backend
        assert probabilities(tab) == pytest.approx(expected, abs=1e-4), backend
        gpu = tab.evaluate(
            "document.querySelector('.lk-fact-gpu').hidden ? '' : document.querySelector('.lk-fact-gpu').textContent"
        )
        assert bool(re.search("(?i)none, the CPU plays it: .*SwiftShader", gpu)) == (backend in ("webgl", "webgpu"))
    facts = tab.evaluate("document.querySelector('.lk-facts').innerText")
    assert re.search(r"(?s)First answer\s.*ms.*Model\s+\d+ kB, loaded in .*ms", facts)


def test_answers_leave_no_tensors_behind(tab: Tab) -> None:
    draw(tab, ONE)
    before = tab.evaluate("tf.memory().numTensors")
    draw(tab, SEVEN)
    tab.click_button("Clear")
    assert tab.evaluate("tf.memory().numTensors") == before
    for backend in ("cpu", "litert", "wasm"):
        choose(tab, backend)
    draw(tab, ONE)
    assert tab.evaluate("tf.memory().numTensors") == before


PEN = """
  const paper = document.querySelector('.lk-paper');
  paper.setPointerCapture = () => {}; // these events have no pointer behind them
  const box = paper.getBoundingClientRect();
  const send = (kind, [x, y]) => paper.dispatchEvent(new PointerEvent(kind, { pointerId: 7, button: 0, bubbles: true,
    clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
"""
BURST = (
    "async (path) => {"
    + PEN
    + """
  const { port1, port2 } = new MessageChannel();
  const task = () => new Promise((done) => { port1.onmessage = done; port2.postMessage(0); });
  let frames = 0;
  let on = true;
  const count = () => { frames += 1; if (on) requestAnimationFrame(count); };
  requestAnimationFrame(count);
  send('pointerdown', path[0]);
  for (const point of path) {
    await task();
    send('pointermove', point);
  }
  send('pointerup', path.at(-1));
  const busy = () => document.querySelector('.labkit').getAttribute('aria-busy') !== 'false';
  while (busy()) await new Promise(requestAnimationFrame);
  on = false;
  delete paper.setPointerCapture;
  return frames;
}"""
)


def test_moves_are_answered_once_a_frame_and_the_last_one_always(tab: Tab) -> None:
    steps = np.linspace(0, len(SEVEN) - 1, 45)
    path = [[float(np.interp(step, range(len(SEVEN)), axis)) for axis in zip(*SEVEN, strict=True)] for step in steps]
    draw(tab, path)
    without_the_last = probabilities(tab)
    tab.click_button("Clear")
    path.append([0.8, 0.9])
    draw(tab, path)
    slowly = probabilities(tab)
    assert abs(slowly - without_the_last).max() > 0.1
    tab.click_button("Clear")
    choose(tab, "cpu")
    choose(tab, "wasm")  # counting begins anew
    frames = tab.evaluate(f"({BURST})({json.dumps(path)})")
    assert probabilities(tab) == pytest.approx(slowly, abs=0.02)
    asked = re.search(r"last (\d+)", tab.evaluate("document.querySelector('.lk-fact-median').textContent"))
    assert asked and 1 <= int(asked[1]) <= frames + 1


SLOW_MODEL = """import('./page/draw/asker.js').then(async ({ Asker }) => {
  let drawing = 1;
  let answer = null;
  const asked = [];
  const settled = new Promise((done) => {
    globalThis.asker = new Asker({ classes: 1, onAnswer: () => {}, onTrouble: (error) => asked.push(error.message),
      look: () => Float32Array.of(drawing), onBusy: (busy) => { if (!busy && asked.length) done(); } });
  });
  const ask = (bitmap) => {
    asked.push(bitmap[0]);
    if (asked.length === 1 || drawing === 4) return Promise.resolve([1]);
    return new Promise((resolve) => { answer = () => resolve([1]); });
  };
  const opened = asker.replace(async () => ({ ask, dispose: () => asked.push('disposed') }));
  await opened;
  asker.wake();
  while (!answer) await new Promise(requestAnimationFrame);
  for (drawing of [2, 3, 4]) { // while the model still thinks about the first
    asker.wake();
    await new Promise(requestAnimationFrame);
  }
  answer();
  await settled;
  await asker.stop();
  return asked;
})"""


def test_what_is_drawn_while_a_slow_model_answers_is_asked_about_afterwards(tab: Tab) -> None:
    empty_paper, *asked = tab.evaluate(SLOW_MODEL)
    assert empty_paper == 0
    assert asked == [1, 4, "disposed"]


def test_the_keyboard_reaches_everything_and_draws(tab: Tab) -> None:
    tab.evaluate("document.activeElement.blur()")
    tab.evaluate("document.querySelector('select').focus()")
    tab.key("Tab")
    assert tab.evaluate("document.activeElement.className") == "lk-paper"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.key("ArrowUp")
    tab.key("ArrowUp")
    tab.key("Space")
    for _ in range(12):
        tab.key("ArrowDown")
    tab.key("Space")
    tab.wait_for(SETTLED)
    assert winner(tab) == "1"
    before = probabilities(tab)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp"):  # lifted: this draws nothing
        tab.key(key)
    tab.wait_for(SETTLED)
    assert (probabilities(tab) == before).all()
    said = "[...document.querySelectorAll('[role=status]')].map((e) => e.textContent).join(' ')"
    assert "Pen up, 50 % from the left" in tab.evaluate(said)
    reached = []
    for _ in range(3):
        tab.key("Tab")
        reached.append(tab.evaluate("document.activeElement.textContent"))
    assert reached == ["Undo", "Clear", "Show me one"]
    tab.evaluate("document.querySelector('.lk-paper').focus()")
    tab.key("Backspace")
    tab.wait_for(SETTLED)
    assert winner(tab) == "?"


WITHOUT_A_PAUSE = (
    "async (strokes) => {"
    + PEN
    + """
  for (const stroke of strokes) {
    send('pointerdown', stroke[0]);
    for (const point of stroke) send('pointermove', point);
    send('pointerup', stroke.at(-1));
    do await new Promise(requestAnimationFrame); while (document.querySelector('.labkit').ariaBusy !== 'false');
  }
  delete paper.setPointerCapture;
  await new Promise((done) => { setTimeout(done, 700); }); // behind what the page says after as long
}"""
)


def test_a_screen_reader_hears_one_answer_and_every_name(tab: Tab) -> None:
    tab.evaluate(
        "window.heard = []; window.said = document.querySelector('.labkit > [role=status]');"
        "new MutationObserver(() => heard.push(said.textContent)).observe(said, {childList: true})"
    )
    tab.evaluate(f"({WITHOUT_A_PAUSE})({json.dumps([SEVEN, [(0.4, 0.5), (0.7, 0.5)]])})")
    heard = tab.evaluate("heard")
    (answer,) = [text for text in heard if text != "The paper is empty."]  # which the fixture's Undo has made it
    assert answer.startswith("Looks like 7, ")
    nodes = tab.send("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]}
    operated = {"button", "combobox", "application", "canvas", "image", "list", "textbox"}
    assert all(name for role, name in named if role in operated), named
    assert ("combobox", "Runs on") in named and ("list", "Probability of each class") in named
    assert {("button", "Undo"), ("button", "Clear"), ("button", "Show me one")} <= named
    assert any(role == "application" and name.startswith("Paper") and "arrows" in name for role, name in named)


def test_a_finger_draws_and_does_not_scroll(another: Callable[..., Tab], server: PageServer) -> None:
    tab = another(server.url, width=320, height=500, touch=True)
    tab.wait_for(SETTLED)
    left, top, width, height = tab.box(".lk-paper")
    points = [{"x": left + x * width, "y": top + y * height} for x, y in reversed(ONE)]
    tab.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
    for point in points[1:]:
        tab.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    tab.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tab.wait_for(SETTLED)
    assert winner(tab) == "1"
    assert tab.evaluate("scrollY") == 0
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


CONTRASTS = """(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [red, green, blue] = channels(colour).map((c) => linear(c / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? ground(element.parentElement) : colour;
  };
  const isText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll('.labkit *')].filter(isText).map((element) => {
    const [darker, lighter] = [getComputedStyle(element).color, ground(element)].map(light).sort((a, b) => a - b);
    return [element.className, (lighter + 0.05) / (darker + 0.05)];
  });
})()"""


@pytest.mark.parametrize("system", [False, True], ids=["light", "dark"])
def test_text_can_be_read_in_both_schemes_and_the_theme_overrides(
    another: Callable[..., Tab], server: PageServer, system: bool
) -> None:
    tab = another(server.url, dark=system)
    tab.wait_for(SETTLED)
    tab.evaluate("document.querySelector('.lk-trouble').textContent = 'a trouble'")
    ground = "getComputedStyle(document.querySelector('.labkit')).backgroundColor"
    seen = {None: tab.evaluate(ground)}
    draw(tab, SEVEN)
    for theme in (None, "light", "dark"):
        if theme:
            tab.evaluate(f"document.querySelector('.labkit').dataset.theme = '{theme}'")
            seen[theme] = tab.evaluate(ground)
        contrasts = tab.evaluate(CONTRASTS)
        assert len(contrasts) > 25
        assert min(ratio for _, ratio in contrasts) >= 4.5, sorted(contrasts, key=lambda one: one[1])[:3]
    assert seen["light"] != seen["dark"] and seen[None] == seen["dark" if system else "light"]
    tab.send("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]})
    assert tab.evaluate("getComputedStyle(document.querySelector('.lk-bar-fill')).transitionProperty") == "none"


def test_a_backend_that_is_not_there_is_disabled_with_the_reason(
    another: Callable[..., Tab], server: PageServer
) -> None:
    tab = another("about:blank")
    without = "Object.defineProperty(navigator, 'gpu', {value: undefined}); delete globalThis.WebGL2RenderingContext;"
    tab.send("Page.addScriptToEvaluateOnNewDocument", {"source": without})
    tab.go_to(server.url)
    tab.wait_for(SETTLED)
    option = "document.querySelector('option[value=webgpu]')"
    assert tab.evaluate(f"{option}.disabled")
    assert tab.evaluate(f"{option}.textContent") == "WebGPU (not here: this browser offers no WebGPU)"
    tab.evaluate(f"{option}.disabled = false")  # as if it had been there until now
    draw(tab, SEVEN)
    before = probabilities(tab)
    choose(tab, "webgpu")
    assert "WebGPU cannot be used here: " in tab.evaluate(TROUBLE)
    assert tab.evaluate("document.querySelector('select').value") == "wasm" and tab.evaluate(f"{option}.disabled")
    assert (probabilities(tab) == before).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "the server answered 404. The page needs a page.json that names the classes"),
        ({"page.json": b'{"classes": ["a"]}'}, 'the server answered 404. The page needs a folder "model"'),
        (
            {"page.json": b'{"classes": ["a"]}', "model": ...},
            "The model gives 10 numbers and page.json names 1 classes",
        ),
        ({"page.json": b"{}", "model": ...}, "page.json names no classes"),
    ],
)
def test_what_is_wrong_is_said_in_words(
    another: Callable[..., Tab], drawings_web: Path, given: dict, words: str
) -> None:
    files = {name: drawings_web if content is ... else content for name, content in given.items()}
    with PageServer("draw", files=files) as server:
        tab = another(server.url)
        tab.wait_for(f"{TROUBLE} !== ''")
        assert words in tab.evaluate(TROUBLE)
        assert tab.evaluate("document.querySelector('.lk-trouble').getAttribute('role')") == "alert"
        assert tab.evaluate(SETTLED)
        if "10 numbers" in words:  # what it runs on can still be chosen
            assert not tab.evaluate("document.querySelector('select').disabled")


def test_the_page_lives_in_a_shadow_root_and_leaves_nothing(tab: Tab) -> None:
    tensors = tab.evaluate("tf.memory().numTensors")
    got = tab.evaluate(
        """(async () => {
          const { mount } = await import('./page/draw/draw.js');
          const { useBackend } = await import('./page/backends.js');
          const host = document.body.appendChild(document.createElement('div'));
          const root = host.attachShadow({ mode: 'open' });
          const bytes = async (name) => (await fetch('files/' + name)).arrayBuffer();
          const json = async (name) => (await fetch('files/' + name)).json();
          const page = mount(root, { files: { bytes, json }, useBackend, theme: 'dark' });
          await page.ready;
          const seen = { text: root.textContent, theme: root.querySelector('.labkit').dataset.theme,
            lite: root.querySelector('option[value=litert]').textContent, tensors: tf.memory().numTensors };
          await page.unmount();
          host.remove();
          return { ...seen, left: root.childNodes.length, after: tf.memory().numTensors };
        })()"""
    )
    assert "Draw a digit" in got["text"] and got["theme"] == "dark"
    assert got["lite"] == "LiteRT.js (not here: not inside a notebook)"
    assert got["tensors"] > tensors and got["after"] == tensors and got["left"] == 0


def test_what_it_runs_on_can_be_chosen_once_the_model_is_there(tab: Tab) -> None:
    got = tab.evaluate(
        """(async () => {
          const { mount } = await import('./page/draw/draw.js');
          const { useBackend } = await import('./page/backends.js');
          const host = document.body.appendChild(document.createElement('div'));
          const root = host.attachShadow({ mode: 'open' });
          let asked;
          let go;
          const [begun, gate] = [new Promise((done) => { asked = done; }), new Promise((done) => { go = done; })];
          const bytes = async (name) => { asked(); await gate; return (await fetch('files/' + name)).arrayBuffer(); };
          const json = async (name) => (await fetch('files/' + name)).json();
          const page = mount(root, { files: { bytes, json }, useBackend });
          await begun;
          const select = root.querySelector('select');
          const early = select.disabled;
          go();
          await page.ready;
          const late = select.disabled;
          await page.unmount();
          host.remove();
          return [early, late];
        })()"""
    )
    assert got == [True, False]


def test_the_page_asks_nobody_else(opened: Tab, server: PageServer) -> None:
    assert len(opened.requests) > 10
    assert [
        url for url in opened.requests if not url.removeprefix("blob:").startswith(server.url.rsplit("/", 2)[0])
    ] == []
    assert [line for line in opened.console if re.search(r"^\w*Error|Refused|Content Security Policy", line)] == []
