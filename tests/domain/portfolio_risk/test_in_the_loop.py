"""An account with a loser and winners on a simulated market goes through offsets, and the laws hold all the way."""

import json
import random
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from domain.account.events import OrderDenied, OrderFilled, OrderRejected, Overfilled
from domain.engine import Core, run
from domain.market import make_instrument
from domain.portfolio_risk import events as e
from domain.portfolio_risk.commands import ConfigureOffset
from domain.portfolio_risk.settings import OffsetSettings
from domain.ports import ClockStarted
from domain.position_group.events import DustWrittenOff, GroupClosed, ReductionStarted
from domain.values import InstrumentId, Time, time_text
from infrastructure.event_store.codec import decode, encode
from infrastructure.market_data.tape import Tape
from infrastructure.venues.lane import Lane, Pace
from infrastructure.venues.simulated import SimulatedVenue, Terms, Wallet
from infrastructure.venues.simulated_market import SimulatedMarket, TimedAlert
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.positions import PoolRow
from projections.rows import MemoryRows, fold_records
from replay.game import ACCOUNT, BotSetup, MarketSetup, Portfolio, portfolio_game
from tests import spec
from tests.domain.test_laws import FAULTS
from tests.simulator import MINUTE, START, CheckedVenue, ListLedger, Misbehaving, replayed, tape_of

NAMES = ("LOSS", "WIN", "MORE", "FLAT")
TERMS = Terms(Decimal("0.0002"), Decimal("0.001"), Decimal(0))
LEGS = (("0", "60", "40"), ("-2", "40", "40"))
"""Two legs, whose targets are far away."""


class Play(Struct):
    """A finished run and everything one may want to ask about it."""

    core: Core
    ledger: ListLedger
    market: Misbehaving
    wallet: Wallet
    venues: dict[InstrumentId, SimulatedVenue]
    cash: int


def path(*stops: int, minutes: int) -> Tape:
    """A market that goes straight from price to price, so many minutes each."""
    candles, last = [], stops[0]
    for start, end in pairwise(stops):
        for minute in range(minutes):
            close = start + (end - start) * (minute + 1) // minutes
            candles.append((last, max(last, close), min(last, close), close))
            last = close
    return tape_of(candles)


def buy(name: str, minute: int, action: str = "buy") -> TimedAlert:
    at = Time(START + minute * MINUTE)
    body = {"id": f"{name}{minute}", "time": time_text(at), "symbol": f"{name}USDT", "action": action, "price": None}
    return TimedAlert(at, name, json.dumps({key: value for key, value in body.items() if value}))


def play(
    tapes: dict[str, Tape],
    alerts: list[TimedAlert],
    offset: OffsetSettings,
    group: Any,
    *,
    faults: dict[str, int] | None = None,
    pace: Pace = "skip",
) -> Play:
    listed = {name: make_instrument(f"{name}/USDT", Decimal("0.01"), Decimal("0.001"), Decimal(5)) for name in tapes}
    portfolio = Portfolio(
        tuple(MarketSetup(each, TERMS) for each in listed.values()),
        tuple(BotSetup(name, name, each.id, group) for name, each in listed.items()),
        {"USDT": Decimal(100_000)},
        "margin",
        (ConfigureOffset(ACCOUNT, offset),),
    )
    game = portfolio_game(portfolio, list(tapes.values()), alerts)
    wallet = Wallet(game.cash)
    venues = {
        each.instrument.id: SimulatedVenue(ACCOUNT, game.kind, each.instrument, each.terms, wallet, 0)
        for each in game.markets
    }
    lanes = [Lane(each.instrument.id, each.tape, venues[each.instrument.id]) for each in game.markets]
    market = Misbehaving(SimulatedMarket(lanes, game.opening, alerts, pace=pace), 1, **(faults or {}))
    core, ledger = Core(), ListLedger()
    run(core, market, ledger, CheckedVenue(market, ledger))
    return Play(core, ledger, market, wallet, venues, game.cash)


