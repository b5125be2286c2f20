"""Settings of TensorFlow's threads, each in its own process, measured in turns."""

import hashlib
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from labkit import processes
from labkit.devices.trace import Trace
from labkit.errors import EnvironmentProblem
from labkit.source import Source
from labkit.threads.measurements import Measurement, Measurements, Round
from labkit.threads.team import Member, Team

Function = Callable[[], object] | str
_LONGEST_SECONDS = 1e6  # sockets wait no longer than about two million


def measure(
    fn: Function | Sequence[Function],
    intra: int | Sequence[int] = 0,
    inter: int | Sequence[int] = 0,
    *,
    cores: int | Sequence[int | None] | None = None,
    env: Mapping[str, str] | Sequence[Mapping[str, str]] = (),
    rounds: int = 5,
    repeats: int = 5,
    trace: bool = False,
    timeout: float = 60.0,
) -> Measurements:
    """How long a step takes with different numbers of threads.

    TensorFlow fixes its threads when it runs its first op, so every setting is a process of its own. All of them live
    at the same time and take turns, every second round in reverse, so that whatever else this machine does hits all
    alike. GPUs are hidden: this is about the processor.

    Where several values are given for `fn`, `intra`, `inter`, `cores` or `env`, every combination is a setting.

    Args:
        fn: a function without arguments, or the source text of one, that prepares everything and returns the step to
            be timed, itself a function without arguments. It runs in the other processes: only ``tf`` and ``np`` are
            given, all else it has to import or make itself.
        intra: threads that share one op; 0 is TensorFlow's own choice.
        inter: threads that run different ops; 0 is TensorFlow's own choice.
        cores: how many processor cores the process may use; None: all. Not on macOS, which knows no such limit.
        env: environment variables on top of this process's own, as they are when TensorFlow is imported. Settings
            with the same ones share one import on Linux, so that starting takes seconds once; those of the last two
            environments stay for the next call.
        rounds: how many turns each setting has.
        repeats: runs of the step in a turn.
        trace: whether one more run is recorded, as `Measurement.trace`.
        timeout: seconds within which preparing, a turn and the recording each have to be done, above 0 and at most
            a million.

    Raises:
        EnvironmentProblem: `cores` cannot be had here.
        MeasurementFailed: the function failed, took longer than `timeout`, or its process ended; nothing is left
            running.
        TypeError: `fn` is neither function nor text, a number is not a whole one, or `env` maps no names to texts.
        ValueError: `fn` needs something from outside or its source cannot be had, two functions have the same name, a
            number is too small, `timeout` is out of its range, or a setting is given twice.
    """
    settings = _settings(fn, intra, inter, cores, env)
    for name, number in (("rounds", rounds), ("repeats", repeats)):
        _check(name, number, 1)
    if not 0 < timeout <= _LONGEST_SECONDS:
        raise ValueError(f"timeout is {timeout}; it is a number of seconds, above 0 and at most {_LONGEST_SECONDS:g}")
    with Team(timeout) as team, TemporaryDirectory(dir=processes.folder()) as folder:
        members = [_prepared(team, setting, Path(folder)) for setting in settings]
        turns = _take_turns(members, rounds, repeats)
        results = [_result(member, Path(folder) / f"{place}.npz") for place, member in enumerate(members)]
        traces = [Trace.from_rows(member.ask("trace")["rows"]) if trace else None for member in members]
    first = results[0][1]
    return Measurements(
        tuple(
            Measurement(
                **setting.fields(),
                rounds=tuple(turns[place]),
                threads=results[place][0],
                fingerprint=_fingerprint(results[place][1]),
                difference=_difference(results[place][1], first),
                trace=traces[place],
            )
            for place, setting in enumerate(settings)
        )
    )


@dataclass(frozen=True)
class _Setting:
    source: Source
    intra: int
    inter: int
    cores: int | None
    env: Mapping[str, str]
    label: str = ""

    def fields(self) -> dict[str, Any]:
        """What a `Measurement` says about it."""
        same = {name: getattr(self, name) for name in ("label", "intra", "inter", "cores", "env")}
        return {"function": self.source.name, **same}


