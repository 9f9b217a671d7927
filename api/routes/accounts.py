"""Accounts: opening one, what it may trade, and the money it starts with."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, ConfigDict, Field

from api.asking import ACCEPTED, Asking, Done
from api.problems import ProblemError, responses
from api.shapes import AmountText, Asset, Body, Name, NameInPath, Symbol
from api.standing import Standing, same_grids
from domain.account.commands import DepositCash, ListInstrument, OpenAccount
from domain.account.events import AccountKind
from domain.errors import AmountError
from domain.market import FeeAsset, Instrument, make_instrument
from domain.message import Command
from domain.values import Asset as AssetName
from domain.values import Cash, cash_scale, exact_quanta

router = APIRouter(prefix="/accounts", tags=["accounts"], responses={**responses(404, 409), **ACCEPTED})
Ask = Annotated[Asking, Depends()]

DEPOSITED_MAX = 10**16
"""Cash quanta of one asset that an account may have been given: sums over its fills must still fit 64 bits."""
FEE_MAX = Decimal("0.1")
SLIPPAGE_MAX = Decimal("0.5")


def _paper(mode: object) -> object:
    if mode in ("live", "backtest"):  # not a set: what came may have no hash
        raise ValueError(f"{mode} accounts cannot be opened here: this server trades on paper only")
    return mode


_INSTRUMENT: dict[str, Any] = {
    "symbol": "BTC/USDT", "tick": "0.01", "step": "0.00001", "min_notional": "5", "maker_fee": "0.0002",
    "taker_fee": "0.001", "slippage": "0",
}  # fmt: skip


class NewInstrument(Body):
    """An instrument and its grids; fees and slippage are fractions of the notional and of the price."""

    model_config = ConfigDict(json_schema_extra={"examples": [_INSTRUMENT]})

    symbol: Symbol
    tick: AmountText
    step: AmountText
    min_notional: AmountText = "0"
    maker_fee: AmountText = "0"
    taker_fee: AmountText = "0"
    slippage: AmountText = "0"
    fee_asset: FeeAsset = "quote"


class NewAccount(Body):
    """An account to be: its mode is fixed for good."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "main",
                    "mode": "paper",
                    "kind": "spot",
                    "balances": {"USDT": "10000"},
                    "instruments": [_INSTRUMENT],
                }
            ]
        }
    )

    name: Name
    mode: Annotated[Literal["paper"], BeforeValidator(_paper)]
    kind: AccountKind = "spot"
    balances: Annotated[dict[Asset, AmountText], Field(max_length=20)] = Field(default_factory=dict)
    instruments: Annotated[list[NewInstrument], Field(max_length=100)] = Field(default_factory=list)


class Deposit(Body):
    """Money from outside."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"asset": "USDT", "amount": "2500"}]})

    asset: Asset
    amount: AmountText


@router.post("", summary="Open a paper account", status_code=201, response_model=Done)
async def open_account(ask: Ask, body: NewAccount) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        if now.find_account(body.name) is not None:
            raise _exists(body.name)
        listings = [_listing(now, body.name, each, f"instruments[{at}]") for at, each in enumerate(body.instruments)]
        if len({each.symbol for each in body.instruments}) < len(body.instruments):
            raise ProblemError(422, "INPUT_INVALID", "instruments: a symbol stands there twice")
        deposits = [
            _deposit(now, body.name, asset, amount, f"balances.{asset}") for asset, amount in body.balances.items()
        ]
        return [OpenAccount(body.name, body.kind), *listings, *deposits]

    return await ask.carry_out(
        prepare, status=201, silent=("ACCOUNT_EXISTS", f"there is an account {body.name} already")
    )


@router.post("/{account}/instruments", summary="Make an instrument tradable", status_code=201, response_model=Done)
async def list_instrument(ask: Ask, account: NameInPath, body: NewInstrument) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [_listing(now, account, body, "instrument")]

    silent = ("INSTRUMENT_LISTED", f"account {account} lists {body.symbol} already; its terms stay as they are")
    return await ask.carry_out(prepare, status=201, silent=silent)


@router.post("/{account}/deposits", summary="Bring in money", status_code=201, response_model=Done)
async def deposit(ask: Ask, account: NameInPath, body: Deposit) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [_deposit(now, account, body.asset, body.amount, "amount")]

    return await ask.carry_out(prepare, status=201)


def _exists(name: str) -> ProblemError:
    return ProblemError(409, "ACCOUNT_EXISTS", f"there is an account {name} already")


def _listing(now: Standing, account: str, asked: NewInstrument, where: str) -> ListInstrument:
    rates = {
        "maker_fee": (asked.maker_fee, FEE_MAX),
        "taker_fee": (asked.taker_fee, FEE_MAX),
        "slippage": (asked.slippage, SLIPPAGE_MAX),
    }
    for name, (text, most) in rates.items():
        if Decimal(text) > most:
            raise ProblemError(422, "INPUT_INVALID", f"{where}.{name} is {text}; allowed: 0 to {most}")
    instrument = _instrument(asked, where, now.find_listing(asked.symbol))
    return ListInstrument(
        account, instrument, Decimal(asked.maker_fee), Decimal(asked.taker_fee), Decimal(asked.slippage)
    )


def _instrument(asked: NewInstrument, where: str, listed: Instrument | None) -> Instrument:
    """Quanta never change for a symbol: what one account lists fixes the scales for all."""
    scale = 0 if listed is None else listed.price_scale
    try:
        made = make_instrument(
            asked.symbol, Decimal(asked.tick), Decimal(asked.step), Decimal(asked.min_notional),
            price_scale=scale, fee_asset=asked.fee_asset,
        )  # fmt: skip
    except AmountError as error:
        raise AmountError(f"{where}: {error}") from None
    if listed is not None and not same_grids(made, listed):
        detail = (
            f"{where}: {asked.symbol} counts prices in 10^-{listed.price_scale} and sizes in 10^-{listed.size_scale} "
            "since it was first listed; choose tick and step to match"
        )
        raise ProblemError(409, "INSTRUMENT_DIFFERENT", detail)
    return made


def _deposit(now: Standing, account: str, asset: str, amount: str, where: str) -> DepositCash:
    try:
        quanta = exact_quanta(amount, cash_scale(asset))
    except AmountError as error:
        raise AmountError(f"{where}: {error}") from None
    if quanta <= 0:
        raise AmountError(f"{where} must be above 0")
    balance = now.balance(account, asset)
    if quanta + (0 if balance is None else balance.deposited) > DEPOSITED_MAX:
        most = DEPOSITED_MAX // 10 ** cash_scale(asset)
        raise AmountError(f"{where}: an account may be given at most {most} {asset} altogether")
    return DepositCash(account, AssetName(asset), Cash(quanta))
