"""The graph coloured by device, and the timeline: what they show, and that it can be read."""

import random
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from labkit import plot
from labkit.devices import pictures
from labkit.devices.placement import PlacedOp
from labkit.devices.trace import Event

WORDS = {"title": "Where each op ran", "alt": "Ops on two devices."}
LONG = "gradient_tape/SparseSoftmaxCrossEntropyWithLogits/aVeryLongWordWithoutAnythingToBreakItAt/mul_1"


def op(name: str, *inputs: str, device: str = "CPU:0", type_: str = "MatMul") -> PlacedOp:
    return PlacedOp(name, type_, device, None, None, inputs)


def four_branches() -> list[PlacedOp]:
    ops = []
    for n in range(4):
        place = f"CPU:{n % 2}"
        ops += [op(f"qr_{n}", device=place), op(f"product_{n}", f"qr_{n}", device=place)]
    random.Random(3).shuffle(ops)
    return [*ops, op("join", *(f"product_{n}" for n in range(4)))]


def random_ops(seed: int, number: int) -> list[PlacedOp]:
    dice = random.Random(seed)
    names = [f"layer_{n}/{'block_' * dice.randrange(4)}op" for n in range(number)]
    return [
        op(name, *dice.sample(names[:n], min(n, dice.randrange(4))), device=f"CPU:{dice.randrange(3)}")
        for n, name in enumerate(names)
    ]


class Drawn:
    """A graph's picture, taken apart; lengths in points, y grows downwards."""

    def __init__(self, ops: list[Any], **more: Any) -> None:
        self.figure = pictures.graph(ops, **WORDS, **more)
        self.figure.png()
        patches = self.figure.axes.patches
        frames = [p for p in patches if isinstance(p, Rectangle) and to_hex(p.get_facecolor()) == "#ffffff"]
        self.strips = [p for p in patches if isinstance(p, Rectangle) and p not in frames]
        self.texts = {frame: [t for t in self.figure.axes.texts if holds(frame, *t.get_position())] for frame in frames}
        self.boxes = {self._name(frame, ops): frame for frame in frames}
        self.lines = [p for p in patches if isinstance(p, PathPatch)]
        self.heads = [p.get_xy() for p in patches if isinstance(p, Polygon)]
        (self.legend,) = self.figure._canvas.legends

    def _name(self, frame: Rectangle, ops: list[Any]) -> str:
        written = "".join(text.get_text() for text in self.texts[frame])
        (name,) = {op.name for op in ops if written in (op.name, op.name + op.op)}
        return name

    def arrows(self) -> dict[tuple[str, str], PathPatch]:
        """(from, to) -> the line between the two boxes."""
        found = {}
        for line, head in zip(self.lines, self.heads, strict=True):
            source = self._at(line.get_path().vertices[0])
            found[source, self._at(head[0])] = line
        return found

    def _at(self, point: Any) -> str:
        (name,) = [name for name, frame in self.boxes.items() if holds(frame, *point)]
        return name

    def strip(self, name: str) -> Rectangle:
        (strip,) = [p for p in self.strips if p.get_xy() == self.boxes[name].get_xy()]
        return strip

    def legend_names(self) -> list[str]:
        return [text.get_text() for text in self.legend.get_texts()]


def holds(frame: Rectangle, x: float, y: float) -> bool:
    box = frame.get_bbox()
    return box.x0 - 0.01 <= x <= box.x1 + 0.01 and box.y0 - 0.01 <= y <= box.y1 + 0.01


def points(line: PathPatch) -> np.ndarray:
    """Many points along an arrow."""
    return np.concatenate([curve(np.linspace(0, 1, 12)) for curve, _ in line.get_path().iter_bezier()])


@pytest.fixture(scope="module")
def branches() -> Drawn:
    return Drawn(four_branches())


def test_each_op_has_a_box_with_its_name_and_type_and_each_input_an_arrow(branches: Drawn) -> None:
    assert set(branches.boxes) == {op.name for op in four_branches()}
    assert all(texts[-1].get_text() == "MatMul" for texts in branches.texts.values())
    assert set(branches.arrows()) == {(source, op.name) for op in four_branches() for source in op.inputs}


