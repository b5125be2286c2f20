"""`labkit bench` as it is typed: what is sent, what is printed and saved, how it fails, what it leaves running."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest
import trustme

import labkit
from labkit import cli
from labkit.bench import command_arguments, command_tables, payload, rest_against_grpc, results

from ..children import descendants_with
from .answering import answering, answering_over_grpc

ANSWER = b'{"predictions": [2.0]}'
BODY = b'{"instances": [1.0]}'
SHORT = ["--seconds", "0.05", "--rounds", "2", "--warm-up", "1"]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables are as wide as they like."""
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def bench(capsys):
    """Runs a command line that works; what it printed. Where stderr is no terminal, nothing stands there."""

    def run(*words):
        assert cli.main(["bench", *map(str, words)]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


@pytest.fixture
def refused(capsys):
    """Runs a command line that fails; its exit status and the last line of stderr."""

    def run(*words):
        try:
            status = cli.main(["bench", *map(str, words)])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        assert captured.out == ""
        return status, captured.err.splitlines()[-1]

    return run


@pytest.fixture
def body(tmp_path):
    (tmp_path / "body.json").write_bytes(BODY)
    return tmp_path / "body.json"


@pytest.fixture
def batch(tmp_path):
    np.savez(tmp_path / "batch.npz", x=np.array([[1, 2], [3, 4]], np.float32))
    return tmp_path / "batch.npz"


@pytest.fixture
def folder(sums, tmp_path):
    """The model under another name: a second server named `sums` would end the first."""
    return shutil.copytree(sums.folder, tmp_path / "copied")


def cells(line):
    """A line of a table, cut where two spaces or more stand."""
    return [cell.strip() for cell in line.strip().split("  ") if cell.strip()]


def spread(found, factor=1.0):
    median, low, high = (command_tables.number(value * factor) for value in found)
    return [median, f"{low} – {high}"]


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("whole", [[], ["--whole"]])
def test_load_with_random_rows_prints_what_it_saves(bench, sums, tmp_path, protocol, whole):
    where = {"rest": [sums.url], "grpc": [f"grpc://{sums.server.grpc_address}", "--model", "sums"]}[protocol]
    file = tmp_path / "load.json"
    printed = bench("load", *where, "--random", 3, "--shape", "x=4", *whole, *SHORT, "--clients", 2, "--save", file)
    saved = results.load(file)
    assert (saved.target, saved.loop, saved.clients, len(saved.rounds)) == (where[0], "closed", 2, 2)
    lines = [cells(line) for line in printed.splitlines()]
    assert ["target", where[0]] in lines
    assert ["loop", "closed, 2 clients, connections kept"] in lines
    assert ["failed", "none"] in lines
    a_second, low_high = spread(saved.throughput)
    assert ["answered", f"{saved.requests:,} requests, {a_second} a second ({low_high})"] in lines
    for name, percentile in {"p50": 50, "p90": 90, "p99": 99, "slowest": 100}.items():
        assert [name, *spread(saved.latency(percentile), 1000)] in lines
    assert bench("show", file) == printed


def test_an_open_loop_tells_both_times_and_what_they_mean(bench, sums, tmp_path):
    file = tmp_path / "load.json"
    printed = bench("load", sums.url, "--random", 1, "--shape", "x=4", "--rate", 300, *SHORT, "--save", file)
    saved = results.load(file)
    assert (saved.rate, saved.clients, saved.requests) == (300, 32, 2 * 15)
    lines = [cells(line) for line in printed.splitlines()]
    assert ["loop", "open, 300 requests a second, at most 32 clients, connections kept"] in lines
    assert ["latency (ms)", "from when due", "low – high", "from when sent", "low – high"] in lines
    times = spread(saved.latency(90), 1000) + spread(saved.latency(90, service_time=True), 1000)
    assert ["p90", *times] in lines
    assert "From when due: how long a user waits" in printed
    assert "Fewer than 10 requests of a round lie beyond p50 and p90 and p99" in printed


@pytest.mark.parametrize("library", ["requests", "urllib3", "httpx", "http.client"])
def test_a_body_goes_out_as_it_is_with_headers(bench, body, library):
    """As to a Vertex AI endpoint, which has no metadata and wants a token."""
    with answering(lambda _: (200, ANSWER)) as server:
        url = server.url.replace("/v1/models/m", "/v1/projects/1/locations/a/endpoints/2")
        words = ["--header", "Authorization: Bearer a:b", "--header", "x-more: 1", "--library", library]
        bench("load", url, "--body", body, *words, *SHORT)
    assert len(server.requests) > 4
    for asked in server.requests:
        assert (asked.path, asked.body) == ("/v1/projects/1/locations/a/endpoints/2:predict", BODY)
        assert library in asked.headers.get("User-Agent", "http.client")
        assert (asked.headers["Authorization"], asked.headers["X-More"]) == ("Bearer a:b", "1")


def test_a_body_from_standard_input():
    with answering(lambda _: (200, ANSWER)) as server:
        command = [sys.executable, "-m", "labkit", "bench", "load", server.url, "--body", "-", *SHORT]
        ended = subprocess.run(command, input=BODY, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert {asked.body for asked in server.requests} == {BODY}


def test_arrays_of_a_file_are_rows_or_columns(bench, tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.array([[1.5, 2.5]], np.float32), word=np.array(["a"]))
    np.savez(tmp_path / "scalar.npz", x=np.array([1.5, 2.5], np.float32), scale=np.float32(3))
    sent = []
    for name in ("rows", "scalar"):
        with answering(lambda _: (200, ANSWER)) as server:
            bench("load", server.url, "--inputs", tmp_path / f"{name}.npz", "--signature", "s", *SHORT)
        (content,) = {asked.body for asked in server.requests}
        sent.append(json.loads(content))
    assert sent == [
        {"signature_name": "s", "instances": [{"x": [1.5, 2.5], "word": "a"}]},
        {"signature_name": "s", "inputs": {"x": [1.5, 2.5], "scale": 3.0}},
    ]


def test_a_message_over_grpc_names_its_own_model(bench, sums, tmp_path, batch):
    with np.load(batch) as arrays:
        (tmp_path / "message.bin").write_bytes(payload.tensor_content("sums").encode(dict(arrays)))
    address = f"grpc://{sums.server.grpc_address}"
    bench("load", address, "--body", tmp_path / "message.bin", *SHORT, "--save", tmp_path / "load.json")
    size = (tmp_path / "message.bin").stat().st_size
    assert results.load(tmp_path / "load.json").request_bytes == size


def test_a_new_connection_for_each_request(bench, body, tmp_path):
    with answering(lambda _: (200, ANSWER)) as server:
        printed = bench("load", server.url, "--body", body, "--no-keep-connection", *SHORT, "--save", tmp_path / "a")
    assert "a connection for each request" in printed
    assert not results.load(tmp_path / "a").keep_connection


def test_grpc_over_tls(bench, sums, tmp_path, batch):
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    key, chain = own.private_key_pem.bytes().decode(), own.cert_chain_pems[0].bytes().decode()
    texts = {"server_key": key, "server_cert": chain}
    lines = [f"{name}: '{text}'".replace("\n", "\\n") for name, text in texts.items()]
    (tmp_path / "tls.config").write_text("\n".join(lines))
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with labkit.serve(sums.folder, name="tls", ssl_config_file=tmp_path / "tls.config") as server:
        words = ["load", f"grpcs://{server.grpc_address}", "--model", "tls", *SHORT, "--timeout", 5]
        made = ["--random", 1, "--shape", "x=2", "--header", "Authorization: Bearer 1"]
        bench(*words, "--ca-file", tmp_path / "ca.pem", *made)
        # In a process of its own: gRPC reads the authorities that it trusts once, and other tests need others.
        untrusted = [sys.executable, "-m", "labkit", "bench", *map(str, words), "--inputs", str(batch)]
        refused = subprocess.run(untrusted, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1 and "UNAVAILABLE" in refused.stderr


def test_failures_are_counted_by_code(bench, body, tmp_path):
    with answering(lambda number: (200 if number % 2 else 503, ANSWER)) as server:
        words = ["--clients", 1, "--warm-up", 0, "--seconds", 0.1, "--rounds", 1]
        printed = bench("load", server.url, "--body", body, *words, "--save", tmp_path / "a")
    errors = results.load(tmp_path / "a").errors
    assert errors.keys() == {"UNAVAILABLE"}
    assert ["failed", f"{errors['UNAVAILABLE']:,} UNAVAILABLE"] in [cells(line) for line in printed.splitlines()]


def test_a_server_that_is_busy_at_first_is_asked_again(bench, body):
    with answering(lambda number: (503 if number < 3 else 200, ANSWER)) as server:
        bench("load", server.url, "--body", body, *SHORT)


def test_one_refused_request_is_enough(refused, body):
    with answering(lambda _: (400, b'{"error": "no\\n\\tgood"}')) as server:
        status, said = refused("load", server.url, "--body", body, *SHORT)
    assert (status, len(server.requests)) == (1, 1)
    assert said == f"labkit bench: {server.url}: INVALID_ARGUMENT (HTTP 400): no good"


@pytest.mark.parametrize("good", [0, 10])
def test_an_answer_that_cannot_be_read(refused, batch, good):
    with answering(lambda number: (200, ANSWER if number <= good else b'{"said": 1}')) as server:
        status, said = refused("load", server.url, "--inputs", batch, "--whole", *SHORT)
    assert status == 1
    assert said == f"labkit bench: {server.url} gave an answer that cannot be read: KeyError('predictions')"


def test_an_answer_over_grpc_that_cannot_be_read(refused, batch):
    with answering_over_grpc(b"\xff\xff") as address:
        status, said = refused("load", f"grpc://{address}", "--model", "m", "--inputs", batch, "--whole", *SHORT)
    assert status == 1
    assert f"grpc://{address} gave an answer that cannot be read: ValueError" in said


def test_without_whole_nobody_reads_the_answers(bench, batch):
    with answering(lambda _: (200, b"what")) as server:
        bench("load", server.url, "--inputs", batch, *SHORT)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1/models/m:predict", "grpc://127.0.0.1:1"])
def test_nobody_there(refused, body, url):
    status, said = refused("load", url, "--body", body, "--timeout", 5, *SHORT)
    assert status == 1
    assert said.startswith(f"labkit bench: {url}: UNAVAILABLE")


REST = "http://127.0.0.1:1/v1/models/m:predict"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: COMMAND"),
        (["load", REST], "one of the arguments --body --inputs --random is required"),
        (["load", "127.0.0.1:1", "--random", "1"], "begins with http://, https://, grpc:// or grpcs://"),
        (["load", "http://127.0.0.1:1", "--random", "1"], "has no path"),
        (["load", "grpc://127.0.0.1", "--model", "m", "--random", "1"], "grpc://HOST:PORT"),
        (["load", "grpc://127.0.0.1:1", "--random", "1"], "--model NAME"),
        (["load", REST, "--body", "BODY", "--whole"], "--body is bytes already"),
        (["load", REST, "--body", "BODY", "--shape", "x=3"], "--shape is for --random"),
        (["load", REST, "--body", "nowhere"], "nowhere cannot be read: No such file"),
        (["load", REST, "--body", "EMPTY"], "is empty"),
        (["load", REST, "--inputs", "nowhere"], "nowhere cannot be read: there is no such file"),
        (["load", REST, "--inputs", "BODY"], "is no .npz file"),
        (["load", REST, "--inputs", "PICKLE"], "has no arrays that can be sent"),
        (["load", REST, "--random", "0"], "'0' is not a whole number from 1 on"),
        (["load", REST, "--body", "BODY", "--rate", "nan"], "'nan' is not a number above 0"),
        (["load", REST, "--body", "BODY", "--seconds", "x"], "'x' is not a number above 0"),
        (["load", REST, "--body", "BODY", "--header", "Token"], "'Token' is no header, which is NAME: VALUE"),
        (["load", REST, "--body", "BODY", "--save", "nowhere/a.json"], "cannot be written"),
        (["load", REST, "--body", "BODY", "--ca-file", "nowhere"], "nowhere cannot be read"),
        (["load", REST.replace("models", "elsewhere"), "--random", "1"], "no metadata beside"),
        (["load", REST, "--random", "1", "--shape", "x"], "'x' is not the name of an input and a shape"),
        (["load", REST, "--random", "1", "--shape", "x=3,4"], "'3,4' is no shape such as 1000x784"),
        (["sizes"], "one of the arguments --shape --inputs is required"),
        (["sizes", "--shape", "0x3"], "no values"),
        (["sizes", "--shape", "3", "--dtype", "complex256"], "'complex256' is no type of numpy's"),
        (["sizes", "--shape", "3", "--dtype", "nothing"], "'nothing' is no type of numpy's"),
        (["sizes", "--shape", "3", "--dtype", "finfo"], "'finfo' is no type of numpy's"),
        (["sizes", "--shape", "3", "--dtype", "object"], "'object' is no type of numpy's"),
        (["sizes", "--shape", "3", "--dtype", "int8", "--values", "pixels"], "int8 to 127"),
        (["sizes", "--inputs", "BATCH", "--values", "digits"], "are what they are"),
        (["compare"], "name a MODEL_FOLDER, or all of --rest, --grpc and --model"),
        (["compare", "--rest", REST, "--model", "m"], "name a MODEL_FOLDER, or all of"),
        (["compare", ".", "--model", "m"], "MODEL_FOLDER is served here"),
        (["compare", "--rest", "127.0.0.1:1", "--grpc", "127.0.0.1:1", "--model", "m"], "begins with http://"),
        (["compare", "--rest", "grpc://a:1", "--grpc", "a:1", "--model", "m"], "an http address is wanted"),
        (["compare", "--rest", REST, "--grpc", "127.0.0.1", "--model", "m"], "grpc://HOST:PORT"),
        (["compare", ".", "--rows", "1,x"], "'x' is not a whole number from 1 on"),
        (["show", "nowhere"], "nowhere cannot be read"),
        (["show", "-"], "not standard input"),
    ],
)
def test_wrong_arguments_are_status_2(refused, body, batch, tmp_path, words, said):
    (tmp_path / "empty").write_bytes(b"")
    np.savez(tmp_path / "pickle.npz", x=np.array([None]))
    files = {"BODY": body, "BATCH": batch, "EMPTY": tmp_path / "empty", "PICKLE": tmp_path / "pickle.npz"}
    status, last = refused(*(files.get(word, word) for word in words))
    assert status == 2
    assert said in last


def test_a_place_where_nothing_may_be_saved_is_refused_before_anything_is_measured(refused, body, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    status, said = refused("load", REST, "--body", body, "--save", body.with_name("a.json"))
    assert status == 2
    assert "a.json' cannot be written: this user may not" in said


def test_what_was_measured_is_printed_although_it_cannot_be_saved(body, tmp_path, capsys):
    folder = tmp_path / "removed meanwhile"
    folder.mkdir()

    def answer(_):
        shutil.rmtree(folder, ignore_errors=True)
        return 200, ANSWER

    with answering(answer) as server:
        words = ["load", server.url, "--body", str(body), *SHORT, "--save", str(folder / "a.json")]
        assert cli.main(["bench", *words]) == 1
    captured = capsys.readouterr()
    assert "answered" in captured.out and "p50" in captured.out
    assert "What is printed above could not be saved in" in captured.err.splitlines()[-1]


@pytest.mark.parametrize("gzip", [True, False])
def test_sizes_are_those_of_the_forms(bench, batch, gzip):
    printed = bench("sizes", "--inputs", batch, *([] if gzip else ["--no-gzip"]))
    with np.load(batch) as arrays:
        inputs = dict(arrays)
    forms = [form for form in payload.all_forms() if gzip or not form.gzip]
    binary = len(payload.tensor_content("model").encode(inputs))
    lines = [cells(line) for line in printed.splitlines()]
    assert lines[0] == ["4 values, float32"]
    wanted = []
    for form in forms:
        size = len(form.encode(inputs))
        numbers = [f"{size:,}", command_tables.number(size / 4), command_tables.number(size / binary)]
        wanted.append([form.name, *numbers, "yes" if form.exact else "no"])
    assert [line for line in lines if len(line) == 5][1:] == wanted


@pytest.mark.parametrize(
    ("words", "first", "some"),
    [
        (["--shape", "10x20"], "200 values, float32", "JSON rows, base64"),
        (["--shape", "10", "--dtype", "bfloat16"], "10 values, bfloat16", "TensorProto, typed fields"),
        (["--shape", "10x2", "--dtype", "string"], "20 values, string", "JSON rows, shortest digits"),
        (["--shape", "1", "--dtype", "uint8", "--values", "digits"], "1 value, uint8", "JSON rows, shortest digits"),
    ],
)
def test_sizes_of_a_shape(bench, words, first, some):
    printed = bench("sizes", "--no-gzip", *words)
    assert printed.splitlines()[0] == first
    assert some in printed
    assert ("digits" in printed) == ("bfloat16" not in first), "JSON has no numbers of that type"


def test_comparing_on_a_running_server(bench, sums, tmp_path):
    file = tmp_path / "compare.json"
    where = ["--rest", sums.server.rest_url, "--grpc", sums.server.grpc_address, "--model", "sums"]
    words = ["--rows", "100,1", "--shape", "x=8", "--seconds", 0.001, "--rounds", 2, "--save", file]
    printed = bench("compare", *where, *words)
    saved = rest_against_grpc.load(file)
    assert results.load(file) == saved.comparison
    assert list(saved.comparison.sides) == ["REST, json", "REST, shortest", "gRPC"]
    assert (saved.rows, saved.comparison.values) == ([1, 100], [8, 800])
    lines = [cells(line) for line in printed.splitlines()]
    for place, rows in enumerate(saved.rows):
        for side, points in saved.comparison.sides.items():
            point = points[place]
            numbers = [f"{point.request_bytes:,}", *spread(point.time, 1000)]
            if side != "gRPC":
                numbers.append(command_tables.number(saved.comparison.ratios(side, "gRPC")[place].median))
            size = [f"{rows:,}", f"{8 * rows:,}"] if side == "REST, json" else []
            assert [*size, side, *numbers] in lines
    assert [phases.target for phases in saved.phases] == list(saved.comparison.sides)
    assert "server decode" in saved.phases[0].seconds
    assert "Where the time of a request of 100 rows goes" in printed
    for phase in saved.phases[0].seconds:
        assert any(line[0] == phase for line in lines if line)
    assert all(f"than {side} " in printed for side in ("REST, json", "REST, shortest"))
    assert bench("show", file) == printed


def test_a_server_without_metrics_or_with_another_user(bench, sums, tmp_path, monkeypatch):
    with labkit.serve(sums.folder, name="silent") as server:
        where = ["--rest", server.rest_url, "--grpc", server.grpc_address, "--model", "silent"]
        words = ["--rows", "1", "--shape", "x=8", "--seconds", 0.001, "--rounds", 1, "--save", tmp_path / "a"]
        printed = bench("compare", *where, *words)
    assert list(rest_against_grpc.load(tmp_path / "a").phases[0].seconds) == [
        "client encode", "round trip", "client decode"
    ]  # fmt: skip
    assert "The server's own share is not known and in the round trip. No metrics at" in printed
    assert bench("show", tmp_path / "a") == printed


def test_a_folder_is_served_for_as_long_as_needed(bench, folder):
    before = set(psutil.Process().children(recursive=True))
    bench("compare", folder, "--rows", 2, "--shape", "x=3", "--seconds", 0.001, "--rounds", 1)
    assert not servers(before)


def servers(before):
    """Model servers that were not there before."""
    return set(descendants_with("labkit.serving.embedded.main")) - before


def test_ctrl_c_leaves_no_server(folder, monkeypatch, capsys):
    before = set(psutil.Process().children(recursive=True))
    while_measured = []

    def interrupted(*_, **__):
        while_measured.extend(servers(before))
        raise KeyboardInterrupt

    monkeypatch.setattr(rest_against_grpc, "measure", interrupted)
    assert cli.main(["bench", "compare", str(folder), "--shape", "x=3", "--rows", "1"]) == 130
    assert len(while_measured) == 1
    assert not servers(before)
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="there a process cannot send itself Ctrl-C")
@pytest.mark.parametrize("moment", [20, 200], ids=["warm-up", "measuring"])
def test_ctrl_c_ends_a_load(body, capsys, moment):
    def answer(number):
        if number == moment:
            os.kill(os.getpid(), signal.SIGINT)
        return 200, ANSWER

    with answering(answer) as server:
        assert cli.main(["bench", "load", server.url, "--body", str(body), "--seconds", "60"]) == 130
        clients = [thread for thread in threading.enumerate() if thread.name.startswith("client ")]
        for thread in clients:
            thread.join(timeout=20)
            assert not thread.is_alive()
    assert capsys.readouterr() == ("", "")


def test_a_folder_without_a_model(refused, tmp_path):
    status, said = refused("compare", tmp_path)
    assert status == 1
    assert str(tmp_path) in said


def test_answers_that_differ_are_no_comparison(refused, sums, tmp_path):
    """REST is asked of another server, which answers everything with 2."""
    with answering(lambda number: (200, metadata(sums) if number == 1 else ANSWER)) as server:
        where = ["--rest", server.url, "--grpc", sums.server.grpc_address, "--model", "sums"]
        status, said = refused("compare", *where, "--shape", "x=3", "--rows", 1)
    assert status == 1
    assert "different answers to the same batch" in said


def metadata(sums):
    return json.dumps(sums.server.rest.metadata()).encode()


def test_sizes_that_nobody_asked_for_stay_small(bench, sums, monkeypatch):
    monkeypatch.setattr("labkit.bench.command._MOST_VALUES", 100)
    where = ["--rest", sums.server.rest_url, "--grpc", sums.server.grpc_address, "--model", "sums"]
    printed = bench("compare", *where, "--shape", "x=10", "--seconds", 0.001, "--rounds", 1)
    assert [line[0] for line in map(cells, printed.splitlines()) if "REST, json" in line and line[0].isdigit()] == [
        "1", "4"
    ]  # fmt: skip
    assert "Batches of 16 rows and more have over 100 values: ask for them with --rows." in printed


def test_what_is_no_saved_result(refused, body):
    status, said = refused("show", body)
    assert status == 1
    assert "is no saved result of labkit.bench" in said


@pytest.mark.parametrize("wrong", [{"rows": 5}, {"rows": [1, 2, 3]}, {"phases": [1]}, {"notes": None}])
def test_a_comparison_with_something_else_beside_it_is_no_saved_result(refused, tmp_path, wrong):
    file = tmp_path / "comparison.json"
    results.save(results.Comparison({"a": [results.Point(10, 40, 8, [0.001])]}), file)
    file.write_text(json.dumps({**json.loads(file.read_text()), **wrong}))
    status, said = refused("show", file)
    assert status == 1
    assert "is no saved result of labkit bench compare" in said


def test_single_results_are_shown_too(bench, tmp_path):
    points = [results.Point(10, 40, 8, [0.001]), results.Point(1000, 4000, 8, [0.002])]
    results.save(results.Comparison({"a": points, "b": points}), tmp_path / "comparison.json")
    assert ["10", "a", "40", "1.00", "1.00 – 1.00", "1.00"] in map(
        cells, bench("show", tmp_path / "comparison.json").splitlines()
    )
    results.save(results.Phases("REST", 2, {"round trip": [0.003], "client decode": [0.001]}), tmp_path / "phases.json")
    lines = [cells(line) for line in bench("show", tmp_path / "phases.json").splitlines()]
    assert ["round trip", "3.00 ( 75 %)"] in lines
    assert ["total", "4.00 (100 %)"] in lines


def load_result(latencies, cores=0.1):
    return results.LoadResult("REST", "closed", 8, None, True, 1, 1, [results.Round(1.0, latencies, [], {}, cores)])


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (load_result([0.1] * 1000), []),
        (load_result([0.1] * 999), ["Fewer than 10 requests of a round lie beyond p99"]),
        (load_result([0.1] * 99), ["Fewer than 10 requests of a round lie beyond p90 and p99"]),
        (load_result([0.1] * 1000, 1.26), ["Python's clients kept 1.3 cores busy: they may be the limit"]),
    ],
)
def test_notes_say_what_the_numbers_can_bear(result, said):
    notes = command_tables.load_notes(result)
    assert [note[: len(start)] for note, start in zip(notes, said, strict=True)] == said


