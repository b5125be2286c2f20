"""Figures: labels with units and alternative text are required; colour is never the only difference."""

import base64
import re
from html.parser import HTMLParser
from typing import Any

import matplotlib
import pytest

from labkit import plot

WORDS = {"title": "Sizes", "x": "batch size (rows)", "y": "size (bytes)", "alt": "Bytes grow with the batch size."}


def html_of(figure: plot.Figure) -> str:
    return figure._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("change", [{"x": "batch size"}, {"y": "size"}, {"y": "(bytes)"}, {"x": ""}])
def test_an_axis_without_a_unit_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="ends with its unit in brackets"):
        plot.lines({"a": ([1, 2], [3, 4])}, **WORDS | change)


@pytest.mark.parametrize("alt", ["", "sizes", "Bytes grow with the batch size"])
def test_a_figure_without_a_sentence_is_refused(alt: str) -> None:
    with pytest.raises(ValueError, match="write one whole sentence"):
        plot.bars({"a": 1}, **WORDS | {"alt": alt})


def test_the_picture_in_the_page_has_the_sentence_as_its_alternative_text() -> None:
    seen: list[dict[str, str | None]] = []

    class Images(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                seen.append(dict(attrs))

    sentence = 'Two "bars" <of> different & equal heights.'
    Images().feed(html_of(plot.bars({"a": 1}, **WORDS | {"alt": sentence})))
    assert seen[0]["alt"] == sentence
    source = seen[0]["src"] or ""
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_the_sentence_is_the_plain_text_that_is_compared() -> None:
    figure = plot.lines({"a": ([1, 2], [3, 4])}, **WORDS)
    assert figure._repr_mimebundle_()["text/plain"] == repr(figure) == "Figure: Bytes grow with the batch size."


def test_the_same_drawing_gives_the_same_bytes() -> None:
    first, second = (plot.lines({"a": ([1, 2], [3, 4])}, **WORDS) for _ in range(2))
    assert first.png() == second.png()
    assert first.png() == first.png()


def test_lines_differ_in_marker_and_dashes() -> None:
    figure = plot.lines({name: ([1, 2], [3, 4]) for name in "abcdef"}, **WORDS)
    looks: list[Any] = [(line.get_marker(), line.get_linestyle(), line._dash_pattern) for line in figure.axes.lines]
    assert len({marker for marker, _, _ in looks}) == 6
    assert len({(style, str(dashes)) for _, style, dashes in looks}) == 6


def test_bars_differ_in_hatch() -> None:
    figure = plot.bars(dict.fromkeys("abcdef", 1.0), **WORDS | {"x": "format"})
    assert len({bar.get_hatch() for bar in figure.axes.patches}) == 6
    assert [label.get_text() for label in figure.axes.get_xticklabels()] == list("abcdef")


def test_lines_are_named_in_a_legend() -> None:
    figure = plot.lines({"REST": ([1, 2], [3, 4]), "gRPC": ([1, 2], [2, 3])}, **WORDS)
    figure.png()
    assert [text.get_text() for text in figure.axes.get_legend().get_texts()] == ["REST", "gRPC"]


def test_a_free_figure_is_drawn_with_matplotlib_s_own_calls() -> None:
    figure = plot.Figure(**WORDS)
    blank = figure.png()
    figure.axes.plot([1, 2], [3, 4])
    assert figure.png() != blank
    assert figure.axes.get_xlabel() == "batch size (rows)"
    assert figure.axes.get_ylabel() == "size (bytes)"


def test_plain_matplotlib_gets_the_same_style() -> None:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        plot.use_style()
        assert "marker" in matplotlib.rcParams["axes.prop_cycle"].keys  # colour alone is the default


def test_colours_are_distinct_hex_values() -> None:
    assert len(set(plot.COLOURS)) == len(plot.COLOURS)
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in plot.COLOURS)
