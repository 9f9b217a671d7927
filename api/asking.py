"""How a command goes: prepared from how things stand, put in the inbox, answered with what it caused or why not."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Header, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from api.problems import ProblemError
from api.security import Principal, Trader
from api.shapes import BIGINT_MAX, Answer
from api.standing import Standing, paper_run
from domain.account.events import OrderDenied, RiskCommandRefused
from domain.bot.events import CommandRefused
from domain.execution_pool.events import PoolCommandRefused
from domain.message import Event, Record
from domain.portfolio_risk.events import OffsetCommandRefused
from domain.strategy.events import StrategyRefused
from infrastructure.access import transaction
from infrastructure.event_log import LogReader
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.inbox import Content, Entry, Outcome
from infrastructure.inbox_gate import InboxGate

WAIT_SECONDS = 10.0
EVENTS_MAX = 1000
"""Events that an answer shows at most; the log has them all."""
_REFUSALS = (
    CommandRefused, OffsetCommandRefused, OrderDenied, PoolCommandRefused, RiskCommandRefused, StrategyRefused
)  # fmt: skip
_RECORDS = """
SELECT position, state FROM records WHERE run = %s AND position BETWEEN %s AND %s ORDER BY position LIMIT %s
"""
_KNOWN = "SELECT id FROM inbox WHERE actor = %s AND idempotency_key = ANY(%s) ORDER BY id"

Prepare = Callable[[Standing], Sequence[Content]]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_.:-]{1,128}$",
        description="The same request under the same key is carried out once, and answered the same.",
    ),
]


class Done(Answer):
    """What a command caused: its events, and the position of the last one; None where nothing had to change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "row": 7,
                    "position": 12,
                    "events": [
                        {
                            "position": 12, "stream": "bot/dca", "version": 2, "at": "2026-01-01T00:00:00Z",
                            "actor": "user:admin", "cause": None, "event": "bot.started.v1", "data": {"bot": "dca"},
                        }
                    ],
                    "more": False,
                }
            ]
        }
    )  # fmt: skip

    row: int = Field(description="The inbox row of the request's last command.")
    position: int | None
    events: list[dict[str, Any]]
    more: bool = Field(default=False, description="Whether the log has more events of this request than are shown.")


class Pending(Answer):
    """Accepted for good, and not yet carried out."""

    row: int
    status: str = "pending"


ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": Pending, "description": "Accepted; its outcome takes longer"}
}


