"""What strategies made of an account, from what one reading of the log gives instead of from its projections."""

from collections.abc import Sequence
from typing import Any

from domain.account.events import OrderFilled
from domain.market import Instrument
from projections.cost_basis import Pool, change, flow_of
from replay.results import Results


def account_results(results: Results, instrument: Instrument) -> dict[str, Any]:
    """What the account made, in the quote asset, as the projections would say it.

    Realized by average cost, of each bot by itself. What the equity gained beside it, fees given back, is unrealized.
    """
    realized, curve, trades = _realized(results.fills), results.curve, results.trades
    final = int(curve.equity[-1])
    text = instrument.cash_text
    return {
        "quote": instrument.quote,
        "final_equity": text(final),
        "realized_pnl": text(realized),
        "unrealized_pnl": text(final - curve.initial - realized + trades.fees),
        "fees": text(trades.fees),
        "turnover": text(trades.turnover),
    }


def _realized(fills: Sequence[OrderFilled]) -> int:
    pools: dict[tuple[str, str], Pool] = {}
    total = 0
    for fill in fills:
        key = (fill.bot, fill.instrument)
        if fill.received == fill.quantity:
            # What `flow_of` would say, without its cost: nearly every fill is such a one.
            buys = fill.side == "buy"
            quantity, cost = (int(fill.quantity), int(fill.cash)) if buys else (-fill.quantity, -fill.cash)
        else:
            flow = flow_of(fill)
            quantity, cost = flow.quantity, flow.cost
        pools[key], realized = change(pools.get(key) or _NOTHING, quantity, cost)
        total += realized
    return total


_NOTHING = Pool()
