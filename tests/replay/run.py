"""A small backtest of alerts with all that its files are made of."""

from functools import cache
from typing import NamedTuple

from domain.account.events import OrderFilled
from domain.market import Instrument
from domain.message import Event, Record
from infrastructure.market_data.tape import Tape
from projections.performance import Trades, round_trips
from replay.demo import demo_alerts, demo_setup, demo_tape
from replay.game import backtest
from replay.metrics.curve import Curve, equity_curve
from replay.summary import summarize

CASH = 100_000 * 10**8
"""What the account of the demo begins with, in quanta."""


class Ran(NamedTuple):
    """A run and what follows from its log."""

    tape: Tape
    records: list[Record[Event]]
    fills: list[OrderFilled]
    trades: Trades
    curve: Curve
    instrument: Instrument

    @property
    def instruments(self) -> dict[str, Instrument]:
        return {self.instrument.id: self.instrument}

    @property
    def final_equity(self) -> str:
        equity: str = summarize(self.records, self.instrument)["final_equity"]
        return equity


class Kept(list[Record[Event]]):
    """A ledger in memory."""

    def append(self, records: object) -> None:
        assert isinstance(records, list)
        self.extend(records)


@cache
def ran(days: int = 20, alerts: int = 700, seed: int = 5) -> Ran:
    tape, kept, setup = demo_tape(days, seed), Kept(), demo_setup()
    backtest(setup, tape, demo_alerts(tape, alerts, seed), kept)
    fills = [event for record in kept for event in record.events if isinstance(event, OrderFilled)]
    curve = equity_curve(fills, [(setup.instrument, tape)], CASH, [0])
    return Ran(tape, list(kept), fills, round_trips(fills), curve, setup.instrument)
