"""`grid`: buys rest below the price and sells above; each that fills is answered one level further."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from msgspec import Struct, structs

from domain.account.events import OrderFilled
from domain.indicators import Indicator, Pivots
from domain.market import Instrument
from domain.strategy.intents import CLOSE, Cancel, Place
from domain.strategy.plugin import Act, Bounds, Strategy, View, required
from domain.strategy.sizing import cash_of, price_of, size_of
from domain.values import DAY, LARGEST, Cash, Price, Side, Time, divide_half_even, floor_ratio, growth

LEVELS_MIN, LEVELS_MAX = 2, 500
SWINGS_MAX = 10_000
HUNDRED = Decimal(100)
BUY: Side = "buy"
SELL: Side = "sell"
ALWAYS: Bounds = (LARGEST, 0)
"""Every candle reaches these."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """A grid over a range, about a centre, or on support and resistance.

    That is: `lower`, `upper` and `levels`; or `levels_each_side` about the `centre`, the first close without one; or those
    `levels` that had most volume among the first so many `swings`.
    Prices are in the quote asset, `quantity` in the base asset. Geometric levels are a constant percent apart. A swing is
    a high or low that `swing_candles` on each side stay below or above.
    `stop_loss_pct`: at a close so far below the lowest level all is cancelled and closed, for good. `daily_loss_limit`: a
    loss of so much since midnight UTC does the same for the day. `recentre_after`: after so many closes in a row outside
    the levels the grid moves to the price.
    """

    quantity: Decimal
    lower: Decimal | None = None
    upper: Decimal | None = None
    levels: int | None = None
    spacing: Literal["arithmetic", "geometric"] = "arithmetic"
    centre: Decimal | None = None
    spacing_pct: Decimal | None = None
    levels_each_side: int | None = None
    stop_loss_pct: Decimal | None = None
    daily_loss_limit: Decimal | None = None
    recentre_after: int | None = None
    swings: int | None = None
    swing_candles: int = 5


class Memory(Struct, frozen=True, array_like=True):
    """The levels in price quanta, lowest first, and what the options count.

    `outside` is how many closes in a row were outside the levels; `moving` that orders are being cancelled to move;
    `stopped` until when nothing is done. `day` began with a result of `base` cash quanta. `swings` are (price, volume),
    while there are no levels yet.
    """

    levels: tuple[int, ...]
    outside: int = 0
    moving: bool = False
    stopped: Time = Time(0)
    day: Time = Time(0)
    base: Cash = Cash(0)
    swings: tuple[tuple[int, int], ...] = ()


def check(parameters: Parameters, instrument: Instrument | None) -> None:
    p = parameters
    required(p.quantity.is_finite() and p.quantity > 0, "quantity", p.quantity, "above 0")
    if p.swings is not None:
        _check_swings(p)
    elif p.levels_each_side is None:
        given = None not in {p.lower, p.upper, p.levels}
        ways = "lower, upper and levels, or spacing_pct and levels_each_side, or levels and swings"
        required(given, "levels", "missing", ways)
        _check_range(p)
    else:
        _check_centred(p)
    for key in ("stop_loss_pct", "spacing_pct"):
        percent = getattr(p, key)
        required(percent is None or 0 < percent < HUNDRED, key, percent, "above 0 and below 100")
    required(p.daily_loss_limit is None or p.daily_loss_limit > 0, "daily_loss_limit", p.daily_loss_limit, "above 0")
    required(p.recentre_after is None or p.recentre_after >= 1, "recentre_after", p.recentre_after, "1 or more")
    if instrument is not None:
        size_of(instrument, p.quantity)
        if p.levels_each_side is None and p.swings is None:
            levels_of(p, instrument, Price(1))


def _range_of(p: Parameters) -> tuple[Decimal, Decimal, int]:
    assert p.lower is not None, "a range was given"
    assert p.upper is not None, "a range was given"
    assert p.levels is not None, "a range was given"
    return p.lower, p.upper, p.levels


def _check_range(p: Parameters) -> None:
    lower, upper, levels = _range_of(p)
    required(lower.is_finite() and lower > 0, "lower", lower, "above 0")
    required(upper.is_finite() and upper > lower, "upper", upper, f"above lower ({lower})")
    required(LEVELS_MIN <= levels <= LEVELS_MAX, "levels", levels, f"{LEVELS_MIN} to {LEVELS_MAX}")
    for key in ("centre", "spacing_pct"):
        required(getattr(p, key) is None, key, getattr(p, key), "nothing beside lower and upper")


def _check_swings(p: Parameters) -> None:
    levels, swings = p.levels, p.swings
    required(
        levels is not None and LEVELS_MIN <= levels <= LEVELS_MAX, "levels", levels, f"{LEVELS_MIN} to {LEVELS_MAX}"
    )
    assert levels is not None, "asked just now"
    assert swings is not None, "asked before"
    required(levels <= swings <= SWINGS_MAX, "swings", swings, f"levels ({levels}) to {SWINGS_MAX}")
    required(1 <= p.swing_candles <= SWINGS_MAX, "swing_candles", p.swing_candles, f"1 to {SWINGS_MAX}")
    for key in ("lower", "upper", "centre", "spacing_pct", "levels_each_side"):
        required(getattr(p, key) is None, key, getattr(p, key), "nothing beside swings")


def _check_centred(p: Parameters) -> None:
    each = p.levels_each_side
    assert each is not None, "asked before"
    required(1 <= each <= LEVELS_MAX // 2, "levels_each_side", each, f"1 to {LEVELS_MAX // 2}")
    required(p.spacing_pct is not None, "spacing_pct", "missing", "above 0 and below 100")
    assert p.spacing_pct is not None, "asked just now"
    required(p.spacing == "geometric" or p.spacing_pct * each < HUNDRED, "spacing_pct", p.spacing_pct, "levels above 0")
    required(p.centre is None or p.centre > 0, "centre", p.centre, "above 0")
    for key in ("lower", "upper", "levels"):
        required(getattr(p, key) is None, key, getattr(p, key), "nothing beside levels_each_side")


def levels_of(parameters: Parameters, instrument: Instrument, close: Price) -> tuple[int, ...]:
    """The levels in price quanta, on the tick, lowest first; raises InputError where two would be one."""
    p, tick = parameters, instrument.tick
    if p.levels_each_side is None:
        lower, upper, count = _range_of(p)
        raw = _between(price_of(instrument, lower), price_of(instrument, upper), count, p.spacing)
    else:
        assert p.spacing_pct is not None, "parameters are checked"
        centre = close if p.centre is None else price_of(instrument, p.centre)
        raw = _around(centre, p.spacing_pct, p.levels_each_side, p.spacing)
    levels = tuple(price - price % tick for price in raw)
    distinct = all(low < high for low, high in pairwise(levels))
    required(distinct and levels[0] > 0, "levels", len(levels), "levels that are at least a tick apart and above 0")
    return levels


def _between(low: int, high: int, levels: int, spacing: str) -> list[int]:
    """`levels` prices from low to high: equal steps, or equal ratios with low x (high/low)^(i/(levels-1))."""
    last = levels - 1
    if spacing == "arithmetic":
        return [low + (high - low) * index // last for index in range(levels)]
    return [_geometric(low, high, index, last) for index in range(levels)]


def _geometric(low: int, high: int, index: int, last: int) -> int:
    """floor(low x (high/low)^(index/last)), exact: the largest x with x^last <= low^(last-index) x high^index."""
    product = low ** (last - index) * high**index
    below, above = low, high + 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if middle**last <= product else (below, middle)
    return below


def _around(centre: int, percent: Decimal, each: int, spacing: str) -> list[int]:
    if spacing == "arithmetic":
        return [floor_ratio(centre, growth(percent * step), 1) for step in range(-each, each + 1)]
    numerator, denominator = growth(percent)
    falling = [divide_half_even(centre * denominator**step, numerator**step) for step in range(each, 0, -1)]
    return [*falling, *(divide_half_even(centre * numerator**step, denominator**step) for step in range(each + 1))]


def features(parameters: Parameters) -> Mapping[str, Indicator]:
    """Swings are looked for where the levels come from them; nothing else is looked at but the close."""
    return {} if parameters.swings is None else {"swing": Pivots(parameters.swing_candles)}


def on_candle(parameters: Parameters, view: View) -> Act | None:
    """The first close lays the grid; later ones are asked for the options only."""
    memory: Memory | None = view.memory
    if memory is None or not memory.levels:
        if parameters.swings is not None:
            return _note_swings(parameters, view, memory)
        return _lay(parameters, view, Memory(levels_of(parameters, view.instrument, view.close), day=_day(view.at)))
    if memory.stopped > view.at:
        return None
    if memory.moving or memory.stopped:
        if view.is_working():
            return None
        levels = memory.levels if memory.stopped else _moved(parameters, view, memory.levels)
        return _lay(parameters, view, Memory(levels, day=_day(view.at), base=view.result))
    return _stop(parameters, view, memory) or _count(parameters, view, memory)


def _note_swings(parameters: Parameters, view: View, memory: Memory | None) -> Act | None:
    """Remember what the market has turned at; with enough of it lay the grid at the levels of most volume."""
    high, low, volume = (int(value) for value in view.features)
    found = tuple((price, volume) for price in (high, low) if price)
    if not found:
        return None
    swings = (() if memory is None else memory.swings) + found
    strongest: dict[int, int] = {}
    for price, traded in swings:
        level = price - price % view.instrument.tick
        strongest[level] = strongest.get(level, 0) + traded
    count = parameters.levels
    assert count is not None, "parameters are checked"
    assert parameters.swings is not None, "asked before"
    if len(swings) < parameters.swings or len(strongest) < count:
        return Act((), Memory((), swings=swings), "swing")
    levels = sorted(sorted(strongest, key=lambda level: (-strongest[level], level))[:count])
    return _lay(parameters, view, Memory(tuple(levels), day=_day(view.at)))


def _lay(parameters: Parameters, view: View, memory: Memory) -> Act:
    """The level nearest to the close stays empty (of two the lower); buys rest below it, sells above."""
    levels, close = memory.levels, view.close
    empty = min(range(len(levels)), key=lambda index: (abs(levels[index] - close), index))
    quantity = size_of(view.instrument, parameters.quantity)
    intents = [
        Place("buy" if index < empty else "sell", "limit", quantity, Price(price), leg=index)
        for index, price in enumerate(levels)
        if index != empty
    ]
    return Act(tuple(intents), memory)


def on_fill(parameters: Parameters, view: View, fill: OrderFilled) -> Act | None:
    """A buy filled at a level places a sell one above, a sell one below; none beyond the ends."""
    memory: Memory | None = view.memory
    if fill.remaining or memory is None or memory.moving or memory.stopped:
        return None
    levels, instrument, side, level = memory.levels, view.instrument, SELL, fill.leg + 1
    quantity = size_of(instrument, parameters.quantity)
    if fill.side == "sell":
        side, level = BUY, fill.leg - 1
    elif instrument.fee_asset == "base":
        quantity = instrument.whole_steps(min(quantity, fill.received))
    if not 0 <= level < len(levels):
        return None
    return Act((Place(side, "limit", quantity, Price(levels[level]), None, False, level),))  # noqa: FBT003


def _stop(parameters: Parameters, view: View, memory: Memory) -> Act | None:
    """Too far below the grid, or too much lost today: cancel, close, and wait."""
    percent, limit = parameters.stop_loss_pct, parameters.daily_loss_limit
    if percent is not None and view.close <= floor_ratio(memory.levels[0], growth(-percent), 1):
        return _leave(structs.replace(memory, stopped=Time(LARGEST)), "stop loss")
    if limit is None:
        return None
    today = _day(view.at)
    if today != memory.day:
        memory = structs.replace(memory, day=today, base=view.result)
        return Act((), memory, "day")
    if view.result <= memory.base - cash_of(view.instrument, limit):
        return _leave(structs.replace(memory, stopped=Time(today + DAY)), "daily loss limit")
    return None


def _leave(memory: Memory, reason: str) -> Act:
    return Act((CLOSE,), memory, reason)


def _count(parameters: Parameters, view: View, memory: Memory) -> Act | None:
    """Count the closes outside; after enough of them cancel all, and lay the grid anew once that is done."""
    if parameters.recentre_after is None:
        return None
    inside = memory.levels[0] <= view.close <= memory.levels[-1]
    outside = 0 if inside else memory.outside + 1
    if outside >= parameters.recentre_after:
        return Act((Cancel(),), structs.replace(memory, outside=0, moving=True), "re-centre")
    return None if outside == memory.outside else Act((), structs.replace(memory, outside=outside), "outside")


def _moved(parameters: Parameters, view: View, levels: tuple[int, ...]) -> tuple[int, ...]:
    """The grid about the price: centred levels are laid out anew, a range is shifted by whole ticks."""
    if parameters.levels_each_side is not None:
        return levels_of(structs.replace(parameters, centre=None), view.instrument, view.close)
    shift = view.instrument.tick * ((view.close - (levels[0] + levels[-1]) // 2) // view.instrument.tick)
    shift = max(shift, view.instrument.tick - levels[0])
    return tuple(level + shift for level in levels)


def watch(parameters: Parameters, memory: Memory | None) -> Bounds | None:
    """At every candle until the grid lies, and where an option counts something there."""
    if (
        memory is None
        or not memory.levels
        or memory.moving
        or memory.outside
        or parameters.daily_loss_limit is not None
    ):
        return ALWAYS
    if memory.stopped:
        return None if memory.stopped == LARGEST else ALWAYS
    low, high = -LARGEST, LARGEST
    if parameters.recentre_after is not None:
        low, high = memory.levels[0] - 1, memory.levels[-1] + 1
    elif parameters.stop_loss_pct is not None:
        low = floor_ratio(memory.levels[0], growth(-parameters.stop_loss_pct), 1)
    return None if (low, high) == (-LARGEST, LARGEST) else (low, high)


def _day(at: Time) -> Time:
    return Time(at - at % DAY)


STRATEGY = Strategy(
    name="grid",
    title="Buys below, sells above; each fill is answered one level away.",
    parameters=Parameters,
    on_candle=on_candle,
    on_fill=on_fill,
    features=features,
    watch=watch,
    memory=Memory,
    check=check,
)
