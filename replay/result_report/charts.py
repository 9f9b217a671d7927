"""The charts of a backtest's page: equity over drawdown, trades on price, profits by size."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor

import numpy as np

from replay.result_report import svg
from replay.result_report.axes import Scale, day_and_time, number_text, round_step, time_ticks, value_scale
from replay.result_report.report import Floats, Integers, Market, Series
from replay.result_report.sampling import MARKS_MAX, column_width, counted, of_side, thinned

WIDTH, LEFT, RIGHT, TOP = 1000.0, 84.0, 990.0, 12.0
COLUMNS = int(RIGHT - LEFT)
BINS = 40
_EQUITY, _DRAWDOWN, _PRICE, _PROFITS = 260.0, 90.0, 320.0, 220.0
_GAP, _FOOT, _ABOVE_TICK = 18.0, 24.0, 4.0
_COUNTS, _BAR = 30.0, 3
BUY, SELL = "l4.5 8h-9z", "l4.5 -8h-9z"
"""A triangle that points at its fill: from below a buy, from above a sell."""
PRICE_BOX = {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": TOP + _PRICE}
COUNTS_BOX = {"top": TOP + _PRICE + _FOOT + _GAP / 2, "bottom": TOP + _PRICE + _FOOT + _GAP / 2 + 2 * _COUNTS}


def equity_chart(equity: Series, fall: Series, benchmark: Series | None, currency: str) -> str:
    """The equity, with the drawdown beneath it on the same times."""
    if not len(equity.times):
        return empty("The market has no candles: there is no equity to draw.")
    lines = [equity] if benchmark is None else [equity, benchmark]
    across = _across(equity.times[0], equity.times[-1])
    up, ticks = value_scale(np.concatenate([each.values for each in lines]), TOP + _EQUITY, TOP)
    top = TOP + _EQUITY + _GAP
    down, falls = value_scale(np.append(fall.values * 100, [0.0, -0.01]), top + _DRAWDOWN, top, 3)
    parts = [*_grid(up, ticks), *_grid(down, falls, "%"), *_times(across, top + _DRAWDOWN)]
    sampled = thinned(Series(fall.times, fall.values * 100), COLUMNS)
    x, y = across.at(sampled.times), down.at(sampled.values)
    parts += [svg.area(x, y, down.of(0), "fall"), svg.polyline(x, y, "falls")]
    for each, style in reversed(list(zip(lines, ("equity", "benchmark"), strict=False))):
        sampled = thinned(each, COLUMNS)
        parts.append(svg.polyline(across.at(sampled.times), up.at(sampled.values), style))
    low, high = equity.values.min(), equity.values.max()
    said = (
        f"Equity in {currency} from {day_and_time(int(equity.times[0]))} to {day_and_time(int(equity.times[-1]))}: "
        f"{equity.values[0]:,.2f} at first, {equity.values[-1]:,.2f} at last, between {low:,.2f} and {high:,.2f}; "
        f"deepest drawdown {-fall.values.min():.2%}."
    )
    return svg.picture("equity", (WIDTH, top + _DRAWDOWN + _FOOT), f"Equity in {currency}", said, parts)


def price_chart(name: str, market: Market) -> str:
    """The closes and the fills on them, triangles up for buys and down for sells; where they are many, counted beneath."""
    closes, fills = market.closes, market.fills
    if not len(closes.times):
        return empty(f"{market.instrument} has no candles.")
    across = _across(closes.times[0], closes.times[-1])
    up, ticks = value_scale(np.concatenate([closes.values, fills.prices]), TOP + _PRICE, TOP, 6)
    parts = [*_grid(up, ticks), *_times(across, TOP + _PRICE)]
    sampled = thinned(closes, COLUMNS)
    parts.append(svg.polyline(across.at(sampled.times), up.at(sampled.values), "price"))
    many = len(fills.times) > MARKS_MAX
    if not many:
        for buys, shape, style in ((True, BUY, "buy"), (False, SELL, "sell")):
            chosen = of_side(fills, buys=buys)
            parts.append(svg.signs(across.at(chosen.times), up.at(chosen.prices), shape, style))
    bought = int(fills.is_buy.sum())
    said = (
        f"{market.instrument} from {closes.values[0]:,.10g} to {closes.values[-1]:,.10g}, "
        f"with {bought:,} buys and {len(fills.times) - bought:,} sells."
    )
    beneath = [svg.clip(f"{name}-clip", **PRICE_BOX), *(_counts_of(market, across) if many else [])]
    size = (WIDTH, TOP + _PRICE + _FOOT + (2 * _COUNTS + _GAP if many else 0))
    return svg.picture(name, size, f"Fills on {market.instrument}", said, parts, "chart market", beneath)


def count_width(market: Market) -> int:
    """The microseconds that one bar of counted fills stands for."""
    times = market.closes.times
    return column_width(int(times[0]), int(times[-1]), COLUMNS // _BAR)


def _counts_of(market: Market, across: Scale) -> list[str]:
    """Bars up for buys and down for sells, all of one scale, under the whole of the time."""
    first, last = int(market.closes.times[0]), int(market.closes.times[-1])
    sides = [counted(of_side(market.fills, buys=buys), first, last, COLUMNS // _BAR) for buys in (True, False)]
    most = max(int(counts.max()) for _, counts in sides if len(counts))
    middle = COUNTS_BOX["top"] + _COUNTS
    parts = [svg.line((LEFT, middle), (RIGHT, middle), "grid")]
    for (starts, counts), sign, style in zip(sides, (-1, 1), ("buy", "sell"), strict=True):
        x = across.at(starts) + _BAR / 2
        ends = middle + sign * (counts / most * _COUNTS)
        parts.append(svg.uprights(x, np.maximum(ends, middle), np.minimum(ends, middle), f"{style} count"))
        parts.append(svg.text(LEFT - 8, middle + sign * _COUNTS + (4 if sign < 0 else 6), f"{most:,}", "end"))
    return parts


def profit_chart(profits: Floats, currency: str) -> str:
    """How many round trips ended with which profit; no bar holds both gains and losses."""
    if not len(profits):
        return empty("No round trip was completed.")
    edges = profit_edges(profits)
    counts = _counts(profits, edges)
    step = float(edges[1] - edges[0])
    across = Scale(float(edges[0]), float(edges[-1]), LEFT, RIGHT)
    up, ticks = value_scale(np.append(counts, 0).astype(np.float64), TOP + _PROFITS, TOP, 4)
    parts = list(_grid(up, [tick for tick in ticks if tick == int(tick)]))
    for left, count in zip(edges.tolist(), counts.tolist(), strict=False):
        if count:
            x, y = across.of(left), up.of(count)
            said = f"{number_text(left, step)} to {number_text(left + step, step)} {currency}: {count:,}"
            shown = (x + 0.5, y, across.of(left + step) - x - 1, up.of(0) - y)
            parts.append(svg.bar(*shown, "gain" if left >= 0 else "loss", said))
    every = max(1, ceil(len(edges) / 10))
    first = -round(float(edges[0]) / step) % every
    foot = TOP + _PROFITS + 15
    parts += [
        svg.text(across.of(edge), foot, number_text(edge, step), "middle") for edge in edges[first::every].tolist()
    ]
    mean = float(profits.mean())
    if edges[0] <= mean <= edges[-1]:
        parts.append(svg.line((across.of(mean), TOP), (across.of(mean), TOP + _PROFITS), "mean"))
    said = (
        f"{len(profits):,} round trips: {int((profits > 0).sum()):,} with a gain, {int((profits < 0).sum()):,} with a "
        f"loss; mean {mean:,.2f}, median {np.median(profits):,.2f}, worst {profits.min():,.2f}, "
        f"best {profits.max():,.2f} {currency}."
    )
    return svg.picture("profits", (WIDTH, TOP + _PROFITS + _FOOT), f"Profits in {currency}", said, parts)


def profit_edges(profits: Floats) -> Floats:
    """Edges of bars of one round width, about 40 of them, zero among them; the rarest 1 % may lie outside."""
    low, high = (float(each) for each in np.quantile(profits, (0.005, 0.995)))
    if high <= low:
        low, high = low - abs(low) * 0.1 - 1e-9, high + abs(high) * 0.1 + 1e-9
    step = round_step((high - low) / min(BINS, max(4, 2 * len(profits))))
    return np.arange(floor(low / step), ceil(high / step) + 1, dtype=np.float64) * step


def _counts(profits: Floats, edges: Floats) -> Integers:
    """What lies outside counts in the outermost bars. A trip without any profit is no gain and no loss: it counts up."""
    places = np.searchsorted(edges, profits, side="right") - 1
    return np.bincount(places.clip(0, len(edges) - 2), minlength=len(edges) - 1).astype(np.int64)


def empty(said: str) -> str:
    """What stands where a chart would."""
    return f'<p class="empty">{escape(said)}</p>'


def _across(first: int, last: int) -> Scale:
    return Scale(float(first), float(max(last, first + 1)), LEFT, RIGHT)


def _grid(scale: Scale, ticks: Sequence[float], unit: str = "") -> list[str]:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    parts = []
    for tick in ticks:
        y = scale.of(tick)
        parts.append(svg.line((LEFT, y), (RIGHT, y), "grid"))
        parts.append(svg.text(LEFT - 8, y + _ABOVE_TICK, number_text(tick, step) + unit, "end"))
    return parts


def _times(across: Scale, foot: float) -> list[str]:
    parts = []
    for at, said in time_ticks(int(across.low), int(across.high)):
        x = across.of(at)
        parts.append(svg.line((x, TOP), (x, foot), "grid"))
        if x < RIGHT - 30:
            parts.append(svg.text(x, foot + 16, said, "middle" if x > LEFT + 30 else "start"))
    return parts
