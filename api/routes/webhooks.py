"""Webhooks: giving a bot its own, and taking what is delivered to it."""

from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, ConfigDict, Field

from api.asking import ACCEPTED, Asking, Done
from api.limits import UNAUTHORIZED, Limits
from api.problems import ProblemError, responses
from api.security import Auditor, address_of
from api.shapes import BIGINT_MAX, Answer, Body, NameInPath
from api.standing import Standing
from api.webhooks import KnownWebhooks, WrongSecretError, read_delivery
from domain.errors import InputError
from domain.message import Command
from domain.signal.commands import DeliverAlert, MapSource, OpenSource
from domain.signal.events import Follow
from domain.signal.paths import KEYS, check_mapping
from domain.values import InstrumentId, time_text
from infrastructure.access import Access
from infrastructure.inbox import Entry
from infrastructure.inbox_gate import InboxGate
from infrastructure.webhook_keys import NewKey, new_webhook_id

router = APIRouter(tags=["webhooks"])
deliveries = APIRouter(prefix="/webhooks", tags=["webhooks"])
Ask = Annotated[Asking, Depends()]

SIGNATURE = "X-Truetape-Signature"
_GRACE_MAX = 86_400
_LAG_MAX = 86_400 * 30


def _readable(mapping: dict[str, str]) -> dict[str, str]:
    try:
        return check_mapping(mapping)
    except InputError as error:
        raise ValueError(str(error)) from None


Mapping = Annotated[
    dict[str, str],
    Field(
        max_length=len(KEYS),
        description="Where in a body each key of our form stands: a path such as $.order.action, or a fixed text.",
    ),
    AfterValidator(_readable),
]
_MAPPING: dict[str, Any] = {"symbol": "$.data.ticker", "action": "$.data['strategy-order-action']"}


class NewWebhook(Body):
    """How old an alert may be when it arrives, in seconds; without it any age passes. And how its body is read.

    Alerts in our own form, the common bot shape and the execution-engine form need no mapping.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"lag_seconds_max": 60},
                {"mapping": _MAPPING},
            ]
        }
    )

    lag_seconds_max: Annotated[int, Field(ge=1, le=_LAG_MAX)] | None = None
    mapping: Mapping = Field(default_factory=dict)
    follow: Annotated[
        Follow, Field(description="Go by an alert's action, or by the position that its strategy should hold.")
    ] = "action"


class NewMapping(Body):
    """How bodies are read from the next delivery on: the whole mapping, or an empty one to tell forms by their keys."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mapping": _MAPPING}, {"mapping": {}}]})

    mapping: Mapping


class Rotation(Body):
    """How long the old token and secret go on counting, in seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace_seconds": 600}]})

    grace_seconds: Annotated[int, Field(ge=0, le=_GRACE_MAX)] = 0


class ShownOnce(Answer):
    """Where alerts go, and their secret. Neither is shown again.

    Senders put the secret into the body as `secret`, or sign with it, or leave it out: the token in the path is one too.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "webhook": "wh_0123456789abcdef",
                    "path": "/webhooks/tradingview/ttw_...",
                    "token": "ttw_...",
                    "secret": "tts_...",
                }
            ]
        }
    )

    webhook: str
    path: str
    token: str
    secret: str


class Delivered(Answer):
    """The delivery is kept for good, as this row of the inbox; what becomes of it is under /api/v1/deliveries."""

    row: int


class Unauthorized(Answer):
    """A delivery that nobody may make."""

    id: int
    at: str
    address: str
    webhook: str | None
    verdict: Literal["unauthorized"] = "unauthorized"
    reason: str
    length: int
    prefix: str


class UnauthorizedPage(Answer):
    """A page of them, newest first; `next` is the `before` of the next page. The latest 1,000 are kept."""

    items: list[Unauthorized]
    next: int | None


@router.post("/bots/{bot}/webhook", summary="Give a bot its webhook", status_code=201, responses=responses(404, 409))
async def create(request: Request, ask: Ask, bot: NameInPath, body: NewWebhook | None = None) -> ShownOnce:
    webhooks: KnownWebhooks = request.app.state.webhooks
    if await ask.repeated():
        raise _shown(bot)
    asked = body or NewWebhook()
    lag = None if asked.lag_seconds_max is None else asked.lag_seconds_max * 1_000_000
    webhook = new_webhook_id()
    runs: list[int] = []

    def prepare(now: Standing) -> list[Command]:
        row = now.bot(bot)
        runs.append(now.run)
        if webhooks.stored.live(now.run, bot) is not None:
            raise ProblemError(409, "WEBHOOK_EXISTS", f"bot {bot} has a webhook already; rotate it to get a new token")
        return [OpenSource(webhook, bot, InstrumentId(row.instrument), lag, asked.mapping, asked.follow)]

    await ask.carry_out(prepare)
    if not runs:
        raise _shown(bot)
    new = await webhooks.create(runs[0], bot, webhook)
    await _note(request, ask, "webhook.created", new)
    return _shown_once(new)


