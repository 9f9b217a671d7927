"""The last price of each market, from the data that was pushed to it and taken by the shard."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from msgspec import Struct
from psycopg import Cursor

from domain.values import Price, Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.reading import reading
from infrastructure.inbox import MarketCandle, MarketTrade, decode_content

Origin = Literal["candle", "trade"]

_NEXT_ROW = "SELECT min(id) FROM outcomes WHERE first_position > %s"
_LAST = """
SELECT id, kind, body FROM inbox JOIN outcomes USING (id)
WHERE kind = %s AND subject = %s AND error IS NULL AND (%s::bigint IS NULL OR id < %s) ORDER BY id DESC LIMIT 1
"""
_ORIGINS: tuple[Origin, ...] = ("candle", "trade")


class LastPrice(Struct, frozen=True):
    """A market's last price, at the market's own time; of a candle that is its close, at its open time."""

    price: Price
    at: Time
    origin: Origin


def last_prices(database: Database, instruments: Iterable[str], position: int | None = None) -> dict[str, LastPrice]:
    """The last prices there are of these instruments; with a position, as the shard had them when the log was there."""
    with reading(database) as cursor:
        row = None
        if position is not None:
            (row,) = cursor.execute(_NEXT_ROW, [position]).fetchone() or (None,)
        found = {}
        for instrument in set(instruments):
            latest = max(_latest(cursor, instrument, row), default=None, key=lambda pair: pair[0])
            if latest is not None:
                found[instrument] = latest[1]
        return found


def _latest(cursor: Cursor[Any], instrument: str, before: int | None) -> Iterator[tuple[int, LastPrice]]:
    """The inbox row and the price of the last candle and of the last trade."""
    for origin in _ORIGINS:
        for number, kind, body in cursor.execute(_LAST, [origin, instrument, before, before]).fetchall():
            content = decode_content(kind, body)
            if isinstance(content, MarketCandle):
                yield number, LastPrice(content.candle.close, content.candle.open_time, "candle")
            elif isinstance(content, MarketTrade):
                yield number, LastPrice(content.trade.price, content.trade.at, "trade")
