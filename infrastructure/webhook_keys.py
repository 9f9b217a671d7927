"""Webhooks: who may deliver alerts for which bot, and what is known of those who may not."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from psycopg import Cursor
from psycopg.rows import TupleRow
from pydantic import SecretBytes, SecretStr

from domain.errors import ConflictError, MissingError
from domain.values import Time
from infrastructure.access import digest, transaction
from infrastructure.event_store.database import Database
from infrastructure.master_key import MasterKey

UNAUTHORIZED_KEPT = 1000
_LOCK = 0x7472_7565_0006
"""The advisory lock of whoever adds unauthorized deliveries: so their table stays bounded."""


class WebhookKey(Struct, frozen=True):
    """One generation of a webhook's credentials; `ends_at` is when it stops to count, None while it is the newest.

    The secret is derived from the master key, so that signatures can be checked and it is kept nowhere.
    """

    webhook: str
    run: int
    bot: str
    generation: int
    ends_at: Time | None
    secret: SecretStr
    seal: SecretBytes

    @property
    def id(self) -> str:
        """How the log names the key that a delivery came under."""
        return f"{self.webhook}.{self.generation}"

    def sign(self, body: bytes) -> str:
        """What stands in the log for the delivery as it came: nobody can make it without the server's key."""
        return hmac.new(self.seal.get_secret_value(), body, hashlib.sha256).hexdigest()


class NewKey(Struct, frozen=True):
    """Credentials as they are shown, once."""

    key: WebhookKey
    token: SecretStr


class UnauthorizedDelivery(Struct, frozen=True):
    """A delivery that nobody may make: where from, why not, and the shape of its beginning."""

    id: int
    at: Time
    address: str
    webhook: str | None
    reason: str
    length: int
    prefix: str


class Webhooks:
    """The webhooks of one database."""

    def __init__(
        self, database: Database, key: MasterKey, clock: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._database = database
        self._key = key
        self._clock = clock

    def live(self, run: int, bot: str) -> str | None:
        """The id of a bot's webhook."""
        with self._cursor() as cursor:
            return _live(cursor, run, bot)

    def create(self, run: int, bot: str, webhook: str) -> NewKey:
        """Give a bot its webhook; raises ConflictError where it has one."""
        with self._cursor() as cursor:
            inserted = cursor.execute(
                "INSERT INTO webhooks (webhook, run, bot, created_at) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING webhook",
                [webhook, run, bot, self._clock()],
            ).fetchone()
            if inserted is None:
                raise ConflictError(f"bot {bot} has a webhook already; rotate it to get a new token")
            return self._add(cursor, webhook, run, bot, 1)

    def rotate(self, run: int, bot: str, grace_seconds: int) -> NewKey:
        """New credentials; the old ones count for `grace_seconds` more. Raises MissingError."""
        with self._cursor() as cursor:
            webhook = _live(cursor, run, bot, lock=True)
            if webhook is None:
                raise MissingError(f"bot {bot} has no webhook")
            ends_at = self._clock() + grace_seconds * 1_000_000
            cursor.execute(
                "UPDATE webhook_tokens SET ends_at = least(ends_at, %s) WHERE webhook = %s", [ends_at, webhook]
            )
            found = cursor.execute(
                "SELECT max(generation) FROM webhook_tokens WHERE webhook = %s", [webhook]
            ).fetchone()
            assert found is not None
            return self._add(cursor, webhook, run, bot, found[0] + 1)

    def end(self, run: int, bot: str) -> None:
        """A bot's webhook counts no more."""
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE webhooks SET ended_at = %s WHERE run = %s AND bot = %s AND ended_at IS NULL",
                [self._clock(), run, bot],
            )

    def key_of(self, token: SecretStr) -> WebhookKey | None:
        """The key that a token belongs to, if it counts."""
        statement = """
            SELECT webhook, run, bot, generation, ends_at FROM webhook_tokens JOIN webhooks USING (webhook)
            WHERE token_hash = %s AND ended_at IS NULL AND (ends_at IS NULL OR ends_at > %s)
        """
        with self._cursor() as cursor:
            row = cursor.execute(statement, [digest(token), self._clock()]).fetchone()
            return None if row is None else self._read(*row)

    def note_unauthorized(self, address: str, webhook: str | None, reason: str, length: int, prefix: str) -> None:
        """Keep a delivery that nobody may make; the oldest goes for it."""
        with self._cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            cursor.execute(
                "INSERT INTO unauthorized_deliveries (at, address, webhook, reason, length, prefix)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [self._clock(), address, webhook, reason, length, prefix],
            )
            cursor.execute(
                "DELETE FROM unauthorized_deliveries WHERE id <= (SELECT id FROM unauthorized_deliveries"
                " ORDER BY id DESC OFFSET %s LIMIT 1)",
                [UNAUTHORIZED_KEPT],
            )

    def unauthorized(self, before: int | None, limit: int) -> list[UnauthorizedDelivery]:
        """Those kept, newest first, from before one of them on."""
        statement = (
            "SELECT id, at, address, webhook, reason, length, prefix FROM unauthorized_deliveries"
            " WHERE %s::bigint IS NULL OR id < %s ORDER BY id DESC LIMIT %s"
        )
        with self._cursor() as cursor:
            return [UnauthorizedDelivery(*row) for row in cursor.execute(statement, [before, before, limit])]

    def _add(self, cursor: Cursor[TupleRow], webhook: str, run: int, bot: str, generation: int) -> NewKey:
        token = SecretStr(f"ttw_{secrets.token_urlsafe(32)}")
        cursor.execute(
            "INSERT INTO webhook_tokens (webhook, generation, token_hash, created_at) VALUES (%s, %s, %s, %s)",
            [webhook, generation, digest(token), self._clock()],
        )
        return NewKey(self._read(webhook, run, bot, generation, None), token)

    def _read(self, webhook: str, run: int, bot: str, generation: int, ends_at: int | None) -> WebhookKey:
        derived = self._key.derive("webhook-secret", webhook, str(generation))
        secret = SecretStr(f"tts_{base64.urlsafe_b64encode(derived).rstrip(b'=').decode()}")
        seal = SecretBytes(self._key.derive("webhook-seal"))
        return WebhookKey(webhook, run, bot, generation, None if ends_at is None else Time(ends_at), secret, seal)

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[TupleRow]]:
        with transaction(self._database, "webhooks") as cursor:
            yield cursor


def new_webhook_id() -> str:
    """A name that says nothing of the bot: it is the source's name on the log."""
    return f"wh_{secrets.token_hex(8)}"


def _live(cursor: Cursor[TupleRow], run: int, bot: str, *, lock: bool = False) -> str | None:
    statement = "SELECT webhook FROM webhooks WHERE run = %s AND bot = %s AND ended_at IS NULL"
    row = cursor.execute(statement + (" FOR UPDATE" if lock else ""), [run, bot]).fetchone()
    return None if row is None else str(row[0])