class Asking:
    """One request's way to the inbox and back, as its user, under its idempotency key."""

    def __init__(self, request: Request, user: Trader, idempotency_key: IdempotencyKey = None) -> None:
        self.user: Principal = user
        self.database: Database = request.app.state.database
        self._gate: InboxGate = request.app.state.gate
        self._key = idempotency_key
        self._request = request

    async def carry_out(
        self,
        prepare: Prepare,
        *,
        status: int = 200,
        silent: tuple[str, str] | None = None,
        refusals: bool = True,
        extra: dict[str, Any] | None = None,
    ) -> JSONResponse:
        """Put what `prepare` makes, wait for it, and answer.

        `silent` is the code and detail of the 409 where nothing happened; without it nothing is an answer too. With
        `refusals` a decision that refuses the command is a 409.
        """
        ids = await self.put(prepare)
        outcomes = await self._gate.wait(ids, WAIT_SECONDS)
        if len(outcomes) < len(ids):
            return JSONResponse({"row": ids[-1] if ids else 0, "status": "pending"}, 202)
        failed = next((outcomes[number] for number in ids if outcomes[number].error is not None), None)
        if failed is not None:
            raise _not_taken(failed)
        return await to_thread.run_sync(
            self._answer, [outcomes[number] for number in ids], status, silent, refusals, extra
        )

    async def put(self, prepare: Prepare) -> list[int]:
        """Put what `prepare` makes, and give the rows' ids; those of old, if the same was asked before."""
        ids = await self.repeated()
        if ids:
            return ids
        contents = await to_thread.run_sync(lambda: prepare(Standing(self.database)))
        if self._key is not None:
            await to_thread.run_sync(self._remember, await self._fingerprint())
        keys = [None] * len(contents) if self._key is None else _keys(self._key, len(contents))
        entries = [
            Entry(self.user.actor, content, key) for content, key in zip(contents, keys, strict=True)
        ]  # fmt: skip
        return await self._gate.put(entries) if entries else []

    async def repeated(self) -> list[int]:
        """The rows of the same request, made before under the same key; raises ProblemError 422 for another request."""
        if self._key is None:
            return []
        return await to_thread.run_sync(self._find_repeated, await self._fingerprint())

    async def once(self, check: Callable[[Standing], object], again: ProblemError) -> int:
        """For what is no command on the log: check how things stand and return the run; raises `again` for a repeat."""

        def begin() -> int:
            now = Standing(self.database)
            check(now)
            if fingerprint is not None and not self._remember(fingerprint):
                raise again
            return now.run

        fingerprint = None if self._key is None else await self._fingerprint()
        return await to_thread.run_sync(begin)

    async def _fingerprint(self) -> bytes:
        """What makes a request the same: method, path and body."""
        url = self._request.url
        parts = (self._request.method, url.path, url.query, await self._request.body())
        digest = hashlib.sha256()
        for part in parts:
            encoded = part if isinstance(part, bytes) else part.encode(errors="surrogatepass")
            digest.update(len(encoded).to_bytes(8) + encoded)
        return digest.digest()

    def _find_repeated(self, fingerprint: bytes) -> list[int]:
        assert self._key is not None
        with transaction(self.database, "idempotency keys") as cursor:
            known = cursor.execute(
                "SELECT fingerprint FROM idempotency_keys WHERE actor = %s AND key = %s", [self.user.actor, self._key]
            ).fetchone()
            if known is None:
                return []
            if bytes(known[0]) != fingerprint:
                raise _reused()
            first = cursor.execute(_KNOWN, [self.user.actor, [self._key]]).fetchone()
            if first is None:
                return []
            found = cursor.execute(_KNOWN, [self.user.actor, _keys(self._key, EVENTS_MAX)]).fetchall()
            return [row[0] for row in found]

    def _remember(self, fingerprint: bytes) -> bool:
        """Bind the key to this request, before anything is put under it; False where it was. Raises for another one's."""
        with transaction(self.database, "idempotency keys") as cursor:
            fresh = cursor.execute(
                "INSERT INTO idempotency_keys (actor, key, fingerprint) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING key",
                [self.user.actor, self._key, fingerprint],
            ).fetchone()
            found = cursor.execute(
                "SELECT fingerprint FROM idempotency_keys WHERE actor = %s AND key = %s", [self.user.actor, self._key]
            ).fetchone()
            if found is None or bytes(found[0]) != fingerprint:
                raise _reused()
            return fresh is not None

    def _answer(
        self,
        outcomes: Sequence[Outcome],
        status: int,
        silent: tuple[str, str] | None,
        refusals: bool,
        extra: dict[str, Any] | None,
    ) -> JSONResponse:
        events: list[dict[str, Any]] = []
        position = None
        more = False
        run = paper_run(self.database)
        reader = LogReader(self.database, run)
        for outcome in outcomes:
            if outcome.first_position is None or outcome.last_position is None:
                continue
            position = outcome.last_position
            if len(events) >= EVENTS_MAX:
                more = True
                continue
            records = _records(self.database, run, outcome.first_position, outcome.last_position)
            lines = [line for place, record in records for line in reader.lines(place, record)]
            if refusals and records:
                _raise_refusal(records[0][1], lines, outcome)
            events += lines
        if position is None and silent is not None:
            raise ProblemError(409, *silent)
        more = more or len(events) > EVENTS_MAX
        row = outcomes[-1].id if outcomes else 0
        done = {"row": row, "position": position, "events": events[:EVENTS_MAX], "more": more, **(extra or {})}
        return JSONResponse(done, status)


def _keys(key: str, count: int) -> list[str]:
    """The idempotency keys of a request's entries; no request's own key has a slash."""
    return [key, *(f"{key}/{number}" for number in range(1, count))]


def _reused() -> ProblemError:
    return ProblemError(422, "IDEMPOTENCY_KEY_REUSED", "another request was made under this Idempotency-Key")


def _not_taken(outcome: Outcome) -> ProblemError:
    """The shard could not take the row; what it says may begin with a code of its own."""
    code, colon, reason = (outcome.error or "").partition(": ")
    if colon and code.replace("_", "").isalnum() and code.isupper():
        return ProblemError(409, code, reason, extra={"row": outcome.id})
    return ProblemError(409, "NOT_TAKEN", outcome.error or "", extra={"row": outcome.id})


def _raise_refusal(record: Record[Event], lines: list[dict[str, Any]], outcome: Outcome) -> None:
    """The command's own decision is its first record; what policies made of it later is no refusal."""
    refused = next((event for event in record.events if isinstance(event, _REFUSALS)), None)
    if refused is not None:
        extra = {"row": outcome.id, "position": outcome.last_position, "events": lines}
        raise ProblemError(409, refused.code, refused.reason, extra=extra)


def _records(database: Database, run: int, first: int, last: int) -> list[tuple[int, Record[Event]]]:
    with transaction(database, "the log") as cursor:
        rows = cursor.execute(_RECORDS, [run, first, min(last, BIGINT_MAX), EVENTS_MAX]).fetchall()
    return [(position, codec.decode(bytes(state), run, position)) for position, state in rows]
