"""A record's leaf index is its place among all records, whichever runs lie between."""

import random

import psycopg
import pytest

from domain.errors import StoreError
from infrastructure.event_store.database import Database
from infrastructure.event_store.leaf_order import leaves_of
from infrastructure.event_store.ledger import PostgresLedger
from tests.infrastructure.event_store.rows import begin, record

ORDER = "SELECT position FROM records ORDER BY position"


def interleaved(database: Database, seed: int, count: int) -> list[PostgresLedger]:
    """Three runs that take turns, with records of one to three events."""
    chance = random.Random(seed)
    ledgers = [begin(database, 1) for _ in range(3)]
    versions = [1, 1, 1]
    for _ in range(count):
        turn = chance.choice([0, 0, 1, 2])
        batch = []
        for _ in range(chance.randint(1, 4)):
            batch.append(record(1, versions[turn], chance.randint(1, 3)))
            versions[turn] += len(batch[-1].events)
        ledgers[turn].append(batch)
        ledgers[turn].flush()
    return ledgers


@pytest.mark.parametrize("batch", [1, 7, 2000])
def test_leaf_index_is_the_place_in_the_whole_log(
    database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.event_store.leaf_order.BATCH", batch)
    ledgers = interleaved(database, batch, 40)
    with psycopg.connect(database.url) as connection:
        order = [position for (position,) in connection.execute(ORDER)]
    found = {}
    for ledger in ledgers:
        for index, kept in leaves_of(database, ledger.run):
            assert kept.run == ledger.run
            found[index] = kept.position
    assert [found[index] for index in range(len(order))] == order


def test_it_ends_where_it_is_told_to(database: Database) -> None:
    ledger = interleaved(database, 1, 30)[0]
    whole = list(leaves_of(database, ledger.run))
    for index, kept in whole:
        assert [each for each, _ in leaves_of(database, ledger.run, kept.position)] == [
            each for each, _ in whole if each <= index
        ]
        assert list(leaves_of(database, ledger.run, kept.position - 1)) == [each for each in whole if each[0] < index]


def test_a_record_that_was_altered_is_named(database: Database, superuser_url: str) -> None:
    ledger = interleaved(database, 2, 10)[0]
    victim = [kept.position for _, kept in leaves_of(database, ledger.run)][3]
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        connection.execute("UPDATE records SET state = state || 'x' WHERE position = %s", [victim])
    with pytest.raises(StoreError, match=f"position {victim} of run {ledger.run}"):
        list(leaves_of(database, ledger.run))
