"""A simulated market: one feed that owns tapes and their books, so that it knows which candles can be skipped.

The order of things, `candle-v1`: at one instant the fills of all candles that end then, instrument by instrument in the
order in which the market was given them; then decisions at their closes; then alerts in order of `at` and line, up to
and including the next open time of any instrument; then the candles that open then. A deadline comes before everything
at its time. Where intervals differ, an order that comes inside a candle is not met by it, and a cancel acts at its end.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from domain.ports import (
    FOREVER,
    ClockStarted,
    DeadlineReached,
    Effect,
    Input,
    Interest,
    Mark,
    Moment,
    SubmitOrder,
    TapeEnded,
    Wake,
)
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
        self._lanes = list(lanes)
        self._lane_of = {lane.instrument: lane for lane in lanes}
        self._rests = not any(lane.venue.fills_at_close for lane in lanes)
        self._opening = opening
        self._alerts = sorted(alerts, key=lambda alert: alert.at)
        self._pace = pace
        self._alert = 0
        self._alert_at = self._alerts[0].at if self._alerts else FOREVER
        self._planned = Time(-1)
        self._stops: list[tuple[Lane, int]] = []
        self._started = False
        self._ended = False
        self._now = self._start()
        self._acting: int = self._now

    @property
    def candles(self) -> int:
        """How many have passed."""
        return sum(lane.passed for lane in self._lanes)

    def _start(self) -> Time:
        starts = [Time(lane.times[0]) for lane in self._lanes if len(lane.times)]
        starts += [alert.at for alert in self._alerts[:1]]
        return min(starts, default=Time(0))

    def next(self, interest: Interest) -> list[Moment] | None:
        """The next moment at which something happens: a fill, a watched price, an alert, a deadline; None at the end."""
        if not self._started:
            self._started = True
            return [Moment(self._now, [ClockStarted(), *self._opening])]
        moment = self._next_candles(interest) or self._next_planned(interest)
        return None if moment is None else [moment]

    def send(self, effects: list[Effect]) -> list[Moment]:
        """Carry out the effects; what the venue answers is known at once."""
        if not effects:
            return []
        answers: list[Input] = []
        for effect in effects:
            lane = self._lane_of[effect.instrument]
            if type(effect) is SubmitOrder and self._rests:
                answers.append(Input(VENUE, lane.venue.submit(effect, self._acting)))
            else:
                answers += [Input(VENUE, report) for report in lane.carry_out(effect, self._acting)]
        return [Moment(self._now, answers)] if answers else []

    def _next_candles(self, interest: Interest) -> Moment | None:
        """The next instant, before what is planned, at which candles end that matter."""
        planned = min(interest.deadline, self._alert_at)
        if planned != self._planned:
            self._planned, self._stops = planned, self._stops_at(planned)
        if len(self._stops) > 1:
            return self._next_of_several(interest.watched)
        lane, stop = self._stops[0]
        watched, pace = interest.watched.get(lane.instrument), self._pace
        while lane.look_ahead(stop, FOREVER, watched, pace):
            facts: list[Any] = []
            for report in lane.play():
                facts.append(Input(VENUE, report))  # noqa: PERF401  (a comprehension is a call)
            reached = watched is not None and lane.reaches(watched)
            told = reached or pace == "every"
            wakes = lane.wakes(pace, reached=reached) if told or lane.met == lane.wake else ()
            if facts or wakes or told:
                self._now, self._acting = max(self._now, lane.opened), lane.due
                facts.append(lane.mark(whole=watched is not None))
                facts += wakes
                return Moment(self._now, facts)
        lane.passed = max(lane.passed, stop)
        return None

    def _next_of_several(self, watched: dict[InstrumentId, Bounds]) -> Moment | None:
        """Where there are several tapes, their candles that end together are one instant."""
        while True:
            end: int = FOREVER
            for lane, stop in self._stops:  # no lane looks further than it must
                lane.look_ahead(stop, end, watched.get(lane.instrument), self._pace)
                end = min(end, lane.due)
            if end == FOREVER:
                break
            moment = self._candles(end, watched)
            if moment is not None:
                return moment
        for lane, stop in self._stops:
            lane.passed = max(lane.passed, stop)
        return None

    def _stops_at(self, planned: Time) -> list[tuple[Lane, int]]:
        """Each lane, and how many of its candles come before what is planned next: an alert or the deadline."""
        opens = [lane.opening_from(planned) for lane in self._lanes]
        until = min([lane.open_time(index) for lane, index in zip(self._lanes, opens, strict=True)])
        return [
            (lane, index if lane.open_time(index) == until else lane.ended_by(until))
            for lane, index in zip(self._lanes, opens, strict=True)
        ]

    def _candles(self, end: int, watched: dict[InstrumentId, Bounds]) -> Moment | None:
        """All fills of the candles that end now, and the closes; None where nothing came of them."""
        facts: list[Any] = []
        wakes: list[Wake] = []
        told, at = self._pace == "every", self._now
        for lane in self._lanes:
            if lane.due == end:
                facts += [Input(VENUE, report) for report in lane.play()]
                at = max(at, lane.opened)
                bounds = watched.get(lane.instrument)
                reached = bounds is not None and lane.reaches(bounds)
                told = told or reached
                wakes += lane.wakes(self._pace, reached=reached)
            else:
                lane.passed = lane.ended_by(end)
                if lane.passed:
                    at = max(at, Time(lane.times[lane.passed - 1]))
        if not (facts or told or wakes):
            return None
        self._now, self._acting = at, end
        for lane in self._lanes:
            if lane.told < lane.passed:
                facts.append(lane.mark(whole=lane.due == end and lane.instrument in watched))
        facts += wakes
        return Moment(at, facts)

    def _next_planned(self, interest: Interest) -> Moment | None:
        """The deadline, the next alert, or the end of the tapes."""
        alert = self._alerts[self._alert] if self._alert < len(self._alerts) else None
        if alert is None and all(lane.passed == len(lane.times) for lane in self._lanes):
            return self._end()
        if alert is None or interest.deadline <= alert.at:
            self._pass_to(interest.deadline)
            return Moment(self._now, [*self._marks(), DeadlineReached()])
        self._alert += 1
        self._alert_at = self._alerts[self._alert].at if self._alert < len(self._alerts) else FOREVER
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

    def _marks(self) -> list[Mark]:
        """The last closes, where candles have passed since they were last told."""
        return [lane.mark(whole=False) for lane in self._lanes if lane.told < lane.passed]
