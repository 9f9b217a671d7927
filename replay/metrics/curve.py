"""The equity curve: what an account was worth at every close of its candles, in integer quanta."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from domain.account.events import OrderFilled
from domain.errors import InputError
from domain.market import Instrument
from domain.values import LARGEST, POWERS, Asset, Time, checked
from infrastructure.market_data.columns_file import Integers, integers
from infrastructure.market_data.tape import Tape
from projections.cost_basis import fee_in_quote

Floats = NDArray[np.float64]
Market = tuple[Instrument, Tape]


class Curve(Struct, frozen=True, eq=False):
    """Equity and exposure, the sum of the positions' worth without their signs, at candle closes; int64 quanta of cash.

    `times` are the closes of all tapes together, in microseconds. `initial` is the equity at `start`, the first open.
    """

    times: Integers
    equity: Integers
    exposure: Integers
    start: Time
    initial: int
    cash_scale: int
    currency: Asset

    def __len__(self) -> int:
        return len(self.times)


def equity_curve(fills: Sequence[OrderFilled], markets: Sequence[Market], cash: int, positions: Sequence[int]) -> Curve:
    """The curve of an account that began with `cash` and `positions`, one for each market, all quoted in one asset.

    A fill counts from the close of its candle on, which is the first close after its `venue_at`. A position is worth the
    last close of its own tape, before that the tape's first open. Fees in a third asset leave no quote cash. Raises
    InputError where there is no candle, AmountError where a value does not fit 64 bits.
    """
    if not any(len(tape) for _, tape in markets):
        raise InputError("no candle, so no equity curve; allowed: tapes of which at least one has a candle")
    markets = [(instrument, tape.rescaled(instrument.price_scale)) for instrument, tape in markets]
    times = close_times([tape for _, tape in markets])
    quote, scale = markets[0][0].quote, markets[0][0].quote_scale
    balance, initial = np.full(len(times), cash, np.int64), cash
    values: list[Integers] = []
    for (instrument, tape), position in zip(markets, positions, strict=True):
        if not len(tape):
            continue
        quantities, amounts, rows = _moves([fill for fill in fills if fill.instrument == instrument.id], tape, times)
        balance += _running(len(times), rows, amounts)
        held = _running(len(times), rows, quantities)
        held += position
        values.append(notionals(instrument, closes_at(tape, times), held))
        initial += instrument.notional(tape.opens[0], position)
    _check_sums(balance, values)
    exposure = np.abs(values[0])
    equity = balance
    for worth in values:
        equity += worth
    for worth in values[1:]:
        exposure += np.abs(worth)
    start = min(tape.open_times[0] for _, tape in markets if len(tape))
    return Curve(times, equity, exposure, Time(start), checked(initial, "the equity"), scale, quote)


def _check_sums(balance: Integers, values: Sequence[Integers]) -> None:
    """Raise AmountError where cash and worth, all without signs, do not fit 64 bits together."""
    # Sums of int64 wrap around in silence. Python's integers cannot, nor can floats, which are asked only if need be.
    if sum(map(_largest, values), _largest(balance)) > LARGEST:
        bound = sum((np.abs(worth.astype(np.float64)) for worth in values), np.abs(balance.astype(np.float64)))
        checked(int(bound.max()), "the account's worth")


def close_times(tapes: Sequence[Tape]) -> Integers:
    """When the candles of all tapes close, each time once, in order."""
    each = [integers(tape.open_times) + tape.interval for tape in tapes if len(tape)]
    return each[0] if len(each) == 1 else np.unique(np.concatenate(each))


def closes_at(tape: Tape, times: Integers) -> Integers:
    """The last close of a tape at each of these times; before its first candle has closed, its first open."""
    if len(times) == len(tape) and (integers(tape.open_times) + tape.interval == times).all():
        return integers(tape.closes)
    rows = np.searchsorted(integers(tape.open_times) + tape.interval, times, side="right") - 1
    closes: Integers = integers(tape.closes)[np.maximum(rows, 0)]
    if len(rows) and rows[0] < 0:
        closes[rows < 0] = tape.opens[0]
    return closes


def notionals(instrument: Instrument, prices: Integers, quantities: Integers) -> Integers:
    """`Instrument.notional` of each pair, to the quantum; raises AmountError where one does not fit 64 bits.

    In int64 where every product on the way fits. Where one does not, one by one in Python's integers: 0.5 us each.
    """
    exponent = instrument.quote_scale - instrument.price_scale - instrument.size_scale
    price = _largest(prices)
    if exponent >= 0:
        if price * _largest(quantities) * POWERS[exponent] <= LARGEST:
            worth: Integers = prices * quantities * POWERS[exponent]
            return worth
    else:
        # price x (whole x d + part) / d = price x whole + price x part / d: the long product is never made.
        divisor = POWERS[-exponent]
        if price * _largest(quantities) <= LARGEST // 2:
            return _half_even(prices * quantities, divisor)
        if divisor <= LARGEST // 4 and price * (_largest(quantities) // divisor + 2) <= LARGEST // 2:
            whole, part = np.divmod(quantities, divisor)
            if price * _largest(part) <= LARGEST:
                return _half_even(prices * part, divisor, prices * whole)
    pairs = zip(prices.tolist(), quantities.tolist(), strict=True)
    return np.array([checked(instrument.notional(*pair), "a position's worth") for pair in pairs], np.int64)


def _half_even(products: Integers, divisor: int, whole: Integers | None = None) -> Integers:
    """whole + products / divisor, ties to the even sum."""
    # `//` by one number is made of multiplications, `divmod` is not.
    total: Integers = products // divisor
    twice = products - total * divisor
    twice *= 2
    if whole is not None:
        total += whole
    total += (twice > divisor) | ((twice == divisor) & (total & 1 == 1))
    return total


def _largest(values: Integers) -> int:
    return max(int(values.max()), -int(values.min())) if len(values) else 0


def _moves(fills: Sequence[OrderFilled], tape: Tape, times: Integers) -> tuple[Integers, Integers, NDArray[np.intp]]:
    """What the fills of one instrument move: signed quantities, signed cash, and the row of `times` where they count."""
    taken = {fill.fee_asset: fill for fill in fills}
    in_quote = {asset: fee_in_quote(fill) for asset, fill in taken.items()}
    signs = np.array([1 if fill.side == "buy" else -1 for fill in fills], np.int64)
    fees = np.array([fill.fee if in_quote[fill.fee_asset] else 0 for fill in fills], np.int64)
    quantities = np.array([fill.received for fill in fills], np.int64) * signs
    amounts = -np.array([fill.cash for fill in fills], np.int64) * signs - fees
    at = np.array([fill.venue_at for fill in fills], np.int64)
    closes = integers(tape.open_times) + tape.interval
    own = np.minimum(np.searchsorted(closes, at, side="right"), len(closes) - 1)
    return quantities, amounts, np.searchsorted(times, closes[own])


def _running(size: int, rows: NDArray[np.intp], amounts: Integers) -> Integers:
    """The sum of all amounts up to each row. It may wrap around on the way: a balance that fits 64 bits comes out right."""
    changes = np.zeros(size, np.int64)
    np.add.at(changes, rows, amounts)
    return np.cumsum(changes)