@router.post("/bots/{bot}/webhook/rotate", summary="New token and secret", responses=responses(404, 409))
async def rotate(request: Request, ask: Ask, bot: NameInPath, body: Rotation | None = None) -> ShownOnce:
    webhooks: KnownWebhooks = request.app.state.webhooks

    def check(now: Standing) -> None:
        now.bot(bot)
        if webhooks.stored.live(now.run, bot) is None:
            raise _none_of(bot)

    run = await ask.once(check, _shown(bot))
    new = await webhooks.rotate(run, bot, body.grace_seconds if body else 0)
    await _note(request, ask, "webhook.rotated", new)
    return _shown_once(new)


@router.put(
    "/bots/{bot}/webhook/mapping",
    summary="Read alerts by another mapping",
    response_model=Done,
    responses={**responses(404, 409), **ACCEPTED},
)
async def set_mapping(request: Request, ask: Ask, bot: NameInPath, body: NewMapping) -> JSONResponse:
    webhooks: KnownWebhooks = request.app.state.webhooks

    def prepare(now: Standing) -> list[Command]:
        now.bot(bot)
        webhook = webhooks.stored.live(now.run, bot)
        if webhook is None:
            raise _none_of(bot)
        return [MapSource(webhook, body.mapping)]

    return await ask.carry_out(prepare)


@router.get("/webhooks/unauthorized", summary="Deliveries that nobody may make", responses=responses())
def unauthorized(
    request: Request,
    _user: Auditor,
    before: Annotated[int | None, Query(ge=1, le=BIGINT_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> UnauthorizedPage:
    webhooks: KnownWebhooks = request.app.state.webhooks
    found = webhooks.stored.unauthorized(before, limit)
    items = [
        Unauthorized(
            id=each.id, at=time_text(each.at), address=each.address, webhook=each.webhook, reason=each.reason,
            length=each.length, prefix=each.prefix,
        )
        for each in found
    ]  # fmt: skip
    return UnauthorizedPage(items=items, next=found[-1].id if len(found) == limit else None)


@deliveries.post(
    "/tradingview/{token}",
    summary="Deliver an alert",
    responses={
        **responses(),
        200: {"model": Delivered, "description": "Kept for good"},
    },
    openapi_extra={
        "requestBody": {
            "description": "JSON or text, whatever the content type says. `truetape webhook template` prints one.",
            "content": {
                "application/json": {
                    "schema": {},
                    "example": {
                        "id": "42", "time": "2026-01-01T00:00:00Z", "symbol": "BTCUSDT", "action": "buy",
                        "secret": "tts_...",
                    },
                },
                "text/plain": {"schema": {"type": "string"}},
            },
        }
    },
)  # fmt: skip
async def deliver(request: Request, token: Annotated[str, Path(max_length=200)]) -> JSONResponse:
    limits: Limits = request.app.state.limits
    webhooks: KnownWebhooks = request.app.state.webhooks
    gate: InboxGate = request.app.state.gate
    body = await request.body()
    address = address_of(request)
    key = await webhooks.key_of(token)
    if key is None:
        limits.check(UNAUTHORIZED, address)
        await webhooks.refuse(limits, address, None, "the token is unknown", body)
        raise ProblemError(401, "TOKEN_UNKNOWN", "there is no such webhook")
    limits.check(limits.webhook, key.webhook)
    try:
        delivery = read_delivery(key, token, body, request.headers.get(SIGNATURE))
    except WrongSecretError as error:
        await webhooks.refuse(limits, address, key.webhook, str(error), body)
        raise ProblemError(401, "SECRET_WRONG", str(error)) from None
    alert = DeliverAlert(key.webhook, delivery.body)
    (row,) = await gate.put([Entry(f"webhook:{key.webhook}", alert, delivery.once)])
    return JSONResponse({"row": row})


async def _note(request: Request, ask: Asking, action: str, new: NewKey) -> None:
    access: Access = request.app.state.access
    await to_thread.run_sync(access.note, ask.user.actor, action, new.key.id, address_of(request))


def _none_of(bot: str) -> ProblemError:
    return ProblemError(404, "NOT_FOUND", f"bot {bot} has no webhook")


def _shown(bot: str) -> ProblemError:
    detail = f"this was done before under the same Idempotency-Key, and a secret is shown once; rotate {bot}'s webhook"
    return ProblemError(409, "SECRET_SHOWN", detail)


def _shown_once(new: NewKey) -> ShownOnce:
    token = new.token.get_secret_value()
    return ShownOnce(
        webhook=new.key.webhook,
        path=f"/webhooks/tradingview/{token}",
        token=token,
        secret=new.key.secret.get_secret_value(),
    )
