"""The sequencer: one order for all who append, nobody who was superseded, and each caller's own answer."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from domain.errors import ConflictError, FencedError, StoreError
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store import sequencer as sequencer_module
from infrastructure.event_store.append_statement import LOCK
from infrastructure.event_store.batch import Batch
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.leases import take_lease
from infrastructure.event_store.mapper import RecordMapper, StoredRecord
from infrastructure.event_store.runs import records_of
from tests.infrastructure.event_store.rows import begin, record


def stored(run: int, *records: Record[Event]) -> list[StoredRecord]:
    mapper = RecordMapper(run)
    return [mapper.to_stored_event(each) for each in records]


def batch(run: int, *records: Record[Event]) -> Batch:
    return RecordMapper(run).to_batch(records)


def versions(database: Database, run: int) -> list[tuple[int, int]]:
    found = [each.decode() for each in records_of(database, run)]
    return [(each.stream, each.version) for each in found if each.stream]


@pytest.fixture
def run(database: Database) -> int:
    return begin(database).run


class Held:
    """Holds the lock that every append takes, so that what is submitted meanwhile goes out together."""

    def __init__(self, database: Database) -> None:
        self._connection = psycopg.connect(database.url)

    def __enter__(self) -> None:
        self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])

    def __exit__(self, *_: object) -> None:
        self._connection.rollback()
        self._connection.close()


def test_what_is_queued_goes_out_in_one_commit(database: Database, run: int) -> None:
    submit = database.recorder.sequencer.submit
    with Held(database):
        waiting = [submit(batch(run, record(1, 1)))]
        waiting += [submit(batch(run, record(1, version, 2))) for version in (2, 4, 6)]
        waiting += [submit(batch(run, record(2, 1)))]
    assert [each.result(30) for each in waiting] == [[2], [3], [5], [7], [9]]
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT position, xmin::text FROM records WHERE position > 2").fetchall()
    assert len({transaction for _, transaction in rows}) == 1  # the first went out alone, the rest together


def test_one_that_does_not_follow_is_refused_alone(database: Database, run: int) -> None:
    submit = database.recorder.sequencer.submit
    with Held(database):
        submit(batch(run, record(9, 1)))
        good, again, gap, after = (
            submit(batch(run, each)) for each in (record(1, 1), record(1, 1), record(1, 5), record(1, 2))
        )
    assert good.result(30) == [3]
    assert after.result(30) == [4]
    for refused in (again, gap):
        with pytest.raises(ConflictError, match="does not follow"):
            refused.result(30)


def test_one_whose_own_part_fails_fails_alone(database: Database, run: int) -> None:
    submit = database.recorder.sequencer.submit

    def break_it(connection: psycopg.Connection[Any], _positions: object) -> None:
        connection.execute("SELECT 1 / 0")

    with Held(database):
        submit(batch(run, record(9, 1)))
        good, bad, follower = (
            submit(batch(run, record(1, 1))),
            submit(batch(run, record(2, 1)), also=break_it),
            submit(batch(run, record(1, 2))),
        )
    assert (good.result(30), follower.result(30)) == ([3], [4])
    with pytest.raises(StoreError, match="nothing was appended: division by zero"):
        bad.result(30)
    assert versions(database, run) == [(9, 1), (1, 1), (1, 2)]


def test_one_whose_own_part_is_broken_fails_alone(database: Database, run: int) -> None:
    submit = database.recorder.sequencer.submit

    def break_it(_connection: object, _positions: object) -> None:
        raise ValueError("a bug of ours")

    with Held(database):
        submit(batch(run, record(9, 1)))
        bad, good = submit(batch(run, record(1, 1)), also=break_it), submit(batch(run, record(2, 1)))
    assert good.result(30) == [3]
    with pytest.raises(ValueError, match="a bug of ours"):
        bad.result(30)
    assert versions(database, run) == [(9, 1), (2, 1)]


def test_one_that_only_follows_when_another_fails_is_not_refused(database: Database, run: int) -> None:
    submit = database.recorder.sequencer.submit

    def break_it(connection: psycopg.Connection[Any], _positions: object) -> None:
        connection.execute("SELECT 1 / 0")

    with Held(database):
        submit(batch(run, record(9, 1)))
        bad = submit(batch(run, record(1, 1)), also=break_it)
        good, second = submit(batch(run, record(1, 1, 2))), submit(batch(run, record(1, 2)))
    with pytest.raises(StoreError, match="division by zero"):
        bad.result(30)
    assert good.result(30) == [3]
    with pytest.raises(ConflictError, match="is at version 2"):
        second.result(30)


def test_one_that_is_cancelled_in_time_is_not_written_and_disturbs_nobody(database: Database, run: int) -> None:
    submit = database.recorder.sequencer.submit
    with Held(database):
        first = submit(batch(run, record(9, 1)))
        before, cancelled, after = (submit(batch(run, record(stream, 1))) for stream in (1, 2, 3))
        assert cancelled.cancel()
        while not first.running():
            time.sleep(0.01)
        assert not first.cancel()  # it is on its way
    assert [each.result(30) for each in (first, before, after)] == [[2], [3], [4]]
    assert versions(database, run) == [(9, 1), (1, 1), (3, 1)]


def test_what_waits_for_the_sequencer_cannot_be_asked_of_it(database: Database, run: int) -> None:
    insert = database.recorder.insert_events
    refused: list[BaseException] = []

    def append(_: object) -> None:
        try:
            insert(stored(run, record(2, 1)))
        except AssertionError as error:
            refused.append(error)

    with Held(database):
        done = database.recorder.sequencer.submit(batch(run, record(1, 1)))
        done.add_done_callback(append)
    assert done.result(30) == [2]
    database.recorder.sequencer.close()
    assert [str(each) for each in refused] == ["the sequencer would wait for itself"]


def test_what_is_queued_when_it_closes_is_appended(database: Database, run: int) -> None:
    sequencer = database.recorder.sequencer
    with Held(database):
        waiting = [sequencer.submit(batch(run, record(stream, 1))) for stream in range(1, 6)]
        closing = threading.Thread(target=sequencer.close)
        closing.start()
        closing.join(0.2)
        assert closing.is_alive()
    closing.join(30)
    assert [each.result(0) for each in waiting] == [[position] for position in range(2, 7)]


def test_whoever_waits_for_room_is_told_that_it_closes(
    database: Database, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer_module, "QUEUED_RECORDS", 1)
    sequencer = database.recorder.sequencer
    refused: list[str] = []

    def submit() -> None:
        try:
            sequencer.submit(batch(run, record(3, 1)))
        except StoreError as error:
            refused.append(str(error))

    with Held(database):
        sequencer.submit(batch(run, record(1, 1)))
        queued = sequencer.submit(batch(run, record(2, 1)))  # waits until the first is on its way
        threads = [threading.Thread(target=submit), threading.Thread(target=sequencer.close)]
        for thread in threads:
            thread.start()
        threads[0].join(30)
        assert refused == ["the database is closed; nothing was appended"]
    threads[1].join(30)
    assert queued.result(0) == [3]


def test_what_another_process_has_appended_is_seen(database: Database, run: int) -> None:
    """Both know where the log ends, both are wrong in turn: each looks again, and nothing is lost or refused."""
    with connect(database.url) as other:
        for version in range(1, 21):
            writer = database if version % 2 else other
            writer.recorder.insert_events(stored(run, record(1, version)))
        with pytest.raises(ConflictError, match="is at version 20"):
            database.recorder.insert_events(stored(run, record(1, 20)))
    assert versions(database, run) == [(1, version) for version in range(1, 21)]


def test_a_stream_that_only_seems_new_is_no_new_stream(database: Database, run: int) -> None:
    """Who has not met a stream and writes to it from version 1 is believed at first; the log decides."""
    with connect(database.url) as other:
        other.recorder.insert_events(stored(run, record(1, 1, 3), record(2, 1)))
    submit = database.recorder.sequencer.submit
    with Held(database):
        submit(batch(run, record(9, 1)))
        good, seeming, behind, other_good = (
            submit(batch(run, *each))
            for each in ([record(3, 1)], [record(1, 1), record(1, 2)], [record(1, 4)], [record(4, 1), record(2, 2)])
        )
    assert [each.result(30) for each in (good, behind, other_good)] == [[7], [8], [9, 10]]
    with pytest.raises(ConflictError, match=r"stream 1 .* is at version [34]; a record for version 1 does not follow"):
        seeming.result(30)
    assert sorted(versions(database, run)) == [(1, 1), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1), (9, 1)]


def test_large_appends_of_many_threads_are_all_handed_over(database: Database) -> None:
    """Whoever appends much waits until it is on its way: each of them gets on, whoever else waits."""
    count, rounds, threads = sequencer_module.HANDED_OVER_RECORDS, 12, 4
    runs = [begin(database).run for _ in range(threads)]

    def write(run: int) -> list[int]:
        submit = database.recorder.sequencer.submit
        sizes = [count if turn % 3 else 1 for turn in range(rounds)]
        waiting = [
            submit(batch(run, *(record(1 + count * turn + number, 1) for number in range(size))))
            for turn, size in enumerate(sizes)
        ]
        return [position for each in waiting for position in each.result(60)]

    with ThreadPoolExecutor(threads) as pool:
        positions = [each for done in pool.map(write, runs) for each in done]
    assert sorted(positions) == list(range(threads + 1, threads + 1 + len(positions)))


def test_two_processes_at_once_keep_one_order(database: Database) -> None:
    runs = [begin(database).run for _ in range(2)]
    with connect(database.url) as other, ThreadPoolExecutor(2) as pool:

        def write(database: Database, run: int) -> None:
            for version in range(1, 61):
                database.recorder.insert_events(stored(run, record(1, version)))

        list(pool.map(write, [database, other], runs))
    with psycopg.connect(database.url) as connection:
        positions = [row[0] for row in connection.execute("SELECT position FROM records ORDER BY position")]
    assert positions == list(range(1, 123))
    assert [versions(database, run) for run in runs] == [[(1, version) for version in range(1, 61)]] * 2


def test_who_has_been_superseded_appends_nothing(database: Database, run: int) -> None:
    epoch = take_lease(database, run, "first")
    first = {run: epoch}
    database.recorder.insert_events(stored(run, record(1, 1)), epochs=first)
    with connect(database.url) as other:
        second = {run: take_lease(other, run, "second")}
        for stale in (first, None, {run: 99}):
            with pytest.raises(FencedError, match=f"another writer has taken run {run}"):
                database.recorder.insert_events(stored(run, record(1, 2)), epochs=stale)
        other.recorder.insert_events(stored(run, record(1, 2)), epochs=second)
        with pytest.raises(FencedError):
            database.recorder.insert_events(stored(run, record(1, 3)), epochs=first)
    assert versions(database, run) == [(1, 1), (1, 2)]


def test_a_stale_append_does_not_stop_another_run(database: Database, run: int) -> None:
    other = begin(database).run
    stale = take_lease(database, run, "first")
    take_lease(database, run, "second")
    submit = database.recorder.sequencer.submit
    with Held(database):
        submit(batch(other, record(9, 1)))
        late = submit(batch(run, record(1, 1)), epochs={run: stale})
        good = submit(batch(other, record(1, 1)))
    with pytest.raises(FencedError):
        late.result(30)
    assert good.result(30) == [4]


def test_taking_a_run_waits_for_the_append_that_is_under_way(database: Database, run: int) -> None:
    epoch = take_lease(database, run, "first")
    taken: list[int] = []
    with Held(database):
        taking = threading.Thread(target=lambda: taken.append(take_lease(database, run, "second")))
        taking.start()
        taking.join(0.3)
        assert taken == []
    taking.join(30)
    assert taken == [epoch + 1]


def test_a_run_that_was_never_opened_takes_nothing(database: Database, run: int) -> None:
    with pytest.raises(StoreError, match=f"not all of the runs .{run + 1}. have been opened"):
        database.recorder.insert_events(stored(run + 1, record(1, 1)))
    assert database.recorder.insert_events(stored(run, record(1, 1))) == [2]


def test_everything_at_once_comes_back(database: Database, run: int) -> None:
    """Sizes beyond 16 bits, text beyond ASCII, every column with and without a value."""
    records: list[Record[Event]] = [
        Record(1, 1, Time(2**53), "ä𝄞\x00"[:2], None, record(1, 1, 2).events, "k" * 300, None, Time(3), -(2**40)),
        Record(1, 3, Time(0), "", (2**31 - 1, 7), record(1, 3, 70_000 // 40).events, None, Time(2**62), None, 2**40),
    ]
    database.recorder.insert_events(stored(run, *records))
    assert [each.decode() for each in records_of(database, run)][1:] == records
    assert database.recorder.select_events(f"{run}/1") == stored(run, *records)


def test_a_closed_database_appends_nothing(database: Database) -> None:
    with connect(database.url) as opened:
        run = begin(opened).run
    with pytest.raises(StoreError, match="closed"):
        opened.recorder.insert_events(stored(run, record(1, 1)))
