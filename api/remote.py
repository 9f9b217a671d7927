"""The command line's way to the running server: its HTTP API, as the user who is logged in."""

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from api.logins import Login, Logins
from domain.errors import InputError, TruetapeError

PREFIX = "/api/v1"
OWN_VARIABLES = ("TRUETAPE_URL", "TRUETAPE_USER", "TRUETAPE_PASSWORD")
"""What the environment says to a client only."""
TIMEOUT_SECONDS = 60.0
RENEW_SECONDS = 60.0
"""An access token is renewed when it has less than this left, longer than the stream's heartbeat."""
TRIES = 4
PAGE = 500
_OK, _ACCEPTED, _UNAUTHORIZED, _CONFLICT = 200, 202, 401, 409
_OTHERS = 300
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (what a server listens on, said as where it is)
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})


Query = str | int | bool | None
Lists = Mapping[str, Mapping[str, Query]]
"""Names of lists, and what is asked of each."""


class NoServerError(TruetapeError):
    """Nobody answers, or somebody who is no Truetape."""


class NotLoggedInError(TruetapeError):
    """The command needs a login that is not there, or has ended."""


class AnsweredError(TruetapeError):
    """The server answered with a problem document."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        errors = [f"{each['where']}: {each['what']}" for each in problem.get("errors") or []]
        told = [each for each in errors if each not in problem["detail"]]
        super().__init__("\n".join([f"{problem['code']}: {problem['detail']}", *told]))
        self.problem = problem


class RefusedError(AnsweredError):
    """The server could, and as things stand would not: a refusal, which is a result."""


class _Answer(NamedTuple):
    status: int
    content: Any


class Remote:
    """A client of one server. Its methods raise NoServerError, NotLoggedInError and AnsweredError."""

    def __init__(self) -> None:
        from infrastructure.home import home_folder

        self.url = server_url()
        self.logins = Logins(home_folder())

    def get(self, *path: str | int, **query: Query) -> Any:
        """What is there."""
        return self._ask("GET", _path(path, query)).content

    def items(self, *path: str | int, limit: int | None = None, **query: Query) -> list[Any]:
        """A list, page by page to its end or to a limit."""
        return self._listing(path, query, limit)[0]

    def page(self, *path: str | int, limit: int, **query: Query) -> tuple[dict[str, Any], list[Any]]:
        """A list up to a limit, and the moment that it is true at."""
        found, point = self._listing(path, query, limit)
        return point, found

    def picture(self, lists: Lists, as_of: str | None = None) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """Several lists as they were at one moment, of now or of the past; and which moment that is."""
        while True:
            read = {name: self._listing([name], {**query, "as_of": as_of}) for name, query in lists.items()}
            newest: dict[str, Any] = max((point for _, point in read.values()), key=lambda point: point["position"])
            if all(point == newest for _, point in read.values()):
                return newest, {name: found for name, (found, _) in read.items()}
            as_of = str(newest["position"])  # the log grew between them

    def catch_up(self) -> None:
        """Wait until reads tell all that was on the log when this began: they follow it by a moment."""
        newest = self.items("events", limit=1, order="newest")
        deadline, pause = time.monotonic() + TIMEOUT_SECONDS, 0.02
        while newest and self.get("accounts", limit=1)["as_of"]["position"] < newest[0]["position"]:
            if time.monotonic() > deadline:
                raise NoServerError(f"what {self.url} tells is behind its log: truetape doctor")
            time.sleep(pause)
            pause = min(1.0, 2 * pause)  # each look counts as a request of the user's

    def _listing(
        self, path: Sequence[str | int], query: Mapping[str, Query], limit: int | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """The items, and the moment of the first page."""
        page = self.get(*path, **query, limit=PAGE if limit is None else min(PAGE, limit))
        found, point = list(page["items"]), page["as_of"]
        while page["next"] is not None and (limit is None or len(found) < limit):
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self.get(*path, **query, limit=size, cursor=page["next"])
            found += page["items"]
        return found, point

    def command(self, method: str, *path: str | int, body: Any = None) -> Any:
        """Have something done, once, however often it has to be asked; returns what it caused."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        for _ in range(TRIES):
            answer = self._ask(method, _path(path), body, headers)
            if answer.status != _ACCEPTED:
                return answer.content
        row = answer.content["row"]
        raise NoServerError(
            f"accepted for good as row {row} of the inbox, and not carried out yet: truetape events tail"
        )

    def deliver(self, path: str, body: Any) -> Any:
        """Send an alert as a chart does: nobody is logged in there."""
        answer = self._exchange("POST", path, body, {})
        if answer.status != _OK:
            raise _told(answer)
        return answer.content

    def login(self, name: str, password: str) -> str:
        """Begin a session, and keep it; returns the user's role."""
        answer = self._exchange("POST", f"{PREFIX}/auth/login", {"name": name, "password": password}, {})
        if answer.status != _OK:
            raise _told(answer)
        with self.logins.locked():
            self._keep(answer.content)
        return str(answer.content["user"]["role"])

    def logout(self) -> None:
        """End the session there and forget it here."""
        try:
            self._ask("POST", f"{PREFIX}/auth/logout")
        finally:
            with self.logins.locked():
                self.logins.keep(self.url, None)

    def token(self, stale: str | None = None) -> str:
        """An access token that counts; another one than `stale`, which did not."""
        with self.logins.locked():
            login = self.logins.find(self.url)
            if login is None:
                raise NotLoggedInError(f"not logged in at {self.url}: truetape login")
            if login.access_token != stale and time.time() < login.expires_at - RENEW_SECONDS:
                return login.access_token
            answer = self._exchange("POST", f"{PREFIX}/auth/refresh", {"refresh_token": login.refresh_token}, {})
            if answer.status == _UNAUTHORIZED:
                self.logins.keep(self.url, None)
                raise NotLoggedInError(f"the login of {login.user} at {self.url} has ended: truetape login")
            if answer.status != _OK:
                raise _told(answer)
            return self._keep(answer.content)

    def _keep(self, tokens: Mapping[str, Any]) -> str:
        until = time.time() + tokens["expires_in"]
        login = Login(tokens["user"]["name"], tokens["refresh_token"], tokens["access_token"], until)
        self.logins.keep(self.url, login)
        return login.access_token

    def _ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> _Answer:
        """As the user who is logged in; a token that counts no more is renewed once."""
        token = self.token()
        for renewed in (False, True):
            bearer = {"Authorization": f"Bearer {token}", **(headers or {})}
            answer = self._exchange(method, path, body, bearer, repeats=TRIES)
            if answer.status < _OTHERS:
                return answer
            if answer.status != _UNAUTHORIZED or renewed:
                break
            token = self.token(stale=token)
        raise _told(answer)

    def _exchange(self, method: str, path: str, body: Any, headers: Mapping[str, str], *, repeats: int = 1) -> _Answer:
        """One request and its answer. `repeats` is how often one may be sent whose answer is lost on the way."""
        content = None if body is None else json.dumps(body).encode()
        named = {"Accept": "application/json", **headers}
        if content is not None:
            named["Content-Type"] = "application/json"
        for left in reversed(range(repeats)):
            try:
                return self._send(method, path, content, named)
            except ConnectionRefusedError:
                break  # nobody is there, which is said below
            except (OSError, HTTPException) as error:
                if not left:
                    raise NoServerError(f"{self.url} does not answer: {str(error) or type(error).__name__}") from None
                time.sleep(0.5)
        raise NoServerError(
            f"no server answers at {self.url}: start it with `make run` or `truetape up`, or name another in TRUETAPE_URL"
        )

    def _send(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> _Answer:
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, parts.path + path, content, dict(headers))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return _Answer(answer.status, json.loads(text) if text else None)
        except ValueError:
            raise NoServerError(
                f"{self.url} answers {answer.status}, but not as Truetape does; which server is it? See TRUETAPE_URL"
            ) from None


