"""The equity curve: by hand, against the engine's own valuations, and against a walk candle by candle."""

import random
from decimal import Decimal
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.account.events import AccountValued, OrderFilled
from domain.errors import AmountError, InputError
from domain.market import Instrument, make_instrument
from domain.values import LARGEST, Asset, Cash, Fee, Price, Quantity, Side, Time
from infrastructure.market_data.tape import Tape
from replay.demo import demo_alerts, demo_setup, demo_tape
from replay.game import Game, game_of, play, portfolio_game
from replay.metrics.curve import Curve, closes_at, equity_curve, notionals
from replay.summary import summarize
from tests.infrastructure.venues.test_several_instruments import alert, portfolio, tape
from tests.projections.story import fill_of, intended
from tests.simulator import MINUTE, START, ListLedger, tape_of

# Cash is as fine as price x size here, so a quantity of 1 at a price of 100 is 100 quanta.
ABC = make_instrument("ABC/INR", Decimal("0.01"), Decimal(1), Decimal(0))
XYZ = make_instrument("XYZ/INR", Decimal("0.01"), Decimal("0.001"), Decimal(0))


def fill(
    side: Side, price: int, quantity: int, minute: int, fee: int = 0, instrument: Instrument = ABC, asset: str = "INR"
) -> OrderFilled:
    base = fill_of(intended(1, side=side, instrument=instrument), price, quantity, 0, fee, asset, instrument)
    return structs.replace(base, venue_at=Time(START + minute * MINUTE))


def flat(*closes: int) -> list[tuple[int, int, int, int]]:
    return [(close, close, close, close) for close in closes]


def test_a_fill_counts_from_the_close_of_its_candle_on() -> None:
    market = tape_of(flat(100, 110, 120, 90))
    curve = equity_curve([fill("buy", 110, 2, 1, fee=5), fill("sell", 90, 2, 3, fee=4)], [(ABC, market)], 1000, [0])
    assert (curve.times - START).tolist() == [MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]
    assert curve.equity.tolist() == [1000, 1000 - 5, 1000 - 5 + 20, 1000 - 220 + 180 - 9]
    assert curve.exposure.tolist() == [0, 220, 240, 0]
    assert (curve.start, curve.initial, curve.cash_scale, curve.currency) == (START, 1000, 2, "INR")


def test_a_short_has_exposure_without_its_sign() -> None:
    curve = equity_curve([fill("sell", 100, 2, 0)], [(ABC, tape_of(flat(100, 130)))], 1000, [0])
    assert curve.equity.tolist() == [1000, 940]
    assert curve.exposure.tolist() == [200, 260]


def test_a_fill_in_a_gap_counts_in_the_candle_after_it() -> None:
    market = tape_of(flat(100, 100, 50), gap=(2, 10 * MINUTE))
    curve = equity_curve([fill("buy", 100, 1, 5)], [(ABC, market)], 1000, [0])
    assert curve.equity.tolist() == [1000, 1000, 950]
    assert curve.exposure.tolist() == [0, 0, 50]


def test_what_is_held_at_the_start_is_worth_the_first_open() -> None:
    curve = equity_curve([], [(ABC, tape_of([(100, 120, 90, 110)]))], 1000, [3])
    assert (curve.initial, curve.equity.tolist()) == (1300, [1330])


def test_a_fee_in_the_base_is_not_held_and_one_in_a_third_asset_leaves_no_cash() -> None:
    base = make_instrument("ABC/INR", Decimal("0.01"), Decimal(1), Decimal(0), price_scale=2, fee_asset="base")
    bought = fill("buy", 100, 3 * 10**8, 0, fee=10**8, instrument=base, asset="ABC")
    curve = equity_curve([bought], [(base, tape_of(flat(100, 200)))], 1000, [0])
    assert curve.equity.tolist() == [1000 - 300 + 200, 1000 - 300 + 400]
    third = fill("buy", 100, 3, 0, fee=7, asset="BNB")
    assert equity_curve([third], [(ABC, tape_of(flat(100)))], 1000, [0]).equity.tolist() == [1000]


def test_markets_of_other_times_carry_their_last_close() -> None:
    slow = tape_of(flat(1000, 2000), every=2 * MINUTE)
    late = tape_of(flat(100, 110, 120), gap=(0, MINUTE))
    buys = [fill("buy", 1000, 1, 0), fill("buy", 100, 1, 1, instrument=XYZ)]
    buys[1] = structs.replace(buys[1], quantity=Quantity(1000), received=Quantity(1000), cash=Cash(100))
    curve = equity_curve(buys, [(ABC, slow), (XYZ, late)], 10_000, [0, 0])
    assert (curve.times - START).tolist() == [2 * MINUTE, 3 * MINUTE, 4 * MINUTE]
    assert curve.equity.tolist() == [8900 + 1000 + 100, 8900 + 1000 + 110, 8900 + 2000 + 120]


