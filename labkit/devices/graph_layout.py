"""Where the ops of a graph stand.

It is laid out after Sugiyama, Tagawa and Toda ("Methods for visual understanding of hierarchical system
structures", 1981): ops stand in rows, each below what it reads from; an arrow longer than one row gets a lane through
the rows between; a row is sorted by the mean place of its neighbours, which leaves few crossings.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate, combinations, count, pairwise
from statistics import mean
from typing import Any

from labkit.devices.picture_parts import MARGIN, WIDTH

_LANE = 5.0  # from one arrow to the next, and less than half of what is between two boxes
_BESIDE = 12.0  # between two boxes of a row

Key = str | tuple[str, str, int]  # an op's name, or for a lane through a row: (from, device to which it leads, row)


def _rows(widths: Mapping[str, float], arrows: Sequence[tuple[str, str]]) -> dict[Key, int]:
    """The row of each op: the first one below all it reads from that has room."""
    order = _reading_order(widths, arrows)
    row: dict[Key, int] = {}
    used: defaultdict[int, float] = defaultdict(float)

    def put(name: str, rows: Iterable[int]) -> None:
        free = (n for n in rows if not used[n] or used[n] + widths[name] + _BESIDE <= 0.9 * WIDTH)
        if (found := next(free, None)) is not None:
            used[row.get(name, -1)] -= widths[name] + _BESIDE
            row[name] = found
            used[found] += widths[name] + _BESIDE

    for name in order:
        above = [row[source] for source, target in arrows if target == name and source in row]
        put(name, count(1 + max(above, default=-1)))
    for name in order:  # what reads nothing belongs close above its first reader
        readers = [row[target] for source, target in arrows if source == name]
        if readers and not any(target == name for _, target in arrows):
            put(name, range(min(readers) - 1, row[name], -1))
    taken = sorted(set(row.values()))
    return {name: taken.index(place) for name, place in row.items()}


def _reading_order(names: Collection[str], arrows: Sequence[tuple[str, str]]) -> list[str]:
    """Every op after those it reads from, but for an arrow that closes a loop."""
    backwards: list[str] = []
    seen = set()

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for source, target in reversed(arrows):
                if source == name:
                    visit(target)
            backwards.append(name)

    readers = {target for _, target in arrows}
    starts = [name for name in names if name not in readers]
    for name in [*reversed(starts), *names]:  # not all can be reached from a start: a loop can have none
        visit(name)
    return backwards[::-1]


class Layout:
    """Where everything is; boxes have ``.width`` and ``.device``.

    Attributes:
        chains: for each arrow the ops and lanes that it goes through, from top to bottom.
        rows: the ops and lanes of each row, from left to right.
        x: the middle of each op or lane.
    """

    def __init__(self, boxes: Mapping[str, Any], arrows: Sequence[tuple[str, str]]) -> None:
        widths = {name: box.width for name, box in boxes.items()}
        row = _rows(widths, arrows)
        self.chains: dict[tuple[str, str], list[Key]] = {}
        for arrow in arrows:
            top, bottom = sorted(arrow, key=row.__getitem__)
            lead = arrow[0], boxes[arrow[1]].device  # arrows from one op to one device share their lanes
            self.chains[arrow] = [top, *((*lead, n) for n in range(row[top] + 1, row[bottom])), bottom]
        lanes: dict[Key, int] = {
            lane: lane[2] for chain in self.chains.values() for lane in chain if not isinstance(lane, str)
        }
        self._widths = dict.fromkeys(lanes, _LANE) | {name: width + _BESIDE for name, width in widths.items()}
        row |= lanes
        self.rows = [[key for key in row if row[key] == n] for n in range(max(row.values()) + 1)]
        steps = dict.fromkeys(step for chain in self.chains.values() for step in pairwise(chain))
        self._above = {key: [a for a, b in steps if b == key] for key in row}
        self._below = {key: [b for a, b in steps if a == key] for key in row}
        self._sort()
        needed = max(sum(self._widths[key] for key in keys) for keys in self.rows)
        self.width = max(WIDTH - 2 * MARGIN, needed)
        self._place()

    def _sort(self) -> None:
        best, fewest = self.rows, self._crossings()
        for down in [True, False] * 8:
            self.rows = [list(keys) for keys in self.rows]
            for fixed, keys in pairwise(self.rows if down else self.rows[::-1]):
                place = {key: n for n, key in enumerate(fixed)}
                own = {key: n for n, key in enumerate(keys)}
                near = self._above if down else self._below
                keys.sort(key=lambda key: mean(place[each] for each in near[key]) if near[key] else own[key])
            if (crossings := self._crossings()) < fewest:
                best, fewest = self.rows, crossings
        self.rows = best

    def _crossings(self) -> int:
        found = 0
        for upper, lower in pairwise(self.rows):
            ends = [(n, lower.index(key)) for n, name in enumerate(upper) for key in self._below[name]]
            found += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(ends, 2))
        return found

    def _place(self) -> None:
        """Each op as near below and above its neighbours as the others of its row let it."""
        self.x = dict.fromkeys(self._widths, self.width / 2)
        for down in [True, False] * 6:
            for keys in self.rows if down else self.rows[::-1]:
                near = self._above if down else self._below
                wanted = [mean(self.x[other] for other in near[key] or [key]) for key in keys]
                apart = [(self._widths[a] + self._widths[b]) / 2 for a, b in pairwise(keys)]
                offsets = list(accumulate(apart, initial=self._widths[keys[0]] / 2))
                most = self.width - offsets[-1] - self._widths[keys[-1]] / 2
                free = _rising([want - offset for want, offset in zip(wanted, offsets, strict=True)])
                self.x |= {k: min(max(f, 0), most) + o for k, f, o in zip(keys, free, offsets, strict=True)}


def _rising(values: Sequence[float]) -> list[float]:
    """The numbers nearest to `values` that never fall: neighbours that would are set to their mean, again and again."""
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and mean(groups[-2]) > mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [mean(group) for group in groups for _ in group]