def scene(*, pace: Pace = "skip", **changes: Any) -> Play:
    """LOSS falls by 12 %, WIN rises by 15 %, MORE by 10 %, FLAT stays; all bought in the first minutes."""
    tapes = {
        "LOSS": path(10000, 8800, 8800, minutes=90),
        "WIN": path(10000, 11500, 11500, minutes=90),
        "MORE": path(10000, 11000, 11000, minutes=90),
        "FLAT": path(10000, 10000, 10000, minutes=90),
    }
    alerts = [buy(name, minute) for minute, name in enumerate(NAMES, 1)]
    return play(tapes, alerts, OffsetSettings(**changes), spec.settings(*LEGS, capital="1000"), pace=pace)


def lawful(played: Play) -> None:
    """Cash and positions as the venue has them, equity as it was earned, groups as the account, nothing oversold."""
    account = played.core.state("account", ACCOUNT)
    assert account.cash.get(spec.USDT, 0) == played.wallet.cash
    for name, venue in played.venues.items():
        assert account.positions.get(name, 0) == venue.position
    rows = MemoryRows()
    fold_records((PORTFOLIO,), rows, played.ledger.records)
    (books,) = rows.all(BalanceRow)
    pools = rows.all(PoolRow)
    realized, fees = sum(pool.realized for pool in pools), sum(pool.fees for pool in pools)
    assert books.equity == played.cash + realized + books.unrealized - fees
    dust = sum(event.quantity for event in played.ledger.of(DustWrittenOff))
    for pool in pools:
        state = played.core.state("position_group", (pool.bot, pool.group))
        if pool.bot:
            assert abs(pool.quantity) == (0 if state is None else state.held)
        else:
            assert abs(pool.quantity) <= dust
    assert not played.ledger.of(Overfilled)


def test_the_worst_loser_is_closed_and_paid_for_by_the_best_winner() -> None:
    played = scene()
    (chosen,) = played.ledger.of(e.OffsetChosen)
    assert chosen.bot == "LOSS"
    assert [part.bot for part in chosen.parts] == ["WIN", "MORE"]
    assert [(event.bot, event.quantity) for event in played.ledger.of(ReductionStarted)] == [
        (part.bot, part.quantity) for part in chosen.parts
    ]
    (completed,) = played.ledger.of(e.OffsetCompleted)
    assert completed.result == completed.paid + completed.lost
    assert -completed.lost <= completed.paid
    (closed,) = played.ledger.of(GroupClosed)
    assert (closed.bot, closed.reason) == ("LOSS", "offset")
    assert played.core.state("position_group", ("LOSS", 1)) is None
    assert {key[0] for key in played.core.state("portfolio_risk", ACCOUNT).watched} == {"WIN", "MORE", "FLAT"}
    lawful(played)


def test_what_was_paid_and_lost_is_what_the_fills_brought() -> None:
    played = scene()
    rows = MemoryRows()
    fold_records((PORTFOLIO,), rows, played.ledger.records)
    pools = {pool.bot: pool for pool in rows.all(PoolRow)}
    (completed,) = played.ledger.of(e.OffsetCompleted)
    closing = sum(fill.fee for fill in played.ledger.of(OrderFilled) if fill.role == "close" and fill.bot != "LOSS")
    leaving = sum(fill.fee for fill in played.ledger.of(OrderFilled) if fill.role == "close" and fill.bot == "LOSS")
    assert abs(completed.paid - (pools["WIN"].realized + pools["MORE"].realized - closing)) <= 2  # quanta, by rounding
    assert abs(completed.lost - (pools["LOSS"].realized - leaving)) <= 2


def test_the_hour_after_the_last_pyramid_is_waited_for() -> None:
    played = scene(loss_threshold_pct=Decimal(-1))
    (at,) = (record.at for record in played.ledger.records if isinstance(record.events[0], e.OffsetChosen))
    (entered,) = (event.entered_at for event in played.ledger.of(e.GroupWatched) if event.bot == "LOSS")
    assert at - entered == 60 * MINUTE


def test_switched_off_nothing_happens() -> None:
    played = scene(enabled=False)
    assert not played.ledger.of(e.OffsetChosen) + played.ledger.of(e.OffsetEvaluated) + played.ledger.of(GroupClosed)


