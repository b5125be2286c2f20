"""Whatever is sent over REST, the server stands, blames who is to blame, and answers the next good request."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..savedmodels import ECHOED
from ..served import Answer, Served
from .profile import fuzzed

PREDICT = "/v1/models/many:predict"
GOOD, ANSWER = {"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}
NO_JSON_TYPE = ("half", "bfloat16", "uint16", "complex64")  # what §3.8 answers with 501


def assert_stands(server: Served) -> None:
    """The next good request is answered right."""
    answer = server.predict(GOOD)
    assert (answer.status, answer.json) == (200, ANSWER)
    assert server.process.poll() is None


def assert_fair(answer: Answer) -> None:
    """Answered, or refused as the client's fault with a message."""
    assert answer.status in (200, 400, 404), answer.text[:500]
    if answer.status != 200:
        assert answer.error


numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**30), 1e308, 5e-324]),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(), st.fixed_dictionaries({"b64": st.text(max_size=8)}))
trees = st.recursive(
    leaves, lambda child: st.lists(child, max_size=4) | st.dictionaries(st.text(max_size=3), child, max_size=3)
)
SIGNATURES = (
    "serving_default sum_and_product with_default matmul total first_row none twice text constant classify regress"
)
JSON_ECHOES = [f"echo_{dtype}" for dtype in ECHOED if dtype not in NO_JSON_TYPE]
EXAMPLE_SIGNATURES = (
    "classify classify_both classify_labels classify_of_two_sizes regress regress_flat regress_wide foo"
)
example_signatures = st.one_of(st.sampled_from(EXAMPLE_SIGNATURES.split()), st.just(""))
signatures = st.sampled_from([*SIGNATURES.split(), *JSON_ECHOES, "", "foo"])


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """Nested lists that are nearly tensors: one shape, mostly one kind of leaf."""
    kind = draw(st.sampled_from([numbers, st.booleans(), st.text(), leaves]))
    shape = draw(st.lists(st.integers(0, 3), max_size=4))

    def build(dims: list[int]) -> Any:
        return [build(dims[1:]) for _ in range(dims[0])] if dims else draw(kind)

    return build(shape)


