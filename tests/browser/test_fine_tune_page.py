"""The fine-tuning page, operated with mouse and keyboard in a real browser; the base is trained for real."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from labkit import data, models
from labkit.browser import PageServer, arrays, export_layers_model, load_weights, read_weights, run
from labkit.browser.devtools import Browser
from labkit.browser.tab import Tab
from labkit.waiting import wait_until

pytestmark = pytest.mark.usefixtures("browser_is_here")
IDLE = "document.querySelector('.labkit')?.getAttribute('aria-busy') === 'false'"
TROUBLE = "document.querySelector('.lk-trouble').textContent"
LINES = {  # digits that a hand may draw, from 0 to 1
    "5": [(0.7, 0.15), (0.35, 0.15), (0.33, 0.45), (0.6, 0.45), (0.68, 0.65), (0.55, 0.85), (0.3, 0.85)],
    "7": [(0.25, 0.15), (0.75, 0.15), (0.55, 0.5), (0.45, 0.87)],
}


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.digits()


@pytest.fixture(scope="module")
def base(digits) -> keras.Model:
    """Knows the digits 0 to 4."""
    keras.utils.set_random_seed(0)
    old = digits.train.take(digits.train.labels < 5)
    return models.drawings(data.Examples({"drawing": data.bitmaps(old.inputs["image"])}, old.labels), 5, epochs=4)


@pytest.fixture(scope="module")
def test_set(digits) -> data.Examples:
    """Digits 5 to 9, as the classes 0 to 4."""
    some = digits.test.take(digits.test.labels >= 5)
    return data.Examples({"drawing": data.bitmaps(some.inputs["image"])}, some.labels - 5)


@pytest.fixture(scope="module")
def files(base, digits, tmp_path_factory) -> dict[str, Path | bytes]:
    def examples(some: data.Examples) -> list[dict[str, Any]]:
        rows = zip(some.inputs["image"], some.labels, strict=True)
        return [
            {"label": int(label) - 5, "ink": image.astype(int).ravel().tolist()} for image, label in rows if label > 4
        ]

    about = {"known": list("01234"), "classes": list("56789"), "seed": 1}
    about |= {"train": examples(digits.train), "test": examples(digits.test)}
    folder = export_layers_model(base, tmp_path_factory.mktemp("page") / "model")
    return {"model": folder, "page.json": json.dumps(about).encode()}


@pytest.fixture
def page(files, browser) -> Iterator[tuple[Tab, PageServer, list]]:
    received: list[tuple[str, bytes]] = []
    with PageServer("fine_tune", files=files, receive=lambda *message: received.append(message)) as server:
        tab = browser.open(server.url, width=900, height=640)
        tab.wait_for(IDLE)
        assert tab.evaluate(TROUBLE) == "", tab.console  # it is idle, too, when it could not be loaded
        yield tab, server, received
        tab.close()


def draw(tab: Tab, digit: str) -> None:
    left, top, width, height = tab.box("canvas.lk-paper")
    tab.drag([(left + x * width, top + y * height) for x, y in LINES[digit]])


def text(tab: Tab, selector: str) -> str:
    return tab.evaluate(f"document.querySelector({selector!r}).textContent")


def names_and_counts(tab: Tab) -> list[str]:
    return tab.evaluate("[...document.querySelectorAll('.lk-ft-chip')].map((chip) => chip.textContent)")


def set_number(tab: Tab, label: str, number: int) -> None:
    place = f"[...document.querySelectorAll('label')].find((label) => label.textContent === {label!r}).control"
    tab.evaluate(f"{place}.select()")
    tab.type(str(number))


def choose_all_layers(tab: Tab) -> None:
    tab.evaluate("document.querySelector('select').focus()")
    tab.key("ArrowDown")


def train(tab: Tab, *, all_layers: bool = False, epochs: int = 6) -> None:
    if all_layers:
        choose_all_layers(tab)
    set_number(tab, "Epochs", epochs)
    tab.click_button("Train")
    tab.wait_for(IDLE, timeout=60)


def add_given(tab: Tab, count: int) -> None:
    set_number(tab, "up to", count)
    tab.click_button("Add given examples")


def train_for_minutes(tab: Tab) -> None:
    """Begin a training that goes on however long what follows takes."""
    add_given(tab, 100)
    choose_all_layers(tab)
    set_number(tab, "Epochs", 100)
    tab.click_button("Train")


def train_button(tab: Tab) -> list[bool | str]:
    """Whether it is disabled, and what stands beside it."""
    button = "[...document.querySelectorAll('button')].find((each) => each.textContent === 'Train')"
    return tab.evaluate(f"[{button}.disabled, document.querySelector('.lk-ft-go .lk-note').textContent]")


def figures(tab: Tab) -> list[list[str]]:
    """The table beside the charts: a row for each epoch, below its head."""
    rows = "[...document.querySelector('.lk-ft-charts + details table').rows]"
    return tab.evaluate(f"{rows}.map((row) => [...row.cells].map((cell) => cell.textContent))")


def test_a_new_head_then_all_layers_learn_what_was_drawn_and_given(page, base, test_set):
    tab, server, received = page
    draw(tab, "5")
    asked = len(server.requests)
    tab.click_button("Keep as “5”")
    tab.click(".lk-ft-chip:nth-of-type(3)")
    draw(tab, "7")
    tab.click_button("Keep as “7”")
    add_given(tab, 12)
    assert names_and_counts(tab) == ["512", "612", "712", "812", "912"]
    train(tab, all_layers=True, epochs=8)

    head, *rows = figures(tab)
    assert head == ["Epoch", "Loss", "Accuracy"]
    assert [int(epoch) for epoch, _, _ in rows] == list(range(1, 17))
    losses, shares = [float(row[1]) for row in rows], [int(row[2].removesuffix(" %")) for row in rows]
    assert losses[-1] < losses[0] / 3 and shares[-1] > shares[0] + 30
    described = tab.evaluate("[...document.querySelectorAll('svg')].map((chart) => chart.getAttribute('aria-label'))")
    assert described[0] == f"Loss by epoch: {losses[0]:.2f} in epoch 1, {losses[-1]:.2f} in epoch 16"

    before, after = (int(text(tab, f".lk-ft-{when}-held").split()[0]) for when in ("before", "after"))
    assert after > 80 > 50 > before
    draw(tab, "7")
    tab.wait_for("document.querySelector('.lk-ft-after-own').textContent.startsWith('“7”')")
    assert text(tab, ".lk-ft-before-own")[1] in "01234"

    assert len(server.requests) == asked, server.requests[asked:]
    assert "0 since your first drawing" in text(tab, ".lk-ft-summary")
    tab.click_button("Hand to Python")
    tab.wait_for("document.body.innerText.includes('Handed over')")
    assert [request.path for request in server.requests[asked:]] == ["result"]
    tab.wait_for("document.querySelector('.lk-ft-summary').textContent.includes('1 since your first drawing')")
    assert all(address.startswith((server.url, "data:")) for address in tab.requests)

    [(kind, body)] = received
    handed = arrays.loads(body)
    assert kind == "result" and handed["classes"] == list("56789") and handed["mode"] == "all"
    assert len(handed["history"]) == 16
    twin = keras.Sequential(
        [*keras.models.clone_model(base).layers[:-1], keras.layers.Dense(5, "softmax", name="new_head")]
    )
    twin.build((None, 32, 32, 1))
    load_weights(twin, read_weights(handed))
    answers = twin.predict(test_set.inputs["drawing"], verbose=0).argmax(1)
    assert (answers == test_set.labels).mean() == pytest.approx(handed["accuracy"]["after"], abs=1e-6)


def try_to_send(tab: Tab) -> str:
    tab.click(".lk-ft-summary")
    tab.wait_for("document.querySelector('.lk-ft-scroll tr') !== null")
    tab.click_button("Try to send a drawing to example.com")
    return tab.wait_for("document.querySelector('.lk-ft-attempt p').textContent")


def test_what_is_sent_to_a_stranger_is_refused_by_the_browser(page):
    tab, server, _ = page
    said = try_to_send(tab)
    assert said.startswith("The browser refused") and "https://example.com/" in said and "connect-src" in said
    rows = tab.evaluate("[...document.querySelectorAll('.lk-ft-scroll tr')].map((row) => row.cells[1].textContent)")
    asked = [request for request in server.requests if request.method == "GET"]
    assert len(rows) - 1 == len(asked)
    assert set(rows[1:]) == {f"127.0.0.1:{server.port}"}


def test_without_a_policy_nothing_is_tried(page):
    tab, server, _ = page
    tab.send("Page.setBypassCSP", {"enabled": True})
    tab.go_to(server.url)
    tab.wait_for(IDLE)
    assert try_to_send(tab).startswith("Not tried")
    assert not any("example.com" in address for address in tab.requests)


def test_by_keyboard_alone_a_symbol_of_ones_own_is_learned(page):
    tab, _, _ = page
    tab.evaluate("document.querySelector('details.lk-ft-classes > summary').focus()")
    tab.key("Enter")
    for name in ("star", "moon"):
        tab.key("Tab")
        tab.type(name)
        tab.key("Tab")
        tab.key("Enter")
        tab.evaluate("document.querySelector('details.lk-ft-classes > summary').focus()")
    tab.evaluate("document.querySelector('canvas.lk-paper').focus()")
    for _ in range(5):
        for key in ("Space", "ArrowDown", "ArrowDown", "ArrowRight", "Space", "Enter"):
            tab.key(key)
    assert names_and_counts(tab)[-2:] == ["star0", "moon5"]
    assert "no example to train with for: 5, 6, 7, 8, 9, star" in text(tab, ".lk-ft-side .lk-note")
    words = tab.evaluate("[...document.querySelectorAll('.lk-ft-count')].at(-1).getAttribute('aria-label')")
    assert words == "5 drawn, 0 given; 4 to train with, 1 to test with"
    for _ in range(2):
        tab.click_button("Take back")
    assert names_and_counts(tab)[-1] == "moon3"


def test_training_is_repeatable_can_be_stopped_and_leaves_no_tensors(page):
    tab, _, _ = page
    add_given(tab, 6)
    seen = []
    for _ in range(3):
        train(tab, epochs=3)
        seen.append((text(tab, ".lk-ft-after-held"), figures(tab), tab.evaluate("tf.memory().numTensors")))
    assert seen[1] == seen[2] and seen[0][:2] == seen[1][:2]
    train_for_minutes(tab)
    tab.click_button("Stop")
    tab.wait_for(IDLE)
    assert "Stopped in" in text(tab, ".lk-ft-side .lk-note")
    assert tab.evaluate("tf.memory().numTensors") == seen[-1][2]


def test_the_trained_model_can_be_downloaded(page, browser, tmp_path):
    tab, _, _ = page
    browser.send("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    add_given(tab, 2)
    train(tab, epochs=1)
    tab.click_button("Download")
    wait_until(lambda: {path.name for path in tmp_path.iterdir()} == {"tuned.json", "tuned.weights.bin"})
    saved = json.loads((tmp_path / "tuned.json").read_text())
    assert saved["weightsManifest"][0]["paths"] == ["./tuned.weights.bin"]


def test_every_control_has_a_name(page):
    tab, _, _ = page
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    roles = {"button", "textbox", "spinbutton", "combobox", "radio", "application", "img", "image", "region"}
    nodes = tab.send("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if not node.get("ignored") and node["role"]["value"] in roles]
    assert {"spinbutton", "combobox", "radio", "button"} <= {node["role"]["value"] for node in controls}
    assert [node for node in controls if not node["name"]["value"].strip()] == []


def test_what_is_wrong_is_said_in_words(files, browser: Browser):
    no_model = {"page.json": files["page.json"]}
    with PageServer("fine_tune", files=no_model) as server:
        tab = browser.open(server.url)
        said = tab.wait_for("document.querySelector('[role=alert]')?.textContent")
        assert "model.json could not be read: the server answered 404" in said
        assert train_button(tab) == [True, "The model could not be read."]
        add_given(tab, 2)
        assert train_button(tab) == [True, "The model could not be read."]
        tab.click(".lk-ft-classes summary")
        tab.click_button("Add a class")
        assert "needs a name" in tab.wait_for("document.querySelector('[role=alert]').textContent")
        tab.close()


def test_a_model_that_takes_other_pictures_is_not_trained(files, browser: Browser, tmp_path):
    other = keras.Sequential([keras.Input([16, 16, 1]), keras.layers.Flatten(), keras.layers.Dense(5, "softmax")])
    with PageServer("fine_tune", files={**files, "model": export_layers_model(other, tmp_path / "model")}) as server:
        tab = browser.open(server.url)
        said = tab.wait_for("document.querySelector('[role=alert]')?.textContent")
        assert "the model takes [16,16,1]; this page gives it [32,32,1]" in said
        add_given(tab, 2)
        assert train_button(tab) == [True, "The model could not be read."]
        tab.close()


SLOWLY = """
import { useBackend } from './page/backends.js';
import { mount } from './page/fine_tune/fine_tune.js';