def test_an_arrow_to_another_device_is_dashed_and_thicker(branches: Drawn) -> None:
    arrows = branches.arrows()
    crossing = {ends: line for ends, line in arrows.items() if ends in [("product_1", "join"), ("product_3", "join")]}
    plain = [line for ends, line in arrows.items() if ends not in crossing]
    assert len(crossing) == 2
    assert all(line.get_linestyle() in ("-", "solid") for line in plain)
    assert all(line.get_linestyle() not in ("-", "solid") for line in crossing.values())
    assert min(line.get_linewidth() for line in crossing.values()) > max(line.get_linewidth() for line in plain)


def test_a_device_has_its_colour_hatch_and_outline_and_they_stand_in_the_legend(branches: Drawn) -> None:
    looks = {}
    for one in four_branches():
        strip, frame = branches.strip(one.name), branches.boxes[one.name]
        look = (to_hex(strip.get_facecolor()), strip.get_hatch() or "", str(frame.get_linestyle()))
        assert looks.setdefault(one.device, look) == look, "one device, one look"
        assert to_hex(frame.get_edgecolor()) == look[0]
    assert all(a != b for a, b in zip(looks["CPU:0"], looks["CPU:1"], strict=True)), "colour is not the only difference"
    assert branches.legend_names() == ["CPU:0", "CPU:1", "copied to another device"]
    shown = [(to_hex(h.get_facecolor()), h.get_hatch() or "") for h in branches.legend.legend_handles[:2]]
    assert shown == [looks["CPU:0"][:2], looks["CPU:1"][:2]]


def test_branches_stand_side_by_side_and_no_arrow_crosses_another(branches: Drawn) -> None:
    tops = {name: frame.get_y() for name, frame in branches.boxes.items()}
    assert len({tops[f"qr_{n}"] for n in range(4)}) == len({tops[f"product_{n}"] for n in range(4)}) == 1
    for (first, one), (second, other) in combinations(branches.arrows().items(), 2):
        if not set(first) & set(second):
            assert not Path(points(one)).intersects_path(Path(points(other)), filled=False), f"{first} and {second}"
    across = [line for ends, line in branches.arrows().items() if ends[1] == "join"]
    for one, other in combinations(across, 2):
        assert not Path(points(one)[:-8]).intersects_path(Path(points(other)[:-8]), filled=False)


def test_rows_are_sorted_so_that_no_arrow_crosses_another_where_that_can_be() -> None:
    pairs = [op(f"sum_{n}", f"one_{n}", f"other_{n}") for n in range(3)]
    drawn = Drawn([*(op(f"one_{n}") for n in range(3)), *(op(f"other_{n}") for n in range(3)), *pairs])
    for (first, one), (second, other) in combinations(drawn.arrows().items(), 2):
        assert first[1] == second[1] or not Path(points(one)).intersects_path(Path(points(other)), filled=False)


def test_of_all_orders_tried_the_one_with_the_fewest_crossings_is_drawn() -> None:
    arrows = Drawn([op("a"), op("b", "a"), op("c", "b"), op("d", "a", "c"), op("e", "b")]).arrows()
    for (first, one), (second, other) in combinations(arrows.items(), 2):
        if not set(first) & set(second):
            assert not Path(points(one)).intersects_path(Path(points(other)), filled=False), f"{first} and {second}"


def test_arrows_meet_a_box_in_the_order_of_their_sources() -> None:
    drawn = Drawn([*(op(f"one_{n}") for n in range(4)), op("join", "one_2", "one_0", "one_3", "one_1")])
    tips = {head[0][0]: line.get_path().vertices[0][0] for head, line in zip(drawn.heads, drawn.lines, strict=True)}
    assert len(tips) == 4, "side by side"
    assert [tips[x] for x in sorted(tips)] == sorted(tips.values())


def test_the_legend_stands_clear_of_the_boxes() -> None:
    drawn = Drawn([op("a")])
    gap = drawn.boxes["a"].get_window_extent().y0 - drawn.legend.get_window_extent().y1
    assert gap / drawn.figure._canvas.dpi * 72 > 6


