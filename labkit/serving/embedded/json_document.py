"""Text to JSON values as TensorFlow Serving's parser (RapidJSON) reads it, errors included.

Python's own decoder does the work. What is different there: the first of two equal keys counts, ``Inf`` is a number,
whatever follows the first complete value is ignored, bytes that are not UTF-8 pass through, nesting has no limit, and
errors have RapidJSON's words and byte offsets.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from labkit.serving.embedded.status import StatusError, invalid_argument

_LONGEST_SHOWN = 256
_WHITESPACE = " \t\n\r"  # JSON's
DEEPEST = 300  # deeper than any tensor (254 dimensions) and what may stand around it

_PYTHON_TO_RAPIDJSON = {
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid control character at": "Invalid encoding in string.",
}
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]|-?\bInf\b|-NaN\b', re.DOTALL)
_NUMBERS_OF_RAPIDJSON = {"Inf": "Infinity", "-Inf": "-Infinity", "-NaN": "NaN"}


def _integer(digits: str) -> int | float:
    """JSON integers beyond 64 bits are read as double."""
    number = int(digits) if len(digits) <= 20 else float(digits)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)


def _first_counts(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        members = dict(reversed(pairs))
        members = {key: members[key] for key, _ in pairs}
    return members


_decoder = json.JSONDecoder(parse_int=_integer, object_pairs_hook=_first_counts)


def parse(body: bytes) -> Any:
    """The first JSON value in `body`.

    Strings keep bytes that are not UTF-8 as surrogates; `to_bytes` gives them back.

    Raises:
        StatusError: INVALID_ARGUMENT ``JSON Parse error: ... at offset: N``.
    """
    text = body.decode("utf-8", "surrogateescape")
    try:
        return _decode(text)
    except RecursionError:
        return _decode_deep(text)
    except json.JSONDecodeError as error:
        if "Inf" not in text and "-NaN" not in text:
            raise _parse_error(text, error.msg, error.pos) from None
        return _decode_with_numbers(text)


def _decode_deep(text: str) -> Any:
    try:
        return _decode(_cut_off(text))
    except json.JSONDecodeError as error:  # where in the whole text is not worth finding out
        raise _parse_error(text, error.msg, len(text)) from None


def _decode_with_numbers(text: str) -> Any:
    """Decode `text` with the words for numbers that only RapidJSON knows."""
    try:
        return _decode(_TOKEN.sub(lambda token: _NUMBERS_OF_RAPIDJSON.get(token[0], token[0]), text))
    except json.JSONDecodeError as error:
        position = error.pos  # in the rewritten text: back to where that is in the request
        for token in _TOKEN.finditer(text):
            if token[0] in _NUMBERS_OF_RAPIDJSON and token.start() < position:
                position -= len(_NUMBERS_OF_RAPIDJSON[token[0]]) - len(token[0])
        raise _parse_error(text, error.msg, position) from None


def to_bytes(string: str) -> bytes:
    """The bytes that `string` had in the request.

    Raises:
        StatusError: INVALID_ARGUMENT, it holds half of an escaped surrogate pair.
    """
    try:
        return string.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid.") from None


def shown(value: Any) -> str:
    """`value` as error messages show it: objects a member per line, lists on one line, cut at 256 characters."""
    try:
        text = _pretty(value, "\n")
    except RecursionError:
        return "(nested too deeply to be shown)"
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _pretty(value: Any, line: str) -> str:
    if isinstance(value, dict) and value:
        inner = line + "    "
        members = (
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_pretty(item, inner)}" for key, item in value.items()
        )
        return "{" + _joined(members, ",") + line + "}"
    if isinstance(value, list):
        return "[" + _joined((_pretty(item, line) for item in value), ", ") + "]"
    return json.dumps(value, ensure_ascii=False)


def _joined(parts: Iterator[str], separator: str) -> str:
    """The parts joined, but no more of them than are ever shown."""
    text = ""
    for index, part in enumerate(parts):
        text += separator * bool(index) + part
        if len(text) > _LONGEST_SHOWN:
            break
    return text


def type_name(value: Any) -> str:
    """RapidJSON's word for the type of `value`."""
    if isinstance(value, bool):
        return "True" if value else "False"
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")


def _decode(text: str) -> Any:
    start = len(text) - len(text.lstrip(_WHITESPACE))
    if start == len(text):
        raise invalid_argument("JSON Parse error: The document is empty")
    return _decoder.raw_decode(text, start)[0]


def _cut_off(text: str) -> str:
    """`text` without what is nested deeper than `DEEPEST`; nothing that deep can be part of an answerable request."""
    kept, depth, start = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == DEEPEST + 1:
                kept.append(text[start : token.start()] + "[")
        elif token[0] in ("]", "}"):
            if depth == DEEPEST + 1:
                kept.append("]")
                start = token.end()
            depth -= 1
    return "".join(kept) + text[start:] if depth <= DEEPEST else "".join(kept)


def _parse_error(text: str, message: str, position: int) -> StatusError:
    reason = _PYTHON_TO_RAPIDJSON.get(message, "Invalid value.")
    if message == "Expecting ',' delimiter":
        reason = _missing_comma(text, position)
    if message.startswith("Illegal trailing comma"):  # Python 3.13 points at the comma, RapidJSON at what follows
        position = len(text) - len(text[position + 1 :].lstrip(_WHITESPACE))
    offset = len(text[:position].encode("utf-8", "surrogateescape"))
    return invalid_argument(f"JSON Parse error: {reason} at offset: {offset}")


def _missing_comma(text: str, position: int) -> str:
    open_brackets = []
    for token in _TOKEN.finditer(text, 0, position):
        if token[0] in ("[", "{"):
            open_brackets.append(token[0])
        elif token[0] in ("]", "}"):
            open_brackets.pop()
    if open_brackets[-1:] == ["{"]:
        return "Missing a comma or } after an object member."
    return "Missing a comma or ] after an array element."
