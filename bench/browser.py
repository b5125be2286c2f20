"""A model in a browser, beside the same model in Python.

MobileNetV2 for pictures of 224 x 224 pixels, batch 1, with weights at random (their values cost no time). Each side is
timed from a tensor to numbers on its own clock, in turns, while the others wait. Python may use all cores; in the page
all three runtimes have one thread, for more need a page that is isolated from others.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import report
from bench.turns import take_turns
from bench.words import middle, paragraph, ratio, table
from labkit.errors import EnvironmentProblem

if TYPE_CHECKING:
    from labkit.browser.tab import Tab

MODEL, JOB = "browser, MobileNetV2", "browser, a job"
TENSORFLOW, LITERT = "TensorFlow, tf.function", "LiteRT in Python"
TFJS, LITERT_JS, TFJS_TFLITE = "TensorFlow.js, wasm", "LiteRT.js, wasm", "tfjs-tflite"
WHOLE = "labkit.browser.run, browser and all"
AIM, JOB_AIM = 3, 3  # times TensorFlow in Python; seconds
_SECONDS = 2.0  # a side in a round
_NAMES = {TFJS: "tfjs", LITERT_JS: "litert", TFJS_TFLITE: "tflite"}
_SCRIPT = """
import { loadLiteRt, loadTflite, predictLiteRt } from './page/lite.js';

