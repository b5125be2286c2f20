"""labkit.threads: what cannot be measured is refused before anything starts; Amdahl's law and its picture."""

from typing import Any

import pytest

from labkit import plot, threads
from labkit.bench.results import Spread
from labkit.source import Source
from labkit.threads.measurements import Round

tf: Any = None
matrix = [1.0]


def uses_the_notebook():
    helper = len
    return lambda: helper(matrix)


def good():
    import time

    def again(number):
        return again(number - 1) if number else [value + 1 for value in (time.time(),)]

    return lambda: again(3)


def closure():
    secret, other = 1, 2

    def inner():
        return lambda: secret + other

    return inner


def needs(size, *, depth, known=3):
    return lambda: size + depth + known


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (uses_the_notebook, "`uses_the_notebook` uses `matrix` from outside.*only `tf` and `np` are given.*Import or"),
        (closure(), "`inner` uses `other`, `secret` from outside"),
        (needs, "`needs` needs `size`, `depth`, but it is called without arguments"),
        (lambda: good, "a lambda was given"),
        (len, "the source of <built-in function len> cannot be had"),
        ("a = 5", "exactly one function"),
        ("def one(): pass\ndef two(): pass", "exactly one function"),
        ("def one(:", "this is no Python function"),
        ("@cached\ndef one(x=start): pass", "`one` uses `cached`, `start` from outside"),
        ("def one():\n    global matrix\n    return lambda: matrix", "`one` uses `matrix` from outside"),
        ("def one():\n    return lambda: get_ipython()", "`one` uses `get_ipython` from outside"),
    ],
)
def test_a_function_that_cannot_run_elsewhere_is_refused(fn: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        threads.measure(fn)


@pytest.mark.parametrize(
    ("given", "words"),
    [((), "nothing is"), (["tf"], "only `tf` is"), (["a", "b", "c"], "only `a`, `b` and `c` are")],
    ids=["none", "one", "three"],
)
def test_what_is_given_is_named(given: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=f"where {words} given"):
        Source.of("def one():\n    return matrix", given)


def test_what_a_function_sets_itself_is_not_from_outside() -> None:
    assert Source.of("def one():\n    global counter\n    counter = 1\n    return lambda: counter").name == "one"


def test_a_text_in_it_may_go_further_to_the_left() -> None:
    def indented():
        text = """
flush left
"""
        return lambda: text

    found = Source.of(indented)
    names: dict[str, Any] = {}
    exec(found.text, names)
    assert names[found.name]()() == "\nflush left\n"


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="a function or its source text is needed, not 5"):
        threads.measure(5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"intra": -1}, ValueError, "a number of threads is -1; it is 0 or more"),
        ({"inter": 1.5}, TypeError, r"a number of threads is 1\.5; it is a whole number, 0 or more"),
        ({"intra": [1, True]}, TypeError, "a number of threads is True"),
        ({"rounds": 0}, ValueError, "rounds is 0; it is 1 or more"),
        ({"repeats": 0}, ValueError, "repeats is 0; it is 1 or more"),
        ({"cores": 0}, ValueError, "cores is 0; it is 1 or more"),
        ({"intra": [1, 2, 1]}, ValueError, "intra 1 is given twice; give every value once"),
        ({"intra": []}, ValueError, "there is no setting to measure"),
        ({"timeout": 0}, ValueError, "timeout is 0; it is a number of seconds, above 0 and at most 1e.06"),
        ({"timeout": -1}, ValueError, "timeout is -1; it is a number of seconds"),
        ({"timeout": float("inf")}, ValueError, "timeout is inf; it is a number of seconds"),
        ({"env": "A=1"}, TypeError, "env is 'A=1'; it maps names of variables to texts"),
        ({"env": [{}, {"A": 1}]}, TypeError, "env is {'A': 1}; it maps names"),
        ({"env": {"A=": "1"}}, ValueError, "env has 'A=': '1'; a name is not empty"),
        ({"fn": [good, good]}, ValueError, "the functions are called good, good; give each its own name"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        threads.measure(**{"fn": good} | settings)


@pytest.mark.parametrize(
    ("share", "cores", "speedup"),
    [(0, 8, 1), (1, 8, 8), (0.5, 2, 4 / 3), (0.9, 10, 1 / 0.19), (0.5, 1e9, 2), (1, float("inf"), float("inf"))],
)
def test_amdahls_law(share: float, cores: float, speedup: float) -> None:
    assert threads.amdahl(share, cores) == pytest.approx(speedup)


@pytest.mark.parametrize(("share", "cores"), [(-0.1, 2), (1.1, 2), (0.5, 0), (float("nan"), 2), (0.5, float("nan"))])
def test_numbers_outside_amdahls_law_are_refused(share: float, cores: float) -> None:
    with pytest.raises(ValueError, match=r"; it is "):
        threads.amdahl(share, cores)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95, 1.0])