@pytest.mark.parametrize("name", ["$x_{$", "$a$", "a$b"])
def test_a_dollar_in_a_name_is_a_dollar(name: str) -> None:
    drawn = Drawn([op(name, device=name)])
    assert [text.get_text() for text in drawn.figure.axes.texts] == [name, "MatMul"]
    assert not any(text.get_parse_math() for text in (*drawn.figure.axes.texts, *drawn.legend.get_texts()))
    figure = timeline([event(name, 0, 1, name, name)])
    shown = [*figure.axes.texts, *figure._canvas.legends[0].get_texts(), *figure.axes.get_yticklabels()]
    assert [(text.get_text(), text.get_parse_math()) for text in shown] == [(name, False)] * 3


def test_a_long_name_is_broken_where_its_parts_begin() -> None:
    drawn = Drawn([op("gradient_tape/sequential_1/dense_1/MatMul", type_="SparseSoftmaxCrossEntropyWithLogits")])
    lines = [text.get_text() for text in drawn.figure.axes.texts]
    assert lines == ["gradient_tape/", "sequential_1/dense_1/", "MatMul", "SparseSoftmaxCross", "EntropyWithLogits"]


def test_without_a_copy_the_legend_has_none() -> None:
    assert Drawn([op("a"), op("b", "a")]).legend_names() == ["CPU:0"]


@pytest.mark.parametrize(("seed", "number"), [(1, 40), (2, 25), (3, 40)])
def test_boxes_keep_apart_and_arrows_keep_out_of_boxes(seed: int, number: int) -> None:
    ops = random_ops(seed, number)
    drawn = Drawn(ops)
    assert len(drawn.boxes) == number
    frames = {name: frame.get_bbox() for name, frame in drawn.boxes.items()}
    assert not [pair for pair in combinations(frames, 2) if frames[pair[0]].overlaps(frames[pair[1]])]
    arrows = drawn.arrows()
    assert set(arrows) == {(source, op.name) for op in ops for source in op.inputs}
    for (source, target), line in arrows.items():
        assert frames[source].y1 < frames[target].y0, "arrows point down"
        x, y = points(line).T
        for box in (frames[name] for name in set(frames) - {source, target}):
            within = (box.x0 < x) & (x < box.x1) & (box.y0 < y) & (y < box.y1)
            assert not within.any(), f"the arrow from {source} to {target}"


@pytest.mark.parametrize("ops", [random_ops(1, 40), [op(LONG), op("b", LONG, type_="_MklNativeFusedMatMul" * 2)]])
def test_everything_is_inside_the_picture_and_text_inside_its_box(ops: list[PlacedOp]) -> None:
    drawn = Drawn(ops)
    canvas = drawn.figure._canvas
    legend, title = drawn.legend.get_window_extent(), drawn.figure.axes._left_title.get_window_extent()
    assert inside(title, canvas.bbox)
    assert inside(legend, canvas.bbox)
    for frame, texts in drawn.texts.items():
        outer = frame.get_window_extent()
        assert inside(outer, canvas.bbox)
        assert not outer.overlaps(legend)
        assert not outer.overlaps(title)
        extents = [text.get_window_extent() for text in texts]
        assert all(inside(extent, outer) for extent in extents)
        assert not any(a.overlaps(b.padded(-1)) for a, b in combinations(extents, 2)), "lines of text apart"
    shrunk = 640 / canvas.bbox.width  # to a notebook's column
    assert all(text.get_size() * shrunk >= 7 for text in drawn.figure.axes.texts)


def inside(inner: Bbox, outer: Bbox) -> bool:
    return outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def test_many_ops_that_could_share_a_row_get_several_so_that_the_picture_stays_as_wide_as_a_page() -> None:
    drawn = Drawn([op("start"), *(op(f"branch_{n}/product", "start") for n in range(16))])
    assert drawn.figure._canvas.get_size_inches()[0] == pytest.approx(6.4)
    assert len({frame.get_y() for frame in drawn.boxes.values()}) > 3


def test_what_reads_nothing_stands_close_above_its_reader() -> None:
    chain = [op("a"), *(op(after, before) for before, after in zip("abcd", "bcde", strict=True))]
    boxes = Drawn([op("weight"), *chain, op("product", "e", "weight")]).boxes
    assert boxes["weight"].get_y() == boxes["e"].get_y()


