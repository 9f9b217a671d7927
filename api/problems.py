"""Errors as RFC 9457 problem documents: what went wrong, what is allowed, and nothing of the inside."""

import logging
import math
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors import ConflictError, InputError, MissingError, StoreError, TruetapeError

MEDIA_TYPE = "application/problem+json"
_TEXT_MAX = 500
_ERRORS_MAX = 50
_log = logging.getLogger("truetape.api")

_STATUS: Mapping[type[TruetapeError], tuple[int, str]] = {
    MissingError: (HTTPStatus.NOT_FOUND, "NOT_FOUND"),
    ConflictError: (HTTPStatus.CONFLICT, "CONFLICT"),
    InputError: (HTTPStatus.UNPROCESSABLE_ENTITY, "INPUT_INVALID"),
    StoreError: (HTTPStatus.SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE"),
}
_CODES = {
    HTTPStatus.BAD_REQUEST: "BAD_REQUEST",
    HTTPStatus.UNAUTHORIZED: "UNAUTHORIZED",
    HTTPStatus.FORBIDDEN: "FORBIDDEN",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "BODY_TOO_LARGE",
    HTTPStatus.TOO_MANY_REQUESTS: "RATE_LIMITED",
}


class FieldError(BaseModel):
    """One thing wrong with a request: where, and what."""

    where: str
    what: str


class Problem(BaseModel):
    """An error as RFC 9457 has it; `code` is for programs, `detail` for people."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Conflict",
                    "status": 409,
                    "code": "STATUS_WRONG",
                    "detail": "status=running",
                }
            ]
        },
    )

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] = Field(default_factory=list)


class ProblemError(Exception):
    """A request that is answered with a problem document; `extra` are members of its own."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def response(self) -> JSONResponse:
        return problem(self.status, self.code, self.detail, headers=self.headers, extra=self.extra)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """A problem document as an answer."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": clean(detail),
        **(extra or {}),
    }
    if errors:
        document["errors"] = [error.model_dump() for error in errors]
    return JSONResponse(document, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def clean(text: str) -> str:
    """Text that any answer can carry: of bounded length, and whatever is no character written out."""
    return text[:_TEXT_MAX].encode(errors="backslashreplace").decode().replace("\0", "\\0")


def retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the problems that a route may answer with, besides those that any may."""
    every = {400, 401, 403, 413, 422, 429, 500, 503}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(every | set(statuses))
    }


def add_problem_handlers(app: FastAPI) -> None:
    """Let the application answer every error with a problem document."""

    @app.exception_handler(ProblemError)
    async def _said(_request: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(TruetapeError)
    async def _refused(_request: Request, error: TruetapeError) -> JSONResponse:
        status, code = next(
            (found for kind, found in _STATUS.items() if isinstance(error, kind)), (HTTPStatus.CONFLICT, "REFUSED")
        )
        if isinstance(error, StoreError):
            _log.error("the store refused a request: %s", clean(str(error)))
            return problem(status, code, "the database does not answer as it must; try again", headers=retry_after(1))
        return problem(status, code, str(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        # Neither the input nor what an error says about it: it may be a password.
        errors = [
            FieldError(where=clean(".".join(map(str, each["loc"]))), what=clean(each["msg"]))
            for each in found[:_ERRORS_MAX]
        ]
        if any(each["type"] == "json_invalid" for each in found):
            return problem(HTTPStatus.BAD_REQUEST, "JSON_INVALID", "the body is not JSON", errors=errors)
        detail = "; ".join(f"{each.where}: {each.what}" for each in errors[:3])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "INPUT_INVALID", detail, errors=errors)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        details = {
            HTTPStatus.NOT_FOUND: "there is nothing here",
            HTTPStatus.METHOD_NOT_ALLOWED: f"{clean(request.method)} is not possible here",
        }
        detail = details.get(status, str(error.detail))
        return problem(status, _CODES.get(status, status.name), detail, headers=error.headers)


class CatchEverything:
    """The outermost layer: what nothing else has caught is logged, without its message, and answered with a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Any) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            # The message may quote what was sent, and that may be a secret; where it happened says enough.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("unexpected %s\n%s", type(error).__name__, where)
            if scope["type"] != "http" or started:
                raise
            answer = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "UNEXPECTED", "something went wrong here; it is logged")
            await answer(scope, receive, send)


class BodyLimit:
    """Reads the whole body before the application does, and answers 413 where it is too large."""

    def __init__(self, app: ASGIApp, bytes_max: int, of_prefix: Mapping[str, int]) -> None:
        self._app = app
        self._bytes_max = bytes_max
        self._of_prefix = dict(of_prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        allowed = next((size for prefix, size in self._of_prefix.items() if path.startswith(prefix)), self._bytes_max)
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > allowed:
                detail = f"the body has more than {allowed} bytes"
                await problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", detail)(scope, receive, send)
                return
        read = False

        async def replay() -> Any:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)
