"""Markets: what can be traded on which account, and at what price it was seen last."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedList, Listing, Name, Order, filters
from domain.market import FeeAsset
from domain.values import time_text
from infrastructure.market_prices import LastPrice, Origin, last_prices
from projections.instruments import InstrumentRow, instrument_of

router = APIRouter(tags=["market"], dependencies=[VIEWER])
_ORDER = Order("market", InstrumentRow, ("account", "instrument"))


class PriceView(BaseModel):
    """A market's last price, at the market's own time; of a candle its close, at its open time."""

    price: str = Field(examples=["46250.5"])
    at: str
    origin: Origin


class MarketView(BaseModel):
    """An instrument on an account: its grids, fees as fractions of the notional, and the last price pushed to it."""

    account: str = Field(examples=["main"])
    instrument: str = Field(examples=["BTC/USDT"])
    base: str
    quote: str
    tick: str = Field(examples=["0.01"])
    step: str = Field(examples=["0.00001"])
    minimum_notional: str
    fee_asset: FeeAsset
    maker_fee: str
    taker_fee: str
    slippage: str
    last: PriceView | None


@router.get("/market", summary="List instruments with their last prices", responses=responses())
def list_markets(
    asked: AskedList,
    account: Annotated[Name | None, Query()] = None,
    instrument: Annotated[Name | None, Query()] = None,
) -> Listing[MarketView]:
    with asked.view(InstrumentRow) as view:
        found = view.rows.some(InstrumentRow, filters(account=account, instrument=instrument), asked.page(_ORDER))
    position = None if asked.as_of is None else view.position
    prices = last_prices(asked.views.database, [row.instrument for row in found], position) if found else {}
    return asked.listing(
        view,
        _ORDER,
        found,
        lambda row: _view(row, prices.get(row.instrument)),
        lambda row: (row.account, row.instrument),
    )


def _view(row: InstrumentRow, last: LastPrice | None) -> MarketView:
    listed = instrument_of(row)
    return MarketView(
        account=row.account,
        instrument=row.instrument,
        base=row.base,
        quote=row.quote,
        tick=listed.price_text(listed.tick),
        step=listed.size_text(listed.step),
        minimum_notional=listed.cash_text(listed.minimum_notional),
        fee_asset=row.fee_asset,
        maker_fee=row.maker_fee,
        taker_fee=row.taker_fee,
        slippage=row.slippage,
        last=None
        if last is None
        else PriceView(price=listed.price_text(last.price), at=time_text(last.at), origin=last.origin),
    )