def test_hidden_types_are_left_out_and_arrows_lead_through_them() -> None:
    ops = [
        op("number", type_="Const"),
        op("a", "number"),
        op("same", "a", type_="Identity"),
        op("b", "same", "number"),
    ]
    assert set(Drawn(ops).arrows()) == {("a", "same"), ("same", "b")}
    assert set(Drawn(ops, hide={"Const", "Identity"}).arrows()) == {("a", "b")}
    assert set(Drawn(ops, hide=()).boxes) == {"number", "a", "same", "b"}
    hidden_loop = [op("one", "other", type_="Const"), op("other", "one", type_="Const"), op("c", "one")]
    assert set(Drawn(hidden_loop).boxes) == {"c"}


def test_an_input_from_elsewhere_is_passed_over() -> None:
    assert set(Drawn([op("a", "x"), op("b", "a", "y")]).arrows()) == {("a", "b")}


def test_a_loop_is_drawn_with_an_arrow_that_leads_up() -> None:
    drawn = Drawn([op("enter"), op("merge", "enter", "next"), op("body", "merge"), op("next", "body")])
    assert set(drawn.arrows()) == {("enter", "merge"), ("merge", "body"), ("body", "next"), ("next", "merge")}
    tops = [drawn.boxes[name].get_y() for name in ("enter", "merge", "body", "next")]
    assert tops == sorted(tops)


def test_a_loop_that_nothing_leads_into_is_drawn_as_well() -> None:
    assert set(Drawn([op("a", "b"), op("b", "a")]).arrows()) == {("a", "b"), ("b", "a")}


def test_an_op_s_type_is_not_said_twice() -> None:
    drawn = Drawn([op("Sum", type_="Sum")])
    assert [text.get_text() for text in drawn.figure.axes.texts] == ["Sum"]


