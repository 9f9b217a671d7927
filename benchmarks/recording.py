"""A run written down at the joints of the loop, so that each part can be done again by itself, without the others.

The parts are pure: the same moments make the same records, the same effects make the same reports. So a part's time is
that of doing it again on what it was given, and no clock is read inside the loop.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from domain.account.commands import AcceptReported, CancelReported, FillReported, RejectReported
from domain.account.events import OrderFilled, OrderIntended
from domain.engine import Core, run
from domain.message import Event, Record
from domain.ports import Effect, Input, Interest, Moment
from domain.values import Time
from infrastructure.event_store.codec import encode_block
from replay.game import Game, market_of
from replay.spool import BLOCK, Spool

Records = list[Record[Event]]
Parts = tuple[tuple[Any, ...], list[tuple[type[Event], tuple[Any, ...]]], tuple[Any, ...]]
Keep = Callable[[Any], object]


def drop(_made: object) -> None:
    """What is not asked for is not kept, as the loop does not keep it."""


class Turn(Struct):
    """What the market was given between two calls of `next`: a deadline, and what each step sent."""

    deadline: Time
    sent: list[list[Effect]]


class Recording:
    """Feed, ledger and venue of one run, around the real ones; `watched` counts candles passed while an order rested."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.turns: list[Turn] = []
        self.steps: list[list[Moment]] = []
        self.appended: list[Records] = []
        self.watched = 0
        self._working: set[int] = set()
        self._market = market_of(game)
        run(Core(), self, self, self)
        self.records: Records = [record for records in self.appended for record in records]
        self.blocks = [
            encode_block(self.records[start : start + BLOCK]) for start in range(0, len(self.records), BLOCK)
        ]
        self.counts = Counter(type(event) for record in self.records for event in record.events)

    @property
    def fills(self) -> int:
        return self.counts[OrderFilled]

    @property
    def orders(self) -> int:
        return self.counts[OrderIntended]

    def next(self, interest: Interest) -> list[Moment] | None:
        before = self._market.candles
        self.turns.append(Turn(interest.deadline, []))
        moments = self._market.next(interest)
        self.watched += self._market.candles - before if self._working else 0
        if moments:
            self._told(moments)
        return moments

    def send(self, effects: list[Effect]) -> list[Moment]:
        self.turns[-1].sent.append(effects)
        moments = self._market.send(effects)
        if moments:
            self._told(moments)
        return moments

    def append(self, records: Records) -> None:
        self.appended.append(records)

    def _told(self, moments: list[Moment]) -> None:
        """Keep the moments, and which orders rest: on candles a fill is whole, or the rest is cancelled."""
        self.steps.append(moments)
        for moment in moments:
            for fact in moment.facts:
                message = fact.message if isinstance(fact, Input) else None
                if isinstance(message, AcceptReported):
                    self._working.add(message.order)
                elif isinstance(message, FillReported | CancelReported | RejectReported):
                    self._working.discard(message.order)


def core(recording: Recording, keep: Keep = drop) -> None:
    """Deciders, folds and policies: the steps again on a new core."""
    again = Core()
    for moments in recording.steps:
        keep(again.step(moments)[0])


def feed_and_venue(recording: Recording, keep: Keep = drop) -> None:
    """Scan, match and report: the market again, told what the core sent."""
    interest = Interest()
    market = market_of(recording.game)
    for turn in recording.turns:
        interest.deadline = turn.deadline
        keep(market.next(interest))
        for effects in turn.sent:
            keep(market.send(effects))


def ledger(recording: Recording) -> str:
    """Encode, hash and spool; the digest."""
    with Spool() as spool:
        for records in recording.appended:
            spool.append(records)
        spool.flush()
        return spool.digest.hexdigest()


def taken_apart(recording: Recording) -> list[Parts]:
    """Of each record its events, as types and fields, and the fields before and after them."""
    at = Record.__struct_fields__.index("events")
    parts: list[Parts] = []
    for record in recording.records:
        fields = structs.astuple(record)
        events = [(type(event), structs.astuple(event)) for event in record.events]
        parts.append((fields[:at], events, fields[at + 1 :]))
    return parts


def made_again(parts: list[Parts]) -> None:
    """The same events and records with nothing decided: what any Python that makes this log must do."""
    record: Callable[..., object] = Record
    for before, events, after in parts:
        record(*before, tuple([event(*fields) for event, fields in events]), *after)


def check(recording: Recording) -> None:
    """Refuse to measure parts that do not do again what the run did."""
    made: list[Any] = []
    told: list[Any] = []
    core(recording, made.append)
    feed_and_venue(recording, told.append)
    whole = hashlib.sha256(b"".join(recording.blocks)).hexdigest()
    assert [record for records in made for record in records] == recording.records, "the core alone decides otherwise"
    assert [moments for moments in told if moments] == recording.steps, "the market alone reports otherwise"
    assert ledger(recording) == whole, "the ledger alone encodes otherwise"
