"""The page of results, docs/benchmarks.md, and its pictures."""

from pathlib import Path
from statistics import median

from bench import (
    browser,
    cloud_predict,
    cloud_upload,
    cluster,
    environment,
    page_bytes,
    page_times,
    pictures,
    report,
    threads,
)
from bench.page_bytes import Picture
from bench.words import folded, number, paragraph, table
from labkit import plot


def write(run: report.Run, path: Path) -> None:
    """Write the page, and its pictures into a folder beside it that has the page's name."""
    drawn = pictures.draw(run)
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, figure in drawn.items():
        (folder / f"{name}.svg").write_bytes(figure.svg())
    path.write_text(text(run, drawn, folder.name))


def text(run: report.Run, drawn: dict[str, plot.Figure], folder: str) -> str:
    """The page in Markdown; its pictures lie in `folder`, beside it."""

    def picture(name: str) -> list[str]:
        return [f"![{drawn[name].alt}]({folder}/{name}.svg)", ""]

    lines = [
        *_head(run),
        *_between(run, picture),
        *_beside(run, picture),
        *cloud_upload.section(run),
        *cloud_predict.section(run),
        *browser.section(run),
        *threads.section(run),
        *cluster.section(run),
    ]
    lines += _LIMITS
    return "\n".join(lines)


def _head(run: report.Run) -> list[str]:
    about = run.about
    versions = ", ".join(f"{name} {about[name]}" for name in environment.VERSIONS if name in about)
    facts = {"Date": "date", "Machine": "machine", "Load of the machine when it began": "load when started"}
    facts |= {"Load generators": "load", "Seconds for all of it": "seconds"}
    return [
        "# Benchmarks",
        "",
        *paragraph(
            "What a request to a model server costs: over REST and over gRPC, in bytes and in time, and the server of "
            "this repository beside others. Written by `make bench`; change the command, not this page."
        ),
        *(f"- {name}: {about[key]}" for name, key in facts.items() if key in about),
        f"- Versions: {versions}",
        "",
        *paragraph(
            "How it was measured: client and server on this machine, over its loopback. The sides of a comparison take "
            "turns, in every second round in reverse order, and a first round is warm-up and dropped, so what slows "
            "the machine for a while slows all of them. Ratios are taken within a round. Numbers are medians of "
            f"{about['rounds']} rounds (twice as many for saturated cores and for batching); the lowest and the "
            "highest stand in brackets."
        ),
    ]


def _between(run: report.Run, picture: Picture) -> list[str]:
    sections = page_bytes.sections(run, picture) + page_times.sections(run, picture)
    if not sections:
        return []
    return [
        "## REST against gRPC",
        "",
        *paragraph(
            "The embedded server answers. A time is from arrays to arrays: write the request, send it, wait, read the "
            "answer. `labkit.bench` measures; lab 03 shows how."
        ),
        *sections,
    ]


def _beside(run: report.Run, picture: Picture) -> list[str]:
    bars = [bar for bar in report.BARS if bar.case in run.cases]
    if not bars:
        return []
    cases = dict.fromkeys(bar.case for bar in bars)
    processes = {
        side: run.about[side] for case in cases for side in run.cases[case] if "processes" in run.about.get(side, "")
    }
    return [
        "## The model server beside others",
        "",
        *paragraph(
            "The others are suspended while one is measured. Answers are compared with TensorFlow's own first. "
            "[design.md](design.md#how-fast-it-is-and-where-it-misses-its-aims) says why aims are missed."
        ),
        *(picture("rivals") if pictures.RIVALS in run.cases else []),
        *_verdicts(run, bars),
        *folded("Every side", _sides(run, [*cases])),
        *([*(f"- {side}: {what}" for side, what in processes.items()), ""] if processes else []),
    ]


def _verdicts(run: report.Run, bars: list[report.Bar]) -> list[str]:
    rows = []
    for bar in bars:
        verdict = report.judge(run, bar)
        ratio = f"**{verdict.ratio:.2f}** ({verdict.low:.2f} to {verdict.high:.2f})"
        bound = "" if bar.bound is None else f"{'≥' if bar.more_is_better else '≤'} {bar.bound:g}"
        rows.append([bar.case, f"{bar.ours} / {verdict.rival}", ratio, bound, verdict.words])
    return table(["case", "ours / fastest rival", "ratio (rounds)", "aim", ""], rows, texts=2)


def _sides(run: report.Run, cases: list[str]) -> list[str]:
    rows = [
        [case, side, *(number(value) for value in (median(values), min(values), max(values))), run.units[case]]
        for case in cases
        for side, values in run.cases[case].items()
    ]
    return table(["case", "side", "median", "lowest", "highest", "unit"], rows, texts=2)


_LIMITS = [
    "## What this does not say",
    "",
    *paragraph(
        "Nothing about networks: over a slow one, bytes cost more time than anything here. Nothing about TLS, GPUs, "
        "other operating systems, or `tensorflow_model_server` itself. Times are this machine's, and those of Python "
        "clients; bytes are the same everywhere."
    ),
]
