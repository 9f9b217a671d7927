"""The laws, over random markets, alerts and misbehaving venues. Numbers are those of the design's list."""

import json
import random
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from domain.account.events import OrderFilled, OrderIntended, OrderRejected, OrderUnknown, Overfilled, RiskPassed
from domain.account.state import AccountState
from domain.engine import Core, run
from domain.market import Instrument
from domain.ports import ClockStarted
from domain.position_group.events import DustWrittenOff
from domain.values import Time, time_text
from infrastructure.event_store.codec import decode, encode
from infrastructure.venues.lane import Lane
from infrastructure.venues.simulated import SimulatedVenue, Terms, Wallet
from infrastructure.venues.simulated_market import SimulatedMarket, TimedAlert
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.positions import PoolRow
from projections.rows import MemoryRows, fold_records
from replay.game import ACCOUNT, STRATEGY, Setup, game_of
from tests import spec
from tests.simulator import MINUTE, START, CheckedVenue, ListLedger, Misbehaving, replayed, tape_of

FAULTS = st.fixed_dictionaries(
    {
        "lose_request": st.sampled_from([0, 0, 20]),
        "lose_answer": st.sampled_from([0, 0, 20]),
        "late": st.sampled_from([0, 30, 60]),
        "double": st.sampled_from([0, 30]),
    }
)

MODES: tuple[dict[str, Any], ...] = (
    {},
    {"take_profit": "aggregate", "aggregate_take_profit_pct": Decimal("0.6")},
    {"take_profit": "hybrid", "aggregate_take_profit_pct": Decimal("0.3")},
)
STOPS: tuple[dict[str, Any], ...] = (
    {},
    {"stop_loss_pct": Decimal("0.5")},
    {"trailing_stop_pct": Decimal("0.4")},
    {"stop_loss_pct": Decimal(1), "break_even_after_first_target": True},
    {"time_limit_minutes": 7},
    {"leg_expiry_minutes": 3, "cancel_beyond_pct": Decimal("0.3"), "stop_loss_pct": Decimal("0.8")},
)
SIZES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"capital": "8"},
        {"capital": "60"},
        {"capital": "1000"},
        {"capital_pct_of_equity": "12.5"},
        {"risk_pct_of_equity": "0.4", "stop_loss_pct": Decimal(2)},
        {"risk_amount": "3", "stop_loss_pct": Decimal("1.5")},
    ]
)
"""How large a pyramid is; what it may lose needs a stop, which the ends may put closer."""
ENDS = st.builds(lambda mode, stops: {**mode, **stops}, st.sampled_from(MODES), st.sampled_from(STOPS))
"""How groups end beside the targets of their legs."""


class Play(Struct):
    """A finished run and everything one may want to ask about it."""

    core: Core
    ledger: ListLedger
    market: Misbehaving
    venue: SimulatedVenue
    instrument: Instrument
    cash: int

    @property
    def account(self) -> AccountState:
        state = self.core.state("account", ACCOUNT)
        assert isinstance(state, AccountState)
        return state


