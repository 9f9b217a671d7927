"""A simulated market: one feed that owns tapes and their books, so that it knows which candles can be skipped.

The order of things, `candle-v1`: at one instant the fills of all candles that end then, instrument by instrument in the
order in which the market was given them; then decisions at their closes; then alerts in order of `at` and line, up to
and including the next open time of any instrument; then the candles that open then. A deadline comes before everything
at its time. Where intervals differ, an order that comes inside a candle is not met by it, and a cancel acts at its end.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from domain.message import Fact
from domain.ports import FOREVER, ClockStarted, DeadlineReached, Effect, Input, Interest, Mark, Moment, TapeEnded, Wake
from domain.signal.commands import DeliverAlert
from domain.values import InstrumentId, Time
from infrastructure.venues.lane import Bounds, Lane, Pace

VENUE = "venue"


class TimedAlert(Struct, frozen=True):
    """A delivery and when it arrived."""

    at: Time
    source: str
    body: str


class SimulatedMarket:
    """Feed and venue over one account's instruments, with the strategies that were prepared on their tapes.

    At every pace the log is the same: a candle that cannot matter may be skipped.
    """

    def __init__(
        self, lanes: Sequence[Lane], opening: Sequence[Input], alerts: Sequence[TimedAlert], pace: Pace = "skip"
    ) -> None:
        self._lanes = lanes
        self._lane_of = {lane.instrument: lane for lane in lanes}
        self._opening = opening
        self._alerts = sorted(alerts, key=lambda alert: alert.at)
        self._pace = pace
        self._alert = 0
        self._searched: tuple[int, list[int]] = (-1, [])
        self._started = False
        self._ended = False
        self._now = self._start()
        self._acting = self._now

    @property
    def candles(self) -> int:
        """How many have passed."""
        return sum(lane.passed for lane in self._lanes)

    def _start(self) -> Time:
        starts = [Time(lane.times[0]) for lane in self._lanes if len(lane.times)]
        starts += [self._alerts[0].at] if self._alerts else []
        return min(starts, default=Time(0))

    def next(self, interest: Interest) -> list[Moment] | None:
        """The next moment at which something happens: a fill, a watched price, an alert, a deadline; None at the end."""
        if not self._started:
            self._started = True
            return [Moment(self._now, [ClockStarted(), *self._opening])]
        moment = self._next_candles(interest)
        if moment is None:
            moment = self._next_planned(interest)
        return None if moment is None else [moment]

    def send(self, effects: list[Effect]) -> list[Moment]:
        """Carry out the effects; what the venue answers is known at once."""
        answers: list[Fact] = []
        for effect in effects:
            answers += self._lane_of[effect.instrument].carry_out(effect, self._acting)
        return [Moment(self._now, _reported(answers))] if answers else []

    def _stops(self, interest: Interest) -> list[int]:
        """For each lane how many candles come before the next alert or the deadline, whichever is first."""
        limit = interest.deadline
        if self._alert < len(self._alerts):
            limit = min(limit, self._alerts[self._alert].at)
        if self._searched[0] != limit:
            opens = [lane.opening_from(limit) for lane in self._lanes]
            until = min([lane.open_time(index) for lane, index in zip(self._lanes, opens, strict=True)])
            self._searched = (
                limit,
                [
                    index if lane.open_time(index) == until else lane.ended_by(until)
                    for lane, index in zip(self._lanes, opens, strict=True)
                ],
            )
        return self._searched[1]

    def _next_candles(self, interest: Interest) -> Moment | None:
        """The next instant, before what is planned, at which candles end that matter."""
        stops, watched = self._stops(interest), interest.watched
        while (end := self._soonest(stops, watched)) is not FOREVER:
            moment = self._candles(end, watched)
            if moment is not None:
                return moment
        for lane, stop in zip(self._lanes, stops, strict=True):
            lane.passed = max(lane.passed, stop)
        return None

    def _soonest(self, stops: list[int], watched: dict[InstrumentId, Bounds]) -> Time:
        """When the next candle that matters ends, FOREVER where none does; no lane looks further than it must."""
        soonest = FOREVER
        for lane, stop in zip(self._lanes, stops, strict=True):
            lane.look_ahead(stop, soonest, watched.get(lane.instrument), self._pace)
            soonest = min(soonest, lane.due)
        return soonest

    def _candles(self, end: Time, watched: dict[InstrumentId, Bounds]) -> Moment | None:
        """All fills of the candles that end now, and the closes; None where nothing came of them."""
        reports: list[Fact] = []
        whole: list[Lane] = []
        wakes: list[Wake] = []
        told, at = self._pace == "every", self._now
        for lane in self._lanes:
            if lane.due == end:
                reports += lane.play()
                bounds = watched.get(lane.instrument)
                wakes += lane.wakes(bounds, self._pace)
                if bounds is not None:
                    whole.append(lane)
                    told = told or lane.reaches(bounds)
            else:
                lane.passed = lane.ended_by(end)
            if lane.passed:
                at = max(at, Time(lane.times[lane.passed - 1]))
        if not (reports or told or wakes):
            return None
        self._now, self._acting = at, end
        return Moment(at, [*_reported(reports), *self._marks(whole), *wakes])

    def _next_planned(self, interest: Interest) -> Moment | None:
        """The deadline, the next alert, or the end of the tapes."""
        alert = self._alerts[self._alert] if self._alert < len(self._alerts) else None
        if alert is None and all(lane.passed == len(lane.times) for lane in self._lanes):
            return self._end()
        if alert is None or interest.deadline <= alert.at:
            self._pass_to(interest.deadline)
            return Moment(self._now, [*self._marks(), DeadlineReached()])
        self._alert += 1
        self._pass_to(alert.at)
        return Moment(self._now, [*self._marks(), Input(alert.source, DeliverAlert(alert.source, alert.body))])

    def _end(self) -> Moment | None:
        if self._ended:
            return None
        self._ended = True
        times = [self._now]
        times += [Time(lane.times[-1]) for lane in self._lanes if len(lane.times)]
        self._now = max(times)
        return Moment(self._now, [*self._marks(), TapeEnded()])

    def _pass_to(self, at: Time) -> None:
        self._now = max(self._now, at)
        self._acting = max(self._acting, at)

    def _marks(self, whole: Sequence[Lane] = ()) -> list[Mark]:
        """The last closes, where candles have passed since they were last told."""
        marks = (lane.mark(whole=lane in whole) for lane in self._lanes)
        return [mark for mark in marks if mark is not None]


def _reported(reports: Sequence[Fact]) -> list[Any]:
    return [Input(VENUE, report) for report in reports]