def test_the_same_graph_gives_the_same_bytes() -> None:
    first, second = (pictures.graph(four_branches(), **WORDS) for _ in range(2))
    assert first.png() == second.png() == first.png()
    assert repr(first) == "Figure: Ops on two devices."


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ([op(f"op_{n}", type_="Mul" if n else "Sum") for n in range(41)], r"41 are left.*40 Mul, 1 Sum.* 1 to 40"),
        ([op("a", type_="Const")], r"of 1 ops 0 are left to draw \(none\).*'Const'"),
        ([], "of 0 ops 0 are left"),
        ([op("a"), op("a")], "several ops are called 'a'"),
    ],
)
def test_what_cannot_be_read_as_a_graph_is_refused(ops: list[PlacedOp], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pictures.graph(ops, **WORDS)


def test_both_pictures_need_a_sentence() -> None:
    with pytest.raises(ValueError, match="write one whole sentence"):
        pictures.graph([op("a")], title="a", alt="ops")
    with pytest.raises(ValueError, match="write one whole sentence"):
        pictures.timeline([event("a", 0, 1)], rows_by="thread", kind=kind, title="a", alt="ops")


# --- the timeline ---


def event(name: str, start: float, end: float, thread: str = "inter-op 1", type_: str = "MatMul") -> Event:
    """Times in milliseconds."""
    return Event(name, type_, thread, start / 1e3, end / 1e3)


def kind(event: Any) -> str | None:
    return event.op  # "" for what is no op


def timeline(events: list[Any], **more: Any) -> plot.Figure:
    figure = pictures.timeline(events, **{"rows_by": "thread", "kind": kind} | WORDS | more)
    figure.png()
    return figure


def bars(figure: plot.Figure) -> list[tuple[float, float]]:
    return [(round(bar.get_x(), 6), round(bar.get_x() + bar.get_width(), 6)) for bar in figure.axes.patches]


def line_of(bar: Any) -> float:
    return round(bar.get_y() + bar.get_height() / 2, 6)


def test_a_bar_goes_from_start_to_end_and_time_begins_with_the_first() -> None:
    figure = timeline([event("a", 5, 7), event("b", 7.5, 9)])
    assert bars(figure) == [(0, 2), (2.5, 4)]
    assert figure.axes.get_xlabel() == "time (ms)"
    assert figure.axes.get_xlim() == pytest.approx((0, 4))


def test_rows_are_in_natural_order_from_the_top_and_hold_their_bars() -> None:
    threads = ["inter-op 10", "python", "inter-op 2", "inter-op 1"]
    figure = timeline([event(thread, 0, n + 1, thread) for n, thread in enumerate(threads)])
    names = [label.get_text() for label in figure.axes.get_yticklabels()]
    assert names == ["inter-op 1", "inter-op 2", "inter-op 10", "python"]
    places = dict(zip(names, figure.axes.get_yticks(), strict=True))
    heights = [figure.axes.transData.transform((0, places[name]))[1] for name in names]
    assert heights == sorted(heights, reverse=True)
    ends = {line_of(bar): bar.get_width() for bar in figure.axes.patches}
    assert [round(ends[places[thread]]) for thread in threads] == [1, 2, 3, 4]


def test_bars_of_a_row_that_overlap_get_a_line_each_and_those_that_follow_share_one() -> None:
    outer, inner, after, other = figure_events = [
        event("outer", 0, 4),
        event("inner", 1, 2),
        event("after", 4, 5),
        event("other", 0, 5, "inter-op 2"),
    ]
    figure = timeline(figure_events)
    lines = {span: line_of(bar) for span, bar in zip(bars(figure), figure.axes.patches, strict=True)}
    assert lines[0, 4] == lines[4, 5] != lines[1, 2]
    assert lines[0, 5] > max(lines[0, 4], lines[1, 2]), f"{other.thread} is below {outer.thread}"
    assert (inner.end, after.start) == (0.002, 0.004)
    assert figure.axes.get_yticks()[0] == (lines[0, 4] + lines[1, 2]) / 2


def test_of_bars_that_start_together_the_longer_is_above() -> None:
    figure = timeline([event("inner", 0, 1), event("outer", 0, 4)])
    lines = {span: line_of(bar) for span, bar in zip(bars(figure), figure.axes.patches, strict=True)}
    assert lines[0, 4] < lines[0, 1], "the vertical axis grows downwards"
    assert figure.axes.yaxis_inverted()


def test_a_rule_parts_each_row_from_the_next() -> None:
    threads = ["inter-op 1", "inter-op 1", "inter-op 2", "python"]
    figure = timeline([event("a", 0, n + 1, thread) for n, thread in enumerate(threads)])
    first, second, third = figure.axes.get_yticks()
    assert (first, second, third) == (0.5, 2, 3)
    assert [line.get_ydata()[0] for line in figure.axes.lines] == [1.5, 2.5]


def test_kinds_differ_in_colour_and_hatch_and_stand_below_the_picture() -> None:
    events = [event("a", 0, 2), event("b", 2, 4, type_="Sum"), event("c", 4, 6), event("d", 6, 8, type_="")]
    figure = timeline(events)
    looks = [(to_hex(bar.get_facecolor()), bar.get_hatch() or "") for bar in figure.axes.patches]
    assert len(looks) == 3, "an empty kind leaves an event out"
    assert looks[0] == looks[2]
    assert looks[0][0] != looks[1][0]
    assert looks[0][1] != looks[1][1]
    (legend,) = figure._canvas.legends
    assert [text.get_text() for text in legend.get_texts()] == ["MatMul", "Sum"]
    assert [(to_hex(h.get_facecolor()), h.get_hatch() or "") for h in legend.legend_handles] == looks[:2]
    assert not legend.get_window_extent().overlaps(figure.axes.get_window_extent())


def test_kinds_can_be_a_mapping() -> None:
    events = [event("a", 0, 2), event("b", 2, 4), event("c", 4, 6)]
    figure = timeline(events, kind={events[0]: "reading", events[2]: "computing"})
    assert bars(figure) == [(0, 2), (4, 6)]
    assert [text.get_text() for text in figure._canvas.legends[0].get_texts()] == ["computing", "reading"]


def test_a_bar_has_its_name_where_it_is_wide_enough_or_the_last_part_of_it() -> None:
    events = [
        event("model/dense/product", 0, 60),
        event("model/dense_with_a_long_name/sum", 60, 70),
        event("model/dense_with_a_long_name/_12", 70, 80),
        event("a_long_word", 80, 90),
        event("narrow", 99, 100),
    ]
    figure = timeline(events)
    texts = {text.get_text(): text for text in figure.axes.texts}
    assert list(texts) == ["model/dense/product", "sum"]
    for text, bar in zip(texts.values(), figure.axes.patches, strict=False):
        assert inside(text.get_window_extent(), bar.get_window_extent())
        assert text.get_size() >= 7


def test_a_bar_narrower_than_its_outline_is_still_seen() -> None:
    wide, narrow = timeline([event("a", 0, 900), event("b", 999.9, 1000, "inter-op 2")]).axes.patches
    assert narrow.get_window_extent().width < 1
    assert to_hex(narrow.get_edgecolor()) == to_hex(narrow.get_facecolor())
    assert narrow.get_linewidth() > 0
    assert to_hex(wide.get_edgecolor()) == "#ffffff"


def test_placed_ops_have_devices_for_rows_and_those_that_were_not_seen_are_left_out() -> None:
    ops = [
        PlacedOp("a", "MatMul", "CPU:1", 0.001, 0.002, ()),
        PlacedOp("b", "MatMul", "CPU:0", 0.0, 0.001, ()),
        PlacedOp("c", "MatMul", "CPU:2", None, None, ()),
        PlacedOp("d", "MatMul", "CPU:3", 0.001, None, ()),
    ]
    figure = timeline(ops, rows_by="device")
    assert [label.get_text() for label in figure.axes.get_yticklabels()] == ["CPU:0", "CPU:1"]
    assert sorted(bars(figure)) == [(0, 1), (1, 2)]
    assert figure.axes.get_ylabel() == "device"


def test_a_device_has_the_same_colour_in_both_pictures() -> None:
    ops = [PlacedOp(f"op_{n}", "MatMul", f"GPU:{n}", n, n + 1, ()) for n in (10, 2, 1)]
    bars = timeline(ops, rows_by="device", kind=lambda op: op.device).axes.patches
    drawn = Drawn(ops)
    assert drawn.legend_names() == ["GPU:1", "GPU:2", "GPU:10"]
    strips = {ops[n].device: drawn.strip(ops[n].name) for n in range(3)}
    for bar, device in zip(bars, ["GPU:1", "GPU:2", "GPU:10"], strict=True):
        assert (bar.get_facecolor(), bar.get_hatch()) == (strips[device].get_facecolor(), strips[device].get_hatch())


def test_some_hundreds_of_bars_are_drawn_and_the_picture_grows_with_its_lines() -> None:
    events = [event("op", n, n + 40, f"inter-op {n % 3}", f"type {n % 7}") for n in range(200)]
    figure = timeline(events)
    assert len(figure.axes.patches) == 200
    assert figure._canvas.get_size_inches()[0] == pytest.approx(6.4)
    assert figure.axes.patches[0].get_window_extent().height > 10  # pixels


def test_the_same_events_give_the_same_bytes() -> None:
    events = [event("product", 0, 3), event("sum", 3, 4, "inter-op 2", "Sum")]
    assert timeline(events).png() == timeline(events).png()


def test_an_event_without_length_is_no_trouble() -> None:
    assert bars(timeline([event("a", 1, 1)])) == [(0, 0)]


def test_events_that_give_no_bar_or_have_no_such_row_are_refused() -> None:
    with pytest.raises(ValueError, match="of 1 events with a time none is left"):
        timeline([event("a", 0, 1)], kind=lambda _: None)
    with pytest.raises(ValueError, match="of 0 events"):
        timeline([PlacedOp("a", "MatMul", "CPU:0", None, None, ())], rows_by="device")
    with pytest.raises(ValueError, match=r"rows_by is 'device', but .*Event.* has none"):
        timeline([event("a", 0, 1)], rows_by="device")
    with pytest.raises(ValueError, match="rows_by is 'core'"):
        timeline([SimpleNamespace(name="a", op="b", start=0.0, end=1.0)], rows_by="core")