export default async function ({ tf, args }) {
  const { data, shape } = args.picture;
  const picture = tf.tensor(data, shape);
  const graph = await tf.loadGraphModel('files/graph/model.json');
  const lite = await loadLiteRt('files/lite');
  const older = await loadTflite('files/lite');
  const read = async (tensor) => { const numbers = await tensor.data(); tensor.dispose(); return numbers; };
  const ask = {
    tfjs: () => read(graph.predict(picture)),
    litert: async () => Object.values(await predictLiteRt(lite, { [args.input]: data }))[0].data,
    tflite: () => read(older.predict(picture)),
  };
  window.answer = async (side) => Array.from(await ask[side]());
  window.time = async (side, seconds) => {
    const start = performance.now();
    let asked = 0;
    while (performance.now() < start + 1000 * seconds) { await ask[side](); asked += 1; }
    return (performance.now() - start) / asked;
  };
  window.ready = true;
}
"""
_SMALL = """
export default async function ({ tf, args }) {
  const model = await tf.loadGraphModel('files/model/model.json');
  return await model.predict(tf.tensor(args.rows.data, args.rows.shape)).data();
}
"""


def measure_browser(run: report.Run, work: Path, rounds: int) -> None:
    """Milliseconds of MobileNetV2 in a browser and in Python; seconds of a whole job in a browser."""
    import keras

    from labkit.browser import export_graph_model, export_tflite, find_browser, javascript
    from labkit.export import export

    try:
        find_browser()
        javascript.packages()
    except EnvironmentProblem as problem:
        print(f"Left out: {problem}", file=sys.stderr)
        return
    model = keras.applications.MobileNetV2(weights=None)
    saved_model = export(model, work / "mobilenet")
    graph = export_graph_model(saved_model, work / "mobilenet_graph")
    lite = export_tflite(model, work / "mobilenet.tflite")
    picture = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    name = model.inputs[0].name
    with _page(graph, lite, picture, name) as tab:
        asks = _in_python(saved_model, lite, picture, name)
        _check(asks, tab)
        sides: dict[str, Callable[[], float]] = {side: lambda ask=ask: _milliseconds(ask) for side, ask in asks.items()}
        sides |= {
            side: lambda short=short: tab.evaluate(f"window.time('{short}', {_SECONDS})")
            for side, short in _NAMES.items()
        }
        run.add(MODEL, "ms", take_turns(sides, rounds))
    small = export_graph_model(work / "small" / "1", work / "small_graph")
    run.add(JOB, "s", take_turns({WHOLE: lambda: _job(small)}, rounds))


@contextmanager
def _page(graph: Path, lite: Path, picture: np.ndarray, name: str) -> "Iterator[Tab]":
    """A page that holds the model three times, and has `answer(side)` and `time(side, seconds)`."""
    from labkit.browser import PageServer, arrays
    from labkit.browser.devtools import Browser

    job = arrays.dumps({"backend": "wasm", "args": {"picture": picture, "input": name}})
    texts = {"job.js": ("text/javascript", _SCRIPT.encode()), "job.json": ("application/json", job)}
    files = {"graph": graph, "lite": lite}
    with PageServer("run", files=files, texts=texts, receive=lambda *_: None) as server, Browser() as browser:
        tab = browser.open(server.url)
        tab.wait_for("window.ready === true", timeout=60)
        yield tab


def _in_python(saved_model: Path, lite: Path, picture: np.ndarray, name: str) -> dict[str, Callable[[], np.ndarray]]:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    loaded = tf.saved_model.load(str(saved_model))
    function, tensor = loaded.signatures["serving_default"], tf.constant(picture)
    runner = Interpreter(model_path=str(lite)).get_signature_runner("serving_default")

    def ask(loaded: Any = loaded) -> np.ndarray:  # whose variables the function needs
        return next(iter(function(**{name: tensor}).values())).numpy()

    return {TENSORFLOW: ask, LITERT: lambda: next(iter(runner(**{name: picture}).values()))}


def _check(asks: dict[str, Callable[[], np.ndarray]], tab: "Tab") -> None:
    """All sides must give the same answer, or their times mean nothing."""
    wanted = asks[TENSORFLOW]()
    np.testing.assert_allclose(asks[LITERT](), wanted, rtol=1e-3)
    for side, short in _NAMES.items():
        found = tab.evaluate(f"window.answer({json.dumps(short)})")
        np.testing.assert_allclose([found], wanted, rtol=1e-3, err_msg=side)


def _milliseconds(ask: Callable[[], object]) -> float:
    asked, start = 0, time.perf_counter()
    while time.perf_counter() < start + _SECONDS:
        ask()
        asked += 1
    return (time.perf_counter() - start) * 1000 / asked


def _job(model: Path) -> float:
    from labkit.browser import run

    rows = np.zeros((1, 4), np.float32)
    start = time.perf_counter()
    run(_SMALL, files={"model": model}, args={"rows": rows})
    return time.perf_counter() - start


def section(run: report.Run) -> list[str]:
    """The page's section, if the run has numbers for it."""
    if not {MODEL, JOB} <= set(run.cases):
        return []
    bar = report.judge(run, report.Bar(MODEL, TFJS, (TENSORFLOW,), AIM, more_is_better=False))
    lite = report.judge(run, report.Bar(MODEL, LITERT_JS, (TENSORFLOW,), AIM, more_is_better=False))
    job = run.cases[JOB][WHOLE]
    said = (
        f"The wasm backend of TensorFlow.js takes {_times(bar)} as long as TensorFlow in Python; the aim, {AIM} times, "
        f"is {bar.words}. LiteRT.js takes {_times(lite)}: {lite.words}. WebAssembly has vectors of 128 bits, "
        "where processors have up to 512, and in these pages one thread; TensorFlow in Python takes all cores."
    )
    whole = (
        f"A whole job, `labkit.browser.run` with a small model, takes {middle(job)} s ({middle([min(job)])} to "
        f"{middle([max(job)])}): start a browser, load TensorFlow.js, set the wasm backend, load the model, answer, "
        f"end the browser. The aim is {JOB_AIM} s."
    )
    rows = [[side, middle(times)] for side, times in run.cases[MODEL].items()]
    return [
        "## A model in a browser",
        "",
        *paragraph("MobileNetV2, one picture of 224 x 224 pixels, headless Chromium on this machine's CPU."),
        *table(["side", "ms"], rows),
        *paragraph(said),
        *paragraph(whole),
    ]


def _times(verdict: report.Verdict) -> str:
    return f"{ratio(verdict.ratio)} times ({ratio(verdict.low)} to {ratio(verdict.high)})"
