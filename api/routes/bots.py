"""Bots: what there is to configure, and their lives from creation to deletion."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from api.asking import ACCEPTED, Asking, Done
from api.available import FORMS
from api.problems import ProblemError, responses
from api.shapes import Body, Name, NameInPath, Symbol
from api.standing import Standing
from api.webhooks import KnownWebhooks
from domain.bot import commands as c
from domain.bot.settings import GroupForm, GroupSettings, settings_of
from domain.errors import InputError
from domain.message import Command

router = APIRouter(tags=["bots"], responses={**responses(404, 409), **ACCEPTED})
Ask = Annotated[Asking, Depends()]

LEGS_MAX = 100
_EXAMPLE: dict[str, Any] = {
    "capital": "1000",
    "entry": "market",
    "legs": [
        {"gap_pct": "0", "weight_pct": "50", "take_profit_pct": "1"},
        {"gap_pct": "-1", "weight_pct": "50", "take_profit_pct": "1"},
    ],
}

Settings = Annotated[
    dict[str, Any],
    Field(
        description="As the strategy's schema at GET /api/v1/strategies/available has it; amounts as text.",
        examples=[_EXAMPLE],
    ),
]


class NewBot(Body):
    """A bot to be; it is created at rest and has to be started."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "dca", "account": "main", "strategy": "dca_signals", "instrument": "BTC/USDT",
                    "settings": _EXAMPLE,
                }
            ]
        }
    )  # fmt: skip

    name: Name
    account: Name
    strategy: Annotated[str, Field(min_length=1, max_length=64)]
    instrument: Symbol
    settings: Settings


class NewSettings(Body):
    """Settings for the next group."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"settings": _EXAMPLE}]})

    settings: Settings


@router.post("/bots", summary="Create a bot", status_code=201, response_model=Done)
async def create(ask: Ask, body: NewBot) -> JSONResponse:
    form = FORMS.get(body.strategy)
    if form is None:
        allowed = ", ".join(FORMS)
        raise ProblemError(422, "STRATEGY_UNKNOWN", f"strategy {body.strategy!r}; allowed: {allowed}")
    settings = read_settings(form, body.settings)

    def prepare(now: Standing) -> list[Command]:
        account = now.account(body.account)
        instrument = now.instrument(body.account, body.instrument)
        if now.find_bot(body.name) is not None:
            raise ProblemError(409, "BOT_EXISTS", f"there is a bot {body.name} already")
        if now.find_strategy(body.name) is not None:
            raise ProblemError(409, "BOT_EXISTS", f"a strategy runs as {body.name} already")
        return [c.CreateBot(body.name, body.account, account.kind, body.strategy, instrument, settings)]

    return await ask.carry_out(prepare, status=201, silent=("BOT_EXISTS", f"there is a bot {body.name} already"))


@router.put("/bots/{bot}/settings", summary="Change a bot's settings", response_model=Done)
async def configure(ask: Ask, bot: NameInPath, body: NewSettings) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        form = FORMS[now.bot(bot).strategy]
        return [c.ConfigureBot(bot, read_settings(form, body.settings))]

    return await ask.carry_out(prepare)


@router.post("/bots/{bot}/start", summary="Act on signals", response_model=Done)
async def start(ask: Ask, bot: NameInPath) -> JSONResponse:
    return await _tell(ask, bot, c.StartBot)


@router.post("/bots/{bot}/pause", summary="Take no entries for a while", response_model=Done)
async def pause(ask: Ask, bot: NameInPath) -> JSONResponse:
    return await _tell(ask, bot, c.PauseBot)


@router.post("/bots/{bot}/resume", summary="Take entries again", response_model=Done)
async def resume(ask: Ask, bot: NameInPath) -> JSONResponse:
    return await _tell(ask, bot, c.ResumeBot)


@router.post("/bots/{bot}/stop", summary="Act on no signals any more", response_model=Done)
async def stop(ask: Ask, bot: NameInPath) -> JSONResponse:
    return await _tell(ask, bot, c.StopBot)


@router.post("/bots/{bot}/close", summary="Close the live group", response_model=Done)
async def close(ask: Ask, bot: NameInPath) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        row = now.bot(bot)
        return [c.CloseGroup(bot, now.last_price(row.account, row.instrument))]

    return await ask.carry_out(prepare)


@router.delete("/bots/{bot}", summary="End a bot that is at rest and holds nothing", response_model=Done)
async def delete(request: Request, ask: Ask, bot: NameInPath) -> JSONResponse:
    runs: list[int] = []

    def prepare(now: Standing) -> list[Command]:
        now.bot(bot)
        runs.append(now.run)
        return [c.DeleteBot(bot)]

    answer = await ask.carry_out(prepare)
    webhooks: KnownWebhooks = request.app.state.webhooks
    if runs and answer.status_code == HTTPStatus.OK:
        await webhooks.end(runs[0], bot)
    return answer


def read_settings(form: type[GroupForm], given: Mapping[str, Any]) -> GroupSettings:
    """Settings as the core has them; raises ProblemError 422 naming the key and what is allowed."""
    _refuse_floats(given)
    try:
        settings = settings_of(msgspec.convert(given, form))
    except (msgspec.ValidationError, InputError) as error:
        raise ProblemError(422, "SETTINGS_INVALID", f"settings: {error}") from None
    except (ValueError, ArithmeticError, RecursionError):
        raise ProblemError(422, "SETTINGS_INVALID", "settings: a number is out of range") from None
    if len(settings.legs) > LEGS_MAX:
        raise ProblemError(422, "SETTINGS_INVALID", f"settings.legs: at most {LEGS_MAX}")
    return settings


def _refuse_floats(value: object, where: str = "settings", depth: int = 4) -> None:
    """A number with a point is not exact once JSON has been read: amounts are text."""
    if isinstance(value, float):
        raise ProblemError(422, "SETTINGS_INVALID", f'{where}: write the number as text, such as "0.5"')
    if depth and isinstance(value, dict):
        for key, item in value.items():
            _refuse_floats(item, f"{where}.{key}", depth - 1)
    elif depth and isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{where}[{index}]", depth - 1)


async def _tell(ask: Asking, bot: str, command: Callable[[str], Command]) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        now.bot(bot)
        return [command(bot)]

    return await ask.carry_out(prepare)