def test_the_share_is_found_again(share: float) -> None:
    speedups = {cores: threads.amdahl(share, cores) for cores in (1, 2, 4, 16)}
    assert threads.fit_parallel_share(speedups) == pytest.approx(share)


def test_speedups_that_the_law_does_not_know_are_taken_as_its_ends() -> None:
    assert threads.fit_parallel_share({2: 0.8}) == 0
    assert threads.fit_parallel_share({2: 2.5}) == 1


@pytest.mark.parametrize("speedups", [{}, {1: 1.0}, {2: 0.0}, {2: -1.0}, {4: 2.0, 2: float("nan")}])
def test_what_cannot_be_fitted_is_refused(speedups: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="at least one speed-up above 0 with more than one core is needed"):
        threads.fit_parallel_share(speedups)


def test_the_picture_has_the_points_their_spread_and_the_laws_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.processes.usable_cores", lambda: [0, 1])
    points = {1: Spread(1, 1, 1), 2: Spread(4 / 3, 1.2, 1.5), 16: Spread(0.5, 0.4, 0.7)}
    words = {"title": "Speed-up", "alt": "Two threads are faster than one."}
    figure = threads.speedup_picture({"a product": points}, **words)
    assert isinstance(figure, plot.Figure)
    assert figure.png().startswith(b"\x89PNG")
    lines = {line.get_label(): line for line in figure.axes.lines}
    law = lines["a product: Amdahl, 50% shared"]
    assert law.get_xdata()[-1] == lines["cores"].get_xdata()[0] == 2, "fitted and drawn on the machine's two cores only"
    assert law.get_ydata()[-1] == pytest.approx(threads.amdahl(0.5, 2))
    assert list(lines["ideal"].get_ydata()) == list(lines["ideal"].get_xdata())
    (bars,) = figure.axes.containers
    assert [tuple(ends[:, 1]) for ends in bars.lines[2][0].get_segments()][1] == pytest.approx((1.2, 1.5))
    assert list(bars.lines[0].get_ydata()) == pytest.approx([1, 4 / 3, 0.5])
    without_two = threads.speedup_picture({"a product": {1: points[1], 16: points[16]}}, **words)
    assert not any("Amdahl" in line.get_label() for line in without_two.axes.lines), "there is nothing to fit"


@pytest.mark.parametrize(
    ("series", "error", "message"),
    [
        ({}, ValueError, "at least one name is needed, and a speed-up for each"),
        ({"a product": {}}, ValueError, "at least one name is needed, and a speed-up for each"),
        ({"a product": {"intra 2": Spread(1, 1, 1)}}, TypeError, "the key 'intra 2'; a number of threads is needed"),
    ],
)
def test_what_cannot_be_drawn_is_refused(series: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        threads.speedup_picture(series, title="Speed-up", alt="Two threads are faster than one.")


def measurement(label: str, *turns: tuple[float, ...]) -> threads.Measurement:
    rounds = tuple(Round(seconds, processor_seconds=2 * sum(seconds), wall_seconds=sum(seconds)) for seconds in turns)
    return threads.Measurement(label, "product", 1, 1, None, {}, rounds, 5, "", 0.0)


def test_what_is_made_of_the_times() -> None:
    slow = measurement("slow", (4.0, 6.0, 20.0), (8.0, 8.0, 8.0), (1.0, 2.0, 3.0))
    quick = measurement("quick", (2.0, 3.0, 1.0), (8.0, 8.0, 8.0), (1.0, 1.0, 7.0))
    assert (slow.median, slow.quartiles, slow.cores_busy) == (6, (3, 8), 2)
    spread = threads.Measurements((slow, quick)).speedup()["quick"]
    assert spread == (2, 1, 3), "of the medians 6 and 2, 8 and 8, 2 and 1"
    (row,) = threads.Measurements((slow,)).table().to_numpy()
    assert [float(cell.removesuffix(" ms").replace(",", "")) for cell in row] == [6000, 3000, 8000, 13333]


def test_the_public_names_are_these_and_exist() -> None:
    for name in threads.__all__:
        assert getattr(threads, name).__name__ == name
    assert set(threads.__all__) <= set(dir(threads))
