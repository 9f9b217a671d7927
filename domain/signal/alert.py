"""An alert: what every form of it comes to.

Our own form is a JSON object with `time`, `symbol` and `action`, or instead of an action the `position` that is to be
held; optionally `id`, `order_id`, `timeframe`, `price`, `quantity`, `market_position`, `market_position_size` and
`max_lag` (seconds). Other keys are allowed and not looked at. See docs/alerts.md.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from domain.errors import InputError
from domain.signal.body import Content, MalformedAlertError, number_of, read_object, text_of
from domain.signal.events import Action, Follow
from domain.signal.forms import OURS, WORDS, in_our_form
from domain.signal.paths import Paths
from domain.values import SECOND, Time, parse_time

NOTHING = Decimal(0)


class Alert(Struct, frozen=True):
    """A well-formed alert. `identity` is its id, or what tells two alerts without one apart.

    `target` is the signed size to hold, for the action `target`; `quantity` is the size of the sender's own order. The
    alert may be `lag_us_max` old on arrival, in microseconds. `reduces` says that the sender's strategy only made its
    position smaller and stays on the side that the action is against.
    """

    identity: str
    at: Time
    symbol: str
    action: Action
    timeframe: str
    price: Decimal | None
    quantity: Decimal | None = None
    target: Decimal | None = None
    lag_us_max: int | None = None
    reduces: bool = False


def parse_alert(body: str, mapping: Paths = OURS, follow: Follow = "action", arrived: Time | None = None) -> Alert:
    """Read an alert; raises MalformedAlertError naming the key and what is allowed.

    `arrived` is the time of an alert in a foreign form that tells none.
    """
    content, paths = in_our_form(read_object(body), mapping, arrived)
    try:
        return _alert(content, follow)
    except MalformedAlertError as error:
        if error.key not in paths:
            raise
        raise MalformedAlertError(error.code, f"{error} (it is {paths[error.key]})", error.key) from None


def plain_symbol(symbol: str) -> str:
    """A symbol without exchange prefix and punctuation: `BINANCE:BTCUSDT` and `BTC/USDT` are both `BTCUSDT`."""
    return symbol.rpartition(":")[2].translate(_PUNCTUATION).upper()


@lru_cache(maxsize=1024)
def plain_timeframe(timeframe: str) -> str:
    """A timeframe by one name: `60` and `60m` are `1h`, as charts say `60` for it; `D` and `1D` are `1d`."""
    found = _TIMEFRAME.fullmatch(timeframe)
    if found is None or not timeframe:
        return timeframe
    count, unit = int(found[1] or 1), _UNITS[found[2]]
    for size, larger in ((1440, "d"), (60, "h")):
        if unit == "m" and count and count % size == 0:
            return f"{count // size}{larger}"
    return f"{count}{unit}"


_PUNCTUATION = str.maketrans("", "", "/-_~ ")
_TIMEFRAME = re.compile(r"([0-9]{0,5})([SsmHhDdWwM]?)")
_UNITS = {"": "m", "S": "s", "s": "s", "m": "m", "H": "h", "h": "h", "D": "d", "d": "d", "W": "w", "w": "w", "M": "M"}
_AGAINST = frozenset({("sell", "long"), ("buy", "short")})


def _alert(content: Content, follow: Follow) -> Alert:
    at = _time(content)
    symbol = text_of(content, "symbol")
    action, target, reduces = _intent(content, follow)
    timeframe = plain_timeframe(text_of(content, "timeframe", required=False))
    identity = text_of(content, "id", required=False)
    if not identity:
        order = text_of(content, "order_id", required=False)
        identity = f"~{plain_symbol(symbol)}~{at}~{order}~{action}"
        if target is not None:
            identity = f"{identity}~{_plain_number(target)}"
    elif identity.startswith("~"):
        identity = f"~{identity}"  # so that no id can be taken for a composed one
    return Alert(
        identity, at, symbol, action, timeframe, _price(content), _quantity(content), target, _lag(content), reduces
    )  # fmt: skip


def _intent(content: Content, follow: Follow) -> tuple[Action, Decimal | None, bool]:
    """The action, the size to hold where that is what the alert says, and whether it only reduces a position."""
    said = content.get("action")
    positions = said is None and (content.get("position") is not None or content.get("market_position") is not None)
    if follow == "position" or positions:
        return "target", _target(content), False
    action = WORDS.get(text_of(content, "action").lower())
    if action is None:
        allowed = ", ".join(WORDS)
        raise MalformedAlertError("ACTION_UNKNOWN", f"action {str(said)!r}; allowed: {allowed}", "action")
    if action == "target":
        return action, _target(content), False
    if content.get("market_position") is None:
        return action, None, False
    after = _market_position(content)
    if after == "flat":
        return "exit", None, False
    return action, None, (action, after) in _AGAINST


def _target(content: Content) -> Decimal:
    """The signed size to hold: `position`, or the strategy's side with its size."""
    position = number_of(content, "position", "POSITION_INVALID")
    if position is not None:
        return position or NOTHING
    if content.get("market_position") is None:
        raise MalformedAlertError("FIELD_MISSING", "position is missing", "position")
    side = _market_position(content)
    size = number_of(content, "market_position_size", "POSITION_INVALID")
    if size is None and side == "flat":
        return NOTHING
    if size is None:
        raise MalformedAlertError("FIELD_MISSING", "market_position_size is missing", "market_position_size")
    if size < 0 or (side == "flat") != (size == 0):
        reason = f"market_position is {side}, market_position_size {size}"
        raise MalformedAlertError("POSITION_INVALID", reason, "market_position_size")
    return size.copy_negate() if side == "short" else size or NOTHING


def _market_position(content: Content) -> Literal["long", "short", "flat"]:
    side = text_of(content, "market_position").lower()
    if side in {"long", "short", "flat"}:
        return side  # type: ignore[return-value]
    reason = f"market_position {side!r}; allowed: long, short, flat"
    raise MalformedAlertError("POSITION_INVALID", reason, "market_position")


def _time(content: Content) -> Time:
    text = text_of(content, "time")
    try:
        return parse_time(text)
    except InputError as error:
        raise MalformedAlertError("TIME_INVALID", f"time {error}", "time") from None


def _price(content: Content) -> Decimal | None:
    price = number_of(content, "price", "PRICE_INVALID")
    if price is not None and price <= 0:
        raise MalformedAlertError("PRICE_INVALID", f"price {price} must be above 0", "price")
    return price


def _quantity(content: Content) -> Decimal | None:
    quantity = number_of(content, "quantity", "QUANTITY_INVALID")
    if quantity is not None and quantity < 0:
        raise MalformedAlertError("QUANTITY_INVALID", f"quantity {quantity} must not be below 0", "quantity")
    return quantity


def _lag(content: Content) -> int | None:
    seconds = number_of(content, "max_lag", "FIELD_INVALID")
    if seconds is None:
        return None
    if seconds < 0:
        raise MalformedAlertError("FIELD_INVALID", f"max_lag {seconds} must not be below 0 seconds", "max_lag")
    numerator, denominator = seconds.as_integer_ratio()
    return numerator * SECOND // denominator


def _plain_number(number: Decimal) -> str:
    """Equal numbers as the same text."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
