"""Candles as a venue publishes them: pages of decimal text, asked for within its limits, tried again where it cannot.

The client is ccxt's, without a key. It waits between requests as the venue's rate limit says; where the venue says how long
to stay away, nothing is asked before.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ccxt
from msgspec import Struct

from domain.errors import InputError, VenueError
from domain.values import Time

ATTEMPTS = 6
"""How often one page is asked for."""
PAUSE_MAX = 60
"""Seconds between two attempts where the venue does not say."""
BAN_MAX = 900
"""The longest ban in seconds that is waited for; a longer one ends the download, which goes on when called again."""
PAGE_ROWS = 500
"""Candles a page where ccxt does not know the venue's limit."""
MILLISECOND = 1_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_OPEN_ENDED = frozenset({"binance", "binanceus", "binanceusdm", "kraken"})
"""Venues that are asked "from then on", read in ccxt's source: an empty page says that nothing follows. Elsewhere a page is
a window, and an empty one says only that nothing is in it."""
_PASSING = frozenset({408, 418, 425, 429})
"""The 4xx that pass: timeouts, and limits, for which Binance has 418."""
_UNREADABLE = (TypeError, ValueError, LookupError, AttributeError)
"""What ccxt's parsers raise where an answer is not what the venue documents."""

Pause = Callable[[float], None]
"""Waits so many seconds."""
Row = tuple[str, ...]
"""A candle as the columns of a tape: its open time in milliseconds, open, high, low, close and volume, all as text."""


class Series(Struct, frozen=True):
    """Which candles: of a venue (as ccxt calls it), a symbol and a timeframe; of its test network with `sandbox`."""

    venue: str
    symbol: str
    timeframe: str
    sandbox: bool = False

    @property
    def interval(self) -> int:
        """Microseconds between open times; raises InputError where that is not one and the same."""
        count, unit = self.timeframe[:-1], self.timeframe[-1:]
        if unit not in _UNITS or not count.isascii() or not count.isdigit() or int(count) == 0:
            raise InputError(f"timeframe {self.timeframe!r} is not allowed; allowed are such as 1m, 5m, 1h, 1d")
        return int(count) * _UNITS[unit] * 1_000_000

    def __str__(self) -> str:
        return f"{self.venue} {self.symbol} {self.timeframe}{' (sandbox)' if self.sandbox else ''}"


