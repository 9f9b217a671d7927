"""Who may use the API: users with their roles, and sessions kept up by refresh tokens that are good once."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from eventsourcing.persistence import PersistenceError
from msgspec import Struct
from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import SecretStr

from domain.errors import ConflictError, MissingError, StoreError
from domain.values import Time
from infrastructure.event_store.database import Database

Role = Literal["viewer", "auditor", "trader", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

REFRESH_US = 7 * 86_400_000_000
REUSE_US = 10_000_000
"""How long after its use a refresh token may come again: two windows of one browser, or an answer that was lost."""
REFUSALS_NOTED = 10
"""Refused logins of a user in a row that are noted one by one; from there on, only when their number has doubled."""
FIRST_ADMIN = "admin"
_LOCK = 0x7472_7565_0005
"""The advisory lock of whoever changes users: so the last administrator stays."""

# OWASP's least cost for argon2id.
_HASHER = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))
_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))
"""What an unknown name's password is compared with, so that it takes as long."""


class User(Struct, frozen=True):
    """Somebody who may log in, unless disabled."""

    name: str
    role: Role
    disabled: bool
    created_at: Time


class Session(Struct, frozen=True):
    """A login that still counts, and the refresh token to go on with."""

    id: str
    user: User
    refresh_token: SecretStr


class AccessEntry(Struct, frozen=True):
    """Something done about access."""

    id: int
    at: Time
    actor: str
    action: str
    subject: str
    address: str


