"""A year of six real markets, the alerts that charts of them send, and the portfolio that trades on these.

The candles are files of 5 minutes; three charts of each instrument watch two means of its closes. One that crosses up is an
entry, a price that comes back above the faster one while that is the higher another entry (a pyramid), one that crosses
down, with the price well below it, an exit. A few alerts come twice, a few are for another symbol, or no alerts at all. Nothing is drawn by chance.
"""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct, structs

from domain.account.commands import SetRiskLimits
from domain.account.limits import RiskLimits
from domain.bot.settings import GroupSettings
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.settings import PoolSettings
from domain.market import Instrument, make_instrument
from domain.portfolio_risk.commands import ConfigureOffset
from domain.portfolio_risk.settings import OffsetSettings
from domain.values import Asset, InstrumentId, Time, decimal_text, time_text
from infrastructure.market_data.shelf import import_cached
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import ACCOUNT, BotSetup, Game, MarketSetup, Portfolio, portfolio_game

Mode = Literal["per_leg", "aggregate", "hybrid"]
MODES: tuple[Mode, ...] = ("per_leg", "aggregate", "hybrid")
INTERVAL = 300_000_000
FILES = "binance_spot_*USDT_5m_*.parquet"
CHARTS = {"5": (36, 288), "15": (72, 576), "60": (144, 1152)}
"""Candles of the two means, of each timeframe that a chart says it has."""
TERMS = Terms(Decimal("0.0002"), Decimal("0.001"), Decimal("0.0001"))
FALLEN = 2
"""Percent that the price must be below the slower mean for an exit."""
STEP, MINIMUM = Decimal("0.0001"), Decimal(5)
DEAR, CHEAP = 100, 1
"""Above the first price a tick is a hundredth, below the second a millionth."""
LEGS = [
    {"gap_pct": "0", "weight_pct": "40", "take_profit_pct": "4"},
    {"gap_pct": "-1.5", "weight_pct": "30", "take_profit_pct": "4"},
    {"gap_pct": "-3", "weight_pct": "30", "take_profit_pct": "5"},
]
ENDS = {
    "stop_loss_pct": "12", "break_even_after_first_target": True, "time_limit_minutes": 20_160,
    "leg_expiry_minutes": 4_321,
}  # fmt: skip
POOL = PoolSettings(max_open_groups=10, queue_expiry_minutes=2_880)
OFFSET = OffsetSettings(
    loss_threshold_pct=Decimal(-2), require_full_pyramids=False, post_full_wait_minutes=93, evaluate_seconds=60
)
LIMITS = RiskLimits(
    currency=Asset("USDT"), order_notional_max=Decimal(1_150), instrument_exposure_max=Decimal(5_000),
    account_exposure_max=Decimal(15_000), open_orders_max=60,
)  # fmt: skip


class Market(Struct, frozen=True):
    """An instrument's base and its candles."""

    base: str
    tape: Tape

    @property
    def symbol(self) -> str:
        return f"{self.base}/USDT"


class Year(Struct, frozen=True):
    """All markets and all alerts, by time."""

    markets: tuple[Market, ...]
    alerts: tuple[TimedAlert, ...]

    def game(self, mode: Mode) -> Game:
        """The run of one way to take profit."""
        tapes = [market.tape for market in self.markets]
        return portfolio_game(portfolio(self.markets, mode), tapes, self.alerts)


