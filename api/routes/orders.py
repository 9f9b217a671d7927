"""Orders by hand: placed and cancelled."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, model_validator

from api.asking import ACCEPTED, Asking, Done
from api.problems import ProblemError, responses
from api.shapes import AmountText, Body, Name, NameInPath, OrderInPath, Symbol
from api.standing import Standing
from domain.account.commands import CancelOrderById, PlaceOrder
from domain.account.events import OrderType
from domain.errors import AmountError
from domain.message import Command
from domain.values import InstrumentId, Price, Quantity, Side, exact_quanta

router = APIRouter(prefix="/orders", tags=["orders"], responses={**responses(404, 409), **ACCEPTED})
Ask = Annotated[Asking, Depends()]

_PRICES: dict[OrderType, frozenset[str]] = {
    "market": frozenset(),
    "limit": frozenset({"limit"}),
    "stop": frozenset({"stop"}),
    "stop_limit": frozenset({"limit", "stop"}),
}
"""The prices that an order of each type has."""


class NewOrder(Body):
    """An order by hand; it belongs to no bot."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "account": "main", "instrument": "BTC/USDT", "side": "buy", "type": "limit", "quantity": "0.01",
                    "limit": "46000",
                }
            ]
        }
    )  # fmt: skip

    account: Name
    instrument: Symbol
    side: Side
    type: OrderType
    quantity: AmountText
    limit: AmountText | None = None
    stop: AmountText | None = None
    reduce_only: bool = False

    @model_validator(mode="after")
    def _has_its_prices(self) -> "NewOrder":
        given = {name for name, price in (("limit", self.limit), ("stop", self.stop)) if price is not None}
        wanted = _PRICES[self.type]
        if given != wanted:
            raise ValueError(f"a {self.type} order has {' and '.join(sorted(wanted)) or 'neither limit nor stop'}")
        return self


@router.post("", summary="Place an order by hand", status_code=201, response_model=Done)
async def place(ask: Ask, body: NewOrder) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.account(body.account)
        instrument = now.instrument(body.account, body.instrument)
        limit = _quanta("limit", body.limit, instrument.price_scale)
        stop = _quanta("stop", body.stop, instrument.price_scale)
        quantity = _quanta("quantity", body.quantity, instrument.size_scale)
        reference = limit if limit is not None else stop
        if reference is None:
            reference = now.last_price(body.account, body.instrument)
        if reference is None:
            detail = f"{body.instrument} has had no price yet, so a market order cannot be judged; send a limit"
            raise ProblemError(409, "PRICE_UNKNOWN", detail)
        return [
            PlaceOrder(
                body.account, "", 0, 0, "manual", InstrumentId(body.instrument), body.side, body.type,
                Quantity(quantity or 0), None if limit is None else Price(limit), None if stop is None else Price(stop),
                Price(reference), body.reduce_only,
            )
        ]  # fmt: skip

    return await ask.carry_out(prepare, status=201)


@router.delete("/{account}/{order}", summary="Ask for an order to be cancelled", response_model=Done)
async def cancel(ask: Ask, account: NameInPath, order: OrderInPath) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        now.order(account, order)
        return [CancelOrderById(account, order, f"by {ask.user.actor}")]

    return await ask.carry_out(prepare, silent=("ORDER_NOT_WORKING", f"order {order} has ended, or is being cancelled"))


def _quanta(name: str, amount: str | None, scale: int) -> int | None:
    if amount is None:
        return None
    try:
        quanta = exact_quanta(amount, scale)
    except AmountError as error:
        raise AmountError(f"{name}: {error}") from None
    if quanta <= 0:
        raise AmountError(f"{name} must be above 0")
    return quanta
