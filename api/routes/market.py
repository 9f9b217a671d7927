"""Simulated markets: their data is pushed, and is their clock."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, RootModel

from api.asking import ACCEPTED, Asking, Done
from api.problems import ProblemError, responses
from api.shapes import AmountText, Body, Symbol, TimeText, time_of
from api.standing import Standing
from domain.errors import AmountError
from domain.market import Candle, Instrument, Trade
from domain.values import Price, Quantity, exact_quanta
from infrastructure.inbox import Content, MarketCandle, MarketTrade, instant

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
"""Candles, instants or trades in one request."""
INSTRUMENTS_MAX = 50
"""Candles of one instant."""


class NewCandle(Body):
    """A candle; its prices must be on the instrument's grid of quanta."""

    open_time: TimeText
    open: AmountText
    high: AmountText
    low: AmountText
    close: AmountText
    volume: AmountText = "0"


class NewCandleOf(NewCandle):
    """A candle of the instrument that it names."""

    instrument: Symbol


class NewInstant(Body):
    """Candles of several instruments that ended together, each once; at `ended_at`, where that is told."""

    candles: Annotated[list[NewCandleOf], Field(min_length=1, max_length=INSTRUMENTS_MAX)]
    ended_at: TimeText | None = None


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


class NewInstants(RootModel[Annotated[list[NewInstant], Field(min_length=1, max_length=PUSHED_MAX)]]):
    """Instants, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                [
                    {
                        "candles": [
                            {
                                "instrument": "BTC/USDT", "open_time": "2026-01-01T00:00:00Z", "open": "46000",
                                "high": "46100.5", "low": "45990", "close": "46050", "volume": "12.5",
                            }
                        ],
                        "ended_at": "2026-01-01T00:01:00Z",
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


@router.post("/instants", summary="Push candles of several markets, instant by instant", response_model=Done)
async def push_instants(ask: Ask, body: NewInstants) -> JSONResponse:
    """All candles of an instant fill before anything reacts to any of them; then it is `ended_at`."""

    def prepare(now: Standing) -> Sequence[Content]:
        return [candle for at, each in enumerate(body.root) for candle in instant(_candles_of(now, each, f"[{at}]"))]

    return await ask.carry_out(prepare, refusals=False)


@router.post("/{instrument}/trades", summary="Push trades to a simulated market", response_model=Done)
async def push_trades(ask: Ask, instrument: InstrumentInPath, body: NewTrades) -> JSONResponse:
    def prepare(now: Standing) -> Sequence[Content]:
        listed = now.listing(instrument.replace("-", "/"))
        trades = [_trade(listed, each, f"[{at}]") for at, each in enumerate(body.root)]
        _check_order([trade.at for trade in trades], "at", once=False)
        return [MarketTrade(listed.id, trade) for trade in trades]

    return await ask.carry_out(prepare, refusals=False)


def _candles_of(now: Standing, asked: NewInstant, where: str) -> list[MarketCandle]:
    ended = None if asked.ended_at is None else time_of(asked.ended_at)
    names = [each.instrument for each in asked.candles]
    if len(set(names)) < len(names):
        raise ProblemError(422, "INSTRUMENT_TWICE", f"{where}: an instant has one candle of an instrument")
    candles: list[MarketCandle] = []
    for at, each in enumerate(asked.candles):
        listed, place = now.listing(each.instrument), f"{where}.candles[{at}]"
        candle = _candle(listed, each, place)
        if ended is not None and ended < candle.open_time:
            raise ProblemError(422, "ENDED_BEFORE_IT_OPENED", f"{place}: it opened after {where}.ended_at")
        candles.append(MarketCandle(listed.id, candle, ended))
    return candles


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
