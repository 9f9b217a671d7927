"""Kill: no new exposure for a bot, an account or everything, until somebody resumes it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, model_validator

from api.asking import ACCEPTED, Asking, Done
from api.problems import responses
from api.shapes import Body, Name, Reason
from api.standing import Standing
from domain.account.commands import HaltTrading, PlaceOrder, ResumeTrading
from domain.bot.commands import CloseGroup
from domain.message import Command
from domain.strategy.commands import CloseStrategy
from domain.values import InstrumentId, Price, Quantity, floor_to
from projections.bots import BotRow

router = APIRouter(prefix="/kill", tags=["kill"], responses={**responses(404, 409), **ACCEPTED})
Ask = Annotated[Asking, Depends()]

KILLED = "kill"
Scope = Literal["bot", "account", "everything"]


class _Scoped(Body):
    scope: Scope
    account: Name | None = Field(default=None, description="For scope account.")
    bot: Name | None = Field(default=None, description="For scope bot.")

    @model_validator(mode="after")
    def _names_its_scope(self) -> "_Scoped":
        given = {name for name, value in (("account", self.account), ("bot", self.bot)) if value is not None}
        wanted = set() if self.scope == "everything" else {self.scope}
        if given != wanted:
            raise ValueError(f"scope {self.scope} takes {self.scope if wanted else 'neither account nor bot'}")
        return self


class Kill(_Scoped):
    """Halt, cancel what works, and with `flatten` close what is held."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"scope": "everything", "flatten": False, "reason": "news"},
                {"scope": "bot", "bot": "dca", "flatten": True, "reason": "it misbehaves"},
            ]
        }
    )

    flatten: bool = False
    reason: Reason


class Resume(_Scoped):
    """End a halt of the same scope; those of single bots stay unless they are named."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"scope": "account", "account": "main", "confirm": True}]}
    )

    confirm: Literal[True]


@router.post("", summary="Halt trading, and flatten if asked", response_model=Done)
async def kill(ask: Ask, body: Kill) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        if body.bot is not None:
            strategy = now.find_strategy(body.bot)
            if strategy is not None:
                ends = [CloseStrategy(strategy.bot, KILLED)] if body.flatten else []
                return [HaltTrading(strategy.account, strategy.bot, body.reason), *ends]
            row = now.bot(body.bot)
            flat = list(_close(now, [row])) if body.flatten else []
            return [HaltTrading(row.account, row.bot, body.reason), *flat]
        accounts = _accounts(now, body)
        # Every halt before anything that takes longer.
        commands: list[Command] = [HaltTrading(account, "", body.reason) for account in accounts]
        if body.flatten:
            for account in accounts:
                commands += _close(now, [bot for bot in now.bots() if bot.account == account])
                commands += [CloseStrategy(each.bot, KILLED) for each in now.strategies() if each.account == account]
                commands += _sell_off(now, account)
        return commands

    return await ask.carry_out(prepare, refusals=False)


@router.post("/resume", summary="End a halt", response_model=Done)
async def resume(ask: Ask, body: Resume) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        if body.bot is not None:
            row = now.find_strategy(body.bot) or now.bot(body.bot)
            return [ResumeTrading(row.account, row.bot)]
        return [ResumeTrading(account, "") for account in _accounts(now, body)]

    return await ask.carry_out(prepare)


def _accounts(now: Standing, body: _Scoped) -> list[str]:
    if body.account is not None:
        return [now.account(body.account).account]
    return [row.account for row in now.accounts()]


def _close(now: Standing, bots: list[BotRow]) -> Iterator[Command]:
    """Close the live groups there are."""
    for bot in bots:
        if bot.live:
            yield CloseGroup(bot.bot, now.last_price(bot.account, bot.instrument))


def _sell_off(now: Standing, account: str) -> Iterator[Command]:
    """Close what belongs to no bot, as far as its steps go; a dust that no order can carry stays."""
    for pool in now.unattributed(account):
        instrument = now.instrument(account, pool.instrument)
        price = now.last_price(account, pool.instrument)
        quantity = floor_to(abs(pool.quantity), instrument.step)
        if quantity and price is not None:
            yield PlaceOrder(
                account, "", 0, 0, "close", InstrumentId(pool.instrument), "sell" if pool.quantity > 0 else "buy",
                "market", Quantity(quantity), None, None, Price(price), reduce_only=True,
            )  # fmt: skip
