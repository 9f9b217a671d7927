"""Lives: a whole engine on the floor after so many busy minutes, all of it by chance."""

import random
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import strategies as st

from domain.account.events import AccountKind
from domain.account.limits import NO_LIMITS
from domain.execution_pool.settings import PoolSettings
from domain.message import Event, EventId, Record
from domain.portfolio_risk.settings import OffsetSettings
from domain.ports import Effect
from tests import spec
from tests.domain import witnesses
from tests.domain.engine_floor import Floor, Setup
from tests.domain.risk.limited import limits
from tests.domain.test_engine_machine import SEEDS, SETUPS, Engine

Life = tuple[Setup, int, int]
"""(setup, seed, busy minutes)"""
F = TypeVar("F", bound="LivedFloor")


class Unconcerned(witnesses.Orders):
    """A witness that looks away."""

    def check_sends(self, effects: list[Effect], events: dict[EventId, Event]) -> None: ...


class LivedFloor(Floor):
    """A floor without witnesses: what it has lived through need not be lawful."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.orders = Unconcerned(setup.kind)

    def _append(self, records: list[Record[Event]]) -> None:
        self.records += records


LIVES: st.SearchStrategy[Life] = st.tuples(SETUPS, SEEDS, st.sampled_from([3, 10, 25]))


def live(kind: type[F], setup: Setup, seed: int, minutes: int) -> F:
    floor = kind(setup)
    go_on(floor, random.Random(seed), minutes)
    return floor


def go_on(floor: Floor, chance: random.Random, minutes: int) -> None:
    floor.habit = chance.choice(["fill", "fill", "accept", "hold"])
    engine = Engine()
    engine.floor, engine.bodies = floor, []
    engine.be_busy(chance, minutes)


def rich_setup(number: int) -> Setup:
    """A setup under which much waits: trailing stops, time limits, a queue, limits on losses, an offset."""
    ends: tuple[dict[str, Any], ...] = (
        {"take_profit": "hybrid", "aggregate_take_profit_pct": Decimal(4), "trailing_stop_pct": Decimal(3)},
        {"trailing_stop_pct": Decimal("0.4"), "time_limit_minutes": 7},
        {
            "trailing_stop_pct": Decimal(5),
            "leg_expiry_minutes": 3,
            "cancel_beyond_pct": Decimal("0.3"),
            "entry": "limit",
        },
    )
    groups = [spec.settings(("0", "60", "40"), ("-2", "40", "40"), max_pyramids=3, **each) for each in ends]
    risk = limits(daily_loss_max="500", value_every_seconds=300) if number % 2 else NO_LIMITS
    offset = OffsetSettings(enabled=True, loss_threshold_pct=Decimal("-0.1"), require_full_pyramids=False)
    kind: AccountKind = "margin" if number % 5 == 0 else "spot"
    return Setup(kind, 100_000, groups, PoolSettings(2 + number % 2, queue_expiry_minutes=5), offset, risk)


def plain_setup() -> Setup:
    """Groups that end by the targets of their legs alone."""
    groups = [spec.settings(("0", "100", "0.2"), max_pyramids=1)] * 3
    return Setup("spot", 100_000, groups, PoolSettings(3), None, NO_LIMITS)
