"""hftbacktest: a candle is played as two trades, at its low and at its high; grid only.

Nobody stands before a resting order in its queue, so a trade at its price meets it, as a candle does that reaches it. It
fills at its own price, also where the candle opens beyond, as the reference does with the rule `own price`. Orders take
no time to arrive, and there are no balances that could be too small.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hftbacktest import (  # type: ignore[import-not-found]
    BUY_EVENT,
    EXCH_EVENT,
    FILLED,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype  # type: ignore[import-not-found]
from numba import njit  # type: ignore[import-not-found]
from numpy.typing import NDArray

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

MINUTE_NS = 60_000_000_000
TICK = 1 / CENTS
NO_WAIT = False


@njit  # type: ignore[untyped-decorator]
def play(
    backtest: HashMapMarketDepthBacktest,
    count: int,
    prices: NDArray[np.float64],
    quantity: float,
    empty: int,
    filled: NDArray[np.int32],
) -> int:
    """Rows of `filled`, of which there are enough: candle, level, whether bought. Returns how many there were."""
    orders_made = done = 0
    due = [(level, level < empty) for level in range(len(prices)) if level != empty]
    for candle in range(count):
        backtest.elapse(MINUTE_NS)
        if backtest.state_values(0).num_trades != done:
            orders = backtest.orders(0).values()
            while orders.has_next():
                order = orders.get()
                if order.status == FILLED:
                    level, buy = int(order.order_id % 64), order.side == 1
                    filled[done, 0], filled[done, 1], filled[done, 2] = candle, level, buy
                    done += 1
                    due.append((level + 1 if buy else level - 1, not buy))
            backtest.clear_inactive_orders(0)
        for level, buy in due:
            if 0 <= level < len(prices):
                orders_made += 1
                identity = orders_made * 64 + level
                if buy:
                    backtest.submit_buy_order(0, identity, prices[level], quantity, GTC, LIMIT, NO_WAIT)
                else:
                    backtest.submit_sell_order(0, identity, prices[level], quantity, GTC, LIMIT, NO_WAIT)
        due.clear()
    return done


def events_of(table: pl.DataFrame) -> NDArray[np.void]:
    """The first opens the clock; the last lets the last candle end, at a price that no order has."""
    count, opened = len(table), table["open_time"].to_numpy() * 1000
    events = np.zeros(2 * count + 2, event_dtype)
    events["ev"] = EXCH_EVENT | LOCAL_EVENT | TRADE_EVENT | BUY_EVENT
    events["ev"][1:-1:2] = EXCH_EVENT | LOCAL_EVENT | TRADE_EVENT | SELL_EVENT
    events["px"], events["qty"] = TICK, 1
    events["px"][1:-1:2] = table["low"].to_numpy()
    events["px"][2:-1:2] = table["high"].to_numpy()
    events["exch_ts"][1:-1:2], events["exch_ts"][2:-1:2] = opened + MINUTE_NS // 3, opened + MINUTE_NS // 2
    events["exch_ts"][0], events["exch_ts"][-1] = opened[0], opened[-1] + 2 * MINUTE_NS
    events["local_ts"] = events["exch_ts"]
    return events


def run(workload: str, parameters: dict[str, Any], data: Path) -> Answer:
    assert workload == "grid", "the sma_cross of candles is not what hftbacktest is for"
    table = pl.read_parquet(data)
    events, count = events_of(table), len(table)
    grid, quantity = levels(parameters), steps(parameters["quantity"])
    empty = empty_level(grid, cents(table["close"][0]))
    prices = np.array(grid) / CENTS
    filled = np.zeros((count * len(grid), 3), np.int32)

    def work() -> tuple[int, float]:
        asset = (
            BacktestAsset()
            .data(events)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(float(parameters["maker_fee"]), float(parameters["taker_fee"]))
            .tick_size(TICK)
            .lot_size(1 / STEPS)
        )
        backtest = HashMapMarketDepthBacktest([asset])
        done = play(backtest, count, prices, quantity / STEPS, empty, filled)
        values = backtest.state_values(0)
        profit = values.balance - values.fee + values.position * table["close"][-1]
        backtest.close()
        return done, profit

    cold, _ = timed(work)
    warm, (done, profit) = timed(work)

    def fills() -> list[Fill]:
        times = table["open_time"].to_list()
        return [
            Fill(times[candle], "buy" if buy else "sell", grid[level], quantity)
            for candle, level, buy in filled[:done].tolist()
        ]

    return Answer(warm, done, float(profit), fills, cold=cold)


if __name__ == "__main__":
    serve(run)
