"""The gate: many puts are few transactions, one's trouble is nobody else's, and outcomes are heard of."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from domain.bot.commands import StartBot
from domain.errors import InputError
from infrastructure.event_store.database import Database
from infrastructure.inbox import Entry, Inbox, Outcome, write_outcomes
from infrastructure.inbox_gate import InboxGate


def entry(bot: str, key: str | None = None) -> Entry:
    return Entry("user:ada", StartBot(bot), key)


def through(database: Database, test: Callable[[InboxGate], Awaitable[None]]) -> None:
    async def run() -> None:
        async with InboxGate(database.url) as gate:
            await test(gate)

    asyncio.run(run())


def take(database: Database, *outcomes: Outcome) -> None:
    with database.datastore.transaction(commit=True) as cursor:
        write_outcomes(cursor.connection, outcomes)


def test_many_puts_are_few_transactions_and_keep_their_entries_together(database: Database) -> None:
    async def test(gate: InboxGate) -> None:
        asked = [[entry(f"{number}.{part}") for part in range(number % 3 + 1)] for number in range(300)]
        given = await asyncio.gather(*(gate.put(entries) for entries in asked))
        rows: dict[int, Any] = {row.id: row for row in Inbox(database).rows(0, 1000)}
        assert sorted(rows) == list(range(1, len(rows) + 1))
        for entries, ids in zip(asked, given, strict=True):
            assert ids == list(range(ids[0], ids[0] + len(entries)))
            assert [rows[number].content() for number in ids] == [each.content for each in entries]
        assert len({row.received_at for row in rows.values()}) < 10, "each transaction has one time"

    through(database, test)


def test_the_same_key_is_the_same_row(database: Database) -> None:
    async def test(gate: InboxGate) -> None:
        given = await asyncio.gather(*(gate.put([entry("dca", "key")]) for _ in range(20)))
        assert {tuple(ids) for ids in given} == {(1,)}

    through(database, test)


@pytest.mark.parametrize("poison", ["\ud800", "\0"])
def test_what_cannot_be_stored_harms_nobody_else(database: Database, poison: str) -> None:
    async def test(gate: InboxGate) -> None:
        bad = Entry("user:ada", StartBot("bad" if poison == "\0" else poison), poison if poison == "\0" else None)
        puts = [gate.put([entry("good")]), gate.put([bad]), gate.put([entry("fine")])]
        first, refused, second = await asyncio.gather(*puts, return_exceptions=True)
        assert isinstance(refused, InputError)
        assert (first, second) == ([1], [2])

    through(database, test)


def test_an_outcome_is_heard_of_at_once(database: Database) -> None:
    async def test(gate: InboxGate) -> None:
        ids = await gate.put([entry("a"), entry("b")])
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(gate.wait(ids, 30))
        await asyncio.sleep(0.3)
        start = loop.time()
        await asyncio.to_thread(take, database, Outcome(1, None, None), Outcome(2, None, None, "no"))
        outcomes = await waiting
        assert loop.time() - start < 0.9, "not by polling"
        assert outcomes == {1: Outcome(1, None, None), 2: Outcome(2, None, None, "no")}

    through(database, test)


def test_an_outcome_of_before_is_there(database: Database) -> None:
    async def test(gate: InboxGate) -> None:
        ids = await gate.put([entry("a")])
        await asyncio.to_thread(take, database, Outcome(1, None, None))
        assert list(await gate.wait(ids, 30)) == [1]

    through(database, test)


def test_waiting_ends(database: Database) -> None:
    async def test(gate: InboxGate) -> None:
        ids = await gate.put([entry("a"), entry("b")])
        await asyncio.to_thread(take, database, Outcome(1, None, None))
        assert list(await gate.wait(ids, 0.2)) == [1]
        assert await gate.wait([], 5) == {}

    through(database, test)


def test_the_gate_listens_again_after_a_lost_connection(database: Database, superuser_url: str) -> None:
    async def test(gate: InboxGate) -> None:
        ids = await gate.put([entry("a")])
        await asyncio.sleep(0.3)
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query = 'LISTEN outcomes' AND datname = current_database()"
            )
        await asyncio.to_thread(take, database, Outcome(1, None, None))
        assert list(await gate.wait(ids, 10)) == [1]
        more = await gate.put([entry("b")])
        waiting = asyncio.create_task(gate.wait(more, 10))
        await asyncio.sleep(1.5)
        await asyncio.to_thread(take, database, Outcome(2, None, None))
        assert list(await waiting) == [2]

    through(database, test)
