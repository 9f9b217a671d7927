"""`grid`: buys below, sells above, each fill answered one level away; and its options, by hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.account.events import CancelRequested, OrderDenied, OrderFilled, OrderIntended
from domain.errors import InputError
from domain.market import make_instrument
from domain.strategies.grid import STRATEGY, Memory, Parameters, levels_of
from domain.strategy.events import StrategyActed
from domain.strategy.registry import memory_of, read_parameters
from domain.values import Price
from tests.simulator import MINUTE, START, ListLedger, tape_of
from tests.strategy_game import BTC, game_of, made, played

FIVE: Mapping[str, Any] = {"quantity": "1", "lower": "80", "upper": "120", "levels": 5}
"""Levels 80, 90, 100, 110, 120."""
RICH = {"USDT": Decimal(100_000), "BTC": Decimal(50)}
Candle = tuple[int, int, int, int]


def flat(price: int) -> Candle:
    return price * 100, price * 100, price * 100, price * 100


def bar(open_: int, high: int, low: int, close: int) -> Candle:
    return open_ * 100, high * 100, low * 100, close * 100


def ran(candles: Sequence[Candle], **changes: Any) -> ListLedger:
    given = {**FIVE, **changes}
    return played(
        game_of(
            [made("s", STRATEGY, {k: v for k, v in given.items() if v is not None})], tape_of(candles), balances=RICH
        )
    )


def resting(ledger: ListLedger) -> list[tuple[str, int]]:
    """(side, level) of what works at the end, from the log alone."""
    orders = {each.order: (each.side, each.leg) for each in ledger.of(OrderIntended)}
    ended = {each.order for each in ledger.of(OrderFilled) if not each.remaining}
    ended |= {each.order for each in (*ledger.of(CancelRequested), *ledger.of(OrderDenied))}
    return sorted(where for order, where in orders.items() if order not in ended)


def fills(ledger: ListLedger) -> list[tuple[int, str, int, int]]:
    """(minute, side, level, price) of each fill."""
    return [((f.venue_at - START) // MINUTE, f.side, f.leg, f.price // 100) for f in ledger.of(OrderFilled)]


def test_the_level_nearest_to_the_first_close_stays_empty() -> None:
    ledger = ran([flat(98), flat(98), flat(98)])
    assert resting(ledger) == [("buy", 0), ("buy", 1), ("sell", 3), ("sell", 4)]


def test_of_two_that_are_as_near_the_lower_stays_empty() -> None:
    assert resting(ran([flat(95), flat(95), flat(95)])) == [("buy", 0), ("sell", 2), ("sell", 3), ("sell", 4)]


def test_a_price_outside_leaves_an_end_empty() -> None:
    assert resting(ran([flat(60), flat(60), flat(60)])) == [("sell", 1), ("sell", 2), ("sell", 3), ("sell", 4)]
    assert resting(ran([flat(160), flat(160), flat(160)])) == [("buy", 0), ("buy", 1), ("buy", 2), ("buy", 3)]


def test_each_fill_is_answered_one_level_away() -> None:
    """Down through 90, up through 100: the empty level moves with the price."""
    candles = [flat(100), bar(100, 100, 90, 95), bar(95, 100, 95, 100), flat(100)]
    ledger = ran(candles)
    assert fills(ledger) == [(1, "buy", 1, 90), (2, "sell", 2, 100)]
    assert resting(ledger) == [("buy", 0), ("buy", 1), ("sell", 3), ("sell", 4)]
    acts = ledger.of(StrategyActed)
    assert [(each.intents[0].side, each.intents[0].leg, each.order) for each in acts[1:]] == [
        ("sell", 2, 2),
        ("buy", 1, 5),
    ]


def test_when_one_candle_fills_both_neighbours_both_counter_orders_rest_on_the_empty_level() -> None:
    ledger = ran([flat(100), bar(100, 110, 90, 100)])
    assert Counter(fills(ledger)) == Counter([(1, "buy", 1, 90), (1, "sell", 3, 110)])
    assert resting(ledger) == [("buy", 0), ("buy", 2), ("sell", 2), ("sell", 4)]


def test_beyond_the_ends_nothing_is_placed() -> None:
    """A sell filled at the lowest level has no buy below it, a buy at the highest no sell above."""
    falls = ran([flat(60), bar(60, 130, 60, 130), flat(130), flat(130)])
    assert [side for _, side, _, _ in fills(falls)] == ["sell"] * 4
    assert resting(falls) == [("buy", 0), ("buy", 1), ("buy", 2), ("buy", 3)]
    back = ran([flat(100), bar(100, 100, 80, 80), flat(80), bar(80, 90, 80, 90), flat(90)])
    assert fills(back) == [(1, "buy", 1, 90), (1, "buy", 0, 80), (3, "sell", 1, 90)]


@given(st.lists(st.integers(75, 125), min_size=2, max_size=60))
@settings(max_examples=100, deadline=None)
def test_one_fill_at_a_time_leaves_exactly_one_level_empty(prices: list[int]) -> None:
    """Candles that move by less than a level; whatever the path, buys stay below sells."""
    path = [100]
    for price in prices:
        step = max(-9, min(9, price - path[-1]))
        path.append(path[-1] + step)
    ledger = ran([flat(price) for price in [*path, path[-1]]])
    works = resting(ledger)
    assert len(works) == 4
    assert len({level for _, level in works}) == 4
    buys = [level for side, level in works if side == "buy"]
    sells = [level for side, level in works if side == "sell"]
    assert not buys or not sells or max(buys) < min(sells)


def test_geometric_levels_are_a_constant_ratio_apart_and_floored_exactly() -> None:
    parameters = read_parameters(STRATEGY, {**FIVE, "spacing": "geometric"}, BTC)
    assert isinstance(parameters, Parameters)
    levels = levels_of(parameters, BTC, Price(10000))
    assert (levels[0], levels[-1]) == (8000, 12000)
    for index, level in enumerate(levels):
        exact = Fraction(8000) ** (4 - index) * Fraction(12000) ** index
        assert Fraction(level) ** 4 <= exact < Fraction(level + 1) ** 4


@pytest.mark.parametrize(
    ("spacing", "levels"),
    [("arithmetic", (9800, 9900, 10000, 10100, 10200)), ("geometric", (9803, 9901, 10000, 10100, 10201))],
)
def test_a_centred_grid(spacing: str, levels: tuple[int, ...]) -> None:
    given = {"quantity": "1", "centre": "100", "spacing_pct": "1", "levels_each_side": 2, "spacing": spacing}
    parameters = read_parameters(STRATEGY, given, BTC)
    assert isinstance(parameters, Parameters)
    assert levels_of(parameters, BTC, Price(1)) == levels


def test_without_a_centre_the_first_close_is_it() -> None:
    changes = {"lower": None, "upper": None, "levels": None, "spacing_pct": "1", "levels_each_side": 1}
    ledger = ran([flat(50), flat(50), flat(50)], **changes)
    assert [each.limit for each in ledger.of(OrderIntended)] == [4950, 5050]


def test_a_stop_loss_cancels_all_and_sells_what_was_bought_for_good() -> None:
    """2 % below 80: at a close of 78 what was bought at 90 and 80 goes, and nothing comes after."""
    candles = [flat(100), bar(100, 100, 80, 81), flat(78), flat(78), bar(78, 130, 70, 100), flat(100), flat(100)]
    ledger = ran(candles, stop_loss_pct="2.5")
    assert fills(ledger) == [(1, "buy", 1, 90), (1, "buy", 0, 80), (3, "sell", 0, 78)]
    assert ledger.of(OrderFilled)[-1].quantity == 200_000
    assert resting(ledger) == []


def test_a_daily_loss_limit_stops_until_midnight() -> None:
    """Two bought at 90 and 80; at 70 they have lost 30 of a limit of 25. At midnight the grid is laid anew."""
    minutes = 1440
    candles = [flat(100), bar(100, 100, 80, 80), *[flat(70)] * (minutes - 2), *[flat(70)] * 4]
    ledger = ran(candles, daily_loss_limit="25", lower="80")
    reasons = [each.reason for each in ledger.of(StrategyActed) if each.reason]
    assert reasons == ["daily loss limit", "closed"]
    assert [each for each in fills(ledger) if each[1] == "sell"] == [(3, "sell", 0, 70)]
    again = [record.at for record in ledger.records for event in record.events if isinstance(event, StrategyActed)][-1]
    assert (again - START) // MINUTE == minutes
    assert resting(ledger) == [("sell", 1), ("sell", 2), ("sell", 3), ("sell", 4)]


def test_a_grid_moves_to_a_price_that_stays_outside() -> None:
    """Three closes in a row above 120, not two with one inside between them."""
    outside = [
        flat(100),
        flat(125),
        flat(125),
        flat(119),
        flat(125),
        flat(125),
        flat(150),
        flat(150),
        flat(150),
        flat(150),
    ]
    ledger = ran(outside, recentre_after=3)
    acts = [
        (record.at - START) // MINUTE
        for record in ledger.records
        for e in record.events
        if isinstance(e, StrategyActed) and e.reason == "re-centre"
    ]
    assert acts == [6]
    memory = next(memory_of("grid", each.memory) for each in reversed(ledger.of(StrategyActed)) if each.memory)
    assert isinstance(memory, Memory)
    assert memory.levels == (13000, 14000, 15000, 16000, 17000)
    assert resting(ledger) == [("buy", 0), ("buy", 1), ("sell", 3), ("sell", 4)]


def test_levels_of_support_and_resistance_are_the_swings_of_most_volume() -> None:
    """Highs of 110, 120, 115 and lows of 90, 85, one candle on each side; the three of most volume are 120, 90, 85."""
    path = [
        (100, 1),
        (110, 20),
        (100, 1),
        (90, 70),
        (100, 1),
        (120, 90),
        (100, 1),
        (85, 80),
        (100, 1),
        (115, 30),
        (100, 1),
    ]
    tape = tape_of([flat(price) for price, _ in [*path, (100, 1), (100, 1)]])
    volumes = np.array([volume for _, volume in [*path, (100, 1), (100, 1)]], np.int64)
    tape = replace(tape, volumes=volumes.data)
    given = {"quantity": "1", "levels": 3, "swings": 5, "swing_candles": 1}
    ledger = played(game_of([made("s", STRATEGY, given)], tape, balances=RICH))
    assert resting(ledger) == [("buy", 0), ("sell", 2)]
    assert [each.limit for each in ledger.of(OrderIntended)] == [8500, 12000]
    noted = [event.values for event in ledger.of(StrategyActed) if event.reason == "swing"]
    assert noted == [(11000, 0, 20), (0, 9000, 70), (12000, 0, 90), (0, 8500, 80)]


def test_a_fee_in_the_base_asset_leaves_less_to_sell() -> None:
    instrument = make_instrument(
        "BTC/USDT", Decimal("0.01"), Decimal("0.001"), Decimal(5), price_scale=2, fee_asset="base"
    )
    setup = made("s", STRATEGY, FIVE, instrument)
    tape = tape_of([flat(100), bar(100, 100, 90, 95), flat(95), flat(95)])
    ledger = played(game_of([setup], tape, balances=RICH, instrument=instrument))
    bought = ledger.of(OrderFilled)[0]
    answer = ledger.of(OrderIntended)[-1]
    assert bought.received < bought.quantity
    assert answer.quantity == bought.received - bought.received % instrument.step


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"levels": 1}, "parameter levels is 1; allowed: 2 to 500"),
        ({"upper": "70"}, r"parameter upper is 70; allowed: above lower \(80\)"),
        ({"quantity": "0.0000001"}, "quantity"),
        ({"lower": None, "upper": None, "swings": 3}, r"parameter swings is 3; allowed: levels \(5\) to 10000"),
        ({"swings": 9}, "parameter lower is 80; allowed: nothing beside swings"),
        ({"upper": None}, "parameter levels is missing; allowed: lower, upper and levels"),
        (
            {"levels_each_side": 3, "spacing_pct": "1"},
            "parameter lower is 80; allowed: nothing beside levels_each_side",
        ),
        ({"lower": "119.99", "levels": 5}, "levels that are at least a tick apart"),
        ({"spacing_pct": "1"}, "parameter spacing_pct is 1; allowed: nothing beside lower and upper"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    given = {key: value for key, value in {**FIVE, **changes}.items() if value is not None}
    with pytest.raises(InputError, match=said):
        read_parameters(STRATEGY, given, BTC)
