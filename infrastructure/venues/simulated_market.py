"""A simulated market: one feed that owns a tape and a venue, so that it knows which candles can be skipped.

The order of things, `candle-v1`: a candle's fills, then decisions at its close, then alerts in order of `at` and line
up to and including the next candle's open time, then that candle. A deadline comes before everything at its time.
"""

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct

from domain.message import Fact
from domain.ports import ClockStarted, DeadlineReached, Effect, Input, Interest, Mark, Moment, Observation, TapeEnded
from domain.signal.commands import DeliverAlert
from domain.values import InstrumentId, Price, Time
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import NOWHERE_ABOVE, NOWHERE_BELOW, SimulatedVenue, carry_out

VENUE = "venue"


class TimedAlert(Struct, frozen=True):
    """A delivery and when it arrived."""

    at: Time
    source: str
    body: str


class SimulatedMarket:
    """Feed and venue over one candle tape, whose prices are in the instrument's quanta.

    `every` puts each candle through the core instead of skipping those that cannot matter; the log is the same.
    """

    def __init__(
        self,
        instrument: InstrumentId,
        tape: Tape,
        venue: SimulatedVenue,
        opening: Sequence[Input],
        alerts: Sequence[TimedAlert],
        *,
        every: bool = False,
    ) -> None:
        self.candles = 0
        self._instrument = instrument
        self._tape = tape
        self._venue = venue
        self._opening = opening
        self._alerts = sorted(alerts, key=lambda alert: alert.at)
        self._every = every
        self._candle = 0
        self._alert = 0
        self._marked = 0
        self._searched: tuple[int, int] = (-1, 0)
        self._started = False
        self._ended = False
        self._now = self._start()

    def _start(self) -> Time:
        starts = [Time(self._tape.open_times[0])] if len(self._tape.open_times) else []
        starts += [self._alerts[0].at] if self._alerts else []
        return min(starts, default=Time(0))

    def next(self, interest: Interest) -> list[Moment] | None:
        """The next moment at which something happens: a fill, an alert, a deadline; None at the end."""
        if not self._started:
            self._started = True
            return [Moment(self._now, [ClockStarted(), *self._opening])]
        moment = self._next_candle(self._horizon(interest))
        if moment is None:
            moment = self._next_planned(interest)
        return None if moment is None else [moment]

    def send(self, effects: list[Effect]) -> list[Moment]:
        """Carry out the effects; what the venue answers is known at once."""
        answers: list[Fact] = []
        for effect in effects:
            answers += carry_out(self._venue, effect)
        return [self._reported(self._now, answers)] if answers else []

    def _horizon(self, interest: Interest) -> int:
        """Index of the first candle that must wait: for the next alert, or for the deadline."""
        limit = interest.deadline
        if self._alert < len(self._alerts):
            limit = min(limit, self._alerts[self._alert].at)
        if self._searched[0] != limit:
            self._searched = limit, bisect_left(self._tape.open_times, limit, self._candle)
        return self._searched[1]

    def _next_candle(self, end: int) -> Moment | None:
        """The next candle before `end` that meets an order."""
        while self._candle < end:
            index = self._candle if self._every else self._scan(self._candle, end)
            self._candle = min(index + 1, end)
            self.candles = self._candle
            if index == end:
                return None
            tape = self._tape
            at = Time(tape.open_times[index])
            fills = self._venue.candle(at, tape.opens[index], tape.highs[index], tape.lows[index])
            if fills or self._every:
                self._now = at
                moment = self._reported(at, fills)
                return Moment(at, [*moment.facts, *self._mark()]) if self._every else moment
        return None

    def _scan(self, start: int, end: int) -> int:
        """Index of the first candle that meets an order, `end` where none does."""
        below, above = self._venue.bounds()
        if below == NOWHERE_BELOW and above == NOWHERE_ABOVE:
            return end
        lows, highs = self._tape.lows, self._tape.highs
        for index in range(start, end):
            if lows[index] <= below or highs[index] >= above:
                return index
        return end

    def _next_planned(self, interest: Interest) -> Moment | None:
        """The deadline, the next alert, or the end of the tape."""
        more_candles = self._candle < len(self._tape.open_times)
        alert = self._alerts[self._alert] if self._alert < len(self._alerts) else None
        if alert is None and not more_candles:
            if self._ended:
                return None
            self._ended = True
            if len(self._tape.open_times):
                self._now = max(self._now, Time(self._tape.open_times[-1]))
            return Moment(self._now, [*self._mark(), TapeEnded()])
        upcoming = [Time(self._tape.open_times[self._candle])] if more_candles else []
        upcoming += [alert.at] if alert is not None else []
        if interest.deadline <= min(upcoming):
            self._now = interest.deadline
            return Moment(self._now, [*self._mark(), DeadlineReached()])
        assert alert is not None
        self._alert += 1
        self._now = alert.at
        return Moment(alert.at, [*self._mark(), Input(alert.source, DeliverAlert(alert.source, alert.body))])

    def _mark(self) -> list[Observation]:
        """The last close, where a candle has passed since it was last told."""
        if self._marked == self._candle:
            return []
        self._marked = self._candle
        return [Mark(self._instrument, Price(self._tape.closes[self._candle - 1]))]

    def _reported(self, at: Time, reports: Sequence[Fact]) -> Moment:
        return Moment(at, [Input(VENUE, report) for report in reports])
