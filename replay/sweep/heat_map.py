"""A page with a heat map of two parameters: where the good trials lie together, and where one is alone."""

import itertools
import math
import statistics
from collections.abc import Sequence
from html import escape
from typing import Any

from msgspec import Struct

from replay.result_report import svg
from replay.sweep.job import Trial
from replay.sweep.objective import Objective
from replay.sweep.space import Between, Dimension, Space

STEPS_MAX = 40
"""Values of a parameter with a column of their own; more are put together."""
BINS = 20
WIDTH, LEFT, TOP, FOOT, LEGEND = 960.0, 90.0, 16.0, 64.0, 56.0
CELL_MAX, CELL_WITH_TEXT = 64.0, 42.0
TICKS_MAX = 12
COLOURS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
"""Viridis (van der Walt and Smith): even steps of lightness, told apart by the colour-blind and in grey."""
DARK = 6
"""Colours before this one need light text on them."""

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--dim:#667}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#14171a;--dim:#9aa3ad}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:960px;margin:2rem auto;
padding:0 1rem}h1{font-size:1.3rem}p,figcaption{color:var(--dim)}figure{margin:2rem 0}svg{width:100%;height:auto;
font-size:12px;fill:var(--ink)}.best{fill:none;stroke:#e8000b;stroke-width:3}.on-dark text{fill:#fff}
.on-light text{fill:#111}"""


class Axis(Struct, frozen=True):
    """The columns or rows of a heat map: what each holds, what is written at it, and where a value belongs."""

    name: str
    labels: tuple[str, ...]
    ticks: tuple[str, ...]
    values: tuple[Any, ...] = ()
    edges: tuple[float, ...] = ()

    def index(self, value: Any) -> int:
        """The column of a value."""
        if self.values:
            return self.values.index(value) * len(self.labels) // len(self.values)
        number = float(value)
        return max(0, sum(edge <= number for edge in self.edges[:-1]) - 1)

    @property
    def is_exact(self) -> bool:
        """Whether each column is one value."""
        return len(self.values) == len(self.labels)


def axis_of(dimension: Dimension) -> Axis:
    """An axis with a column for each value, or for each of twenty stretches where they are many."""
    name = dimension.name
    if isinstance(dimension, Between):
        low, high = dimension.low, dimension.high
        parts = [index / BINS for index in range(BINS + 1)]
        is_log = dimension.scale == "log"
        edges = tuple(low * (high / low) ** part if is_log else low + (high - low) * part for part in parts)
        ticks = tuple(f"{edge:.3g}" for edge in edges)
        labels = tuple(f"{first} to {last}" for first, last in itertools.pairwise(ticks))
        return Axis(name, labels, ticks[:-1], edges=edges)
    values = dimension.values
    if len(values) <= STEPS_MAX or not dimension.ordered:
        texts = tuple(map(str, values))
        return Axis(name, texts, texts, values)
    groups = [[each for at, each in enumerate(values) if at * BINS // len(values) == group] for group in range(BINS)]
    labels = tuple(f"{group[0]} to {group[-1]}" for group in groups)
    return Axis(name, labels, tuple(str(group[0]) for group in groups), values)


def heat_map_page(strategy: str, space: Space, objective: Objective, trials: Sequence[Trial]) -> str:
    """A page that needs nothing else: a map of the first two parameters, and of the further pairs."""
    axes = [axis_of(dimension) for dimension in space.dimensions]
    pairs = [(x, y) for index, y in enumerate(axes) for x in axes[index + 1 :]]
    figures = [_figure(number, x, y, objective, trials, len(axes) > 2) for number, (x, y) in enumerate(pairs)]  # noqa: PLR2004
    title = f"{strategy}: {objective.name} by parameters"
    fixed = ", ".join(f"{name}={value}" for name, value in space.fixed.items())
    said = f"{len(trials):,} trials" + (f", all with {fixed}" if fixed else "")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{_colour_rules()}</style>"
        f"<h1>{escape(title)}</h1><p>{escape(said)}. The best trial is framed. A best cell among good ones is worth more "
        f"than one among bad ones, which is most likely luck.</p>{''.join(figures)}</html>\n"
    )


def cells(x: Axis, y: Axis, objective: Objective, trials: Sequence[Trial]) -> dict[tuple[int, int], float]:
    """The median of the objective in each cell that has a trial with a value."""
    found: dict[tuple[int, int], list[float]] = {}
    for trial in trials:
        value = objective.value(trial)
        if value is not None:
            place = x.index(trial.parameters[x.name]), y.index(trial.parameters[y.name])
            found.setdefault(place, []).append(value)
    return {place: statistics.median(values) for place, values in found.items()}


def _figure(number: int, x: Axis, y: Axis, objective: Objective, trials: Sequence[Trial], is_part: bool) -> str:  # noqa: FBT001
    found = cells(x, y, objective, trials)
    if not found:
        return f"<p>No trial has a {escape(objective.name)}.</p>"
    size = min(CELL_MAX, (WIDTH - LEFT) / len(x.labels), 720 / len(y.labels))
    height = TOP + size * len(y.labels) + FOOT + LEGEND
    low, high = min(found.values()), max(found.values())
    parts = []
    for (column, row), value in found.items():
        at = LEFT + column * size, TOP + (len(y.labels) - 1 - row) * size
        level = _level(value, low, high, objective)
        said = f"{x.name} {x.labels[column]}, {y.name} {y.labels[row]}: {objective.name} {value:.4g}"
        text = (
            svg.text(at[0] + size / 2, at[1] + size / 2 + 4, f"{value:.3g}", "middle") if size >= CELL_WITH_TEXT else ""
        )
        ground = "on-dark" if level < DARK else "on-light"
        parts.append(f'<g class="{ground}">{svg.bar(*at, size - 1, size - 1, f"c{level}", said)}{text}</g>')
    best = objective.ranked(trials)[0].parameters
    at = LEFT + x.index(best[x.name]) * size, TOP + (len(y.labels) - 1 - y.index(best[y.name])) * size
    parts.append(svg.bar(*at, size - 1, size - 1, "best", "the best trial"))
    parts += [*_axes(x, y, size), *_legend(low, high, objective, height - LEGEND + 12)]
    said = f"{objective.name} between {low:.4g} and {high:.4g} over {x.name} and {y.name}"
    shown = "Each cell is the median over the other parameters" if is_part else "Each cell is a trial's figure"
    more = ", or the median of the trials in it" if not is_part and not (x.is_exact and y.is_exact) else ""
    return (
        f"<figure>{svg.picture(f'map{number}', (WIDTH, height), f'{y.name} and {x.name}', said, parts)}"
        f"<figcaption>{escape(shown + more)}; empty ones were skipped, not tried, or have no {escape(objective.name)}."
        f"</figcaption></figure>"
    )


def _axes(x: Axis, y: Axis, size: float) -> list[str]:
    bottom = TOP + size * len(y.labels)
    middle = LEFT + size * len(x.labels) / 2
    parts = [svg.text(middle, bottom + 40, x.name, "middle"), svg.text(4, TOP + 8, y.name)]
    parts += [
        svg.text(LEFT + (index + 0.5) * size, bottom + 18, x.ticks[index], "middle") for index in _ticks(len(x.labels))
    ]
    parts += [
        svg.text(LEFT - 8, TOP + (len(y.labels) - 0.5 - index) * size + 4, y.ticks[index], "end")
        for index in _ticks(len(y.labels))
    ]
    return parts


def _legend(low: float, high: float, objective: Objective, top: float) -> list[str]:
    wide = 22.0
    first, last = (low, high) if objective.direction == "max" else (high, low)
    parts = [svg.bar(LEFT + level * wide, top, wide, 12, f"c{level}", "") for level in range(len(COLOURS))]
    parts.append(svg.text(LEFT, top + 28, f"{first:.4g}"))
    end = LEFT + wide * len(COLOURS)
    return [*parts, svg.text(end, top + 28, f"{last:.4g}", "end"), svg.text(end + 12, top + 11, str(objective))]


def _level(value: float, low: float, high: float, objective: Objective) -> int:
    """Which colour: the lightest is the best, whichever way better is."""
    if high == low:
        return len(COLOURS) - 1
    part = (value - low) / (high - low)
    return int((part if objective.direction == "max" else 1 - part) * (len(COLOURS) - 1) + 0.5)


def _ticks(count: int) -> range:
    return range(0, count, math.ceil(count / TICKS_MAX))


def _colour_rules() -> str:
    return "".join(f".c{level}{{fill:{colour}}}" for level, colour in enumerate(COLOURS))
