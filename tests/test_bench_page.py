"""The benchmark's measures of REST against gRPC, and the page that says in words and pictures what was found."""

import re
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import clients, codecs, page, pictures, protocols, report, sizes, words
from labkit.bench.results import Comparison, Phases, Point

BENCH = Path(report.__file__).parent
LATEST = BENCH / "results" / "latest.json"


@pytest.fixture(scope="module")
def latest() -> report.Run:
    return report.Run.load(LATEST)


def without(run: report.Run) -> report.Run:
    return report.Run(run.about)


def text(run: report.Run) -> str:
    return page.text(run, pictures.draw(run), "pictures").replace("\n", " ")


def test_the_results_in_the_repository_are_those_of_a_full_run(latest: report.Run) -> None:
    assert {bar.case for bar in (*report.BARS, *report.PROTOCOL_BARS)} <= set(latest.cases)
    assert latest.comparisons.keys() == {
        protocols.LATENCY,
        protocols.BATCHES,
        protocols.COMPRESSED,
        protocols.ANSWER,
    }
    assert latest.phases.keys() == {protocols.LARGE, protocols.SMALL}


def test_the_page_in_the_repository_is_the_one_of_its_results(latest: report.Run, repository: Path) -> None:
    written, drawn = command.PAGE.read_text(), pictures.draw(latest)
    assert written == page.text(latest, drawn, "benchmarks"), "write it with: python -m bench --page"
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", written)
    assert sorted(shown) == sorted(f"benchmarks/{name}.svg" for name in drawn)
    assert {path.name for path in (repository / "docs" / "benchmarks").iterdir()} == {f"{name}.svg" for name in drawn}


def test_a_page_is_written_with_its_pictures_and_the_old_ones_go(latest: report.Run, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "of-another-run.svg").write_text("old")
    page.write(latest, tmp_path / "page.md")
    first = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    assert first.keys() == {f"{name}.svg" for name in pictures.draw(latest)}
    page.write(latest, tmp_path / "page.md")
    assert {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()} == first


@pytest.mark.parametrize(
    ("cases", "comparisons", "headings"),
    [
        ((), (), []),
        (
            ("bytes ",),
            (),
            ["REST against gRPC", "Bytes of a number", "Pictures"],
        ),
        (("HTTP",), (), ["REST against gRPC", "Libraries and connections"]),
        ((), (protocols.LATENCY,), ["REST against gRPC", "Time against size"]),
        (("process start",), (), ["The model server beside others"]),
    ],
)
def test_a_part_of_a_run_makes_a_part_of_the_page(
    latest: report.Run, cases: tuple[str, ...], comparisons: tuple[str, ...], headings: list[str]
) -> None:
    run = without(latest)
    for name, sides in latest.cases.items():
        if name.startswith(cases) and cases:
            run.add(name, latest.units[name], sides)
    run.comparisons |= {name: latest.comparisons[name] for name in comparisons}
    lines = page.text(run, pictures.draw(run), "pictures").splitlines()
    found = [line.lstrip("# ") for line in lines if line.startswith("##")]
    assert found == [*headings, "What this does not say"]


def crossing(rest: list[float], grpc: list[float]) -> report.Run:
    """Times at 10, 100 and 1000 floats for REST with the shortest digits and for tensor_content; the others alike."""
    times = dict.fromkeys((protocols.JSON, protocols.SHORTEST), rest)
    times |= dict.fromkeys((protocols.FIELDS, protocols.CONTENT), grpc)
    points = {
        name: [Point(10 ** (1 + place), 1, 1, [seconds] * 3) for place, seconds in enumerate(each)]
        for name, each in times.items()
    }
    return report.Run({"rounds": "3"}, comparisons={protocols.LATENCY: Comparison(points)})


@pytest.mark.parametrize(
    ("rest", "grpc", "said", "marked"),
    [
        ([1, 4, 40], [2, 2, 4], "32", True),
        ([4, 4, 40], [2, 2, 4], "at every size", False),
        ([1, 1, 1], [2, 2, 4], "not even from 1,000", False),
    ],
)
def test_the_break_even_is_said_and_marked_where_there_is_one(
    rest: list[float], grpc: list[float], said: str, marked: bool
) -> None:
    run = crossing(rest, grpc)
    assert f"| {protocols.CONTENT} | {protocols.SHORTEST} | {said} |" in text(run)
    figure = pictures.draw(run)["latency"]
    words = " ".join(each.get_text() for each in figure.axes.texts).replace("\n", " ")
    assert words == (f"from {said} floats on gRPC, tensor_content is quicker than REST, shortest digits" * marked)


