"""The pre-trade checks by the codes they deny with, and where in a reason their figures stand."""

import re
from collections.abc import Mapping

from msgspec import Struct

from replay.reports.cells import Blank, Row

ALWAYS = ("instrument_listed", "order_not_unknown", "position_free", "balance_free", "not_halted", "risk_check_runs")
"""Checks of every account that have no limit to be set."""


class Check(Struct, frozen=True):
    """A check, and the names under which a reason has what was found and what was allowed; "" where it has none."""

    name: str
    value: str = ""
    limit: str = ""


CHECKS: Mapping[str, Check] = {
    "INSTRUMENT_UNKNOWN": Check("instrument_listed", "instrument"),
    "RISK_CHECK_FAILED": Check("risk_check_runs", "rule"),
    "QUANTITY_BELOW_STEP": Check("step", "quantity", "step"),
    "QUANTITY_OFF_STEP": Check("step", "quantity", "step"),
    "PRICE_OFF_TICK": Check("tick", "limit|stop", "tick"),
    "PRICE_MISSING": Check("tick", "type"),
    "NOTIONAL_TOO_LARGE": Check("representable", "notional"),
    "NOTIONAL_BELOW_MINIMUM": Check("minimum_notional", "notional", "minimum"),
    "TRADING_HALTED": Check("not_halted", "because"),
    "TRADING_REDUCING": Check("not_halted", "because"),
    "ORDER_UNKNOWN": Check("order_not_unknown", "orders"),
    "POSITION_INSUFFICIENT": Check("position_free", "quantity", "free"),
    "BALANCE_INSUFFICIENT": Check("balance_free", "needed", "free"),
    "MODE_NOT_ALLOWED": Check("limits.modes", "mode", "allowed"),
    "INSTRUMENT_NOT_TRADABLE": Check("limits.instruments", "instrument"),
    "CURRENCY_DIFFERENT": Check("limits.currency", "quote", "currency"),
    "ORDER_NOTIONAL": Check("limits.order_notional_max", "notional", "limit"),
    "ORDER_QUANTITY": Check("limits.instruments", "quantity", "limit"),
    "MARK_UNKNOWN": Check("mark_known", "instrument"),
    "PRICE_COLLAR": Check("limits.price_collar_pct", "price", "limit"),
    "OPEN_ORDERS": Check("limits.open_orders_max", "open", "limit"),
    "ORDER_RATE": Check("limits.orders_max", "sent", "limit"),
    "ORDER_DUPLICATE": Check("limits.duplicate_window_seconds", "microseconds", "limit"),
    "COOLDOWN": Check("limits.cooldown_seconds", "microseconds", "limit"),
    "EVENT_WINDOW": Check("limits.event_windows", "at", "end"),
    "EQUITY_UNKNOWN": Check("equity_known", "currency"),
    "EXPOSURE_BOT": Check("limits.bot_exposure_max", "exposure", "limit"),
    "EXPOSURE_STRATEGY": Check("limits.strategies", "exposure", "limit"),
    "EXPOSURE_INSTRUMENT": Check("limits.instrument_exposure_max", "exposure", "limit"),
    "EXPOSURE_ACCOUNT": Check("limits.account_exposure_max", "exposure", "limit"),
    "LEVERAGE": Check("limits.leverage_max", "exposure", "limit"),
    "MARGIN_USE": Check("limits.margin_use_max_pct", "exposure", "limit"),
    "CONCENTRATION": Check("limits.concentration_max_pct", "exposure", "limit"),
    "EXPOSURE_CORRELATED": Check("limits.correlated_exposure_max", "exposure", "limit"),
    "VOLATILITY": Check("limits.breaker", "level|change", "limit"),
    "DAILY_LOSS": Check("limits.daily_loss_max", "loss", "limit"),
    "BOT_DAILY_LOSS": Check("limits.bot_daily_loss_max", "loss", "limit"),
    "DRAWDOWN": Check("limits.drawdown_max", "loss", "limit"),
    "CONSECUTIVE_LOSSES": Check("limits.consecutive_losses_max", "losses", "limit"),
}
"""Every code that an order is denied or trading is halted with, but for a kill."""


def check_of(code: str) -> str:
    """The check that says this; the code itself where it is none of ours."""
    found = CHECKS.get(code)
    return code if found is None else found.name


def figures_of(code: str, reason: str) -> Row:
    """`value` and `limit` from a reason's `name=figure` parts: the last of a name, as names of people's making go first."""
    found = CHECKS.get(code, Check(code))
    return {
        "value": _figure(found.value, reason) or Blank.NOT_APPLICABLE,
        "limit": _figure(found.limit, reason) or Blank.NOT_APPLICABLE,
    }


def _figure(names: str, reason: str) -> str:
    if not names:
        return ""
    parts = re.findall(rf"(?:^|, )(?:{names})=([^,]*)", reason)
    return parts[-1].strip() if parts else ""
