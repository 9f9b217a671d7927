"""Risk: the limits of an account, its halts by hand, and what ends a halt."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from api.asking import ACCEPTED, Asking, Done
from api.problems import ProblemError, responses
from api.shapes import AmountText, Body, Name, NameInPath, Reason
from api.standing import Standing
from domain.account.commands import HaltTrading, RecordReference, ResumeTrading, SetRiskLimits
from domain.account.limits import REFERENCE_SCALE, RiskLimits, check_limits
from domain.errors import InputError
from domain.message import Command
from domain.values import exact_quanta

router = APIRouter(prefix="/risk", tags=["risk"], responses={**responses(404, 409), **ACCEPTED})
Ask = Annotated[Asking, Depends()]

_PARTS_MAX = 1000
_EXAMPLE: dict[str, Any] = {
    "currency": "USDT",
    "order_notional_max": "5000",
    "price_collar_pct": "5",
    "orders_max": 100,
    "orders_window_seconds": 10,
    "account_exposure_max": "50000",
    "daily_loss_max_pct": "3",
    "flatten": True,
    "consecutive_losses_max": 5,
}


class NewLimits(Body):
    """All limits of an account; what is not named is not limited."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"limits": _EXAMPLE}]})

    limits: Annotated[
        dict[str, Any],
        Field(description="As the schema at GET /api/v1/risk/schema has it; amounts as text.", examples=[_EXAMPLE]),
    ]


class NewHalt(Body):
    """REDUCING cancels what would raise exposure, HALTED all that works but what closes; in both nothing opens."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "REDUCING", "reason": "venue drifts"}]})

    bot: Name | None = Field(default=None, description="One bot of the account; without it the whole account.")
    state: Literal["REDUCING", "HALTED"] = "HALTED"
    reason: Reason


class Resume(Body):
    """End a halt. Without its number the answer is a 409 that tells it, with why trading was halted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"halt": 3}]})

    bot: Name | None = Field(default=None, description="One bot of the account; without it the whole account.")
    halt: int | None = Field(default=None, ge=1, le=2**53, description="The number of the halt that is to end.")


class Reference(Body):
    """A price of the index that the volatility breaker watches."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"index": "INDIAVIX", "price": "14.25"}]})

    index: Name
    price: AmountText


@router.put("/{account}/limits", summary="Put limits in force", response_model=Done)
async def set_limits(ask: Ask, account: NameInPath, body: NewLimits) -> JSONResponse:
    limits = read_limits(body.limits)

    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [SetRiskLimits(account, limits)]

    return await ask.carry_out(prepare)


@router.post("/{account}/halt", summary="Stop what raises exposure", response_model=Done)
async def halt(ask: Ask, account: NameInPath, body: NewHalt) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        return [HaltTrading(account, _scope(now, account, body.bot), body.reason, body.state)]

    return await ask.carry_out(prepare)


@router.post("/{account}/resume", summary="End a halt, by its number", response_model=Done)
async def resume(ask: Ask, account: NameInPath, body: Resume) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        scope = _scope(now, account, body.bot)
        standing = next((each for each in reversed(now.halts(account)) if each.bot == scope), None)
        if standing is not None and body.halt is None:
            detail = f"halt={standing.number}, because={standing.code}: {standing.reason}; resume it by its number"
            extra = {"halt": standing.number, "halt_code": standing.code, "halt_reason": standing.reason}
            raise ProblemError(409, "HALT_UNCONFIRMED", detail, extra=extra)
        return [ResumeTrading(account, scope, body.halt or 0)]

    silent = ("NOT_HALTED", f"{body.bot or 'the account'} is not halted")
    return await ask.carry_out(prepare, silent=silent)


@router.post("/{account}/reference", summary="Tell a price of the breaker's index", response_model=Done)
async def reference(ask: Ask, account: NameInPath, body: Reference) -> JSONResponse:
    price = exact_quanta(body.price, REFERENCE_SCALE)

    def prepare(now: Standing) -> list[Command]:
        now.account(account)
        return [RecordReference(account, body.index, price)]

    silent = ("INDEX_NOT_WATCHED", f"no breaker of account {account} watches {body.index} at such a price")
    return await ask.carry_out(prepare, silent=silent)


def read_limits(given: Mapping[str, Any]) -> RiskLimits:
    """Limits as the core has them; raises ProblemError 422 naming the key and what is allowed."""
    _refuse_odd(given, "limits")
    try:
        return check_limits(msgspec.convert(given, RiskLimits))
    except (msgspec.ValidationError, InputError) as error:
        raise ProblemError(422, "LIMITS_INVALID", f"limits: {error}") from None
    except (ValueError, ArithmeticError, RecursionError):
        raise ProblemError(422, "LIMITS_INVALID", "limits: a number is out of range") from None


def _refuse_odd(value: object, where: str, depth: int = 5) -> None:
    """A number with a point is not exact once JSON has been read; text must be such as can be shown and kept."""
    if isinstance(value, float):
        raise ProblemError(422, "LIMITS_INVALID", f'{where}: write the number as text, such as "0.5"')
    if isinstance(value, str) and not value.isprintable():
        raise ProblemError(422, "LIMITS_INVALID", f"{where}: must be printable characters")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict | list) and (not depth or len(value) > _PARTS_MAX):
        raise ProblemError(422, "LIMITS_INVALID", f"{where}: at most {_PARTS_MAX} parts, and no deeper than the schema")
    for key, item in items:
        _refuse_odd(item, f"{where}.{key}", depth - 1)


def _scope(now: Standing, account: str, bot: str | None) -> str:
    """The scope of a halt; raises ProblemError 404 where the account or its bot is not there."""
    now.account(account)
    if bot is None:
        return ""
    if now.bot(bot).account != account:
        raise ProblemError(404, "NOT_FOUND", f"there is no bot {bot} on account {account}")
    return bot