@st.composite
def plays(draw: st.DrawFn, faults: Any = FAULTS) -> Play:
    """A random walk, alerts, settings and faults, played to the end."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    kind: Any = draw(st.sampled_from(["spot", "spot", "margin"]))
    fee_asset = draw(st.sampled_from(["quote", "base"])) if kind == "spot" else "quote"
    instrument = spec.instrument(fee_asset=fee_asset, tick=draw(st.sampled_from(["0.01", "0.05"])))
    candles = draw(st.integers(1, 120))
    tape = tape_of(random_walk(chance, candles))
    alerts = [make_alert(chance, number, candles) for number in range(draw(st.integers(0, 25)))]
    group = spec.settings(
        *draw(st.sampled_from(LEGS)),
        entry=draw(st.sampled_from(["market", "limit"])),
        when_flat=draw(st.sampled_from(["keep", "cancel"])),
        max_pyramids=draw(st.sampled_from([1, 1, 3])),
        reverse=draw(st.booleans()),
        **{**draw(SIZES), **draw(ENDS)},
    )
    balance = draw(st.sampled_from(["20", "700", "100000"]))
    terms = Terms(Decimal("0.0002"), Decimal("0.001"), Decimal(draw(st.sampled_from(["0", "0.001"]))))
    setup = Setup(instrument, terms, {"USDT": Decimal(balance)}, group, kind)
    return play(setup, tape, alerts, draw(st.integers(0, 2**32)), draw(faults))


LEGS = (
    (("0", "100", "0.4"),),
    (("0", "40", "0.5"), ("-0.5", "60", "0.5")),
    (("0", "20", "0.3"), ("-0.2", "30", "0.4"), ("-1", "50", "1")),
)


def play(setup: Setup, tape: Any, alerts: list[TimedAlert], seed: int, faults: dict[str, int]) -> Play:
    game = game_of(setup, tape, alerts)
    (played,) = game.markets
    venue = SimulatedVenue(ACCOUNT, game.kind, played.instrument, played.terms, Wallet(game.cash), 0)
    lane = Lane(played.instrument.id, played.tape, venue)
    market = Misbehaving(SimulatedMarket([lane], game.opening, alerts), seed, **faults)
    core, ledger = Core(), ListLedger()
    run(core, market, ledger, CheckedVenue(market, ledger))  # laws 4 and 8 are checked at every send
    return Play(core, ledger, market, venue, played.instrument, game.cash)


def random_walk(chance: random.Random, count: int) -> list[tuple[int, int, int, int]]:
    price, candles = 10_000, []
    for _ in range(count):
        open_ = max(50, price + chance.choice([0, 0, 0, chance.randint(-80, 80)]))
        close = max(50, open_ + chance.randint(-60, 60))
        high, low = max(open_, close) + chance.randint(0, 40), max(1, min(open_, close) - chance.randint(0, 40))
        candles.append((open_, high, low, close))
        price = close
    return candles


def make_alert(chance: random.Random, number: int, candles: int) -> TimedAlert:
    at = START + chance.randint(-1, candles + 1) * MINUTE + chance.choice([0, 0, chance.randint(0, MINUTE)])
    body = {
        "id": f"a{chance.randint(0, 2 * number)}",
        "time": time_text(at),
        "symbol": chance.choice(["BTCUSDT"] * 9 + ["ETHUSDT"]),
        "action": chance.choice(["buy", "buy", "sell", "exit", "target"]),
        "price": chance.choice([None, "100", "99.987", "101.5", "NaN"]),
        "position": chance.choice([None, "0", "1.5", "4.0009", "-2"]),
    }
    if body["action"] != "target":
        del body["position"]
    return TimedAlert(Time(at), "signals", json.dumps({key: value for key, value in body.items() if value}))


@given(plays())
def test_law_1_cash_and_assets_are_what_the_venue_says(play: Play) -> None:
    assert play.account.cash.get(spec.USDT, 0) == play.venue.wallet.cash
    assert play.account.positions.get(play.instrument.id, 0) == play.venue.position


@given(plays())
def test_law_2_the_position_is_the_sum_of_unique_fills(play: Play) -> None:
    fills = play.ledger.of(OrderFilled)
    assert len({fill.trade for fill in fills}) == len(fills)
    position = sum(fill.received if fill.side == "buy" else -fill.received for fill in fills)
    assert play.account.positions.get(play.instrument.id, 0) == position


@given(plays())
def test_law_3_equity_changes_by_realized_and_unrealized_less_fees(play: Play) -> None:
    rows = MemoryRows()
    fold_records((PORTFOLIO,), rows, play.ledger.records)
    (books,) = rows.all(BalanceRow)
    pools = rows.all(PoolRow)
    realized, fees = sum(pool.realized for pool in pools), sum(pool.fees for pool in pools)
    assert books.cash == play.account.cash[spec.USDT]
    assert books.equity == play.cash + realized + books.unrealized - fees


@given(plays())
def test_laws_5_and_6_one_send_per_intent_and_never_more_than_ordered(play: Play) -> None:
    intents = {event.order: event for event in play.ledger.of(OrderIntended)}
    sends = Counter(effect.order for effect in play.market.sent)
    assert all(count == 1 for count in sends.values())
    assert set(sends) == {event.order for event in play.ledger.of(RiskPassed)}
    filled: Counter[int] = Counter()
    for fill in play.ledger.of(OrderFilled):
        filled[fill.order] += fill.quantity
    assert all(quantity <= intents[order].quantity for order, quantity in filled.items())
    assert not play.ledger.of(Overfilled)


@given(plays(), st.integers(0, 2**32))
def test_law_10_the_same_inputs_give_the_same_bytes_however_they_are_grouped(play: Play, seed: int) -> None:
    assert replayed(play.market.inputs, random.Random(seed)) == play.ledger.log


@given(plays(), st.integers(0, 2**32))
def test_a_core_restored_from_the_log_goes_on_as_if_it_had_never_stopped(play: Play, seed: int) -> None:
    inputs = play.market.inputs
    cut = random.Random(seed).randint(0, len(inputs))
    first, second = Core(), Core()
    for record in first.step(inputs[:cut])[0]:
        second.restore(decode(encode(record)))
    second.marks.update(first.marks)
    if any(type(fact) is ClockStarted for moment in inputs[:cut] for fact in moment.facts):
        second.start_clock(inputs[cut - 1].at)
    assert list(map(encode, second.step(inputs[cut:])[0])) == list(map(encode, first.step(inputs[cut:])[0]))


@given(plays())
def test_law_11_streams_are_dense(play: Play) -> None:
    versions: dict[int, int] = defaultdict(int)
    for record in play.ledger.records:
        assert record.version == versions[record.stream] + 1
        assert (record.key is not None) == (record.version == 1)
        versions[record.stream] += len(record.events)
    assert sorted(versions) == list(range(1, len(versions) + 1))


@given(plays())
def test_every_cause_is_an_event_before_it(play: Play) -> None:
    seen: set[tuple[int, int]] = set()
    for record in play.ledger.records:
        assert record.cause is None or record.cause in seen
        seen |= {(record.stream, record.version + offset) for offset in range(len(record.events))}


@given(plays())
def test_law_13_no_order_stays_unknown(play: Play) -> None:
    assert not any(order.status == "UNKNOWN" for order in play.account.orders.values())
    assert not any(play.account.unknown.values())


@given(plays(faults=st.just({"lose_request": 100})))
def test_law_13_holds_where_no_order_ever_arrives(play: Play) -> None:
    assert len(play.ledger.of(OrderUnknown)) == len(play.market.sent)
    assert not play.account.orders
    assert play.core.open_streams()["position_group"] == 0


@given(plays())
def test_law_18_groups_and_the_unattributed_are_the_position(play: Play) -> None:
    rows = MemoryRows()
    fold_records((PORTFOLIO,), rows, play.ledger.records)
    pools = {(pool.bot, pool.group): pool.quantity for pool in rows.all(PoolRow)}
    assert sum(pools.values()) == play.account.positions.get(play.instrument.id, 0)
    for (bot, group), quantity in pools.items():
        state = play.core.state("position_group", (bot, group))
        if bot:
            assert abs(quantity) == (0 if state is None else state.held)
        else:
            dust = sum(event.quantity for event in play.ledger.of(DustWrittenOff))
            assert abs(quantity) <= dust


@given(plays())
def test_what_is_held_back_is_given_back(play: Play) -> None:
    account = play.account
    assert account.reserved.get(spec.USDT, 0) == sum(order.reserved for order in account.orders.values())
    held_back = sum(order.held_back for order in account.orders.values())
    assert account.held_back.get(play.instrument.id, 0) == held_back
    if not account.orders:
        assert account.reserved.get(spec.USDT, 0) == 0


@given(plays())
def test_a_group_that_is_open_holds_or_works(play: Play) -> None:
    state = play.core.state("bot", STRATEGY)
    group = play.core.state("position_group", (STRATEGY, state.live)) if state.live else None
    assert (group is None) == (state.live == 0)
    if group is not None:
        working = [order for order in play.account.orders.values() if order.group == state.live]
        assert group.held or working
        assert len([order for order in working if order.role == "entry"]) == sum(leg.working for leg in group.legs)
        assert len([order for order in working if order.role == "target"]) == sum(leg.targets for leg in group.legs)
        for role, guard in (("stop", group.stop), ("aggregate", group.aggregate)):
            assert len([order for order in working if order.role == role]) == (guard is not None)


@settings(max_examples=20)
@given(plays(faults=st.just({})))
def test_a_venue_that_behaves_never_refuses_what_risk_let_pass(play: Play) -> None:
    limits = [event for event in play.ledger.of(OrderIntended) if event.type == "limit"]
    rejected = {event.order for event in play.ledger.of(OrderRejected)}
    assert not rejected & {event.order for event in limits}