def test_a_tape_may_be_coarser_than_its_instrument() -> None:
    fine = structs.replace(ABC, price_scale=3, quote_scale=3)
    curve = equity_curve([fill("buy", 1100, 2, 0, instrument=fine)], [(fine, tape_of(flat(110, 120)))], 10_000, [0])
    assert curve.equity.tolist() == [10_000, 10_200]


def test_no_candle_is_refused() -> None:
    with pytest.raises(InputError, match="no candle"):
        equity_curve([], [(ABC, tape_of([]))], 1000, [0])


def test_what_does_not_fit_64_bits_is_refused_where_int64_would_wrap_around() -> None:
    market = tape_of(flat(10**9))
    held = LARGEST // 10**9
    assert equity_curve([], [(ABC, market)], 0, [held]).equity.tolist() == [held * 10**9]
    with pytest.raises(AmountError, match="worth does not fit"):
        equity_curve([], [(ABC, market)], 0, [held + 1])
    with pytest.raises(AmountError, match="account's worth does not fit"):
        equity_curve([], [(ABC, market), (structs.replace(ABC, id=XYZ.id), market)], 0, [held, held])


def curve_of(game: Game, ledger: ListLedger) -> Curve:
    markets = [(market.instrument, market.tape) for market in game.markets]
    return equity_curve(ledger.of(OrderFilled), markets, game.cash, [market.position for market in game.markets])


def check_valuations(game: Game, ledger: ListLedger) -> None:
    """The engine values the account at midnights and at the end: the curve says the same, and so does the summary."""
    curve = curve_of(game, ledger)
    worth = dict(zip(curve.times.tolist(), curve.equity.tolist(), strict=True))
    valued = [
        (record.at, dict(event.equity)[Asset(curve.currency)])
        for record in ledger.records
        for event in record.events
        if isinstance(event, AccountValued)
    ]
    assert len(valued) > 1
    # The last is said at the last candle's open time, of what became of that candle.
    *midnights, (_, final) = valued
    assert [(at, worth[at]) for at, _ in midnights] == midnights
    assert final == curve.equity[-1]
    instrument = game.markets[0].instrument
    assert summarize(ledger.records, instrument)["final_equity"] == instrument.cash_text(int(curve.equity[-1]))


@pytest.mark.parametrize("fee_asset", ["quote", "base"])
def test_the_curve_is_what_the_engine_says_of_the_account(fee_asset: Literal["quote", "base"]) -> None:
    market = demo_tape(10, seed=3)
    setup = demo_setup()
    listed = make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5), fee_asset=fee_asset)
    balances = {"USDT": Decimal(100_000), "BTC": Decimal("0.25")}
    setup = structs.replace(setup, instrument=listed, balances=balances)
    game, ledger = game_of(setup, market, demo_alerts(market, 400, seed=3)), ListLedger()
    play(game, ledger)
    assert len(ledger.of(OrderFilled)) > 100
    check_valuations(game, ledger)


def test_the_curve_of_several_markets_is_what_the_engine_says() -> None:
    chance = random.Random(5)
    tapes = [
        tape(walk(chance, 1500)),
        tape(walk(chance, 300), minutes=5, start=3),
        tape(walk(chance, 1700), start=7),
    ]
    alerts = [alert(chance.choice(("BTC", "ETH", "XRP")), minute + 1) for minute in range(1, 1400, 9)]
    game, ledger = portfolio_game(portfolio(3), tapes, alerts), ListLedger()
    play(game, ledger)
    assert len({event.instrument for event in ledger.of(OrderFilled)}) == 3
    check_valuations(game, ledger)


def walk(chance: random.Random, count: int) -> list[tuple[int, int, int, int]]:
    candles, price = [], 10_000
    for _ in range(count):
        opened, price = price, max(1_000, price + chance.randint(-40, 40))
        candles.append((opened, max(opened, price) + 5, min(opened, price) - 5, price))
    return candles


# --- laws ------------------------------------------------------------------------------------------------------------

scales = st.integers(0, 8)
prices = st.one_of(st.integers(1, 1000), st.integers(1, 10**12), st.just(5 * 10**7))