def _settings(fn: object, intra: object, inter: object, cores: object, env: object) -> list[_Setting]:
    sources = [Source.of(each) for each in ([fn] if isinstance(fn, str) else _several(fn))]
    if len({source.name for source in sources}) < len(sources):
        names = ", ".join(source.name for source in sources)
        raise ValueError(f"the functions are called {names}; give each its own name, for that tells them apart")
    environments = _several(env) or [{}]
    for threads in (*_several(intra), *_several(inter)):
        _check("a number of threads", threads, 0)
    for number in _several(cores):
        _check_cores(number)
    for variables in environments:
        _check_env(variables)
    axes = (sources, _several(intra), _several(inter), _several(cores), environments)
    varied = [len(axis) > 1 for axis in axes]
    settings = [
        _Setting(
            source, inner, outer, number, variables, _label(source, inner, outer, number, variables, varied=varied)
        )
        for source, inner, outer, number, variables in itertools.product(*axes)
    ]
    labels = [setting.label for setting in settings]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))} is given twice; give every value once")
    if not settings:
        raise ValueError("there is no setting to measure: one of the lists is empty; give each at least one value")
    return settings


def _several(values: object) -> list[Any]:
    """A value, or several, as a list."""
    return list(values) if isinstance(values, list | tuple | range) else [values]


def _check(name: str, number: object, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is {number!r}; it is a whole number, {least} or more")
    if number < least:
        raise ValueError(f"{name} is {number}; it is {least} or more")


def _check_cores(number: int | None) -> None:
    if number is None:
        return
    _check("cores", number, 1)
    if not hasattr(psutil.Process, "cpu_affinity"):
        raise EnvironmentProblem("This system cannot keep a process on some cores (macOS cannot); leave out `cores`.")
    if number > (have := len(psutil.Process().cpu_affinity())):
        raise EnvironmentProblem(f"{number} cores are asked for, but this process may use {have}; ask for fewer.")


def _check_env(variables: object) -> None:
    pairs = list(variables.items()) if isinstance(variables, Mapping) else [(None, None)]
    if not all(isinstance(each, str) for pair in pairs for each in pair):
        raise TypeError(f'env is {variables!r}; it maps names of variables to texts, {{"OMP_NUM_THREADS": "1"}}')
    for name, value in pairs:
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"env has {name!r}: {value!r}; a name is not empty and has no '=', and neither has a zero")


def _label(
    source: Source, intra: int, inter: int, cores: int | None, env: Mapping[str, str], *, varied: list[bool]
) -> str:
    threads = [f"intra {intra or 'default'}", f"inter {inter or 'default'}"]
    core = "all cores" if cores is None else f"{cores} core{'s' * (cores > 1)}"
    variables = ", ".join(f"{name}={value}" for name, value in env.items()) or "no variables"
    parts = [source.name, *threads, core, variables]
    return ", ".join(itertools.compress(parts, varied)) or ", ".join(threads)


def _prepared(team: Team, setting: _Setting, folder: Path) -> Member:
    file = folder / f"{setting.source.name}.py"
    file.write_text(setting.source.text, encoding="utf-8")
    member = team.add(f"{setting.source.name} ({setting.label})", setting.env)
    threads = {"intra": setting.intra, "inter": setting.inter, "cores": setting.cores}
    member.ask("prepare", file=str(file), name=setting.source.name, path=[str(each) for each in sys.path], **threads)
    return member


def _take_turns(members: Sequence[Member], rounds: int, repeats: int) -> list[list[Round]]:
    turns: list[list[Round]] = [[] for _ in members]
    pairs = list(zip(members, turns, strict=True))
    for number in range(rounds):
        for member, done in reversed(pairs) if number % 2 else pairs:
            answer = member.ask("run", repeats=repeats)
            done.append(Round(tuple(answer.pop("seconds")), **answer))
    return turns


def _result(member: Member, file: Path) -> tuple[int, list[np.ndarray]]:
    threads = member.ask("result", file=str(file))["threads"]
    with np.load(file) as arrays:
        return threads, [arrays[name] for name in arrays.files]


def _fingerprint(arrays: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()[:12]


def _difference(arrays: Sequence[np.ndarray], first: Sequence[np.ndarray]) -> float | None:
    if [array.shape for array in arrays] != [array.shape for array in first]:
        return None
    return max((_apart(one, other) for one, other in zip(arrays, first, strict=True)), key=_none_last, default=0.0)


def _apart(array: np.ndarray, first: np.ndarray) -> float | None:
    if not all(np.issubdtype(each.dtype, np.number) for each in (array, first)) or not array.size:
        return 0.0 if np.array_equal(array, first) else None
    wide = np.result_type(array, first, np.float64)  # small whole numbers would wrap around
    array, first = np.atleast_1d(array.astype(wide), first.astype(wide))
    with np.errstate(invalid="ignore"):
        apart = np.abs(array - first)
    apart[(array == first) | (np.isnan(array) & np.isnan(first))] = 0
    apart[np.isnan(apart)] = np.inf
    scale = np.abs(first[np.isfinite(first)]).max(initial=0) or 1.0
    return float(apart.max() / scale)


def _none_last(difference: float | None) -> tuple[bool, float]:
    return difference is None, difference or 0.0