def sides(**times):
    return results.Comparison(
        {
            name: [results.Point(size, 1, 1, each) for size, each in zip((10, 1000), points, strict=True)]
            for name, points in times.items()
        }
    )


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ([[4.0], [8.0]], [[8.0], [4.0]], "b is quicker than a from about 100 values (10 rows) on."),
        ([[4.0], [8.0]], [[1.0], [4.0]], "b was quicker than a at every size, from 10 values (1 row) on."),
        ([[4.0], [8.0]], [[5.0], [9.0]], "b was not quicker than a at the largest size, 1,000 values (100 rows)."),
        (
            [[4.0, 4.0, 4.0], [8.0] * 3],
            [[3.0, 5.0, 3.5], [4.0] * 3],
            "b was quicker than a at every size, from 10 values (1 row) on. At 10 values (1 row) the rounds disagree.",
        ),
    ],
)
def test_the_break_even_in_a_sentence(a, b, sentence):
    assert command_tables.break_even(sides(a=a, b=b), "a", "b", 10) == sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234.5, "1,234"), (99.96, "100"), (12.34, "12.3"), (0.9999, "1.00"), (0.0123, "0.0123"), (-2, "-2.00")],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert command_tables.number(value) == text


def test_tensorflow_stays_out_of_rest_and_is_quiet_elsewhere(sums):
    quick = ["load", sums.url, "--random", "1", "--shape", "x=2", *SHORT]
    program = f"import sys, labkit.cli; labkit.cli.main({['bench', *quick]!r}); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, timeout=60).returncode == 0
    loud = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "CUDA_"))}
    command = [sys.executable, "-m", "labkit", "bench", "sizes", "--shape", "2x2"]
    ended = subprocess.run(command, capture_output=True, timeout=100, env=loud)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_the_commands_of_the_page_are_ones_that_are_read(repository):
    blocks = re.findall(
        r"^```bash\n(.*?)^```", (repository / "docs" / "measuring.md").read_text(), re.DOTALL | re.MULTILINE
    )
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("labkit bench ")]
    assert {command_arguments.read(words).what for words in commands} == {"load", "sizes", "compare"}
    assert len(commands) == 6


@pytest.mark.skipif(os.name != "posix", reason="there are no such terminals")
def test_a_terminal_sees_progress_that_vanishes(body):
    import pty

    own, theirs = pty.openpty()
    with answering(lambda _: (200, ANSWER)) as server, os.fdopen(own, "rb", buffering=0) as terminal:
        command = [sys.executable, "-m", "labkit", "bench", "load", server.url, "--body", str(body), *SHORT]
        ended = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, timeout=60, env=os.environ | TERMINAL)
        os.close(theirs)
        seen = terminal.read(100_000).decode()
    assert ended.returncode == 0
    assert "2 rounds of 0.05 s" in seen
    assert seen.endswith("\x1b[2K"), "the line is empty again"


TERMINAL = {"TERM": "xterm", "COLUMNS": "80"}
