"""The filters and orders of List calls: the part of https://google.aip.dev/160 and /132 that Vertex AI documents."""

import re
from typing import Any

from labkit.cloud.local.status import invalid

_COMPARISON = re.compile(
    r"""\s*(?P<negated>NOT\s+|-)?(?P<field>[A-Za-z_][\w.\-]*)\s*(?P<operator>!=|=|:)\s*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'()]+))\s*""",
    re.VERBOSE,
)
_JOINT = re.compile(r"(AND|OR)\b\s*")
_MISSING = object()


def selects(filter: str, message: Any) -> bool:
    """Whether a message is meant by a filter, as in ``display_name="penguins" AND labels.team=birds``.

    Comparisons with ``=``, ``!=`` and ``:`` (``labels.team:*`` asks whether the label is there), joined by ``AND`` and
    ``OR``, which binds more tightly. Fields may be written as in Python or as in JSON.

    Raises:
        ApiError: INVALID_ARGUMENT, the filter has anything else in it.
    """
    if not filter.strip():
        return True
    return all(any(_holds(comparison, message) for comparison in choice) for choice in _choices(filter))


def _choices(filter: str) -> list[list[re.Match[str]]]:
    """The comparisons of a filter: of each list at least one has to hold."""
    found: list[list[re.Match[str]]] = [[]]
    at = 0
    while match := _COMPARISON.match(filter, at):
        found[-1].append(match)
        at = match.end()
        if at == len(filter):
            return found
        joint = _JOINT.match(filter, at)
        at = joint.end() if joint else at
        if not (joint and joint[0].startswith("OR")):
            found.append([])
    raise invalid(
        f"The filter {filter!r} is not understood at {filter[at:]!r}. Expected comparisons joined by AND and OR, "
        'such as display_name="penguins" AND labels.team=birds.'
    )


def _holds(comparison: re.Match[str], message: Any) -> bool:
    wanted = next(text for text in comparison.group("quoted", "single", "bare") if text is not None)
    have = _value(message, comparison["field"].split("."))
    if wanted == "*" and comparison["operator"] == ":":
        result = have is not _MISSING
    else:
        same = have is not _MISSING and _text(have) == wanted.replace('\\"', '"')
        result = same != (comparison["operator"] == "!=")
    return result != bool(comparison["negated"])


def _value(message: Any, path: list[str]) -> Any:
    for part in path:
        if hasattr(message, "items"):
            message = message.get(part, _MISSING)
        else:
            part = re.sub(r"(?<=[a-z])([A-Z])", lambda capital: f"_{capital[1].lower()}", part)
            fields = getattr(type(message), "meta", None)
            if fields is None or part not in fields.fields:
                raise invalid(f"There is no field {'.'.join(path)!r} to filter by or to order by.")
            message = getattr(message, part)
        if message is _MISSING:
            return _MISSING
    return message


def _text(value: Any) -> str:
    name = getattr(value, "name", None)  # an enum's
    if name is not None:
        return name
    return str(value).lower() if isinstance(value, bool) else str(value)


def order(messages: list[Any], order_by: str) -> list[Any]:
    """`messages` in the order that a List call asks for, as in ``create_time desc``.

    Raises:
        ApiError: INVALID_ARGUMENT, there is no such field, or it has no order.
    """
    for part in reversed([part.split() for part in order_by.split(",") if part.strip()]):
        if len(part) > 2 or (len(part) == 2 and part[1].lower() not in ("asc", "desc")):
            raise invalid(
                f"order_by is {order_by!r}; expected fields, each with asc or desc, as in 'create_time desc'."
            )
        field, descending = part[0].split("."), part[-1].lower() == "desc" and len(part) == 2
        try:
            messages = sorted(messages, key=lambda each: _value(each, field), reverse=descending)
        except TypeError:
            raise invalid(f"order_by is {order_by!r}; {part[0]} has no order.") from None
    return messages
