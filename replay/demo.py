"""A seeded market and seeded alerts, so that everything can be tried without data or network."""

import random
from decimal import Decimal
from itertools import islice

import msgspec
import numpy as np

from domain.bot.settings import GroupSettings, LegSettings
from domain.market import make_instrument
from domain.values import MINUTE, Time, decimal_text, parse_time, time_text
from infrastructure.market_data.random_walk import walk
from infrastructure.market_data.tape import COLUMNS, Tape, make_tape
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import SOURCE, Setup

START = parse_time("2026-01-01T00:00:00Z")
SYMBOL = "BTC/USDT"
PRICE_SCALE = 2
_FIRST = 9_000_000


def demo_tape(days: int, seed: int) -> Tape:
    """One-minute candles of a random walk that is drawn back to where it began."""
    chance = random.Random(seed)  # noqa: S311  (a market to look at, not a secret)
    candles = islice(walk(chance, _FIRST, _FIRST), days * 1440)
    rows = [(START + index * MINUTE, *candle) for index, candle in enumerate(candles)]
    table = np.array(rows, dtype=np.int64)
    columns = {name: np.ascontiguousarray(table[:, index]) for index, name in enumerate(COLUMNS)}
    return make_tape(columns, PRICE_SCALE, 0, MINUTE, SYMBOL)


def demo_alerts(tape: Tape, count: int, seed: int) -> list[TimedAlert]:
    """Alerts as charts send them: entries and exits, one in ten sent twice, one in forty damaged."""
    chance = random.Random(seed)  # noqa: S311
    alerts: list[TimedAlert] = []
    for number in range(count):
        index = chance.randrange(1, len(tape))
        at = Time(tape.open_times[index] + chance.randrange(2_000_000))
        body = {
            "id": f"demo-{number}",
            "time": time_text(tape.open_times[index]),
            "symbol": "BTCUSDT",
            "timeframe": "1m",
            "action": chance.choice(["buy", "buy", "buy", "exit"]),
            "price": decimal_text(tape.closes[index - 1], PRICE_SCALE),
        }
        if chance.random() < 1 / 40:
            body["price"] = "NaN"
        text = msgspec.json.encode(body).decode()
        alerts.append(TimedAlert(at, SOURCE, text))
        if chance.random() < 1 / 10:
            alerts.append(TimedAlert(Time(at + 5_000_000), SOURCE, text))
    return alerts


def demo_setup() -> Setup:
    """A spot account with 100,000 USDT and a bot that buys in three legs."""
    legs = (("0", "40", "0.8"), ("-0.6", "30", "0.8"), ("-1.4", "30", "1.0"))
    return Setup(
        instrument=make_instrument(SYMBOL, Decimal("0.01"), Decimal("0.00001"), Decimal(5)),
        terms=Terms(maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.001")),
        balances={"USDT": Decimal(100_000)},
        settings=GroupSettings(
            capital=Decimal(20_000),
            legs=tuple(LegSettings(Decimal(gap), Decimal(weight), Decimal(target)) for gap, weight, target in legs),
        ),
    )