export default async function () {
  const root = document.body.appendChild(document.createElement('div'));
  let go;
  const gate = new Promise((done) => { go = done; });
  const read = (name) => fetch(`files/${name}`);
  const files = {
    bytes: async (name) => { await gate; return (await read(name)).arrayBuffer(); },
    json: async (name) => (await read(name)).json(),
  };
  const page = mount(root, { files, useBackend, base: null });
  const button = (words) => [...root.querySelectorAll('button')].find((each) => each.textContent === words);
  const seen = () => [button('Train').disabled, root.querySelector('.lk-ft-go .lk-note').textContent];
  while (!button('Train')) await new Promise((done) => { setTimeout(done, 10); });
  button('Add given examples').click();
  const early = seen();
  go();
  await page.ready;
  return [early, seen()];
}
"""


def test_there_is_no_training_before_the_model_is_there(files):
    assert run(SLOWLY, files=files, timeout=60) == [[True, "The model is being read …"], [False, ""]]


def test_what_is_drawn_during_a_training_is_kept_afterwards(page):
    tab, _, _ = page
    keep = "document.querySelector('.lk-button-main')"
    train_for_minutes(tab)
    draw(tab, "5")
    assert tab.evaluate(f"[{keep}.textContent, {keep}.disabled, {IDLE}]") == ["Keep as “5”", True, False]
    tab.click_button("Stop")
    tab.wait_for(IDLE)
    assert not tab.evaluate(f"{keep}.disabled")


IN_NOTEBOOK = """
import { useBackend } from './page/backends.js';
import { mount } from './page/fine_tune/fine_tune.js';