def server_url() -> str:
    """Where the server is: `TRUETAPE_URL`, else where one of these settings listens; raises InputError."""
    given = os.environ.get("TRUETAPE_URL", "").strip().rstrip("/")
    if not given:
        return _listening()
    try:
        parts = urlsplit(given)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.username is not None or parts.query or parts.fragment:
        raise InputError("TRUETAPE_URL must be http:// or https:// and a host, such as http://127.0.0.1:8000")
    return given


def in_the_clear(url: str) -> bool:
    """Whether what is sent there, passwords too, can be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in _HERE


def _listening() -> str:
    from infrastructure.settings import load_settings

    settings = load_settings()
    host = _ANYWHERE.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _path(parts: tuple[str | int, ...], query: Mapping[str, Query] | None = None) -> str:
    asked = {name: value for name, value in (query or {}).items() if value is not None}
    path = "/".join([PREFIX, *(quote(str(part), safe="") for part in parts)])
    return f"{path}?{urlencode(asked)}" if asked else path


def _told(answer: _Answer) -> TruetapeError:
    """The problem document of an answer as an error."""
    content = answer.content
    if not isinstance(content, dict) or "code" not in content or "detail" not in content:
        return NoServerError(f"the server answered {answer.status}, and not why; which server is it? See TRUETAPE_URL")
    return RefusedError(content) if answer.status == _CONFLICT else AnsweredError(content)
