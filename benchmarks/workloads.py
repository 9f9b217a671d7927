"""What the benchmarks play: a seeded market, and alerts dense enough that most of the time goes into orders."""

from decimal import Decimal

import msgspec
from msgspec import Struct, structs

from domain.bot.settings import Entry, GroupSettings, LegSettings
from domain.values import Time, time_text
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated_market import TimedAlert
from replay.demo import demo_setup, demo_tape
from replay.game import SOURCE, Game, game_of

SEED = 20_260_101
DAY = 1440
"""Candles."""


class Workload(Struct, frozen=True):
    """Groups of these legs (gap, weight and target in percent); every `spacing` candles an entry or an exit, in turn."""

    name: str
    legs: tuple[tuple[str, str, str], ...]
    spacing: int
    entry: Entry = "market"

    def settings(self) -> GroupSettings:
        legs = tuple(LegSettings(*map(Decimal, leg)) for leg in self.legs)
        return GroupSettings(capital=Decimal(20_000), legs=legs, entry=self.entry, when_flat="cancel")


DENSE = Workload(
    "dca: 3 legs, an alert every 20 candles", (("0", "40", "0.1"), ("-0.1", "30", "0.1"), ("-0.2", "30", "0.1")), 20
)
LADDER = Workload(
    "ladder: 20 legs, an alert every 240 candles",
    tuple((f"{-index / 50:.2f}", "5", "0.1") for index in range(20)),
    240,
)
RESTING = Workload("one limit order that no candle meets", (("-50", "100", "1"),), 10**9, "limit")
"""Its one alert comes before the second candle; the order rests to the end."""


def market(candles: int) -> Tape:
    """Whole days of the demo's seeded walk, at least so many candles."""
    return demo_tape(-(-candles // DAY), SEED)


def first(tape: Tape, candles: int) -> Tape:
    end = tape.open_times[candles] if candles < len(tape) else tape.open_times[-1] + 1
    return tape.slice(Time(tape.open_times[0]), Time(end))


def game(workload: Workload | None, tape: Tape) -> Game:
    """The workload's alerts over a tape, none without one; each comes just before its candle opens."""
    setup = structs.replace(demo_setup(), balances={"USDT": Decimal(10_000_000)})
    if workload is None:
        return game_of(setup, tape, [])
    setup = structs.replace(setup, settings=workload.settings())
    places = range(1, len(tape), workload.spacing)
    alerts = [_alert(number, Time(tape.open_times[place] - 1_000_000)) for number, place in enumerate(places)]
    return game_of(setup, tape, alerts)


def _alert(number: int, at: Time) -> TimedAlert:
    body = {
        "id": f"bench-{number}",
        "time": time_text(at),
        "symbol": "BTCUSDT",
        "timeframe": "1m",
        "action": "exit" if number % 2 else "buy",
    }
    return TimedAlert(at, SOURCE, msgspec.json.encode(body).decode())
