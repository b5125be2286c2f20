"""Run the benchmark: `python -m bench [--quick] [--only MEASURE] [--rounds N]`, or write its page anew: `--page`.

Exit status 1: measuring failed (not: a bar missed).
"""

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

from bench import (
    beside,
    browser,
    clients,
    cloud_predict,
    cloud_upload,
    cluster,
    codecs,
    environment,
    load,
    page,
    protocols,
    report,
    sizes,
    threads,
)
from labkit import quiet_tensorflow
from labkit.errors import LabkitError

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
MEASURES = {
    "payload": sizes.measure_payload,
    "latency": protocols.measure_latency,
    "rows": protocols.measure_rows,
    "phases": protocols.measure_phases,
    "codecs": codecs.measure_codecs,
    "clients": clients.measure_clients,
    "libraries": clients.measure_libraries,
    "compression": protocols.measure_compression,
    "answers": protocols.measure_answers,
    "start": beside.measure_start,
    "grpc": beside.measure_grpc,
    "saturated": beside.measure_saturated,
    "rest": beside.measure_rest,
    "large": beside.measure_large,
    "batching": beside.measure_batching,
    "upload": cloud_upload.measure_upload,
    "predict": cloud_predict.measure_predict,
    "browser": browser.measure_browser,
    "threads": threads.measure_threads,
    "cluster": cluster.measure_cluster,
}


def main(argv: list[str]) -> int:
    """Measure, print and write `bench/results/`, and after a full run docs/benchmarks.md; returns the exit status."""
    options = _options(argv)
    if options.page:
        page.write(report.Run.load(RESULTS / "latest.json"), PAGE)
        return 0
    name = "only" if options.only else "quick" if options.quick else "latest"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every start would compile every module again
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    environment.prepare()
    try:
        run = _measured(options.only or [*MEASURES], 1 if options.quick else options.rounds)
    except (LabkitError, AssertionError, grpc.RpcError, subprocess.SubprocessError) as error:
        print(f"Measuring failed: {error}", file=sys.stderr)
        return 1
    run.save(RESULTS / f"{name}.json")
    written = PAGE if name == "latest" else RESULTS / f"{name}.md"
    page.write(run, written)
    print(written.read_text())
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round; written to bench/results/quick.*")
    parser.add_argument(
        "--only", choices=[*MEASURES], action="append", help="measure this alone, or these; written to only.*"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds of each measure, default 3")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing; write docs/benchmarks.md from bench/results/latest.json"
    )
    return parser.parse_args(argv)


def _measured(names: list[str], rounds: int) -> report.Run:
    started = time.perf_counter()
    tools = ", ".join(
        f"{tool} {'found' if path else 'missing: load from Python'}" for tool, path in load.tools().items()
    )
    run = report.Run(
        {"date": datetime.date.today().isoformat(), **environment.describe(), "load": tools, "rounds": str(rounds)}
    )
    quiet_tensorflow.import_it()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(HERE / "models.py"), folder], check=True, capture_output=True)
        for name in names:
            measure = MEASURES[name]
            print(f"{time.perf_counter() - started:4.0f} s  {measure.__doc__}", file=sys.stderr, flush=True)
            measure(run, Path(folder), rounds)
    run.about["seconds"] = f"{time.perf_counter() - started:.0f}"
    return run


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
