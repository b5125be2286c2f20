"""What a trial measured: the file that the package `cloudml-hypertune` writes, one JSON object a line."""

import json
import math
from datetime import timedelta
from pathlib import Path

from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.status import invalid


def read_measurements(file: Path, metric: str, started: float) -> list[types.Measurement]:
    """The measurements of one metric, in the order of their steps.

    Each line has ``timestamp``, ``trial``, ``global_step`` and the metric under its own name; all but the timestamp are
    written as strings.

    Args:
        file: need not be there.
        metric: its name.
        started: when the trial began, seconds since 1970.

    Raises:
        ApiError: INVALID_ARGUMENT, a line is not such an object.
    """
    found = []
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            if metric not in content:
                continue
            value, step = float(content[metric]), int(content.get("global_step", 0))
            elapsed = max(float(content.get("timestamp", started)) - started, 0.0)
        except (ValueError, TypeError) as error:
            raise invalid(
                f"Line {number} of the file in CLOUD_ML_HP_METRIC_FILE is {line!r} ({error}). Expected what "
                f'hypertune writes: {{"timestamp": 1.0, "trial": "1", "global_step": "10", "{metric}": "0.9"}}.'
            ) from None
        if math.isfinite(value):
            measured = types.Measurement.Metric(metric_id=metric, value=value)
            found.append(
                types.Measurement(elapsed_duration=timedelta(seconds=elapsed), step_count=step, metrics=[measured])
            )
    return sorted(found, key=lambda each: (each.step_count, each.elapsed_duration))


def final(measurements: list[types.Measurement], study: types.StudySpec) -> types.Measurement:
    """The measurement that stands for the trial: the last one, or the best one if the study says so."""
    if study.measurement_selection_type != types.StudySpec.MeasurementSelectionType.BEST_MEASUREMENT:
        return measurements[-1]
    return max(measurements, key=lambda each: goodness(each, study))


def goodness(measurement: types.Measurement, study: types.StudySpec) -> float:
    """A measurement as a number of which more is better."""
    minimize = study.metrics[0].goal == types.StudySpec.MetricSpec.GoalType.MINIMIZE
    return -measurement.metrics[0].value if minimize else measurement.metrics[0].value
