"""nautilus_trader: a bar is played as the prices open, high, low, close; orders made on a bar meet its close.

So a market order fills at the close of the candle that decided it, as the reference does with `close_fill`. What fills
inside a bar is answered when the bar is over, as in the other engines. A cash account holds quote and base.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig  # type: ignore[import-not-found]
from nautilus_trader.common import LoggerConfig, LogLevel  # type: ignore[import-not-found]
from nautilus_trader.execution import MakerTakerFeeModel  # type: ignore[import-not-found]
from nautilus_trader.indicators import SimpleMovingAverage  # type: ignore[import-not-found]
from nautilus_trader.model import (  # type: ignore[import-not-found]
    AccountType,
    Bar,
    BarType,
    Currency,
    CurrencyPair,
    InstrumentId,
    Money,
    OmsType,
    OrderFilled,
    OrderSide,
    Price,
    Quantity,
    Symbol,
    Venue,
)
from nautilus_trader.risk import RiskEngineConfig  # type: ignore[import-not-found]
from nautilus_trader.trading import Strategy, StrategyConfig  # type: ignore[import-not-found]

from benchmarks.peers.workload import (
    CENTS,
    STEPS,
    Answer,
    Fill,
    cents,
    empty_level,
    levels,
    serve,
    steps,
    timed,
)

VENUE = Venue("SIM")
PAIR = InstrumentId(Symbol("BTCUSDT"), VENUE)
BARS = BarType.from_str(f"{PAIR}-1-MINUTE-LAST-EXTERNAL")
USDT, BTC = Currency.from_str("USDT"), Currency.from_str("BTC")
MINUTE_NS = 60_000_000_000
PRICE_PLACES, QUANTITY_PLACES = 2, 5


class SmaCross(Strategy):  # type: ignore[misc]
    """Its own means, which are quicker than sums kept up here; they are floats that drift, so a tie must be rounded to one."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.fast, self.slow = SimpleMovingAverage(parameters["fast"]), SimpleMovingAverage(parameters["slow"])
        self.notional = cents(parameters["notional"])
        self.whole = CENTS * parameters["fast"] * parameters["slow"]
        self.before: int | None = None
        self.held = 0
        self.filled: list[OrderFilled] = []

    def on_start(self) -> None:
        self.register_indicator_for_bars(BARS, self.fast)
        self.register_indicator_for_bars(BARS, self.slow)
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        if not self.slow.initialized:
            return
        # So many times the difference is a whole number, but for the drift.
        gap, before = round((self.fast.value - self.slow.value) * self.whole), self.before
        self.before = gap
        if before is None:
            return
        if before <= 0 < gap and not self.held:
            self.trade(OrderSide.BUY, self.notional * STEPS // cents(float(bar.close)))
        elif before >= 0 > gap and self.held:
            self.trade(OrderSide.SELL, self.held)

    def trade(self, side: OrderSide, quantity: int) -> None:
        amount = Quantity(quantity / STEPS, QUANTITY_PLACES)
        self.submit_order(self.order_factory.market(PAIR, side, amount))

    def on_order_filled(self, event: OrderFilled) -> None:
        filled = steps(float(event.last_qty))
        self.held += filled if event.order_side == OrderSide.BUY else -filled
        self.filled.append(event)


class Grid(Strategy):  # type: ignore[misc]
    """What fills inside a bar is answered after it."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(StrategyConfig(log_events=False, log_commands=False))
        self.prices = levels(parameters)
        self.amount = Quantity(steps(parameters["quantity"]) / STEPS, QUANTITY_PLACES)
        self.working: dict[Any, tuple[int, bool]] = {}
        self.due: list[tuple[int, bool]] = []
        self.started = False
        self.filled: list[OrderFilled] = []

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        if not self.started:
            self.started = True
            empty = empty_level(self.prices, cents(float(bar.close)))
            self.due = [(index, index < empty) for index in range(len(self.prices)) if index != empty]
        if self.due:
            due, self.due = self.due, []
            for index, buy in due:
                self.place(index, buy=buy)

    def place(self, index: int, *, buy: bool) -> None:
        side, price = OrderSide.BUY if buy else OrderSide.SELL, Price(self.prices[index] / CENTS, PRICE_PLACES)
        order = self.order_factory.limit(PAIR, side, self.amount, price)
        self.working[order.client_order_id] = (index, buy)
        self.submit_order(order)

    def on_order_filled(self, event: OrderFilled) -> None:
        self.filled.append(event)
        index, buy = self.working.pop(event.client_order_id)
        counter = index + 1 if buy else index - 1
        if 0 <= counter < len(self.prices):
            self.due.append((counter, not buy))


def engine_of(parameters: dict[str, Any]) -> BacktestEngine:
    """Nothing is logged, no analysis is made, and the risk engine's limit of orders a second is out of reach."""
    quiet = LoggerConfig(stdout_level=LogLevel.OFF, bypass_logging=True)
    risk = RiskEngineConfig(max_order_submit_rate="1000000/00:00:01", max_order_modify_rate="1000000/00:00:01")
    engine = BacktestEngine(
        BacktestEngineConfig(logging=quiet, bypass_logging=True, run_analysis=False, risk_engine=risk)
    )
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        starting_balances=[
            Money.from_decimal(Decimal(parameters["quote"]), USDT),
            Money.from_decimal(Decimal(parameters["base"]), BTC),
        ],
        fee_model=MakerTakerFeeModel(Decimal(parameters["maker_fee"]), Decimal(parameters["taker_fee"])),
    )
    engine.add_instrument(
        CurrencyPair(
            PAIR,
            Symbol("BTCUSDT"),
            BTC,
            USDT,
            PRICE_PLACES,
            QUANTITY_PLACES,
            Price.from_str(parameters["tick"]),
            Quantity.from_str(parameters["step"]),
            0,
            0,
        )
    )
    return engine


def bars_of(table: pl.DataFrame) -> list[Bar]:
    return [
        Bar(
            BARS,
            *(Price(each, PRICE_PLACES) for each in prices),
            Quantity(volume, QUANTITY_PLACES),
            time * 1000 + MINUTE_NS,
            time * 1000 + MINUTE_NS,
        )
        for time, *prices, volume in table.iter_rows()
    ]


def run(workload: str, parameters: dict[str, Any], data: Path) -> Answer:
    table = pl.read_parquet(data)
    engine = engine_of(parameters)
    engine.add_data(bars_of(table), validate=True, sort=True)
    strategy = Grid(parameters) if workload == "grid" else SmaCross(parameters)
    engine.add_strategy(strategy)
    seconds, _ = timed(engine.run)
    account = engine.portfolio.account(VENUE)
    quote, base = float(account.balance_total(USDT)), float(account.balance_total(BTC))
    profit = quote - float(parameters["quote"]) + (base - float(parameters["base"])) * table["close"][-1]

    def fills() -> list[Fill]:
        return [
            Fill(
                (each.ts_event - MINUTE_NS) // 1000,
                "buy" if each.order_side == OrderSide.BUY else "sell",
                cents(float(each.last_px)),
                steps(float(each.last_qty)),
            )
            for each in strategy.filled
        ]

    return Answer(seconds, len(strategy.filled), profit, fills)


if __name__ == "__main__":
    serve(run)
