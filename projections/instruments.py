"""Instruments: what can be traded on an account, at which grids; readers turn quanta into decimal text with it."""

from typing import ClassVar

from domain.account.events import InstrumentListed
from domain.market import FeeAsset, Instrument
from domain.values import Asset, Cash, InstrumentId, Price, Quantity
from projections.rows import Context, Row, Rows


class InstrumentRow(Row, frozen=True):
    """An instrument of an account with its fee rates and the simulated venue's slippage."""

    table: ClassVar[str] = "instruments"
    key: ClassVar[tuple[str, ...]] = ("account", "instrument")

    account: str
    instrument: str
    base: str
    quote: str
    price_scale: int
    size_scale: int
    quote_scale: int
    tick: int
    step: int
    minimum_notional: int
    fee_asset: FeeAsset
    maker_fee: str
    taker_fee: str
    slippage: str


def list_instrument(rows: Rows, context: Context, event: InstrumentListed) -> None:
    listed = event.instrument
    rows.put(
        InstrumentRow(
            account=event.account,
            instrument=listed.id,
            base=listed.base,
            quote=listed.quote,
            price_scale=listed.price_scale,
            size_scale=listed.size_scale,
            quote_scale=listed.quote_scale,
            tick=listed.tick,
            step=listed.step,
            minimum_notional=listed.minimum_notional,
            fee_asset=listed.fee_asset,
            maker_fee=f"{event.maker_fee:f}",
            taker_fee=f"{event.taker_fee:f}",
            slippage=f"{event.slippage:f}",
        )
    )


def instrument_of(row: InstrumentRow) -> Instrument:
    """The instrument as the core knows it."""
    return Instrument(
        id=InstrumentId(row.instrument),
        base=Asset(row.base),
        quote=Asset(row.quote),
        price_scale=row.price_scale,
        size_scale=row.size_scale,
        quote_scale=row.quote_scale,
        tick=Price(row.tick),
        step=Quantity(row.step),
        minimum_notional=Cash(row.minimum_notional),
        fee_asset=row.fee_asset,
    )
