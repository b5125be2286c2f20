"""The parameters of a study: which values they may have, and which point of a cube stands for which values."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.status import invalid

Spec = types.StudySpec.ParameterSpec
Values = dict[str, float | int | str]
_MOST_IN_A_GRID = 100_000  # values of one parameter
_LOG, _REVERSE_LOG = Spec.ScaleType.UNIT_LOG_SCALE, Spec.ScaleType.UNIT_REVERSE_LOG_SCALE


class SearchSpace:
    """The values that a trial's parameters may have.

    Args:
        specs: the parameters.

    Attributes:
        dimensions: the number of parameters, those included that depend on another's value.

    Raises:
        ApiError: INVALID_ARGUMENT, a parameter cannot be.
    """

    def __init__(self, specs: Sequence[Any]) -> None:
        if not specs:
            raise invalid("study_spec.parameters is required.")
        self._specs = list(specs)
        every = list(_flat(self._specs))
        for spec in every:
            _check(spec)
        names = [spec.parameter_id for spec in self._specs]
        if len(set(names)) < len(names):
            raise invalid(f"study_spec.parameters must have different parameter_ids, not {', '.join(names)}.")
        self.dimensions = len(every)

    def at(self, point: Sequence[float]) -> Values:
        """The values at a point of the unit cube; parameters whose condition does not hold are left out."""
        rest = iter(point)
        values: Values = {}

        def visit(spec: Any, active: bool) -> None:
            value = _value(spec, next(rest))
            if active:
                values[spec.parameter_id] = value
            for child in spec.conditional_parameter_specs:
                visit(child.parameter_spec, active and _holds(child, value))

        for spec in self._specs:
            visit(spec, True)
        return values

    def grid(self) -> Iterator[Values]:
        """All combinations of values, in the order in which they were written.

        Raises:
            ApiError: INVALID_ARGUMENT, a parameter has too many values for that.
        """
        for spec in _flat(self._specs):
            if "double_value_spec" in spec:
                raise invalid(
                    f"The parameter {spec.parameter_id!r} is DOUBLE; a grid search takes INTEGER, CATEGORICAL and "
                    "DISCRETE ones only."
                )
            span = spec.integer_value_spec
            if span.max_value - span.min_value >= _MOST_IN_A_GRID:
                raise invalid(
                    f"The parameter {spec.parameter_id!r} goes from {span.min_value} to {span.max_value}; a grid "
                    f"search here takes up to {_MOST_IN_A_GRID} values."
                )
        return _grid(self._specs)


def _flat(specs: Sequence[Any]) -> Iterator[Any]:
    for spec in specs:
        yield spec
        yield from _flat([child.parameter_spec for child in spec.conditional_parameter_specs])


def _grid(specs: Sequence[Any]) -> Iterator[Values]:
    for parts in itertools.product(*[list(_choices(spec)) for spec in specs]):
        yield {name: value for part in parts for name, value in part.items()}


def _choices(spec: Any) -> Iterator[Values]:
    """Each value of a parameter, with each combination of the parameters that depend on it."""
    for value in _all(spec):
        children = [child.parameter_spec for child in spec.conditional_parameter_specs if _holds(child, value)]
        for rest in _grid(children):
            yield {spec.parameter_id: value, **rest}


def _all(spec: Any) -> Sequence[Any]:
    if "integer_value_spec" in spec:
        return range(spec.integer_value_spec.min_value, spec.integer_value_spec.max_value + 1)
    return _listed(spec)


def _listed(spec: Any) -> Sequence[Any]:
    if "categorical_value_spec" in spec:
        return list(spec.categorical_value_spec.values)
    return [int(value) if value.is_integer() else value for value in spec.discrete_value_spec.values]


def _holds(child: Any, value: Any) -> bool:
    """Whether a parameter's value is one of those on which a child depends."""
    for condition in ("parent_discrete_values", "parent_int_values", "parent_categorical_values"):
        if condition in child:
            return value in list(getattr(child, condition).values)
    return False


def _value(spec: Any, unit: float) -> float | int | str:
    """The value of a parameter at a place between 0 and 1."""
    if "double_value_spec" in spec:
        span = spec.double_value_spec
        return _scaled(spec.scale_type, unit, span.min_value, span.max_value)
    if "integer_value_spec" in spec:
        span = spec.integer_value_spec
        if spec.scale_type in (_LOG, _REVERSE_LOG):
            return round(_scaled(spec.scale_type, unit, span.min_value, span.max_value))
        return min(span.min_value + int(unit * (span.max_value - span.min_value + 1)), span.max_value)
    listed = _listed(spec)
    return listed[min(int(unit * len(listed)), len(listed) - 1)]


def _scaled(scale: Any, unit: float, low: float, high: float) -> float:
    if scale == _LOG:
        value = low * (high / low) ** unit
    elif scale == _REVERSE_LOG:  # as fine near the upper end as a logarithmic scale is near the lower one
        value = low + high - low * (high / low) ** (1 - unit)
    else:
        value = low + unit * (high - low)
    return min(max(value, low), high)


def _check(spec: Any) -> None:
    name = spec.parameter_id
    if not name or any(character.isspace() for character in name):
        raise invalid(f"A parameter_id is {name!r}; expected a name without spaces.")
    kinds = ("double_value_spec", "integer_value_spec", "categorical_value_spec", "discrete_value_spec")
    kind = next((kind for kind in kinds if kind in spec), None)
    if kind is None:
        raise invalid(f"The parameter {name!r} needs one of {', '.join(kinds)}.")
    values = getattr(spec, kind)
    if kind in ("double_value_spec", "integer_value_spec"):
        _check_span(spec, values.min_value, values.max_value)
        return
    listed = list(values.values)
    if not listed or len(set(listed)) < len(listed):
        raise invalid(f"The parameter {name!r} has the values {listed}; expected one or more, all different.")
    if kind == "discrete_value_spec" and listed != sorted(listed):
        raise invalid(f"The parameter {name!r} has the values {listed}; discrete values must be in ascending order.")


def _check_span(spec: Any, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise invalid(f"The parameter {spec.parameter_id!r} goes from {low:g} to {high:g}; expected min <= max.")
    if spec.scale_type in (_LOG, _REVERSE_LOG) and low <= 0:
        raise invalid(f"The parameter {spec.parameter_id!r} starts at {low:g}; a logarithmic scale needs more than 0.")
