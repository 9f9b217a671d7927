"""How groups end against the oracle: fill for fill, verdict for verdict, on random markets and on a real one."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from random import Random
from typing import Any, NamedTuple

import msgspec
import polars as pl
import pytest

from domain.account.events import OrderDenied, OrderFilled, OrderRejected
from domain.bot.events import AlertRefused, PyramidTaken
from domain.bot.settings import GroupForm, settings_of
from domain.market import make_instrument
from domain.message import Event
from domain.position_group.events import PyramidRefused
from domain.values import Time
from infrastructure.venues import simulated
from infrastructure.venues.lane import Pace
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import ACCOUNT, SOURCE, Setup, backtest
from tests import group_oracle
from tests.conftest import shared_data
from tests.oracle import Alert, Candle, Fill, Result, Terms
from tests.replay.test_oracle import (
    DENIALS,
    MINUTE,
    PRICE_SCALE,
    START,
    Log,
    as_text,
    scaled,
    tape_of,
    time_text,
    verdicts_of,
    walk,
)


class Case(NamedTuple):
    """What both are given; `group` is the table [group] of the configuration."""

    candles: list[Candle]
    alerts: list[Alert]
    group: dict[str, Any]
    terms: Terms
    spot: bool


def observed(case: Case, *, pace: Pace = "skip") -> Result:
    """What the product makes of a case; of the denials, those of entries."""
    terms = case.terms
    instrument = make_instrument("BTC/USDT", terms.tick, terms.step, terms.min_notional, price_scale=PRICE_SCALE)
    setup = Setup(
        instrument,
        simulated.Terms(terms.maker_fee, terms.taker_fee),
        {"USDT": terms.balance},
        settings_of(msgspec.convert(case.group, GroupForm)),
        "spot" if case.spot else "margin",
    )
    alerts = [TimedAlert(Time(alert.at), SOURCE, as_text(alert.body)) for alert in case.alerts]
    log = Log()
    core = backtest(setup, tape_of(case.candles), alerts, log, pace=pace)
    account = core.state("account", ACCOUNT)
    fills = [event for event in log.events if isinstance(event, OrderFilled)]
    denied = [event for event in log.events if isinstance(event, OrderDenied | OrderRejected)]
    return Result(
        fills=[
            Fill(
                event.venue_at,
                event.side,
                scaled(event.price, instrument.price_scale),
                scaled(event.quantity, instrument.size_scale),
                scaled(event.fee, instrument.quote_scale),
            )
            for event in fills
        ],
        verdicts=verdicts_of(case.alerts, told_by_the_bot(log.events)),
        cash=scaled(account.cash["USDT"], instrument.quote_scale),
        position=scaled(account.positions.get(instrument.id, 0), instrument.size_scale),
        fees=scaled(sum(event.fee for event in fills), instrument.quote_scale),
        denials=[DENIALS.get(event.code, event.code) for event in denied if event.role == "entry"],
    )


def told_by_the_bot(events: Sequence[Event]) -> list[Event]:
    """The same events; a pyramid that the group refuses, because it is going out, is refused as the bot would say it."""
    told, number = list[Event](), 0
    for event in events:
        if isinstance(event, PyramidTaken):
            number = event.number
        elif isinstance(event, PyramidRefused):
            told.append(AlertRefused(event.bot, SOURCE, number, event.code, event.reason))
        told.append(event)
    return told


def expected(case: Case, flip: str = "") -> Result:
    return group_oracle.backtest(case.candles, case.alerts, case.group, case.terms, spot=case.spot, flip=flip)


# --- random markets --------------------------------------------------------------------------------------------------

PERCENTS = ["0.2", "0.5", "1", "2", "4"]


def group_of(random: Random, *, spot: bool) -> dict[str, Any]:
    """Any way of ending is there in half of the cases or so."""
    weights = random.choice([("100",), ("40", "60"), ("20", "30", "50"), ("25",) * 4])
    firsts, others = ["0", "0", "0.25", "-1"], ["-0.3", "-0.8", "-1.5", "-3", "1"]
    group: dict[str, Any] = {
        "capital": "1000",
        "legs": [
            leg(random.choice(others if index else firsts), weight, random.choice(PERCENTS))
            for index, weight in enumerate(weights)
        ],
        "entry": random.choice(["market", "limit"]),
        "max_pyramids": random.choice([1, 2, 3]),
        "when_flat": random.choice(["keep", "cancel"]),
        "take_profit": random.choice(["per_leg", "aggregate", "hybrid"]),
        "break_even_after_first_target": random.random() < 0.4,
        "reverse": not spot and random.random() < 0.5,
    }
    if group["take_profit"] != "per_leg":
        group["aggregate_take_profit_pct"] = random.choice(PERCENTS)
    for key in ("stop_loss_pct", "trailing_stop_pct", "cancel_beyond_pct"):
        if random.random() < 0.4:
            group[key] = random.choice(PERCENTS)
    for key in ("time_limit_minutes", "leg_expiry_minutes"):
        if random.random() < 0.3:
            group[key] = random.choice([1, 2, 5, 12, 61])
    return group


SIZES = {
    "capital_pct_of_equity": (["5", "30", "99.5"], ["0.5", "1", "5"]),
    "risk_pct_of_equity": (["0.07", "0.5", "2"], ["0.001", "0.013"]),
    "risk_amount": (["0.5", "3", "7.77"], ["3", "7.77", "100"]),
}
"""Sizes on a spot account and on a margin account; on the latter, so little that cash is never looked at."""


def sized(random: Random, group: dict[str, Any], *, spot: bool) -> dict[str, Any]:
    """Half of the groups cost what they may by the equity or by what they may lose."""
    way = random.choice([*SIZES, *[""] * len(SIZES)])
    if not way:
        return group
    group = {key: value for key, value in group.items() if key != "capital"}
    if way != "capital_pct_of_equity":
        group.setdefault("stop_loss_pct", random.choice(PERCENTS))
    return group | {way: random.choice(SIZES[way][0 if spot else 1])}


def alerts_on(random: Random, candles: Sequence[Candle], spot: bool) -> list[Alert]:
    times = [candle.open_time for candle in candles[1:-1]] or [candles[-1].open_time]
    sides = ["buy", "buy", "sell"] if random.random() < 0.5 or spot else ["sell", "sell", "buy"]
    alerts: list[Alert] = []
    for number in range(random.randint(1, 9)):
        at = random.choice(times) + random.choice([0, 0, 0, 0, 1, 30_000_000])
        action = random.choice([*sides, sides[0], sides[0], "exit"])
        if spot and action == "sell" and random.random() < 0.7:
            action = "buy"
        body = {"id": f"a{number}", "time": time_text(at), "symbol": "BTCUSDT", "action": action}
        close = next(candle.close for candle in reversed(candles) if candle.open_time <= at)
        if random.random() < 0.5:
            body["price"] = str(close + Decimal(random.randint(-150, 150)).scaleb(-2))
        alerts.append(Alert(at, body))
    return alerts


def case_of(seed: int) -> Case:
    random = Random(seed)
    spot = random.random() < 0.5
    candles = walk(seed, random.randint(3, 40), random.choice([30, 80, 150, 150]))
    balance = random.choice([1_000_000, 1_000_000, 1200]) if spot else 10**9
    tick, step = random.choice(["0.01", "0.1", "0.5"]), random.choice(["0.00001", "0.001"])
    alerts, group = alerts_on(random, candles, spot), group_of(random, spot=spot)
    group = sized(random, group, spot=spot)
    if "capital" not in group and not spot:
        balance = 1_000_000
    return Case(candles, alerts, group, terms_of(tick, step, balance), spot)


def terms_of(tick: str = "0.01", step: str = "0.001", balance: int = 10**9) -> Terms:
    numbers = [Decimal(text) for text in (tick, step, "5", "0.0002", "0.001", str(balance))]
    return Terms("BTCUSDT", *numbers)


def leg(gap: str, weight: str, target: str) -> dict[str, str]:
    return {"gap_pct": gap, "weight_pct": weight, "take_profit_pct": target}


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_groups_end_as_the_oracle_says(first: int) -> None:
    for seed in range(first, first + 100):
        case = case_of(seed)
        assert observed(case) == expected(case), f"seed={seed}"


@pytest.mark.parametrize("flip", group_oracle.FLIPS)
def test_a_rule_told_wrong_is_noticed(flip: str) -> None:
    """By a case told by hand, or else by one of the random ones."""
    for case in chain(TOLD.values(), map(case_of, range(3000))):
        if expected(case, flip) != expected(case) == observed(case):
            return
    pytest.fail("no case tells the difference")


# --- cases told by hand ----------------------------------------------------------------------------------------------


def told(bars: Sequence[str], alerts: Sequence[str], group: dict[str, Any], *, spot: bool = True) -> Case:
    """Minute candles `open high low close`; alerts `minute action [price]`."""
    candles = [Candle(START + k * MINUTE, *map(Decimal, bar.split())) for k, bar in enumerate(bars)]
    bodies = []
    for number, (minute, action, *price) in enumerate(alert.split() for alert in alerts):
        body = {"id": f"a{number}", "time": "2022-01-01T00:00:00Z", "symbol": "BTCUSDT", "action": action}
        bodies.append(Alert(START + int(minute) * MINUTE, body | ({"price": price[0]} if price else {})))
    return Case(candles, bodies, {"capital": "1000"} | group, terms_of(), spot)


STILL = "100 100 100 100"
ONE = {"legs": [leg("0", "100", "9")]}
TOLD = {
    "the close of the candle that bought moves the trailing stop": told(
        [STILL, "100 105 100 105", "105 105 102 103"], ["1 buy"], ONE | {"trailing_stop_pct": "2"}
    ),
    "an aggregate target that leaves nothing takes entries and stop with it": told(
        [STILL, STILL, "100 102 100 102", "102 102 90 90"],
        ["1 buy", "3 buy"],
        {
            "legs": [leg("0", "40", "1"), leg("-3", "60", "1")],
            "take_profit": "aggregate",
            "aggregate_take_profit_pct": "1",
            "stop_loss_pct": "2",
        },
    ),
    "a hybrid group of which nothing works is closed at its aggregate target": told(
        [STILL, "50 50 50 50", "120 120 120 120", "120 120 120 120"],
        ["1 buy"],
        {
            "capital": "6",
            "legs": [leg("-10", "100", "9")],
            "entry": "limit",
            "take_profit": "hybrid",
            "aggregate_take_profit_pct": "1",
        },
    ),
    "a group of which nothing works is closed at its time limit": told(
        [STILL, "50 50 50 50", "120 120 120 120", "120 120 120 120"],
        ["1 buy"],
        {"capital": "6", "legs": [leg("-10", "100", "9")], "entry": "limit", "time_limit_minutes": 2},
    ),
    "an exit forgets a reversal that waits": told(
        [STILL] * 5, ["1 buy", "2 sell", "2 exit"], ONE | {"reverse": True}, spot=False
    ),
    "an exit while a reversal waits for its fill": told(
        [STILL] * 5, ["1 buy", "2 sell", "3 exit"], ONE | {"reverse": True}, spot=False
    ),
    "a hybrid target is reached by the price itself": told(
        [STILL, STILL, "100 101 100 100", "100 100 90 90"],
        ["1 buy"],
        ONE | {"take_profit": "hybrid", "aggregate_take_profit_pct": "1"},
    ),
    "leg targets that sell all of a hybrid group leave its entries": told(
        [STILL, STILL, "100 102 100 102", "102 102 90 90"],
        ["1 buy"],
        {
            "legs": [leg("0", "40", "1"), leg("-3", "60", "1")],
            "take_profit": "hybrid",
            "aggregate_take_profit_pct": "1",
        },
    ),
    "a stop takes the group out with what its entries bought in that candle": told(
        [STILL, STILL, "100 100 90 95", "96 96 96 96"],
        ["1 buy", "3 buy"],
        {"legs": [leg("0", "40", "9"), leg("-3", "60", "9")], "stop_loss_pct": "2"},
    ),
    "an aggregate target in a candle that bought leaves the group with that": told(
        [STILL, STILL, "100 102 96 102", "102 102 102 102", "99 99 99 99"],
        ["1 buy"],
        {
            "legs": [leg("0", "30", "1"), leg("-3", "30", "1"), leg("-5", "40", "1")],
            "take_profit": "aggregate",
            "aggregate_take_profit_pct": "1",
        },
    ),
}


@pytest.mark.parametrize("case", TOLD.values(), ids=TOLD.keys())
def test_told_cases_agree(case: Case) -> None:
    assert observed(case) == expected(case)


# --- a real market ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_candles() -> list[Candle]:
    """BTC/USDT, five minutes, August to December 2022."""
    frame = pl.read_parquet(shared_data("candles/binance_spot_BTCUSDT_5m_202208_202309.parquet"))
    prices = (pl.col("open", "high", "low", "close") * 10**PRICE_SCALE).round().cast(pl.Int64)
    rows = frame.head(40_000).select(pl.col("open_time").dt.epoch("us"), prices).iter_rows()
    return [Candle(at, *(Decimal(quanta).scaleb(-PRICE_SCALE) for quanta in quanta4)) for at, *quanta4 in rows]


def real_alerts(candles: Sequence[Candle], count: int) -> list[Alert]:
    random = Random(count)
    alerts = []
    for number in range(count):
        candle = random.choice(candles)
        at = candle.open_time + random.choice([0, 0, 1, 17_000_000])
        action = random.choice(["buy", "buy", "buy", "sell", "sell", "exit"])
        body = {"id": f"a{number}", "time": time_text(at), "symbol": "BTCUSDT", "action": action}
        if random.random() < 0.3:
            body["price"] = str(candle.close + Decimal(random.randint(-9_000, 9_000)).scaleb(-2))
        alerts.append(Alert(at, body))
    return alerts


WAYS: dict[str, dict[str, Any]] = {
    "per_leg": {
        "capital": "1000",
        "break_even_after_first_target": True,
        "stop_loss_pct": "4",
        "cancel_beyond_pct": "2",
    },
    "aggregate": {
        "capital_pct_of_equity": "0.5",
        "aggregate_take_profit_pct": "1",
        "trailing_stop_pct": "3",
        "time_limit_minutes": 2000,
    },
    "hybrid": {
        "risk_pct_of_equity": "0.02",
        "aggregate_take_profit_pct": "1.2",
        "stop_loss_pct": "5",
        "leg_expiry_minutes": 700,
    },
}


@pytest.mark.parametrize(("way", "spot"), [("per_leg", True), ("aggregate", False), ("hybrid", False)])
def test_months_of_bitcoin_agree(real_candles: list[Candle], way: str, spot: bool) -> None:
    legs = [leg("0", "20", "1"), leg("-0.5", "30", "1.5"), leg("-2", "50", "2")]
    group = {"legs": legs, "max_pyramids": 2, "take_profit": way, "reverse": not spot} | WAYS[way]
    terms = terms_of("0.01", "0.00001", 100_000 if spot else 10**6)
    case = Case(real_candles, real_alerts(real_candles, 600), group, terms, spot)
    result = expected(case)
    assert len(result.fills) > 500
    assert observed(case) == result
