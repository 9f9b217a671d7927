"""Simulated markets: their data is pushed, and is their clock."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, RootModel

from api.asking import ACCEPTED, Asking, Done
from api.problems import ProblemError, responses
from api.shapes import AmountText, Body, TimeText, time_of
from api.standing import Standing
from domain.errors import AmountError
from domain.market import Candle, Instrument, Trade
from domain.values import Price, Quantity, exact_quanta
from infrastructure.inbox import Content, MarketCandle, MarketTrade

router = APIRouter(prefix="/market/sim", tags=["market"], responses={**responses(404, 409), **ACCEPTED})
Ask = Annotated[Asking, Depends()]
InstrumentInPath = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9]{1,20}-[A-Za-z0-9]{1,20}$",
        description="The instrument, with - for /.",
        examples=["BTC-USDT"],
    ),
]
PUSHED_MAX = 1000
"""Candles or trades in one request."""


class NewCandle(Body):
    """A candle; its prices must be on the instrument's grid of quanta."""

    open_time: TimeText
    open: AmountText
    high: AmountText
    low: AmountText
    close: AmountText
    volume: AmountText = "0"


class NewTrade(Body):
    """A print."""

    at: TimeText
    price: AmountText
    quantity: AmountText


class NewCandles(RootModel[Annotated[list[NewCandle], Field(min_length=1, max_length=PUSHED_MAX)]]):
    """Candles, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                [
                    {
                        "open_time": "2026-01-01T00:00:00Z", "open": "46000", "high": "46100.5", "low": "45990",
                        "close": "46050", "volume": "12.5",
                    }
                ]
            ]
        }
    )  # fmt: skip


class NewTrades(RootModel[Annotated[list[NewTrade], Field(min_length=1, max_length=PUSHED_MAX)]]):
    """Trades, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [[{"at": "2026-01-01T00:00:05Z", "price": "46010", "quantity": "0.25"}]]
        }
    )  # fmt: skip


@router.post("/{instrument}/candles", summary="Push candles to a simulated market", response_model=Done)
async def push_candles(ask: Ask, instrument: InstrumentInPath, body: NewCandles) -> JSONResponse:
    def prepare(now: Standing) -> Sequence[Content]:
        listed = now.listing(instrument.replace("-", "/"))
        candles = [_candle(listed, each, f"[{at}]") for at, each in enumerate(body.root)]
        _check_order([candle.open_time for candle in candles], "open_time", once=True)
        return [MarketCandle(listed.id, candle) for candle in candles]

    return await ask.carry_out(prepare, refusals=False)


@router.post("/{instrument}/trades", summary="Push trades to a simulated market", response_model=Done)
async def push_trades(ask: Ask, instrument: InstrumentInPath, body: NewTrades) -> JSONResponse:
    def prepare(now: Standing) -> Sequence[Content]:
        listed = now.listing(instrument.replace("-", "/"))
        trades = [_trade(listed, each, f"[{at}]") for at, each in enumerate(body.root)]
        _check_order([trade.at for trade in trades], "at", once=False)
        return [MarketTrade(listed.id, trade) for trade in trades]

    return await ask.carry_out(prepare, refusals=False)


def _candle(listed: Instrument, asked: NewCandle, where: str) -> Candle:
    prices = {
        name: _quanta(getattr(asked, name), listed.price_scale, f"{where}.{name}")
        for name in ("open", "high", "low", "close")
    }
    low, high = prices["low"], prices["high"]
    if low <= 0 or not all(low <= price <= high for price in prices.values()):
        detail = f"{where}: prices must be above 0, none below low and none above high"
        raise ProblemError(422, "CANDLE_INVALID", detail)
    volume = _quanta(asked.volume, listed.size_scale, f"{where}.volume")
    return Candle(
        time_of(asked.open_time),
        Price(prices["open"]),
        Price(high),
        Price(low),
        Price(prices["close"]),
        Quantity(volume),
    )


def _trade(listed: Instrument, asked: NewTrade, where: str) -> Trade:
    price = _quanta(asked.price, listed.price_scale, f"{where}.price")
    quantity = _quanta(asked.quantity, listed.size_scale, f"{where}.quantity")
    if price <= 0 or quantity <= 0:
        raise ProblemError(422, "TRADE_INVALID", f"{where}: price and quantity must be above 0")
    return Trade(time_of(asked.at), Price(price), Quantity(quantity))


def _quanta(amount: str, scale: int, where: str) -> int:
    try:
        return exact_quanta(amount, scale)
    except AmountError as error:
        raise AmountError(f"{where}: {error}") from None


def _check_order(times: Sequence[int], name: str, *, once: bool) -> None:
    for index, (before, after) in enumerate(pairwise(times), 1):
        if after < before or (once and after == before):
            raise ProblemError(422, "OUT_OF_ORDER", f"[{index}].{name} is not behind the one before it")
