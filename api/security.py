"""Who is asking: access tokens, and what each role may do."""

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Literal

import jwt
from anyio import to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from msgspec import Struct

from api.limits import REQUESTS, Limits
from api.problems import ProblemError
from infrastructure.access import Access, Role, User
from infrastructure.master_key import MasterKey

Permission = Literal["read", "audit", "trade", "administer"]
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    "viewer": frozenset({"read"}),
    "auditor": frozenset({"read", "audit"}),
    "trader": frozenset({"read", "trade"}),
    "admin": frozenset({"read", "audit", "trade", "administer"}),
}

ACCESS_SECONDS = 900
ISSUER = "truetape"
AUDIENCE = "truetape-api"
_ALGORITHM = "HS256"
_CLAIMS = ("iss", "aud", "sub", "jti", "exp", "iat", "typ", "sid")
_TOKEN_MAX = 2048
_WWW = {"WWW-Authenticate": "Bearer"}

TOKEN = re.compile(r"tt[rws]_[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""Our refresh tokens, webhook tokens and secrets, and access tokens, wherever they stand in a text."""


class Claims(Struct, frozen=True):
    """What an access token says, once believed."""

    user: str
    session: str


class Principal(Struct, frozen=True):
    """Who makes a request."""

    name: str
    role: Role
    session: str

    @property
    def actor(self) -> str:
        """As the log names them."""
        return f"user:{self.name}"

    def may(self, permission: Permission) -> bool:
        return permission in PERMISSIONS[self.role]


class AccessTokens:
    """Access tokens: good for 15 minutes, and only while their session is."""

    def __init__(self, key: MasterKey, clock: Callable[[], float] = time.time) -> None:
        self._key = key.derive("access-token", _ALGORITHM)
        self._clock = clock

    def issue(self, user: User, session: str) -> str:
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user.name,
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": now + ACCESS_SECONDS,
            "typ": "access",
            "sid": session,
        }
        return jwt.encode(claims, self._key, _ALGORITHM)

    def read(self, token: str) -> Claims | None:
        """None for anything that is not a good token of ours."""
        if len(token) > _TOKEN_MAX:
            return None
        try:
            # Whether it has expired is asked of our own clock, below.
            claims = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], audience=AUDIENCE, issuer=ISSUER,
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        if claims["typ"] != "access" or not claims["iat"] <= self._clock() + 60 or claims["exp"] <= self._clock():
            return None
        return Claims(str(claims["sub"]), str(claims["sid"]))


bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="The access token of POST /api/v1/auth/login.")


def principal_of(app: FastAPI, token: str) -> Principal | None:
    """Whose access token this is, if it still counts. Reads the database: call it in a thread."""
    tokens: AccessTokens = app.state.tokens
    access: Access = app.state.access
    claims = tokens.read(token)
    user = None if claims is None else access.user_of(claims.session, claims.user)
    return None if claims is None or user is None else Principal(user.name, user.role, claims.session)


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """The principal of a request; raises ProblemError 401, or 429."""
    if credentials is None:
        raise ProblemError(401, "UNAUTHORIZED", "send `Authorization: Bearer <access token>`", headers=_WWW)
    principal = await to_thread.run_sync(principal_of, request.app, credentials.credentials)
    if principal is None:
        raise ProblemError(401, "TOKEN_INVALID", "the access token is not good, or not any more", headers=_WWW)
    limits: Limits = request.app.state.limits
    limits.check(REQUESTS, principal.name)
    return principal


def permitted(permission: Permission) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """A dependency: the principal, if their role allows this; raises ProblemError 403."""

    async def check(principal: Annotated[Principal, Depends(authenticate)]) -> Principal:
        if not principal.may(permission):
            detail = f"role {principal.role} may not {permission}"
            raise ProblemError(403, "FORBIDDEN", detail)
        return principal

    return check


Reader = Annotated[Principal, Depends(permitted("read"))]
Auditor = Annotated[Principal, Depends(permitted("audit"))]
Trader = Annotated[Principal, Depends(permitted("trade"))]
Admin = Annotated[Principal, Depends(permitted("administer"))]


def address_of(request: Request) -> str:
    """Where a request comes from, as the server sees it."""
    return request.client.host if request.client else ""


class TokenFilter(logging.Filter):
    """Takes tokens out of a logger's lines: an access log names paths, and a webhook's path has its token."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            return True  # not our line to mend
        if TOKEN.search(text):
            if isinstance(record.args, tuple):
                record.args = tuple(hide_tokens(part) if isinstance(part, str) else part for part in record.args)
            record.msg = hide_tokens(str(record.msg))
            if TOKEN.search(record.getMessage()):
                record.msg, record.args = hide_tokens(text), ()
        return True


def hide_tokens(text: str) -> str:
    """A text with each token in it replaced by the start of its hash."""
    return TOKEN.sub(lambda found: f"[{hashlib.sha256(found.group().encode()).hexdigest()[:8]}]", text)
