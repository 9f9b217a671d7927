"""Our alert form: a JSON object with `time`, `symbol`, `action`, and optionally `id`, `timeframe`, `price`.

Prices are exact: JSON numbers are read as decimals, never as floats. Other keys are allowed and not looked at.
"""

import json
from decimal import Decimal
from typing import NoReturn, cast

from msgspec import Struct

from domain.errors import InputError
from domain.signal.events import Action
from domain.values import Time, parse_decimal, parse_time

ACTIONS = ("buy", "sell", "exit")
TEXT_MAX = 200
BRACKETS_MAX = 100
"""So that a body's verdict does not depend on how deep a stack its reader has."""


class Alert(Struct, frozen=True):
    """A well-formed alert. `identity` is its id, or what tells two alerts without one apart."""

    identity: str
    at: Time
    symbol: str
    action: Action
    timeframe: str
    price: Decimal | None


class MalformedAlertError(InputError):
    """The body is not an alert; `code` is for machines, the message for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def parse_alert(body: str) -> Alert:
    """Read an alert; raises MalformedAlertError naming the key and what is allowed."""
    content = _json_object(body)
    at = _time(content)
    symbol = _text(content, "symbol")
    action = _text(content, "action").lower()
    if action not in ACTIONS:
        raise MalformedAlertError("ACTION_UNKNOWN", f"action {action!r}; allowed: {', '.join(ACTIONS)}")
    timeframe = _text(content, "timeframe", required=False)
    identity = _text(content, "id", required=False)
    if not identity:
        order = _text(content, "order_id", required=False)
        identity = f"~{plain_symbol(symbol)}~{at}~{order}~{action}"
    elif identity.startswith("~"):
        identity = f"~{identity}"  # so that no id can be taken for a composed one
    return Alert(identity, at, symbol, cast("Action", action), timeframe, _price(content))


def plain_symbol(symbol: str) -> str:
    """A symbol without exchange prefix and punctuation: `BINANCE:BTCUSDT` and `BTC/USDT` are both `BTCUSDT`."""
    return symbol.rpartition(":")[2].translate(_PUNCTUATION).upper()


def _json_object(body: str) -> dict[str, object]:
    if body.count("[") + body.count("{") > BRACKETS_MAX:
        raise MalformedAlertError("TOO_NESTED", f"the body has more than {BRACKETS_MAX} brackets")
    try:
        content = _JSON.decode(body)
    except MalformedAlertError:
        raise
    except (ValueError, ArithmeticError):
        # The parser's own words are not the same in every version, and what is recorded must be.
        raise MalformedAlertError("NOT_JSON", "the body is not JSON") from None
    if not isinstance(content, dict):
        raise MalformedAlertError("NOT_AN_OBJECT", "the body is not a JSON object")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedAlertError("NUMBER_NOT_FINITE", f"{name} is not a number")


_JSON = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant)
"""Made once: `json.loads` with these makes one for every alert."""
_PUNCTUATION = str.maketrans("", "", "/-_~ ")
_TEXT_OR_NUMBER = (str, int, Decimal)


def _text(content: dict[str, object], key: str, *, required: bool = True) -> str:
    value = content.get(key)
    if value is None and not required:
        return ""
    if value is None:
        raise MalformedAlertError("FIELD_MISSING", f"{key} is missing")
    if isinstance(value, bool) or not isinstance(value, _TEXT_OR_NUMBER):
        raise MalformedAlertError("FIELD_INVALID", f"{key} is not text")
    text = str(value).strip()
    if len(text) > TEXT_MAX or not text.isprintable() or (required and not text):
        raise MalformedAlertError("FIELD_INVALID", f"{key} must be 1 to {TEXT_MAX} printable characters")
    return text


def _time(content: dict[str, object]) -> Time:
    try:
        return parse_time(_text(content, "time"))
    except MalformedAlertError:
        raise
    except InputError as error:
        raise MalformedAlertError("TIME_INVALID", f"time {error}") from None


def _price(content: dict[str, object]) -> Decimal | None:
    value = content.get("price")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, _TEXT_OR_NUMBER):
        raise MalformedAlertError("PRICE_INVALID", "price is not a number")
    try:
        price = parse_decimal(value)
    except InputError as error:
        raise MalformedAlertError("PRICE_INVALID", f"price {str(error)[:TEXT_MAX]}") from None
    if price <= 0:
        raise MalformedAlertError("PRICE_INVALID", f"price {price} must be above 0")
    return price
