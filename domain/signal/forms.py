"""Forms of alerts: whatever a sender writes is turned into our own form, and only that is read.

A form is told by its keys: `tv_instrument` makes it the common bot shape, `tv` the execution-engine form; all else is
ours. A source with a mapping of its own reads every body by that.
"""

from typing import Any, Literal

from domain.signal.body import Content, MalformedAlertError
from domain.signal.paths import Paths, mapped
from domain.values import Time, time_text

Word = Literal["buy", "sell", "exit", "target"]

WORDS: dict[str, Word] = {
    "buy": "buy", "long": "buy", "sell": "sell", "short": "sell", "exit": "exit", "close": "exit", "flat": "exit",
    "target": "target",
}  # fmt: skip
"""What an action may be called."""

OURS: Paths = {}
"""Our own form needs no mapping."""
BOT: Paths = {
    "id": "$.id",
    "order_id": "$.order_id",
    "time": "$.timestamp",
    "symbol": "$.tv_instrument",
    "action": "$.action",
    "timeframe": "$.timeframe",
    "price": "$.trigger_price",
    "quantity": "$.order.amount",
    "market_position": "$.strategy_info.market_position",
    "market_position_size": "$.strategy_info.market_position_size",
    "max_lag": "$.max_lag",
}
ENGINE: Paths = {
    "id": "$.id",
    "order_id": "$.strategy_info.trade_id",
    "time": "$.timestamp",
    "symbol": "$.tv.symbol",
    "action": "$.tv.action",
    "timeframe": "$.tv.timeframe",
    "price": "$.tv.entry_price",
    "quantity": "$.tv.order_size",
    "market_position": "$.tv.market_position",
    "market_position_size": "$.tv.market_position_size",
    "max_lag": "$.max_lag",
}
_ENGINE_CLOSE: Paths = {**ENGINE, "price": "$.tv.close_price"}
_IN_BASE = ("base", "contracts")
"""Units of an amount that count the base asset; an amount in another is no quantity."""


def in_our_form(content: Content, mapping: Paths, arrived: Time | None) -> tuple[Content, Paths]:
    """A body in our form, and where each key was read.

    `arrived` stands in for a time that a foreign body does not tell, unless it limits its own age; None lets nothing
    stand in.
    """
    if mapping:
        return _timed(mapped(content, mapping), arrived), mapping
    if "tv_instrument" in content:
        return _from_bot(content), BOT
    if "tv" in content:
        return _from_engine(content, arrived)
    return content, OURS


def _from_bot(content: Content) -> dict[str, Any]:
    fields = mapped(content, BOT)
    _drop_foreign_amount(fields, content.get("order"), "currency_type")
    return fields


def _from_engine(content: Content, arrived: Time | None) -> tuple[dict[str, Any], Paths]:
    """Its intent says what to do; the chart's action must not say otherwise, unless the strategy is flat after it."""
    tv = content["tv"]
    paths = ENGINE if isinstance(tv, dict) and tv.get("entry_price") is not None else _ENGINE_CLOSE
    fields = _timed(mapped(content, paths), arrived)
    intent = content.get("execution_intent")
    if not isinstance(intent, dict):
        return fields, paths
    _drop_foreign_amount(fields, intent, "position_size_type")
    word = _word(intent.get("type"))
    side = intent.get("side")
    if word in {"exit", "target"}:
        fields["action"] = word
    elif side is not None:
        action = fields.setdefault("action", side)
        if _word(side) != _word(action) and _word(fields.get("market_position")) != "exit":
            raise MalformedAlertError(
                "ACTION_CONTRADICTED", f"action {str(action)[:40]!r}, side {str(side)[:40]!r}", "action"
            )
    return fields, paths


def _word(said: object) -> Word | None:
    return WORDS.get(said.strip().lower()) if isinstance(said, str) else None


def _timed(fields: dict[str, Any], arrived: Time | None) -> dict[str, Any]:
    if arrived is not None and "time" not in fields and "max_lag" not in fields:
        fields["time"] = time_text(arrived)
    return fields


def _drop_foreign_amount(fields: dict[str, Any], beside: object, key: str) -> None:
    unit = beside.get(key) if isinstance(beside, dict) else None
    if unit is not None and unit not in _IN_BASE:
        fields.pop("quantity", None)
