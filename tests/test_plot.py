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
    assert first.svg() == second.svg() == first.svg()


def test_a_picture_for_a_page_has_no_date_and_no_program_in_it() -> None:
    drawing = plot.bars({"a": 1}, **WORDS | {"x": "format"}).svg()
    assert drawing.lstrip().startswith(b"<?xml")
    assert b"<dc:date>" not in drawing and b"matplotlib.org" not in drawing


def test_lines_differ_in_marker_and_dashes() -> None:
    figure = plot.lines({name: ([1, 2], [3, 4]) for name in "abcdef"}, **WORDS)
    looks: list[Any] = [(line.get_marker(), line.get_linestyle(), line._dash_pattern) for line in figure.axes.lines]
    assert len({marker for marker, _, _ in looks}) == 6
    assert len({(style, str(dashes)) for _, style, dashes in looks}) == 6


def test_bars_differ_in_hatch() -> None:
    figure = plot.bars(dict.fromkeys("abcdef", 1.0), **WORDS | {"x": "format"})
    assert len({bar.get_hatch() for bar in figure.axes.patches}) == 6
    assert [label.get_text() for label in figure.axes.get_xticklabels()] == list("abcdef")


def test_bars_lie_down_in_the_order_of_their_names() -> None:
    words = WORDS | {"x": "form", "y": "size (bytes a float)"}
    figure = plot.bars({"JSON": 18.0, "protobuf": 4.0}, **words, horizontal=True)
    figure.png()
    assert [bar.get_width() for bar in figure.axes.patches] == [18.0, 4.0]
    assert [label.get_text() for label in figure.axes.get_yticklabels()] == ["JSON", "protobuf"]
    tops = [bar.get_window_extent().y1 for bar in figure.axes.patches]
    assert tops == sorted(tops, reverse=True), "the first one belongs on top"
    assert (figure.axes.get_xlabel(), figure.axes.get_ylabel()) == ("size (bytes a float)", "form")
    with pytest.raises(ValueError, match="ends with its unit in brackets"):
        plot.bars({"a": 1}, **words | {"y": "size"}, horizontal=True)


PARTS = {"REST": {"write": 3.0, "way": 1.0, "read": 2.0}, "gRPC": {"way": 2.0, "read": 0.5}}
STACKED = WORDS | {"x": "request", "y": "time (ms)"}


def test_parts_stand_one_behind_the_other_in_the_same_order() -> None:
    figure = plot.stacked(PARTS, **STACKED)
    edges = [(round(bar.get_y()), bar.get_x(), bar.get_width()) for bar in figure.axes.patches]
    assert sorted(edges) == [(0, 0, 3), (0, 3, 1), (0, 4, 2), (1, 0, 0), (1, 0, 2), (1, 2, 0.5)]
    looks = [{bar.get_hatch() for bar in part} for part in figure.axes.containers]
    assert looks == [{hatch} for hatch in plot.HATCHES[:3]], "a part looks the same in every bar"
    assert (figure.axes.get_xlabel(), figure.axes.get_ylabel()) == ("time (ms)", "request")


def test_the_names_of_the_parts_cover_no_bar() -> None:
    figure = plot.stacked({f"request {n}": PARTS["REST"] for n in range(12)}, **STACKED)
    figure.png()
    (legend,) = figure._canvas.legends
    assert [text.get_text() for text in legend.get_texts()] == ["write", "way", "read"]
    assert figure.axes.get_legend() is None
    box = legend.get_window_extent()
    assert not any(box.overlaps(bar.get_window_extent()) for bar in figure.axes.patches)
    assert not box.overlaps(figure.axes.xaxis.label.get_window_extent())


def test_many_parts_can_still_be_told_apart() -> None:
    figure = plot.stacked({"REST": {f"part {n}": 1.0 for n in range(20)}}, **STACKED)
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in figure.axes.patches}) == 20


@pytest.mark.parametrize("length", [-0.1, float("nan")])
def test_a_part_of_less_than_nothing_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match=r"the part 'way' is .*0 or more"):
        plot.stacked({"REST": {"way": length}}, **STACKED)


def test_rows_have_a_mark_for_each_event_in_the_row_of_its_name() -> None:
    words = WORDS | {"x": "time (s)", "y": "answered by"}
    figure = plot.rows({"failed": [], "version 1": [0.0, 0.1, 0.2], "version 2": [0.3]}, **words)
    marks = [line.get_xydata().tolist() for line in figure.axes.lines]
    assert [[x for x, _ in row] for row in marks] == [[], [0.0, 0.1, 0.2], [0.3]]
    assert [{round(y) for _, y in row} for row in marks] == [set(), {1}, {2}]
    assert len({y for _, y in marks[1]}) == 3, "marks close together would cover each other"
    assert [label.get_text() for label in figure.axes.get_yticklabels()] == ["failed", "version 1", "version 2"]
    assert [text.get_text().strip() for text in figure.axes.texts] == ["0", "3", "1"]
    assert len({line.get_marker() for line in figure.axes.lines}) == 3


def test_rows_need_a_unit_for_x_only() -> None:
    with pytest.raises(ValueError, match="ends with its unit in brackets"):
        plot.rows({"a": [1.0]}, **WORDS | {"x": "time"})


class Shown:
    """Stands in for IPython's display: what was shown first, and what in its place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.figures: list[Any] = []
        monkeypatch.setattr("IPython.display.display", self._display)

    def _display(self, figure: Any, *, display_id: bool) -> "Shown":
        assert display_id and not self.figures
        self.update(figure)
        return self

    def update(self, figure: Any) -> None:
        self.figures.append(figure)


def test_a_live_figure_is_drawn_anew_until_it_is_enough_and_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, drawn, enough = Shown(monkeypatch), iter("abcdef"), iter([False, False, True])
    plot.live(lambda: next(drawn), until=lambda: next(enough), every=0)  # type: ignore[arg-type, return-value]
    assert shown.figures == ["a", "b", "c", "d"]
    assert next(enough, None) is None


def test_a_live_figure_gives_up_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    Shown(monkeypatch)
    with pytest.raises(TimeoutError, match=r"within 0\.1 s"):
        plot.live(lambda: plot.bars({"a": 1}, **WORDS), until=lambda: False, every=0.01, timeout=0.1)


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
