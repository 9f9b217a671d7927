"""What people tell strategies on paper: to start, with which parameters to go on, to rest and to close."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from api.asking import ACCEPTED, Asking, Done
from api.problems import ProblemError, responses
from api.shapes import Body, Name, NameInPath, Symbol
from api.standing import Standing
from domain.errors import InputError
from domain.market import Instrument
from domain.message import Command
from domain.strategy import commands as c
from domain.strategy.plugin import Strategy
from domain.strategy.registry import parameters_text, read_parameters
from infrastructure.plugins import code_of, find_strategy
from projections.strategies import StrategyRow

router = APIRouter(tags=["strategies"], responses={**responses(404, 409), **ACCEPTED})
Ask = Annotated[Asking, Depends()]

_EXAMPLE: dict[str, Any] = {"quantity": "0.01", "spacing_pct": "0.1", "levels_each_side": 5, "recentre_after": 10}

Parameters = Annotated[
    dict[str, Any],
    Field(
        description="As the strategy's schema at GET /api/v1/strategies/available has them; amounts as text.",
        examples=[_EXAMPLE],
    ),
]


class NewStrategy(Body):
    """A strategy to be run under a bot's name, which no bot and no other strategy has had."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "bot": "grid", "account": "main", "strategy": "grid", "instrument": "BTC/USDT",
                    "parameters": _EXAMPLE,
                }
            ]
        }
    )  # fmt: skip

    bot: Name
    account: Name
    strategy: Annotated[str, Field(min_length=1, max_length=64)]
    instrument: Symbol
    parameters: Parameters


class NewParameters(Body):
    """All of its parameters from the next candle on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"parameters": _EXAMPLE}]})

    parameters: Parameters


class ChangedParameters(Body):
    """Those that change; null takes one back to what holds where nobody says otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"parameters": {"quantity": "0.02"}}]})

    parameters: Parameters = Field(default_factory=dict)


@router.post("/strategies", summary="Start a strategy on paper", status_code=201, response_model=Done)
async def start(ask: Ask, body: NewStrategy) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        strategy = _strategy(body.strategy)
        now.account(body.account)
        instrument = now.instrument(body.account, body.instrument)
        if now.had_bot(body.bot):
            raise ProblemError(409, "BOT_EXISTS", f"{body.bot} is, or was, the name of a bot; choose another")
        if now.find_strategy(body.bot) is not None:
            raise ProblemError(409, "BOT_EXISTS", f"a strategy runs as {body.bot} already")
        text = checked(strategy, exact(body.parameters), instrument)
        code = code_of(strategy)
        started = c.StartStrategy(body.bot, body.account, body.strategy, code, instrument, text)
        return [started, *_recoded(now, body.strategy, code)]

    return await ask.carry_out(prepare, status=201)


@router.put("/strategies/{bot}", summary="Give a strategy other parameters, and the code of now", response_model=Done)
async def configure(ask: Ask, bot: NameInPath, body: NewParameters) -> JSONResponse:
    return await ask.carry_out(lambda now: _configured(now, bot, lambda _standing: exact(body.parameters)))


@router.patch(
    "/strategies/{bot}", summary="Change some of its parameters, and take the code of now", response_model=Done
)
async def change(ask: Ask, bot: NameInPath, body: ChangedParameters) -> JSONResponse:
    def edited(standing: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: value for name, value in {**standing, **exact(body.parameters)}.items() if value is not None}

    return await ask.carry_out(lambda now: _configured(now, bot, edited))


@router.post("/strategies/{bot}/pause", summary="Decide nothing for a while", response_model=Done)
async def pause(ask: Ask, bot: NameInPath) -> JSONResponse:
    return await _tell(ask, bot, c.PauseStrategy)


@router.post("/strategies/{bot}/resume", summary="Decide again", response_model=Done)
async def resume(ask: Ask, bot: NameInPath) -> JSONResponse:
    return await _tell(ask, bot, c.ResumeStrategy)


@router.post("/strategies/{bot}/close", summary="Cancel its orders, close its position and rest", response_model=Done)
async def close(ask: Ask, bot: NameInPath) -> JSONResponse:
    return await _tell(ask, bot, c.CloseStrategy)


def checked(strategy: Strategy, given: Mapping[str, Any], instrument: Instrument) -> str:
    """Parameters as the log has them; raises ProblemError 422 naming the parameter and what is allowed."""
    try:
        text = parameters_text(read_parameters(strategy, given, instrument))
        text.encode()  # JSON can write half of a surrogate pair, which has no bytes
    except InputError as error:
        raise ProblemError(422, "PARAMETERS_INVALID", str(error)) from None
    except (ValueError, ArithmeticError, RecursionError):
        raise ProblemError(422, "PARAMETERS_INVALID", "parameters: a value is out of range") from None
    return text


def _configured(
    now: Standing, bot: str, parameters_from: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> list[Command]:
    row = _running(now, bot)
    strategy = _strategy(row.strategy)
    code = code_of(strategy)
    given = parameters_from(msgspec.json.decode(row.parameters))
    text = checked(strategy, given, now.instrument(row.account, row.instrument))
    return [c.ConfigureStrategy(bot, code, text), *_recoded(now, row.strategy, code, besides=bot)]


def _recoded(now: Standing, strategy: str, code: str, besides: str = "") -> list[Command]:
    """New code decides for every bot that the strategy runs for: the log says so of each."""
    rows = [each for each in now.strategies() if each.strategy == strategy and each.bot != besides]
    return [c.ConfigureStrategy(each.bot, code, each.parameters) for each in rows if each.code != code]


def exact(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises ProblemError 422 for a number with a point, which is not exact once JSON has been read."""
    for name, value in given.items():
        if isinstance(value, float):
            detail = f'parameters.{name}: write the number as text, such as "0.5"'
            raise ProblemError(422, "PARAMETERS_INVALID", detail)
    return given


def _strategy(name: str) -> Strategy:
    try:
        return find_strategy(name)
    except InputError as error:
        raise ProblemError(422, "STRATEGY_UNKNOWN", str(error)) from None


def _running(now: Standing, bot: str) -> StrategyRow:
    row = now.find_strategy(bot)
    if row is None:
        raise ProblemError(404, "NOT_FOUND", f"no strategy runs as {bot}")
    return row


async def _tell(ask: Asking, bot: str, command: Callable[[str], Command]) -> JSONResponse:
    def prepare(now: Standing) -> list[Command]:
        _running(now, bot)
        return [command(bot)]

    return await ask.carry_out(prepare)
