"""A market whose reports misbehave by script: lost, late, doubled, out of order; the truth comes out in the end."""

import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from domain.account.commands import UnknownReported
from domain.engine import Core
from domain.market import Instrument
from domain.message import Event, Record
from domain.ports import Effect, Input, Interest, Moment, SubmitOrder
from domain.values import Time, parse_time
from infrastructure.event_store.codec import encode
from infrastructure.market_data.tape import COLUMNS, Tape, make_tape
from infrastructure.venues.simulated import SimulatedVenue, Wallet
from infrastructure.venues.simulated_market import VENUE, SimulatedMarket

START = parse_time("2024-01-01T00:00:00Z")
MINUTE = 60_000_000


def tape_of(candles: Iterable[tuple[int, int, int, int]], every: int = MINUTE, gap: tuple[int, int] = (0, 0)) -> Tape:
    """A tape of (open, high, low, close) in quanta of 10^-2, one candle a minute; `gap` is (from index, by time)."""
    first, by = gap
    rows = [(START + index * every + (by if index >= first else 0), *candle, 1) for index, candle in enumerate(candles)]
    table = np.array(rows, dtype=np.int64).reshape(-1, 6)
    columns = {name: np.ascontiguousarray(table[:, index]) for index, name in enumerate(COLUMNS)}
    return make_tape(columns, 2, 0, every)


class ListLedger:
    """Keeps what it is given, and can say of an event id which event it is."""

    def __init__(self) -> None:
        self.records: list[Record[Event]] = []
        self.events: dict[tuple[int, int], Event] = {}

    def append(self, records: list[Record[Event]]) -> None:
        self.records += records
        for record in records:
            for offset, event in enumerate(record.events):
                identity = (record.stream, record.version + offset)
                assert identity not in self.events, "an event id is used once"
                self.events[identity] = event

    @property
    def log(self) -> bytes:
        return b"".join(map(encode, self.records))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for record in self.records for event in record.events if isinstance(event, kind)]


class Misbehaving:
    """Wraps a simulated market as feed and venue; `faults` says how often each thing happens, in percent.

    lose_request: an order never arrives, and only a timeout says so. lose_answer: it arrives, the answer is lost.
    late: a report comes some moments later, perhaps after others. double: a report comes twice.
    """

    def __init__(self, market: SimulatedMarket, seed: int, **faults: int) -> None:
        self.inputs: list[Moment] = []
        self.sent: list[SubmitOrder] = []
        self._market = market
        self._chance = random.Random(seed)
        self._faults = faults
        self._late: list[tuple[int, Input]] = []
        self._turn = 0
        self._at = Time(0)

    def next(self, interest: Interest) -> list[Moment] | None:
        self._turn += 1
        due = [report for turn, report in self._late if turn <= self._turn]
        if due:
            self._late = [(turn, report) for turn, report in self._late if turn > self._turn]
            self._chance.shuffle(due)
            return self._kept([Moment(self._at, due)])
        moments = self._market.next(interest)
        if moments is None and self._late:
            self._turn = max(turn for turn, _ in self._late)
            return self.next(interest)
        return None if moments is None else self._kept([self._disturbed(moment) for moment in moments])

    def send(self, effects: list[Effect]) -> list[Moment]:
        answers: list[Moment] = []
        for effect in effects:
            if isinstance(effect, SubmitOrder):
                self.sent.append(effect)
                if self._happens("lose_request"):
                    answers.append(self._timeout(effect))
                    continue
                if self._happens("lose_answer"):
                    self._market.send([effect])
                    answers.append(self._timeout(effect))
                    continue
            answers += [self._disturbed(moment) for moment in self._market.send([effect])]
        return self._kept([moment for moment in answers if moment.facts])

    def _timeout(self, effect: SubmitOrder) -> Moment:
        return Moment(self._at, [Input(VENUE, UnknownReported(effect.account, effect.order, "timeout"))])

    def _disturbed(self, moment: Moment) -> Moment:
        self._at = moment.at
        facts: list[Any] = []
        for fact in moment.facts:
            if not (isinstance(fact, Input) and fact.actor == VENUE):
                facts.append(fact)
                continue
            for _ in range(2 if self._happens("double") else 1):
                if self._happens("late"):
                    self._late.append((self._turn + self._chance.randint(1, 6), fact))
                else:
                    facts.append(fact)
        return Moment(moment.at, facts)

    def _kept(self, moments: list[Moment]) -> list[Moment]:
        self.inputs += moments
        return moments

    def _happens(self, fault: str) -> bool:
        return self._chance.randrange(100) < self._faults.get(fault, 0)


class CheckedVenue:
    """Passes effects on, and refuses to send what the ledger has not licensed."""

    def __init__(self, venue: Misbehaving, ledger: ListLedger) -> None:
        self._venue = venue
        self._ledger = ledger

    def send(self, effects: list[Effect]) -> list[Moment]:
        for effect in effects:
            if isinstance(effect, SubmitOrder):
                verdict: Any = self._ledger.events.get(effect.verdict)
                assert type(verdict).__name__ == "RiskPassed", "a send without a committed verdict"
                assert verdict.order == effect.order
        return self._venue.send(effects)


def replayed(inputs: list[Moment], groups: random.Random) -> bytes:
    """The log that the same inputs give a fresh core, in groups of any size."""
    core, log, start = Core(), bytearray(), 0
    while start < len(inputs):
        size = groups.randint(1, 7)
        for record in core.step(inputs[start : start + size])[0]:
            log += encode(record)
        start += size
    return bytes(log)


def venue_of(instrument: Instrument, terms: Any, cash: int, kind: Any = "spot") -> SimulatedVenue:
    return SimulatedVenue("main", kind, instrument, terms, Wallet(cash), 0)
