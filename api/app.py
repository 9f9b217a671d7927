"""The HTTP application: what it is made of, and in which order a request meets it."""

import importlib
import logging
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.middleware import Middleware

from api import routes
from api.limits import WEBHOOK_PER_MINUTE, Limits
from api.metrics import metrics_router
from api.problems import BodyLimit, CatchEverything, Problem, add_problem_handlers, problem, responses
from api.routes.webhooks import deliveries
from api.security import AccessTokens, TokenFilter
from api.webhooks import KnownWebhooks
from domain.errors import StoreError
from infrastructure.access import Access
from infrastructure.event_store.database import Database
from infrastructure.event_store.engine_version import engine_version
from infrastructure.inbox_gate import InboxGate
from infrastructure.master_key import load_master_key
from infrastructure.projection_stops import find_stops
from infrastructure.settings import Settings
from infrastructure.webhook_keys import Webhooks

PREFIX = "/api/v1"
BODY_MAX = 1 << 20
"""Bytes."""
WEBHOOK_BODY_MAX = 64 << 10
_WEBHOOKS = "/webhooks/"


def create_app(
    database: Database,
    settings: Settings,
    *,
    origins: Sequence[str] = (),
    worker_alive: Callable[[], bool] = lambda: True,
    worker_halted: Callable[[], str | None] = lambda: None,
    webhook_per_minute: int = WEBHOOK_PER_MINUTE,
) -> FastAPI:
    """The application on an open database.

    `origins` are the web origins that browsers may call from; `worker_alive` says whether the inbox is being taken,
    `worker_halted` why it is not just now;
    `webhook_per_minute` is how many deliveries one webhook may make.
    """
    key = load_master_key(settings.home)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        _hide_tokens_in_logs()
        async with InboxGate(database.url) as gate:
            app.state.gate = gate
            yield

    app = FastAPI(
        title="Truetape",
        version=engine_version(),
        description="A trading engine whose only state is a log of immutable events.",
        lifespan=lifespan,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=f"{PREFIX}/docs",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        middleware=_middleware(origins),
    )
    app.state.database = database
    app.state.settings = settings
    app.state.master_key = key
    app.state.access = Access(database)
    app.state.tokens = AccessTokens(key)
    app.state.limits = Limits(webhook_per_minute)
    app.state.webhooks = KnownWebhooks(Webhooks(database, key))
    add_problem_handlers(app)
    # Alerts name their path for years, so it stands outside the version as well; routes are searched in order, and no
    # other is in such a hurry.
    app.include_router(deliveries)
    app.include_router(deliveries, prefix=PREFIX, include_in_schema=False)
    app.include_router(_health(database, worker_alive, worker_halted))
    app.include_router(metrics_router(database, worker_alive))
    for router in _routers():
        app.include_router(router, prefix=PREFIX)
    _describe_problems(app)
    return app


def _middleware(origins: Sequence[str]) -> list[Middleware]:
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
        expose_headers=["Retry-After"],
        max_age=600,
    )
    limit = Middleware(
        BodyLimit, bytes_max=BODY_MAX, of_prefix={_WEBHOOKS: WEBHOOK_BODY_MAX, PREFIX + _WEBHOOKS: WEBHOOK_BODY_MAX}
    )
    return [Middleware(CatchEverything), *([cors] if origins else []), limit]


def _routers() -> Iterator[APIRouter]:
    """Every resource in `api/routes/`, by name."""
    for module in sorted(pkgutil.iter_modules(routes.__path__), key=lambda each: each.name):
        router = getattr(importlib.import_module(f"{routes.__name__}.{module.name}"), "router", None)
        if isinstance(router, APIRouter):
            yield router


def _health(database: Database, worker_alive: Callable[[], bool], worker_halted: Callable[[], str | None]) -> APIRouter:
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/ready",
        summary="The database answers and the worker works; `degraded` names read models that have stopped",
        responses=responses(),
    )
    async def ready() -> JSONResponse:
        if not worker_alive():
            return problem(503, "WORKER_STOPPED", "no worker takes the inbox")
        if worker_halted() is not None:  # why is in the log: it may name hosts
            return problem(503, "WORKER_HALTED", "the log cannot be appended to; nothing is taken until it can")
        try:
            stops = await to_thread.run_sync(find_stops, database)
        except StoreError:
            return problem(503, "DATABASE_UNAVAILABLE", "the database does not answer")
        if stops:  # what is read is behind; alerts are taken and traded on all the same, so it is ready
            return JSONResponse({"status": "degraded", "stopped": msgspec.to_builtins(stops)})
        return JSONResponse({"status": "ok"})

    return router


def _describe_problems(app: FastAPI) -> None:
    """Add the form of problem documents to the OpenAPI description, where the routes point to it."""
    describe = app.openapi

    def described() -> dict[str, object]:
        document = describe()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas["Problem"] = schema
        return document

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI's documentation extends it


def _hide_tokens_in_logs() -> None:
    """Whatever the server logs of a request goes through a filter; each handler once."""
    for name in ("uvicorn.access", "uvicorn.error", "truetape.api"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, TokenFilter) for each in logger.filters):
            logger.addFilter(TokenFilter())