class Access:
    """The users and sessions of one database."""

    def __init__(self, database: Database, clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._database = database
        self._clock = clock

    def make_first_admin(self) -> tuple[str, SecretStr] | None:
        """Where there is no user yet, make an administrator; the name and the password, which is nowhere else."""
        password = SecretStr(secrets.token_urlsafe(15))
        with self._cursor() as cursor:
            _lock(cursor)
            if cursor.execute("SELECT 1 FROM users LIMIT 1").fetchone():
                return None
            self._insert(cursor, FIRST_ADMIN, "admin", password)
            self._note(cursor, "system", "user.created", FIRST_ADMIN)
        return FIRST_ADMIN, password

    def users(self) -> list[User]:
        with self._cursor() as cursor:
            return [User(*row) for row in cursor.execute(f"{_USERS} ORDER BY name")]

    def create_user(self, actor: str, name: str, role: Role, password: SecretStr, address: str = "") -> User:
        """Raises ConflictError where the name is taken."""
        with self._cursor() as cursor:
            _lock(cursor)
            if cursor.execute("SELECT 1 FROM users WHERE name = %s", [name]).fetchone():
                raise ConflictError(f"there is a user {name} already")
            self._insert(cursor, name, role, password)
            self._note(cursor, actor, f"user.created:{role}", name, address)
            return _user(cursor, name)

    def change_user(
        self,
        actor: str,
        name: str,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
        password: SecretStr | None = None,
        address: str = "",
    ) -> User:
        """Change what is given, and end the user's sessions; raises MissingError, or ConflictError for the last admin."""
        with self._cursor() as cursor:
            _lock(cursor)
            before = _user(cursor, name)
            after = User(
                name, before.role if role is None else role, before.disabled if disabled is None else disabled,
                before.created_at,
            )  # fmt: skip
            if _rules(before) and not _rules(after) and sum(map(_rules, _all(cursor))) == 1:
                raise ConflictError(f"{name} is the last administrator who can log in")
            cursor.execute(
                "UPDATE users SET role = %s, disabled = %s WHERE name = %s", [after.role, after.disabled, name]
            )
            if password is not None:
                _set_password(cursor, name, password)
            if after != before or password is not None:
                cursor.execute(_END_SESSIONS, [self._clock(), name])
                what = ("password " if password is not None else "") + f"{after.role}{' disabled' * after.disabled}"
                self._note(cursor, actor, f"user.changed:{what}", name, address)
            return after

    def login(self, name: str, password: SecretStr, address: str = "") -> Session | None:
        """Open a session; None for a wrong name or password, after the same time, and for a disabled user."""
        with self._cursor() as cursor:
            found = cursor.execute("SELECT password_hash FROM users WHERE name = %s", [name]).fetchone()
        # Outside the transaction: it takes a while, on purpose.
        right, renewed = _HASHER.verify_and_update(password.get_secret_value(), found[0] if found else _NOBODY)
        with self._cursor() as cursor:
            if not found:
                return None
            user = _user(cursor, name)
            if not right or user.disabled:
                self._note_refusal(cursor, name, address)
                return None
            if renewed is not None:
                cursor.execute("UPDATE users SET password_hash = %s WHERE name = %s", [renewed, name])
            cursor.execute("UPDATE users SET refused = 0 WHERE name = %s AND refused > 0", [name])
            self._forget_what_is_over(cursor)
            session = secrets.token_hex(16)
            cursor.execute(
                'INSERT INTO sessions (session, "user", created_at) VALUES (%s, %s, %s)', [session, name, self._clock()]
            )
            self._note(cursor, f"user:{name}", "login", name, address)
            return Session(session, user, self._next_token(cursor, session))

    def refresh(self, token: SecretStr, address: str = "") -> Session | None:
        """Exchange a refresh token for the next one. One that was used before ends its whole session, and gives None."""
        now = self._clock()
        with self._cursor() as cursor:
            self._forget_what_is_over(cursor)
            row = cursor.execute(_REFRESH, [digest(token)]).fetchone()
            if row is None:
                return None
            session, expires_at, used_at, ended_at, name, disabled = row
            if ended_at is not None or disabled or expires_at <= now:
                return None
            if used_at is not None and now - used_at > REUSE_US:
                cursor.execute("UPDATE sessions SET ended_at = %s WHERE session = %s", [now, session])
                self._note(cursor, f"user:{name}", "refresh.reused", name, address)
                return None
            cursor.execute(
                "UPDATE refresh_tokens SET used_at = coalesce(used_at, %s) WHERE token_hash = %s", [now, digest(token)]
            )
            return Session(session, _user(cursor, name), self._next_token(cursor, session))

    def logout(self, session: str, address: str = "") -> None:
        """End a session: its access and refresh tokens count no more."""
        with self._cursor() as cursor:
            ended = cursor.execute(
                'UPDATE sessions SET ended_at = %s WHERE session = %s AND ended_at IS NULL RETURNING "user"',
                [self._clock(), session],
            ).fetchone()
            if ended:
                self._note(cursor, f"user:{ended[0]}", "logout", ended[0], address)

    def user_of(self, session: str, name: str) -> User | None:
        """The user of a session that still counts."""
        with self._cursor() as cursor:
            row = cursor.execute(_OF_SESSION, [session, name]).fetchone()
            return None if row is None else User(*row)

    def note(self, actor: str, action: str, subject: str, address: str = "") -> None:
        """Say in the access log what was done."""
        with self._cursor() as cursor:
            self._note(cursor, actor, action, subject, address)

    def log(self, before: int | None, limit: int) -> list[AccessEntry]:
        """The access log from its end, or from before an entry, newest first."""
        statement = (
            "SELECT id, at, actor, action, subject, address FROM access_log"
            " WHERE %s::bigint IS NULL OR id < %s ORDER BY id DESC LIMIT %s"
        )
        with self._cursor() as cursor:
            return [AccessEntry(*row) for row in cursor.execute(statement, [before, before, limit])]

    def _insert(self, cursor: Cursor[TupleRow], name: str, role: Role, password: SecretStr) -> None:
        cursor.execute(
            "INSERT INTO users (name, role, password_hash, created_at) VALUES (%s, %s, %s, %s)",
            [name, role, _HASHER.hash(password.get_secret_value()), self._clock()],
        )

    def _next_token(self, cursor: Cursor[TupleRow], session: str) -> SecretStr:
        token = SecretStr(f"ttr_{secrets.token_urlsafe(32)}")
        cursor.execute(
            "INSERT INTO refresh_tokens (token_hash, session, expires_at) VALUES (%s, %s, %s)",
            [digest(token), session, self._clock() + REFRESH_US],
        )
        return token

    def _forget_what_is_over(self, cursor: Cursor[TupleRow]) -> None:
        """At every login and refresh, so that neither tokens nor sessions pile up where there is only one of the two."""
        if cursor.execute("DELETE FROM refresh_tokens WHERE expires_at < %s", [self._clock()]).rowcount:
            cursor.execute(_FORGET_SESSIONS)

    def _note_refusal(self, cursor: Cursor[TupleRow], name: str, address: str) -> None:
        """Note the first few since the last login, then every doubling: who guesses for ever adds a few rows."""
        row = cursor.execute(
            "UPDATE users SET refused = refused + 1 WHERE name = %s RETURNING refused", [name]
        ).fetchone()
        refused = 0 if row is None else int(row[0])
        if refused <= REFUSALS_NOTED:
            self._note(cursor, f"user:{name}", "login.refused", name, address)
        elif refused & (refused - 1) == 0:
            self._note(cursor, f"user:{name}", f"login.refused:{refused}", name, address)

    def _note(self, cursor: Cursor[TupleRow], actor: str, action: str, subject: str, address: str = "") -> None:
        cursor.execute(
            "INSERT INTO access_log (at, actor, action, subject, address) VALUES (%s, %s, %s, %s, %s)",
            [self._clock(), actor, action, subject, address],
        )

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[TupleRow]]:
        with transaction(self._database, "users and sessions") as cursor:
            yield cursor


