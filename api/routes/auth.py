"""Logging in, staying logged in, logging out; and what was done about access."""

from typing import Annotated, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from api.limits import LOGIN, LOGIN_ADDRESS, Limits
from api.problems import ProblemError, responses
from api.security import ACCESS_SECONDS, AccessTokens, Auditor, Reader, address_of
from api.shapes import BIGINT_MAX, Answer, Body, Secret, UserName
from domain.values import time_text
from infrastructure.access import Access, Role, Session

router = APIRouter(prefix="/auth", tags=["auth"], responses=responses())
_hashing = CapacityLimiter(2)
"""Passwords hashed at once: each takes 19 MiB and a core."""


class Login(Body):
    """A name and a password."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "admin", "password": "correct horse battery"}]})

    name: UserName
    password: Secret


class RefreshToken(Body):
    """The refresh token of the last login or refresh."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "ttr_..."}]})

    refresh_token: Secret


class WhoAmI(Answer):
    """A user and their role."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "admin", "role": "admin"}]})

    name: str
    role: Role


class Tokens(Answer):
    """An access token for requests, and a refresh token, good once, for the next pair."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (a kind of token, none itself)
    expires_in: int = Field(default=ACCESS_SECONDS, description="Seconds.")
    refresh_token: str
    user: WhoAmI


class AccessLogEntry(Answer):
    """Something done about access."""

    id: int
    at: str
    actor: str
    action: str
    subject: str
    address: str


class AccessLog(Answer):
    """A page of the access log, newest first; `next` is the `before` of the next page."""

    items: list[AccessLogEntry]
    next: int | None


@router.post("/login", summary="Log in")
async def login(request: Request, response: Response, body: Login) -> Tokens:
    limits: Limits = request.app.state.limits
    address = address_of(request)
    limits.check(LOGIN_ADDRESS, address)
    limits.check(LOGIN, address, body.name)
    access: Access = request.app.state.access
    session = await to_thread.run_sync(access.login, body.name, body.password, address, limiter=_hashing)
    if session is None:
        raise ProblemError(401, "LOGIN_REFUSED", "the name or the password is wrong, or the user is disabled")
    return _tokens(request, response, session)


@router.post("/refresh", summary="Exchange a refresh token for new tokens")
async def refresh(request: Request, response: Response, body: RefreshToken) -> Tokens:
    limits: Limits = request.app.state.limits
    limits.check(LOGIN_ADDRESS, address_of(request), "refresh")
    access: Access = request.app.state.access
    session = await to_thread.run_sync(access.refresh, body.refresh_token, address_of(request))
    if session is None:
        raise ProblemError(401, "REFRESH_REFUSED", "the refresh token is not good, or not any more; log in again")
    return _tokens(request, response, session)


@router.post("/logout", summary="End the session of the access token", status_code=204)
def logout(request: Request, user: Reader) -> None:
    access: Access = request.app.state.access
    access.logout(user.session, address_of(request))


@router.get("/me", summary="Who the access token is for")
def me(user: Reader) -> WhoAmI:
    return WhoAmI(name=user.name, role=user.role)


@router.get("/log", summary="What was done about access (auditor, admin)")
def log(
    request: Request,
    _user: Auditor,
    before: Annotated[int | None, Query(ge=1, le=BIGINT_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AccessLog:
    access: Access = request.app.state.access
    entries = access.log(before, limit)
    items = [
        AccessLogEntry(
            id=each.id, at=time_text(each.at), actor=each.actor, action=each.action, subject=each.subject,
            address=each.address,
        )
        for each in entries
    ]  # fmt: skip
    return AccessLog(items=items, next=entries[-1].id if len(entries) == limit else None)


def _tokens(request: Request, response: Response, session: Session) -> Tokens:
    tokens: AccessTokens = request.app.state.tokens
    response.headers["Cache-Control"] = "no-store"
    return Tokens(
        access_token=tokens.issue(session.user, session.id),
        refresh_token=session.refresh_token.get_secret_value(),
        user=WhoAmI(name=session.user.name, role=session.user.role),
    )
