"""A run's results as polars DataFrames, for notebooks: exact decimals for amounts, UTC microseconds for times."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import polars as pl

from domain.account.events import OrderFilled
from domain.market import Instrument
from domain.message import Event, Record
from domain.values import POWERS, cash_scale
from infrastructure.event_store.event_frames import SCHEMA, event_frames
from projections.performance import RoundTrip
from replay.metrics.curve import Curve

UTC = pl.Datetime("us", "UTC")
_DIGITS = 38
"""Of a Decimal column; 64-bit quanta with 18 places need 37."""

Instruments = Mapping[str, Instrument]


def events_frame(records: Iterable[Record[Event]]) -> pl.DataFrame:
    """Every event of a run, as `events.parquet` has them."""
    return pl.concat([pl.DataFrame(schema=SCHEMA), *event_frames(records)])


def fills_frame(fills: Sequence[OrderFilled], instruments: Instruments) -> pl.DataFrame:
    """A row for each fill. `cash` is in the quote asset and has no sign; `fee` is in `fee_asset`."""
    listed = [instruments[fill.instrument] for fill in fills]
    fees = [_fee_scale(fill, instrument) for fill, instrument in zip(fills, listed, strict=True)]
    return pl.DataFrame(
        [
            _times("at", [fill.venue_at for fill in fills]),
            pl.Series("account", [fill.account for fill in fills], pl.String),
            pl.Series("bot", [fill.bot for fill in fills], pl.String),
            pl.Series("order", [fill.order for fill in fills], pl.Int64),
            pl.Series("role", [fill.role for fill in fills], pl.String),
            pl.Series("instrument", [fill.instrument for fill in fills], pl.String),
            pl.Series("side", [fill.side for fill in fills], pl.String),
            _amounts("price", [fill.price for fill in fills], [each.price_scale for each in listed]),
            _amounts("quantity", [fill.quantity for fill in fills], [each.size_scale for each in listed]),
            _amounts("cash", [fill.cash for fill in fills], [each.quote_scale for each in listed]),
            _amounts("fee", [fill.fee for fill in fills], fees),
            pl.Series("fee_asset", [fill.fee_asset for fill in fills], pl.String),
            pl.Series("liquidity", [fill.liquidity for fill in fills], pl.String),
        ]
    )


def round_trips_frame(trips: Sequence[RoundTrip], instruments: Instruments) -> pl.DataFrame:
    """A row for each round trip. Cash, fees and the net profit are in the quote asset."""
    listed = [instruments[trip.instrument] for trip in trips]
    quotes = [instrument.quote_scale for instrument in listed]
    return pl.DataFrame(
        [
            _times("opened_at", [trip.opened_at for trip in trips]),
            _times("closed_at", [trip.closed_at for trip in trips]),
            pl.Series("account", [trip.account for trip in trips], pl.String),
            pl.Series("bot", [trip.bot for trip in trips], pl.String),
            pl.Series("group", [trip.group for trip in trips], pl.Int64),
            pl.Series("instrument", [trip.instrument for trip in trips], pl.String),
            pl.Series("side", [trip.side for trip in trips], pl.String),
            _amounts("quantity", [trip.quantity for trip in trips], [each.size_scale for each in listed]),
            _amounts("entry_cash", [trip.entry_cash for trip in trips], quotes),
            _amounts("exit_cash", [trip.exit_cash for trip in trips], quotes),
            _amounts("fees", [trip.fees for trip in trips], quotes),
            _amounts("profit", [trip.profit for trip in trips], quotes),
            pl.Series("opening_order", [trip.opening_order for trip in trips], pl.Int64),
            pl.Series("closing_order", [trip.closing_order for trip in trips], pl.Int64),
        ]
    )


def curve_frame(curve: Curve) -> pl.DataFrame:
    """A row for each candle close: equity, and the worth of what was held, in the curve's currency."""
    frame = pl.DataFrame({"at": curve.times, "equity": curve.equity, "exposure": curve.exposure})
    # Exact: the column is given the places first, and then the power of ten is taken off.
    places, unit = pl.Decimal(_DIGITS, curve.cash_scale), Decimal(POWERS[curve.cash_scale])
    return frame.select(
        pl.col("at").cast(UTC), *((pl.col(name).cast(places) / unit).cast(places) for name in ("equity", "exposure"))
    )


def _times(name: str, values: Sequence[int]) -> pl.Series:
    return pl.Series(name, values, pl.Int64).cast(UTC)


def _amounts(name: str, quanta: Sequence[int], scales: Sequence[int]) -> pl.Series:
    """One column for amounts of several scales: it has the places of the finest."""
    values = [Decimal(amount).scaleb(-scale) for amount, scale in zip(quanta, scales, strict=True)]
    return pl.Series(name, values, pl.Decimal(_DIGITS, max(scales, default=0)))


def _fee_scale(fill: OrderFilled, instrument: Instrument) -> int:
    return instrument.size_scale if fill.fee_asset == instrument.base else cash_scale(fill.fee_asset)