_USERS = "SELECT name, role, disabled, created_at FROM users"
_END_SESSIONS = 'UPDATE sessions SET ended_at = %s WHERE "user" = %s AND ended_at IS NULL'
_FORGET_SESSIONS = """
DELETE FROM sessions WHERE NOT EXISTS (SELECT FROM refresh_tokens WHERE refresh_tokens.session = sessions.session)
"""
"""Sessions that nothing can go on with: an access token is over long before its refresh token."""
_REFRESH = """
SELECT session, expires_at, used_at, ended_at, name, disabled
FROM refresh_tokens JOIN sessions USING (session) JOIN users ON name = "user"
WHERE token_hash = %s FOR UPDATE OF refresh_tokens, sessions
"""
_OF_SESSION = """
SELECT name, role, disabled, users.created_at FROM sessions JOIN users ON name = "user"
WHERE session = %s AND name = %s AND ended_at IS NULL AND NOT disabled
"""


def digest(token: SecretStr) -> bytes:
    """What is kept of a random token: it needs no salt."""
    return hashlib.sha256(token.get_secret_value().encode()).digest()


@contextmanager
def transaction(database: Database, what: str) -> Iterator[Cursor[TupleRow]]:
    """A cursor in a transaction; raises StoreError naming `what` could not be read or written."""
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.transaction(),
            connection.cursor(row_factory=tuple_row) as cursor,
        ):
            yield cursor
    except PersistenceError as error:
        raise StoreError(f"{what} cannot be read or written: {type(error).__name__}") from error


def _lock(cursor: Cursor[TupleRow]) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _all(cursor: Cursor[TupleRow]) -> list[User]:
    return [User(*row) for row in cursor.execute(_USERS)]


def _user(cursor: Cursor[TupleRow], name: str) -> User:
    row = cursor.execute(f"{_USERS} WHERE name = %s", [name]).fetchone()
    if row is None:
        raise MissingError(f"there is no user {name}")
    return User(*row)


def _rules(user: User) -> bool:
    return user.role == "admin" and not user.disabled


def _set_password(cursor: Cursor[TupleRow], name: str, password: SecretStr) -> None:
    hashed = _HASHER.hash(password.get_secret_value())
    cursor.execute("UPDATE users SET password_hash = %s WHERE name = %s", [hashed, name])