export default async function () {
  const root = document.createElement('div');
  document.body.append(root);
  const shadow = root.attachShadow({ mode: 'open' });
  const read = (name) => fetch(`files/${name}`);
  const files = {
    bytes: async (name) => (await read(name)).arrayBuffer(),
    json: async (name) => (await read(name)).json(),
  };
  let handed;
  const handOver = async (value) => { handed = value; };
  const page = mount(shadow, { files, useBackend, handOver, base: null, theme: 'dark' });
  await page.ready;
  const press = (words) => [...shadow.querySelectorAll('button')].find((b) => b.textContent === words).click();
  const until = async (test) => { while (!test()) await new Promise((resolve) => { setTimeout(resolve, 10); }); };
  press('Add given examples');
  press('Train');
  await until(() => shadow.querySelector('.labkit').getAttribute('aria-busy') === 'false');
  press('Hand to Python');
  await until(() => handed);
  const words = shadow.textContent;
  page.unmount();
  return { words, handed: handed.weightSpecs.length, left: shadow.childElementCount, tensors: tf.memory().numTensors };
}
"""


def test_in_a_notebook_it_works_without_a_server_and_says_so(files):
    got = run(IN_NOTEBOOK, files=files, timeout=60)
    assert "shares the notebook’s connection" in got["words"] and "Try to send" not in got["words"]
    assert got["handed"] == 14 and got["left"] == 0 and got["tensors"] == 0


def test_numbers_that_are_none_are_refused(page):
    tab, _, _ = page
    add_given(tab, 3)
    set_number(tab, "Epochs", 0)
    tab.click_button("Train")
    assert "whole number from 1 to 100" in text(tab, ".lk-ft-side .lk-note")
    assert tab.evaluate(IDLE)