def test_the_log_does_not_grow_by_looking() -> None:
    played = scene()
    said = [(event.outcome, [loser.verdict for loser in event.losers]) for event in played.ledger.of(e.OffsetEvaluated)]
    assert said == [("no_loser", []), ("no_loser", ["waiting"]), ("no_loser", [])]  # in three hours


def test_a_market_that_skips_and_one_that_does_not_give_the_same_log() -> None:
    assert scene().ledger.log == scene(pace="every").ledger.log


def test_nothing_is_refused_on_the_way() -> None:
    played = scene()
    assert not played.ledger.of(OrderDenied) + played.ledger.of(OrderRejected) + played.ledger.of(e.OffsetAbandoned)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.8, 0.9])
def test_a_core_restored_in_the_middle_goes_on_as_if_it_had_never_stopped(cut: float) -> None:
    inputs = scene().market.inputs
    middle = int(len(inputs) * cut)
    first, second = Core(), Core()
    for record in first.step(inputs[:middle])[0]:
        second.restore(decode(encode(record)))
    assert second.state("portfolio_risk", ACCOUNT) == first.state("portfolio_risk", ACCOUNT)
    second.marks.update(first.marks)
    assert any(type(fact) is ClockStarted for moment in inputs[:middle] for fact in moment.facts)
    second.start_clock(inputs[middle - 1].at)
    assert list(map(encode, second.step(inputs[middle:])[0])) == list(map(encode, first.step(inputs[middle:])[0]))


@st.composite
def random_plays(draw: st.DrawFn) -> Play:
    """Markets that drift apart, alerts at random, a venue that may misbehave."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    minutes = draw(st.integers(20, 90))
    tapes: dict[str, Tape] = {}
    for name in NAMES:
        price, candles, drift = 10000, [], chance.choice([-60, -30, 0, 30, 60])
        for _ in range(minutes):
            close = max(500, price + drift + chance.randint(-80, 80))
            candles.append(
                (price, max(price, close) + chance.randint(0, 30), min(price, close) - chance.randint(0, 30), close)
            )
            price = close
        tapes[name] = tape_of(candles)
    alerts = [
        buy(chance.choice(NAMES), minute, chance.choice(["buy", "buy", "buy", "sell", "exit"]))
        for minute in sorted(chance.sample(range(1, minutes), draw(st.integers(3, 15))))
    ]
    offset = OffsetSettings(
        loss_threshold_pct=Decimal(draw(st.sampled_from(["-0.5", "-2", "-5"]))),
        require_full_pyramids=draw(st.booleans()),
        post_full_wait_minutes=draw(st.sampled_from([0, 3])),
        timer_start=draw(st.sampled_from(["last_pyramid", "legs_filled"])),
        evaluate_seconds=draw(st.sampled_from([30, 60, 180])),
        cost_margin_pct=Decimal(draw(st.sampled_from(["0", "0.2"]))),
    )
    ends: dict[str, Any] = draw(
        st.sampled_from(
            [
                {},
                {"stop_loss_pct": Decimal(6)},
                {"take_profit": "aggregate", "aggregate_take_profit_pct": Decimal(8)},
                {"take_profit": "hybrid", "aggregate_take_profit_pct": Decimal(6), "trailing_stop_pct": Decimal(5)},
            ]
        )
    )
    group = spec.settings(("0", "60", "9"), ("-1", "40", "7"), max_pyramids=draw(st.sampled_from([1, 2])), **ends)
    return play(tapes, alerts, offset, group, faults=draw(FAULTS))


@given(random_plays(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_laws_hold_whatever_the_market_and_the_venue_do(played: Play, seed: int) -> None:
    lawful(played)
    assert replayed(played.market.inputs, random.Random(seed)) == played.ledger.log
    for event in played.ledger.of(e.LoserExitDecided):
        assert event.paid >= event.needed
    state = played.core.state("portfolio_risk", ACCOUNT)
    live = {(group.bot, group.group) for group in played.core._groups(ACCOUNT)}  # noqa: SLF001
    assert set(state.watched) == live
