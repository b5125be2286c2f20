"""The sections of the page on bytes. Each says what is seen in words made of the numbers."""

from collections.abc import Callable

from bench import protocols, report, sizes
from bench.protocols import CONTENT, GZIP, SHORTEST
from bench.words import folded, listed, paragraph, ratio, rounded, spread, table
from labkit.bench.results import Comparison, Point
from labkit.show import size

Picture = Callable[[str], list[str]]  # name -> the lines that show it
_TYPES = (
    "float64",
    "float32",
    "float16",
    "int64, 0 to 99",
    "int64, -99 to -1",
    "uint8, pixels",
    "strings of 8 letters",
)
_PYTHON, _SHORT = "JSON rows, Python's json", "JSON rows, shortest digits"
_FIELDS, _CONTENT = "TensorProto, typed fields", "TensorProto, tensor_content"


def sections(run: report.Run, picture: Picture) -> list[str]:
    """All for which the run has numbers."""
    lines = []
    if sizes.EACH_FORM in run.cases:
        lines += [*_forms(run, picture), *_types(run), *_photograph(run, picture)]
    if protocols.COMPRESSED in run.comparisons:
        lines += _compression(run)
    if protocols.ANSWER in run.comparisons:
        lines += _answer(run.comparisons[protocols.ANSWER])
    return lines


def _forms(run: report.Run, picture: Picture) -> list[str]:
    forms = {name: each[0] for name, each in run.cases[sizes.EACH_FORM].items()}
    said = (
        f"A float32 of a large batch takes {forms[_CONTENT]:.1f} bytes in a gRPC message, {forms[_SHORT]:.1f} in JSON "
        f"with the fewest digits from which it can be read back, and {forms[_PYTHON]:.1f} in what `json.dumps` makes "
        "of a Python list."
    )
    rows = [
        [name, f"{value:.2f}", f"{forms[name + GZIP]:.2f}"] for name, value in forms.items() if not name.endswith(GZIP)
    ]
    return [
        "### Bytes of a number",
        "",
        *paragraph(said),
        *picture("bytes"),
        *table(["1000 x 784 normally distributed float32, written as", "bytes per value", "with gzip"], rows),
    ]


def _types(run: report.Run) -> list[str]:
    cases = {name: run.cases[sizes.by_type(name)] for name in _TYPES}
    small, negative = (cases[name] for name in ("int64, 0 to 99", "int64, -99 to -1"))
    said = (
        f"A typed field writes whole numbers as varints: {small[_FIELDS][0]:.1f} bytes for one from 0 to 99, "
        f"{negative[_FIELDS][0]:.1f} for one from -99 to -1. `tensor_content` takes {small[_CONTENT][0]:.1f} and "
        f"{negative[_CONTENT][0]:.1f}."
    )
    forms = {"JSON, shortest digits": _SHORT, "typed field": _FIELDS, "tensor_content": _CONTENT}
    rows = [
        [name, *(f"{sides[form][0]:.1f}" if form in sides else "not in JSON" for form in forms.values())]
        for name, sides in cases.items()
    ]
    return [*paragraph(said), *table(["bytes per value", *forms], rows)]


def _photograph(run: report.Run, picture: Picture) -> list[str]:
    ways = {name: round(each[0]) for name, each in run.cases[sizes.PICTURE].items()}
    numbers, files = ([ways[name] for name in ways if ("file" in name) is kind] for kind in (False, True))
    said = (
        f"A photograph of 224 x 224 pixels travels in {size(min(numbers))} to {size(max(numbers))} as numbers, and in "
        f"{size(min(files))} to {size(max(files))} as a file that the model decodes."
    )
    rows = [[name, f"{count:,}"] for name, count in ways.items()]
    return [
        "### Pictures",
        "",
        *paragraph(said),
        *picture("picture"),
        *folded("Every way", table(["a photograph sent as", "bytes"], rows)),
    ]


def _compression(run: report.Run) -> list[str]:
    found = run.comparisons[protocols.COMPRESSED]
    points = {name: side[0] for name, side in found.sides.items()}
    plain = [name for name in points if name + GZIP in points]
    said = ", and ".join(_gzip(found, name) for name in plain)
    pays = listed([_where_it_pays(points[name], points[name + GZIP], name) for name in plain])
    rows = [[name, f"{point.request_bytes:,}", spread(point.time)] for name, point in points.items()]
    times = report.judge(run, next(bar for bar in report.PROTOCOL_BARS if bar.case == protocols.WHOLE))
    return [
        "### gzip",
        "",
        *paragraph(
            f"With gzip, 1000 x 784 floats take {said}. Bytes travel here for next to nothing; by these numbers gzip "
            f"pays {pays}."
        ),
        *table(["1000 x 784 floats", "bytes of a request", "time"], rows),
        *paragraph(
            f"Without gzip REST takes {ratio(times.ratio)} times as long as gRPC ({ratio(times.low)} to "
            f"{ratio(times.high)})."
        ),
    ]


def _gzip(found: Comparison, name: str) -> str:
    (plain,), (packed,) = found.sides[name], found.sides[name + GZIP]
    times = found.ratios(name + GZIP, name)[0].median
    share = packed.request_bytes / plain.request_bytes
    return f"{share:.0%} of the bytes and {ratio(times)} times the time over {_protocol(name)}"


def _where_it_pays(plain: Point, packed: Point, name: str) -> str:
    seconds = packed.time.median - plain.time.median
    saved = plain.request_bytes - packed.request_bytes
    if saved <= 0:
        return f"nowhere over {_protocol(name)}"
    if seconds <= 0:
        return f"everywhere over {_protocol(name)}"
    return f"on networks below {rounded(8e-6 * saved / seconds)} Mbit/s over {_protocol(name)}"


def _protocol(name: str) -> str:
    return name.split(",")[0]


def _answer(found: Comparison) -> list[str]:
    points = {name: side[0] for name, side in found.sides.items()}
    times = found.ratios(SHORTEST, CONTENT)[0].median
    said = (
        f"1,125 rows of 1,000 floats come back in {size(points[SHORTEST].answer_bytes)} over REST and in "
        f"{size(points[CONTENT].answer_bytes)} over gRPC, and take {ratio(times)} times as long over REST."
    )
    rows = [[name, f"{point.answer_bytes:,}", spread(point.time)] for name, point in points.items()]
    return ["### A large answer", "", *paragraph(said), *table(["1,125 x 1,000 floats", "bytes", "time"], rows)]
