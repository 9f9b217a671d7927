"""`sma_cross`: buys at market when the fast mean crosses above the slow one, sells all when it crosses below."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account.events import OrderDenied, OrderFilled, OrderIntended
from domain.errors import InputError
from domain.strategies.sma_cross import STRATEGY
from domain.strategy.events import StrategyActed
from domain.strategy.intents import Place
from domain.strategy.registry import read_parameters
from domain.values import Time
from infrastructure.market_data.tape import Tape
from tests.simulator import MINUTE, START, tape_of
from tests.strategy_game import BTC, game_of, made, played

TWO_THREE: dict[str, Any] = {"notional": "1000", "fast": 2, "slow": 3}


def closes(*prices: int) -> Tape:
    """Candles that open where the last closed, prices in cents."""
    opens = (prices[0], *prices[:-1])
    pairs = zip(opens, prices, strict=True)
    return tape_of([(open_, max(open_, close), min(open_, close), close) for open_, close in pairs])


def acted(tape: Tape, **changes: Any) -> list[tuple[int, str, int]]:
    """(candle, side, quantity) of every decision."""
    ledger = played(game_of([made("s", STRATEGY, {**TWO_THREE, **changes})], tape))
    found: list[tuple[int, str, int]] = []
    for record in ledger.records:
        event = record.events[0]
        if isinstance(event, StrategyActed):
            (place,) = event.intents
            assert isinstance(place, Place)
            found.append(((record.at - START) // MINUTE, place.side, place.quantity))
    return found


def test_up_and_down_again() -> None:
    """Means of 2 and 3 at candles 3 to 7: 100 100, 100 100, 110 106.6, 110 113.3, 95 100."""
    prices = [10000, 10000, 10000, 10000, 12000, 10000, 9000, 9000, 9000]
    # Candle 4: (10000+12000)/2 above (10000+10000+12000)/3 for the first time. 1000 / 120 = 8.33333.
    # Candle 6: 9500 below 10333.
    assert acted(closes(*prices)) == [(4, "buy", 833333), (6, "sell", 833333)]


def test_the_first_candle_that_counts_has_both_means_and_their_previous_values() -> None:
    """Slow of 3 exists from candle 2 on, its previous value from candle 3."""
    assert acted(closes(10000, 9000, 12000, 12000, 12000)) == []
    assert acted(closes(10000, 9000, 8000, 12000, 12000)) == [(3, "buy", 833333)]


def test_nothing_on_the_last_candle() -> None:
    assert acted(closes(10000, 9000, 8000, 12000)) == []


def test_equal_means_are_no_crossing_and_no_floats_tie() -> None:
    """0.1 + 0.2 is 0.3 here: means of 10, 20, 30 cents against 20 are equal, and then above."""
    assert acted(closes(2000, 2000, 2000, 2000, 2000, 2000)) == []
    assert acted(closes(10, 20, 30, 20, 30, 30), notional="100") == []


def test_a_crossing_up_while_long_and_down_while_flat_is_none() -> None:
    falling = [12000, 12000, 12000, 9000, 8000, 7000, 6000, 6000]
    assert acted(closes(*falling)) == []


def test_what_cannot_be_afforded_is_denied_and_the_next_crossing_is_taken_anew() -> None:
    prices = [10000, 9000, 8000, 12000, 12000, 8000, 7000, 12000, 12000, 12000]
    setup = made("s", STRATEGY, {**TWO_THREE, "notional": "200000"})
    ledger = played(game_of([setup], closes(*prices)))
    assert len(ledger.of(OrderIntended)) == len(ledger.of(OrderDenied)) == 2
    assert ledger.of(OrderFilled) == []


def test_what_is_bought_is_sold_to_the_last_step() -> None:
    prices = [10000, 9000, 8000, 12000, 12000, 8000, 7000, 12000, 12000, 7000, 7000, 7000]
    bought, sold, *_ = played(game_of([made("s", STRATEGY, TWO_THREE)], closes(*prices))).of(OrderFilled)
    assert (bought.side, sold.side, bought.quantity) == ("buy", "sell", sold.quantity)


@given(st.lists(st.integers(1, 60), min_size=4, max_size=80), st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_the_mask_names_every_crossing(prices: list[int], fast: int, more: int) -> None:
    """Against fractions, crossing by crossing."""
    slow = fast + more
    tape = closes(*[price * 100 for price in prices])
    parameters = read_parameters(STRATEGY, {"notional": "10", "fast": fast, "slow": slow}, BTC)
    columns: dict[str, Any] = {}
    for name, each in STRATEGY.features(parameters).items():
        (columns[name],) = each.scan(tape.columns)
    assert STRATEGY.may_act is not None
    mask = STRATEGY.may_act(parameters, columns)
    for index in range(slow, len(prices)):
        now, before = difference(prices, index, fast, slow), difference(prices, index - 1, fast, slow)
        assert bool(mask[index]) == ((before <= 0 < now) or (before >= 0 > now))
    assert mask.dtype == np.bool_


def difference(prices: list[int], index: int, fast: int, slow: int) -> Decimal:
    """The fast mean less the slow one, times both lengths: exact."""
    first, second = prices[index + 1 - fast : index + 1], prices[index + 1 - slow : index + 1]
    return Decimal(sum(first) * slow - sum(second) * fast)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"notional": "10", "fast": 30, "slow": 10}, "parameter fast is 30; allowed: 1 or more, and below slow"),
        ({"notional": "0"}, "parameter notional is 0; allowed: above 0"),
        ({"notional": "10", "fats": 3}, "unknown field `fats`"),
        ({}, "missing required field `notional`"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_parameters(STRATEGY, given, BTC)


def test_the_time_of_a_decision_is_its_candle_s() -> None:
    ledger = played(game_of([made("s", STRATEGY, TWO_THREE)], closes(10000, 9000, 8000, 12000, 12000)))
    (record,) = (each for each in ledger.records if isinstance(each.events[0], StrategyActed))
    assert record.at == Time(START + 3 * MINUTE)
    (event,) = record.events
    assert isinstance(event, StrategyActed)
    assert event.values == (20000, 29000, 17000, 27000)