def test_the_quickest_and_the_slowest_way_are_named() -> None:
    said = text(crossing([1, 4, 40], [2, 2, 4]))
    assert f"One float takes 1,000 ms the quickest way ({protocols.JSON}) and 2,000 ms the slowest" in said
    assert f"1,000 take 4,000 ms the quickest way ({protocols.FIELDS}) and 40,000 ms the slowest" in said


def compressed(packed_bytes: int, packed_seconds: float) -> report.Run:
    points = {}
    for name in (protocols.SHORTEST, protocols.CONTENT):
        points[name] = [Point(784000, 8_000_000, 1, [1.0])]
        points[name + protocols.GZIP] = [Point(784000, packed_bytes, 1, [packed_seconds])]
    run = report.Run({"rounds": "1"}, comparisons={protocols.COMPRESSED: Comparison(points)})
    run.add(protocols.WHOLE, "ms", {name: [1000 * side[0].seconds[0]] for name, side in points.items()})
    return run


@pytest.mark.parametrize(
    ("packed_bytes", "packed_seconds", "said"),
    [
        (4_000_000, 3.0, "on networks below 16 Mbit/s over REST"),
        (4_000_000, 0.5, "everywhere over REST"),
        (9_000_000, 3.0, "nowhere over REST"),
    ],
)
def test_where_gzip_pays_follows_from_bytes_and_seconds(packed_bytes: int, packed_seconds: float, said: str) -> None:
    assert said in text(compressed(packed_bytes, packed_seconds))


@pytest.mark.parametrize(("server", "verdict"), [([1.5] * 3, "met"), ([3.0] * 3, "missed by 50%")])
def test_the_codecs_are_held_against_their_aim(server: list[float], verdict: str) -> None:
    run = report.Run({"rounds": "3"})
    for case in (codecs.REST, codecs.GRPC):
        run.add(case, "ms", {codecs.SERVER: server, codecs.BARE: [1.0] * 3})
    assert text(run).count(f"| {verdict} |") == 2


def test_parts_of_a_request_are_shares_of_its_time() -> None:
    slow = Phases("REST", 5, {"client encode": [0.3] * 3, "transport": [0.1] * 3})
    quick = Phases("gRPC", 5, {"client encode": [0.01] * 3, "transport": [0.03] * 3})
    run = report.Run({"rounds": "3"}, phases={protocols.LARGE: [slow, quick]})
    assert (
        "1000 x 784 floats take 400 ms the slowest way (REST), 75% of it client encode, and 40.0 ms the quickest way "
        "(gRPC), 75% of it transport." in text(run)
    )
    shares = [bar.get_width() for bar in pictures.draw(run)["phases-large"].axes.patches]
    assert shares == pytest.approx([75, 25, 25, 75])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0.00"),
        (0.0000123, "0.000012"),
        (0.05957, "0.0596"),
        (0.5, "0.500"),
        (62.34, "62.3"),
        (123, "123"),
        (999.7, "1,000"),
        (12316, "12,316"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, said: str) -> None:
    assert words.number(value) == said


def test_words_are_listed() -> None:
    assert [words.listed(list(each)) for each in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for each measure: all the same one, of rows of any length."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("work")
    module = tf.Module()
    spec = tf.TensorSpec([None, None], tf.float32, name="x")
    module.serve = tf.function(lambda x: {"y": tf.reduce_max(x, axis=1)}, input_signature=[spec])
    for name in ("any length", "small", "large", "wide"):
        tf.saved_model.save(module, str(folder / name / "1"), signatures={"serving_default": module.serve})
    return folder


def test_every_measure_fills_its_part_of_the_page(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them against real servers, a moment each."""
    for module in (sizes, protocols, codecs):
        monkeypatch.setattr(module, "ROWS", 3)
        monkeypatch.setattr(module, "COLUMNS", 4)
    monkeypatch.setattr(protocols, "_LENGTHS", (1, 2))
    monkeypatch.setattr(protocols, "_BATCHES", (1, 2))
    monkeypatch.setattr(protocols, "_SECONDS", 0.01)
    monkeypatch.setattr(clients, "_SECONDS", 0.1)
    monkeypatch.setattr(clients, "CLIENTS", (1, 2))
    run = report.Run({"rounds": "1"})
    for name in ("payload", "latency", "rows", "phases", "codecs", "clients", "libraries", "compression", "answers"):
        command.MEASURES[name](run, work, 1)
    written = page.text(run, pictures.draw(run), "pictures")
    assert len(re.findall(r"^### ", written, re.MULTILINE)) == 10
    assert "nan" not in written