names = st.sampled_from(["x", "a", "b", "text", "inputs", "scale"])
inputs = st.one_of(tensors(), trees, st.dictionaries(names, tensors(), max_size=3))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Predict requests that are right, or a little wrong."""
    document: dict[str, Any] = {}
    if draw(st.booleans()):
        document["signature_name"] = draw(st.one_of(signatures, signatures, leaves))
    if draw(st.booleans()):
        document["instances"] = draw(st.one_of(st.lists(inputs, max_size=3), inputs))
    if draw(st.integers(0, 3)) or not document:
        document["inputs"] = draw(inputs)
    return json.dumps(document).encode("utf-8", "surrogatepass")


@fuzzed
@given(body=st.binary(max_size=300))
def test_any_bytes(many: Served, body: bytes) -> None:
    assert_fair(many.predict(body))
    assert_stands(many)


@fuzzed
@given(body=bodies())
def test_any_json(many: Served, body: bytes) -> None:
    assert_fair(many.predict(body))
    assert_stands(many)


json_bytes = st.sampled_from(list(b'[]{},:"\\-+.eE0N\xff\x00')).map(lambda byte: bytes([byte]))


@fuzzed
@given(body=bodies(), data=st.data())
def test_damaged_json(many: Served, body: bytes, data: st.DataObject) -> None:
    """A request with a few bytes changed, cut or put in."""
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(start, min(len(damaged), start + 3)))
        damaged[start:end] = data.draw(st.one_of(st.binary(max_size=2), json_bytes))
    assert_fair(many.predict(bytes(damaged)))
    assert_stands(many)


@fuzzed
@given(value=inputs, row=st.booleans())
def test_the_same_question_gets_the_same_answer(many: Served, value: Any, row: bool) -> None:
    """However it is written: a name that is the default, white space, keys that are ignored."""
    form = "instances" if row else "inputs"
    plain = many.predict(json.dumps({form: value}))
    named = many.predict(json.dumps({"signature_name": "serving_default", form: value}))
    spaced = many.predict(json.dumps({form: value}, indent=1))
    more = many.predict(json.dumps({"parameters": {"a": [1]}, form: value}))
    assert_fair(plain)
    assert {(one.status, one.body) for one in (plain, spaced)} == {(plain.status, plain.body)}
    for other in (named, more):  # their error messages may show the whole request
        assert other.status == plain.status
        assert other.body == plain.body or plain.status == 400


@fuzzed
@given(
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    method=st.sampled_from(["GET", "POST", "PUT"]),
)
def test_any_path(many: Served, path: str, method: str) -> None:
    for start in ("/", "/v1/", "/v1/models/many"):
        assert many.ask(method, start + path, GOOD if method == "POST" else None).status in (200, 400, 404)
    assert_stands(many)


features = st.dictionaries(st.one_of(st.sampled_from(["x", "bias"]), st.text(max_size=3)), st.one_of(trees, tensors()))


@st.composite
def example_bodies(draw: st.DrawFn) -> bytes:
    """Classify and regress requests that are right, or a little wrong."""
    right = st.fixed_dictionaries({"x": st.floats(width=32) | st.lists(st.floats(width=32), min_size=1, max_size=1)})
    document: dict[str, Any] = {"signature_name": draw(example_signatures)}
    document["examples"] = draw(st.one_of(st.lists(right | features, max_size=4), trees))
    if draw(st.booleans()):
        document["context"] = draw(st.one_of(right, features, trees))
    return json.dumps(document).encode("utf-8", "surrogatepass")


@fuzzed
@given(
    body=st.one_of(example_bodies(), bodies(), st.binary(max_size=100)), verb=st.sampled_from(["classify", "regress"])
)
def test_any_examples(many: Served, body: bytes, verb: str) -> None:
    assert_fair(many.ask("POST", f"/v1/models/many:{verb}", body))
    assert_stands(many)


@fuzzed
@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False), min_size=1, max_size=20))
def test_regressions_are_written_as_specified(many: Served, values: list[float]) -> None:
    """§3.10 for §4.3, and what was sent comes back bit by bit; TensorFlow adds subnormal numbers as zeros."""
    sent = {"signature_name": "regress_flat", "examples": [{"x": value} for value in values]}
    answer = many.ask("POST", "/v1/models/many:regress", sent)
    assert [_rounded(value, "f") for value in answer.json["results"]] == values


def _expected_text(value: float, digits: int, width: str) -> str:
    """§3.10 spelled out: six digits if they say the number, else all that may be needed; `.0` on whole numbers."""
    short = f"{value:.6g}"
    text = short if _rounded(float(short), width) == value else f"{value:.{digits}g}"
    return text if "." in text or "e" in text else text + ".0"


def _written(answer: Answer) -> list[str]:
    return "".join(answer.text.split()).removeprefix('{"outputs":[').removesuffix("]}").split(",")


def _rounded(value: float, width: str) -> float:
    return struct.unpack(width, struct.pack(width, value))[0]


@fuzzed
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=50))
def test_floats_are_written_as_specified(many: Served, values: list[float]) -> None:
    """§3.10, and what comes back is what was sent, to the last bit."""
    answer = many.predict({"signature_name": "echo_float", "inputs": values})
    assert [_rounded(value, "f") for value in answer.json["outputs"]] == values
    assert _written(answer) == [_expected_text(v, 9, "f") for v in values]


@fuzzed
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_doubles_are_written_as_specified(many: Served, values: list[float]) -> None:
    answer = many.predict({"signature_name": "echo_double", "inputs": values})
    assert answer.json["outputs"] == values
    assert _written(answer) == [_expected_text(v, 17, "d") for v in values]


@fuzzed
@given(st.lists(st.text(), min_size=1, max_size=10), st.booleans())
def test_strings_come_back(many: Served, values: list[str], ascii_only: bool) -> None:
    sent = json.dumps({"signature_name": "echo_string", "inputs": values}, ensure_ascii=ascii_only)
    assert many.predict(sent.encode()).json == {"outputs": values}


@fuzzed
@given(st.integers(), st.sampled_from([dtype for dtype in ECHOED if "int" in dtype and dtype != "uint16"]))
def test_integers_come_back_or_are_refused(many: Served, value: int, dtype: str) -> None:
    """§3.8: small types wrap what fits int32; everything else is exact or refused."""
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    signed = not dtype.startswith("u")
    accepted = (bits, signed) if bits >= 32 else (32, True)
    low, high = (-(1 << accepted[0] - 1), 1 << accepted[0] - 1) if accepted[1] else (0, 1 << accepted[0])
    answer = many.predict(f'{{"signature_name": "echo_{dtype}", "inputs": {value}}}')
    if low <= value < high:
        wrapped = value % (1 << bits)
        assert answer.json == {"outputs": wrapped - (1 << bits) if signed and wrapped >> bits - 1 else wrapped}
    else:
        assert answer.status == 400


DEPTH = 500_000
DEEP = {
    "lists": ("[" * DEPTH + "]" * DEPTH, 400),
    "lists as an input": ('{"inputs": ' + "[" * DEPTH + "]" * DEPTH + "}", 400),
    "lists as an instance": ('{"instances": [' + "[" * DEPTH + "1" + "]" * DEPTH + "]}", 400),
    "objects": ('{"inputs": ' + '{"x":' * DEPTH + "1" + "}" * DEPTH + "}", 400),
    "an ignored key": ('{"x": ' + "[" * DEPTH + "]" * DEPTH + ', "instances": [1.0, 2.0]}', 200),
    "as signature_name": ('{"signature_name": ' + "[" * DEPTH + "]" * DEPTH + ', "instances": [1.0]}', 400),
    "never closed": ('{"inputs": ' + "[" * DEPTH, 400),
    "lists of objects": ('{"inputs": ' + '[{"a":' * DEPTH, 400),
    "escaped quotes without an end": ('{"inputs": Inf, "x": "' + '\\"' * DEPTH, 400),
    "one less than the parser's own limit": ('{"inputs": 1, "instances": ' + "[" * 986 + "]" * 986 + "}", 400),
    "300 dimensions": ('{"inputs": ' + "[" * 300 + "1" + "]" * 300 + "}", 400),
}


@pytest.mark.parametrize("title", DEEP)
def test_deep_nesting(many: Served, title: str) -> None:
    """§3.1: unlimited in the parser; as a tensor it has more dimensions than TensorFlow knows."""
    body, status = DEEP[title]
    answer = many.predict(body)
    assert answer.status == status, answer.text[:300]
    assert_stands(many)


MEGABYTE = 1 << 20
BIG = {
    "64 MB of numbers": (
        lambda: b'{"signature_name": "total", "inputs": [' + b"1.0," * (16 * MEGABYTE) + b"1.0]}",
        200,
    ),
    "4 MB of numbers and as many back": (lambda: b'{"instances": [' + b"1.0," * MEGABYTE + b"1.0]}", 200),
    "64 MB of white space": (lambda: b'{"instances": [1.0, 2.0]' + b" " * (64 * MEGABYTE) + b"}", 200),
    "64 MB in one string": (lambda: b'{"instances": ["' + b"x" * (64 * MEGABYTE) + b'"]}', 400),
    "64 MB of zeros": (lambda: bytes(64 * MEGABYTE), 400),
    "8 MB of digits after the point": (lambda: b'{"instances": [0.' + b"1" * (8 * MEGABYTE) + b"]}", 200),
    "8 MB of digits for an integer": (
        lambda: b'{"signature_name": "echo_int64", "inputs": ' + b"1" * (8 * MEGABYTE) + b"}",
        400,
    ),
    "200,000 keys": (lambda: b"{" + b",".join(b'"%d":0' % n for n in range(200_000)) + b"}", 400),
    "200,000 rows": (lambda: json.dumps({"instances": [{"x": 1.0}] * 200_000}).encode(), 200),
}


@pytest.mark.parametrize("title", BIG)
def test_big_bodies(many: Served, title: str) -> None:
    make, status = BIG[title]
    answer = many.ask("POST", PREDICT, make(), timeout=110)
    assert answer.status == status, answer.text[:300]
    assert len(answer.body) < 10_000 or status == 200, "an error shows the beginning of what was wrong, not all of it"
    assert_stands(many)


@pytest.mark.parametrize("body", [b"no gzip", b"\x1f\x8b\x08\x00", b""])
def test_gzip_that_is_none(many: Served, body: bytes) -> None:
    assert many.ask("POST", PREDICT, body, {"Content-Encoding": "gzip"}).status == 400
    assert_stands(many)