class VenueCandles:
    """A venue's published candles of one series, page by page; `requests` counts what was sent to it."""

    def __init__(self, series: Series, base_url: str | None = None, pause: Pause = time.sleep) -> None:
        self.series = series
        self.requests = 0
        self._pause = pause
        self._exchange = _client(series, base_url)
        self._status: int = HTTPStatus.OK
        self._watch_answers()
        self._check_timeframe()
        self._asked(self._exchange.load_markets)
        self._check_symbol()
        limit = self._exchange.feature_value(series.symbol, "fetchOHLCV", "limit", PAGE_ROWS)
        self.page_rows = int(limit or PAGE_ROWS)

    @property
    def is_open_ended(self) -> bool:
        """Whether an empty page says that the venue has nothing later."""
        return self.series.venue in _OPEN_ENDED

    def now(self) -> Time:
        """The venue's clock, or this machine's where the venue does not tell."""
        told = self._asked(self._exchange.fetch_time) if self._exchange.has.get("fetchTime") else None
        return Time(int(told if told is not None else self._exchange.milliseconds()) * MILLISECOND)

    def page(self, since: Time) -> list[Row]:
        """The candles of one page that opens at `since` or later, in their order, with all the digits that were sent.

        Raises VenueError where the venue does not give it, though asked again and again.
        """
        series, milliseconds = self.series, -(-since // MILLISECOND)

        def asked() -> list[Row]:
            given = self._exchange.fetch_ohlcv(series.symbol, series.timeframe, milliseconds, self.page_rows)
            return [_row(each) for each in given]

        rows: list[Row] = self._asked(asked)
        return rows

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """What the venue answers; what passes is tried again, later each time, and never inside a ban."""
        for attempt in range(1, ATTEMPTS + 1):
            self._exchange.last_response_headers, self._status = None, HTTPStatus.OK
            try:
                return ask()
            except ccxt.BaseError as error:
                reason, passes = _reason(error), _passes(self._status, error)
            except _UNREADABLE as error:
                reason, passes = f"an answer that cannot be read ({type(error).__name__}: {error})", True
            ban = _retry_after(self._exchange.last_response_headers or {})
            if ban > BAN_MAX:
                raise VenueError(f"{self.series}: the venue wants to be left alone for {ban} s: {reason}")
            if not passes:
                raise VenueError(f"{self.series}: {reason}")
            if attempt < ATTEMPTS:
                self._pause(max(ban, min(2 ** (attempt - 1), PAUSE_MAX)))
        raise VenueError(f"{self.series}: no page in {ATTEMPTS} attempts, the last: {reason}")

    def _watch_answers(self) -> None:
        """Count them, keep their status, and take none for an empty page that is no JSON: some parsers would."""
        fetch, on_answer = self._exchange.fetch, self._exchange.on_rest_response

        def fetched(*arguments: Any, **options: Any) -> Any:
            self.requests += 1
            answer = fetch(*arguments, **options)
            if not isinstance(answer, dict | list):
                raise ccxt.BadResponse(f"no JSON, or half of it: {str(answer)[:60]!r}")
            return answer

        def seen(status: int, *rest: Any) -> Any:
            self._status = status
            return on_answer(status, *rest)

        self._exchange.fetch, self._exchange.on_rest_response = fetched, seen

    def _check_timeframe(self) -> None:
        allowed = [name for name in self._exchange.timeframes or {} if name[-1] in _UNITS]
        if not self._exchange.has.get("fetchOHLCV") or not allowed:
            raise InputError(f"{self.series.venue} publishes no candles")
        if self.series.timeframe not in allowed:
            raise InputError(
                f"{self.series.venue} has no timeframe {self.series.timeframe!r}; allowed are {', '.join(allowed)}"
            )

    def _check_symbol(self) -> None:
        known = self._exchange.markets or {}
        if self.series.symbol not in known:
            base = self.series.symbol.partition("/")[0].upper()
            near = sorted(name for name in known if name.startswith(f"{base}/"))[:10]
            others = f"; of {base} there are: {', '.join(near)}" if near else "; a symbol is such as BTC/USDT"
            raise InputError(f"{self.series.venue} has no symbol {self.series.symbol!r}{others}")


def _client(series: Series, base_url: str | None) -> Any:
    """ccxt's client, whose numbers are the text that the venue sent."""
    if series.venue not in ccxt.exchanges:
        near = ", ".join(name for name in ccxt.exchanges if name.startswith(series.venue[:3].lower())) or "binance, okx"
        raise InputError(f"venue {series.venue!r} is not known; such as {near}")
    exchange = getattr(ccxt, series.venue)({"enableRateLimit": True, "enableLastResponseHeaders": True})
    exchange.number = str
    exchange.on_json_response = lambda body: json.loads(body, parse_float=str)
    exchange.has["fetchCurrencies"] = False  # needs a key on some venues, and tells nothing about candles
    if ":" not in series.symbol and isinstance(exchange.options.get("fetchMarkets"), dict):
        exchange.options["fetchMarkets"] |= {"types": ["spot"]}
    if series.sandbox:
        try:
            exchange.set_sandbox_mode(True)
        except ccxt.NotSupported:
            raise InputError(f"{series.venue} has no sandbox") from None
    if base_url is not None:
        exchange.urls["api"] = _moved(exchange.urls["api"], base_url.rstrip("/"))
    return exchange


def _moved(urls: Any, base: str) -> Any:
    """The same paths under another scheme and host, wherever an address stands in this tree."""
    if isinstance(urls, Mapping):
        return {name: _moved(each, base) for name, each in urls.items()}
    return base + urlunsplit(("", "", *urlsplit(urls)[2:])) if isinstance(urls, str) else urls


def _passes(status: int, error: ccxt.BaseError) -> bool:
    """Whether it is worth asking again."""
    # An error's status tells more than ccxt's class, which lets most 4xx pass, and no 5xx whose body it does not know.
    if status >= HTTPStatus.BAD_REQUEST:
        return status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, ccxt.OperationFailed)


def _row(candle: Sequence[Any]) -> Row:
    """Raises ValueError where it is no candle: what a cut answer becomes."""
    opened, *numbers = candle[:6]
    if not isinstance(opened, int) or len(numbers) != 5 or not all(isinstance(each, str) for each in numbers):  # noqa: PLR2004
        raise ValueError(f"no candle: {str(candle)[:60]}")
    return (str(opened), *numbers)


def _retry_after(headers: Mapping[str, str]) -> int:
    """Seconds that the venue asks to wait, 0 where it does not say; a date is told by this machine's clock."""
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return int(told)
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return 0  # not said, or not as HTTP says it
    return max(0, int((until.astimezone(UTC) - datetime.now(UTC)).total_seconds()) + 1)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}"