@given(
    scales,
    scales,
    st.sampled_from((2, 8)),
    st.lists(st.tuples(prices, st.integers(-(10**12), 10**12)), min_size=1, max_size=20),
)
def test_a_column_of_notionals_is_each_of_them(
    price_scale: int, size_scale: int, quote_scale: int, pairs: list[tuple[int, int]]
) -> None:
    listed = structs.replace(ABC, price_scale=price_scale, size_scale=size_scale, quote_scale=quote_scale)
    expected = [listed.notional(*pair) for pair in pairs]
    columns = [np.array(column, np.int64) for column in zip(*pairs, strict=True)]
    if max(map(abs, expected)) > LARGEST:
        with pytest.raises(AmountError):
            notionals(listed, *columns)
    else:
        assert notionals(listed, *columns).tolist() == expected


def test_ties_of_notionals_go_to_the_even_quantum() -> None:
    listed = structs.replace(ABC, price_scale=2, size_scale=1, quote_scale=2)
    quantities = np.array([5, 15, 25, -5, -15, -25, 24, 26], np.int64)
    assert notionals(listed, np.ones(8, np.int64), quantities).tolist() == [0, 2, 2, 0, -2, -2, 2, 3]


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[tuple[Instrument, Tape]], list[OrderFilled]]:
    """Two markets of other intervals and starts, with a gap, and fills at any of their candles' opens."""
    found, fills = [], []
    for instrument in (ABC, XYZ):
        closes = draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
        gap = (draw(st.integers(0, 8)), draw(st.integers(0, 3)) * MINUTE)
        found.append((instrument, tape_of(flat(*closes), draw(st.sampled_from((1, 2, 5))) * MINUTE, gap)))
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.sampled_from(found[-1][1].open_times.tolist()))
            quantity, price = draw(st.integers(1, 10**6)), draw(st.integers(1, 10**6))
            side: Side = draw(st.sampled_from(("buy", "sell")))
            fee = draw(st.integers(-5, 50))
            each = fill(side, price, quantity, 0, fee, instrument)
            fills.append(structs.replace(each, venue_at=Time(at)))
    return found, fills


@given(markets(), st.integers(0, 10**9), st.integers(0, 10**6))
def test_the_curve_is_a_walk_candle_by_candle(
    case: tuple[list[tuple[Instrument, Tape]], list[OrderFilled]], cash: int, position: int
) -> None:
    found, fills = case
    curve = equity_curve(fills, found, cash, [position, 0])
    positions = {ABC.id: position, XYZ.id: 0}
    marks = {instrument.id: market.opens[0] for instrument, market in found}
    closes = [
        (market.open_times[row] + market.interval, instrument, market, row)
        for instrument, market in found
        for row in range(len(market))
    ]
    walked = {}
    for at, instrument, market, row in sorted(closes, key=lambda each: each[0]):
        marks[instrument.id] = market.closes[row]
        for each in fills:
            if each.instrument == instrument.id and each.venue_at == market.open_times[row]:
                cash += (each.cash if each.side == "sell" else -each.cash) - each.fee
                positions[instrument.id] += each.quantity if each.side == "buy" else -each.quantity
        worth = [one.notional(Price(marks[one.id]), positions[one.id]) for one, _ in found]
        walked[at] = (cash + sum(worth), sum(map(abs, worth)))
    got = zip(curve.equity.tolist(), curve.exposure.tolist(), strict=True)
    assert dict(zip(curve.times.tolist(), got, strict=True)) == walked


def test_closes_of_another_tape_are_carried() -> None:
    market = tape_of([(90, 120, 80, 100), (100, 120, 80, 110)], every=2 * MINUTE, gap=(0, 2 * MINUTE))
    times = np.array([START + minute * MINUTE for minute in range(1, 9)], np.int64)
    assert closes_at(market, times).tolist() == [90, 90, 90, 100, 100, 110, 110, 110]


def test_a_fill_that_the_curve_forgets_is_found() -> None:
    """The engine's valuations tell when a single fee is left out."""
    market = demo_tape(2, seed=1)
    game, ledger = game_of(demo_setup(), market, demo_alerts(market, 60, seed=1)), ListLedger()
    play(game, ledger)
    curve, fills = curve_of(game, ledger), ledger.of(OrderFilled)
    fills[5] = structs.replace(fills[5], fee=Fee(0))
    wrong = equity_curve(fills, [(game.markets[0].instrument, game.markets[0].tape)], game.cash, [0])
    assert (wrong.equity != curve.equity).any()
