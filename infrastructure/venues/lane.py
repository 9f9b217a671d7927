"""One instrument of a simulated market: its tape, its book at the venue, and how far both are."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Literal, cast, get_args

from domain.message import Fact
from domain.ports import FOREVER, CancelOrder, Effect, Mark, SubmitOrder, Wake
from domain.values import InstrumentId, Price, Time
from infrastructure.market_data.tape import Tape
from infrastructure.venues.prepared import Prepared, low_and_high, wakes_of
from infrastructure.venues.resting import NOWHERE_ABOVE, NOWHERE_BELOW
from infrastructure.venues.simulated import SimulatedVenue, carry_out

Bounds = tuple[int, int]
Pace = Literal["skip", "plain", "every"]
"""How a tape is gone through: the next candle that matters is searched in blocks, one by one, or each goes to the core."""
PACES: tuple[Pace, ...] = get_args(Pace)
NEAR = 48
"""So many candles are looked at one by one before blocks are searched: a block costs as much as about forty of them."""
BLOCK, BLOCK_MAX = 256, 65_536


class Lane:
    """A tape in the instrument's quanta and its book. `passed` counts the candles that are over.

    `met` is the next candle that matters; it opened at `opened` and ends at `due`, FOREVER where none is known. `told`
    is what `passed` was when a close was last told. A candle ends an interval after it opened, and none of a tape opens
    before the one before it has ended.
    """

    def __init__(
        self, instrument: InstrumentId, tape: Tape, venue: SimulatedVenue, prepared: Sequence[Prepared] = ()
    ) -> None:
        self.instrument = instrument
        self.tape = tape
        self.times = cast("Sequence[Time]", tape.open_times)
        self.passed = 0
        self.told = 0
        self.met = 0
        self.opened = Time(0)
        self.due: int = FOREVER
        self.venue = venue
        self._interval = max(1, tape.interval)
        self._cancels: list[CancelOrder] = []
        self._last = len(tape) - 1
        self._below: int = NOWHERE_BELOW
        self._above: int = NOWHERE_ABOVE
        self._clear = 0
        self._prepared = list(prepared)
        self._watching = any(each.watches for each in prepared)
        self._wakes = wakes_of(self._prepared)
        self._wakes_passed = 0
        self.wake = self._next_wake()
        self._opens = cast("Sequence[Price]", tape.opens)
        self._highs = cast("Sequence[Price]", tape.highs)
        self._lows = cast("Sequence[Price]", tape.lows)
        self._closes = cast("Sequence[Price]", tape.closes)
        self._arrays = low_and_high(tape)

    def opening_from(self, at: int) -> int:
        """The first candle to come that opens at a time or after it; how many there are where none does."""
        return bisect_left(self.times, at, self.passed)

    def open_time(self, index: int) -> int:
        """When a candle opens, FOREVER past the last."""
        return self.times[index] if index < len(self.times) else FOREVER

    def end_of(self, index: int) -> Time:
        """When a candle is over."""
        return Time(self.times[index] + self._interval)

    def ended_by(self, at: int) -> int:
        """How many candles are over at a time that is not before those that have passed."""
        return bisect_right(self.times, at - self._interval, self.passed)

    def look_ahead(self, stop: int, soonest: int, watched: Bounds | None, pace: Pace = "skip") -> bool:
        """Find the first candle before `stop`, over by `soonest`, that matters; whether there is one.

        It meets an order or a watched price, a strategy may act at its close, or a cancel waits for its end.
        """
        index = self.passed
        if self.wake < index:
            self.wake = self._next_wake()
        if index < stop and index < self.wake and pace != "every" and not self._cancels:
            below, above = self.venue.bounds()
            if watched is not None:
                below, above = max(below, watched[0]), min(above, watched[1])
            if self._lows[index] > below and self._highs[index] < above:
                until = min(stop, self.wake)
                index = self._scan(index + 1, until, soonest, below, above, pace)
        if index >= stop:
            self.due = FOREVER
            return False
        self.met = index
        self.opened = opened = self.times[index]
        self.due = opened + self._interval
        return True

    def _next_wake(self) -> int:
        """The first candle to come at which a strategy may act; how many there are where none is."""
        wakes, place = self._wakes, self._wakes_passed
        while place < len(wakes) and wakes[place] < self.passed:
            place += 1
        self._wakes_passed = place
        return wakes[place] if place < len(wakes) else len(self.times)

    def _scan(self, start: int, stop: int, soonest: int, below: int, above: int, pace: Pace) -> int:
        """The first candle that reaches a bound, or `stop`; what was looked through for these is not looked at again."""
        if below != self._below or above != self._above:
            self._below, self._above = below, above
        elif start < self._clear:
            start = self._clear
        if below == NOWHERE_BELOW and above == NOWHERE_ABOVE:
            return stop
        until = stop if soonest == FOREVER else min(stop, self.ended_by(soonest))
        near = until if pace == "plain" else min(until, start + NEAR)
        lows, highs = self._lows, self._highs
        for index in range(start, near):
            if lows[index] <= below or highs[index] >= above:
                self._clear = index
                return index
        index = self._search(near, until, below, above)
        self._clear = max(start, index)
        return index if index < until else stop

    def _search(self, start: int, stop: int, below: int, above: int) -> int:
        """As `_scan`, in blocks."""
        low, high = self._arrays
        size = BLOCK
        while start < stop:
            end = min(stop, start + size)
            reached = (low[start:end] <= below) | (high[start:end] >= above)
            first = int(reached.argmax())
            if reached[first]:
                return start + first
            start, size = end, min(2 * size, BLOCK_MAX)
        return stop

    def play(self) -> list[Fact]:
        """All fills of the candle that was met, then the cancels that waited for its end."""
        index = self.met
        self.passed = index + 1
        reports = self.venue.candle(self.opened, self._opens[index], self._highs[index], self._lows[index])
        if self._cancels:
            reports += [self.venue.cancel(cancel) for cancel in self._cancels]
            self._cancels = []
        return reports

    def carry_out(self, effect: Effect, now: int) -> Sequence[Fact]:
        """Carry out an effect. An order that comes inside a candle rests from the next; a cancel acts at its end."""
        venue, passed = self.venue, self.passed
        if type(effect) is SubmitOrder:
            taken = venue.submit(effect, now)
            if venue.fills_at_close and passed:
                return (taken, *venue.at_close(effect.order, self.times[passed - 1], self._closes[passed - 1]))
            return (taken,)
        if type(effect) is CancelOrder and passed <= self._last and self.times[passed] < now:
            self._cancels.append(effect)
            return ()
        return carry_out(venue, effect)

    def wakes(self, pace: Pace, *, reached: bool) -> Sequence[Wake]:
        """Which strategies are asked at the close of the candle that has just passed; none at the tape's last.

        `reached` says that the candle went to a watched price.
        """
        index = self.passed - 1
        if index == self._last or not (index == self.wake or (reached and self._watching) or pace == "every"):
            return ()
        return [
            each.wake(index)
            for each in self._prepared
            if index >= each.first and (each.mask[index] or (each.watches and reached) or pace == "every")
        ]

    def reaches(self, watched: Bounds) -> bool:
        """Whether the last candle that passed went to a watched price."""
        return self._lows[self.passed - 1] <= watched[0] or self._highs[self.passed - 1] >= watched[1]

    def mark(self, *, whole: bool) -> Mark:
        """The last close, `whole` with its candle's low and high; from now on it has been told."""
        self.told = self.passed
        last = self.passed - 1
        if whole:
            return Mark(self.instrument, self._closes[last], self._lows[last], self._highs[last])
        return Mark(self.instrument, self._closes[last])