def make_year(folder: Path, home: Path, days: int | None, count: int) -> Year:
    """The first `days` of the candles in a folder, and `count` of what their charts send, spread evenly."""
    markets = tuple(_markets(folder, home, days))
    said = sorted(
        (alert for market in markets for alert in _alerts_of(market)), key=lambda alert: (alert.at, alert.source)
    )
    good = count - count // 20
    chosen = [said[number * len(said) // good] for number in range(good)] if len(said) > good else said
    return Year(markets, tuple(_disturbed(chosen)))


def _markets(folder: Path, home: Path, days: int | None) -> Iterator[Market]:
    for file in sorted(folder.glob(FILES)):
        tape = import_cached(file, home).load()
        start = tape.open_times[0]
        last = tape.open_times[-1] + 1 if days is None else start + days * 86_400_000_000
        yield Market(file.name.split("_")[2].removesuffix("USDT"), tape.slice(Time(start), Time(last)))


def source_of(base: str, timeframe: str) -> str:
    return f"{base.lower()}-{timeframe}"


def _alerts_of(market: Market) -> Iterator[TimedAlert]:
    for timeframe, (fast, slow) in CHARTS.items():
        for index, action in _crossings(market.tape, fast, slow):
            at = Time(market.tape.open_times[index] + INTERVAL)
            body = {
                "id": f"{timeframe}-{index}", "time": time_text(at), "symbol": f"BINANCE:{market.base}USDT",
                "timeframe": timeframe, "action": action,
                "price": decimal_text(market.tape.closes[index], market.tape.price_scale),
            }  # fmt: skip
            yield TimedAlert(at, source_of(market.base, timeframe), json.dumps(body))


def _crossings(tape: Tape, fast: int, slow: int) -> Iterator[tuple[int, str]]:
    """(index of the candle that has closed, action); all sums are of integers, so that nothing hangs on a rounding.

    The last candle says nothing: nothing could come of it.
    """
    closes = np.asarray(tape.closes, dtype=np.int64)
    sums = np.concatenate([[0], np.cumsum(closes)])
    ends = np.arange(slow, len(tape))
    near, far = sums[ends] - sums[ends - fast], sums[ends] - sums[ends - slow]
    above, over = near * slow > far * fast, closes[ends - 1] * fast > near
    under = closes[ends - 1] * slow * 100 < far * (100 - FALLEN)
    for place in range(1, len(ends)):
        if above[place] and not above[place - 1]:
            yield int(ends[place]) - 1, "buy"
        elif above[place - 1] and not above[place]:
            if under[place]:
                yield int(ends[place]) - 1, "exit"
        elif above[place] and over[place] and not over[max(0, place - fast) : place].any():
            yield int(ends[place]) - 1, "buy"


def _disturbed(alerts: Sequence[TimedAlert]) -> Iterator[TimedAlert]:
    """Each alert; behind every 40th the same once more, or one that means nothing; behind every 50th a foreign one."""
    for number, alert in enumerate(alerts, 1):
        yield alert
        if number % 40 == 0:
            yield alert if number % 80 else structs.replace(alert, body=f"buy please {number}")
        if number % 50 == 0:
            yield structs.replace(
                alert, body=alert.body.replace("BINANCE:", "BINANCE:X").replace('"id": "', '"id": "x')
            )


def portfolio(markets: Sequence[Market], mode: Mode) -> Portfolio:
    """An account with a bot for each chart."""
    setups = tuple(MarketSetup(_instrument(market), TERMS) for market in markets)
    bots = tuple(
        BotSetup(
            f"{market.base}-{timeframe}", source_of(market.base, timeframe), InstrumentId(market.symbol),
            _settings(mode), timeframe,
        )
        for market in markets
        for timeframe in CHARTS
    )  # fmt: skip
    commands = ConfigurePool(ACCOUNT, POOL), SetRiskLimits(ACCOUNT, LIMITS), ConfigureOffset(ACCOUNT, OFFSET)
    return Portfolio(setups, bots, {"USDT": Decimal(20_000)}, commands=commands)


def _instrument(market: Market) -> Instrument:
    price = Decimal(market.tape.closes[-1]).scaleb(-market.tape.price_scale)
    tick = Decimal("0.01") if price > DEAR else Decimal("0.0001") if price > CHEAP else Decimal("0.000001")
    return make_instrument(market.symbol, tick, STEP, MINIMUM, price_scale=market.tape.price_scale)


def _settings(mode: Mode) -> GroupSettings:
    target = {} if mode == "per_leg" else {"aggregate_take_profit_pct": "3.5"}
    given = {"capital": "1000", "max_pyramids": 3, "legs": LEGS, "take_profit": mode, **ENDS, **target}
    return msgspec.convert(given, GroupSettings, strict=False)
