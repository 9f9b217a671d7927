"""The recorder: optimistic concurrency, dense positions in the order of commits, readers that miss nothing."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from eventsourcing.persistence import Notification
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import ConflictError
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.mapper import RecordMapper, RecordNotification
from infrastructure.event_store.recorder import RecordSubscription
from infrastructure.event_store.runs import records_of
from tests.infrastructure.event_store.rows import begin, record


def insert(database: Database, run: int, *records: Record[Event]) -> Sequence[int]:
    mapper = RecordMapper(run)
    return database.recorder.insert_events([mapper.to_stored_event(each) for each in records])


def kept(database: Database, run: int) -> list[Record[Event]]:
    """The run's records without the engine's."""
    return [each.decode() for each in records_of(database, run)][1:]


@pytest.fixture
def run(database: Database) -> int:
    return begin(database).run


def test_positions_count_events(database: Database, run: int) -> None:
    # Position 1 is the engine's.
    assert insert(database, run, record(1, 1, 3), record(2, 1, 2), record(1, 4)) == [2, 5, 7]
    assert insert(database, run, record(2, 3)) == [8]
    assert insert(database, run) == []
    assert database.recorder.max_notification_id() == 8


def test_everything_comes_back(database: Database, run: int) -> None:
    full: Record[Event] = Record(1, 1, Time(7), "a", (3, 4), record(1, 1, 2).events, "k", Time(6), Time(5), -2)
    rest = record(1, 3)
    insert(database, run, full, rest)
    mapper = RecordMapper(run)
    assert kept(database, run) == [full, rest]
    assert database.recorder.select_events(f"{run}/1") == [mapper.to_stored_event(full), mapper.to_stored_event(rest)]
    notified = database.recorder.select_notifications(2, 10)
    assert [(each.id, each.originator_id, mapper.to_domain_event(each)) for each in notified] == [
        (2, f"{run}/1", full),
        (4, f"{run}/1", rest),
    ]
    with psycopg.connect(database.url) as connection:
        row = connection.execute(
            "SELECT stream, version, events, at, observed_at, venue_at, clock_offset, actor, cause_stream, cause_version,"
            " key, topic FROM records WHERE position = 2"
        ).fetchone()
    assert row == (1, 1, 2, 7, 6, 5, -2, "a", 3, 4, "k", "record.v1")


def test_selections(database: Database, run: int) -> None:
    other = begin(database).run
    insert(database, run, record(1, 1, 2), record(1, 3), record(1, 4), record(2, 1))
    insert(database, other, record(1, 1))
    events = database.recorder.select_events
    assert [each.originator_version for each in events(f"{run}/1")] == [1, 3, 4]
    assert [each.originator_version for each in events(f"{run}/1", gt=1, lte=3)] == [3]
    assert [each.originator_version for each in events(f"{run}/1", desc=True, limit=2)] == [4, 3]
    assert events(f"{run}/9") == []
    notifications = database.recorder.select_notifications
    assert [each.id for each in notifications(None, 3)] == [1, 2, 3]
    assert [each.id for each in notifications(3, 9, stop=6)] == [3, 5, 6]
    assert [each.id for each in notifications(3, 9, stop=6, inclusive_of_start=False)] == [5, 6]
    assert [each.id for each in notifications(1, 9, topics=["record.v1"])] == [1, 2, 3, 5, 6, 7, 8]
    assert notifications(1, 9, topics=["other"]) == []


@pytest.mark.parametrize(
    "refused",
    [
        [record(1, 1)],
        [record(1, 2)],
        [record(1, 3)],
        [record(1, 5)],
        [record(9, 2)],
        [record(9, 1), record(9, 1)],
        [record(9, 1, 2), record(9, 2)],
        [record(9, 1), record(9, 3)],
        [record(9, 1), record(1, 3)],
    ],
    ids=["again", "middle", "last", "gap", "gap_at_start", "twice", "overlap", "gap_in_batch", "second_of_batch"],
)
def test_a_record_that_does_not_follow_is_a_conflict(
    database: Database, run: int, refused: list[Record[Event]]
) -> None:
    insert(database, run, record(1, 1, 3))
    with pytest.raises(ConflictError, match="does not follow"):
        insert(database, run, *refused)
    assert kept(database, run) == [record(1, 1, 3)]
    assert insert(database, run, record(1, 4)) == [5]


def test_streams_of_runs_are_apart(database: Database, run: int) -> None:
    other = begin(database).run
    insert(database, run, record(1, 1))
    insert(database, other, record(1, 1))
    assert kept(database, run) == kept(database, other) == [record(1, 1)]


batches = st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=5), max_size=6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
def test_what_was_appended_is_what_is_kept(database: Database, plan: list[list[tuple[int, int]]]) -> None:
    run = begin(database).run
    start = (database.recorder.max_notification_id() or 0) + 1
    heads = {1: 0, 2: 0, 3: 0}
    appended: list[Record[Event]] = []
    positions: list[int] = []
    for batch in plan:
        records = []
        for stream, events in batch:
            records.append(record(stream, heads[stream] + 1, events))
            heads[stream] += events
        positions.extend(insert(database, run, *records))
        appended.extend(records)
    assert kept(database, run) == appended
    counts = [len(each.events) for each in appended]
    assert positions == [start + sum(counts[:number]) for number in range(len(counts))]


def test_of_two_writers_one_wins_each_version(database: Database, run: int) -> None:
    versions, barrier = range(1, 41), threading.Barrier(2)

    def write(name: str) -> list[int]:
        won = []
        for version in versions:
            barrier.wait(timeout=30)
            mine: Record[Event] = Record(1, version, Time(1), name, None, record(1, version).events)
            try:
                insert(database, run, mine)
            except ConflictError:
                continue  # the other one has it
            won.append(version)
        return won

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(write, ["one", "other"])
    assert sorted(one + other) == list(versions)
    assert [each.actor for each in kept(database, run)] == [
        "one" if version in one else "other" for version in versions
    ]


def test_a_tailing_reader_sees_each_record_once_and_in_order(database: Database) -> None:
    writers, inputs = 4, 40
    runs = [begin(database).run for _ in range(writers)]
    total = writers + sum(1 + number % 3 for number in range(inputs)) * writers
    seen: list[tuple[int, int]] = []

    def read(subscription: Iterator[Notification]) -> None:
        for each in itertools.islice(subscription, total):
            assert isinstance(each, RecordNotification)
            seen.append((each.id, each.events))

    def write(run: int) -> None:
        version = 1
        for number in range(inputs):
            # Sizes vary, so that transactions overlap in ever new ways.
            records = [record(1, version + 2 * k, 2) for k in range(1 + number % 3)]
            insert(database, run, *records)
            version += 2 * len(records)

    with ThreadPoolExecutor(writers + 1) as pool, database.recorder.subscribe(gt=0) as subscription:
        reader = pool.submit(read, subscription)
        list(pool.map(write, runs))
        reader.result(timeout=30)
    assert len(seen) == total
    assert all(position + events == after for (position, events), (after, _) in itertools.pairwise(seen))
    assert seen[0][0] == 1


class LateListener(RecordSubscription):
    """Listens only when told to, long after its first read, and looks for itself no more than once."""

    look_seconds = 60.0
    may_listen = threading.Event()

    def _listen(self) -> None:
        self.may_listen.wait(30)
        super()._listen()


def test_what_is_committed_between_first_read_and_listening_is_not_left_lying(database: Database, run: int) -> None:
    with ThreadPoolExecutor(1) as pool, LateListener(database.recorder, gt=1) as subscription:
        reader = pool.submit(next, subscription)
        time.sleep(0.3)
        insert(database, run, record(1, 1))
        subscription.may_listen.set()
        assert reader.result(timeout=10).id == 2
        # What comes later is heard of.
        later = pool.submit(next, subscription)
        time.sleep(0.3)
        insert(database, run, record(1, 2))
        assert later.result(timeout=10).id == 3


class RestlessReader(RecordSubscription):
    """Looks again sooner than is worth it outside tests."""

    look_seconds = 0.2


COPIED = """
INSERT INTO records (position, run, stream, version, events, at, clock_offset, actor, topic, leaf, state)
SELECT position + events, run, stream, version + events, events, at, clock_offset, actor, topic, leaf, state
FROM records ORDER BY position DESC LIMIT 1
"""


@pytest.mark.usefixtures("run")
def test_a_record_that_the_listener_never_hears_of_is_found(database: Database) -> None:
    """Appended without NOTIFY: what a listener hears whose connection has died in silence is just as much."""
    with ThreadPoolExecutor(1) as pool, RestlessReader(database.recorder, gt=1) as subscription:
        reader = pool.submit(next, subscription)
        time.sleep(0.5)  # it listens by now, and has looked
        with database.datastore.transaction(commit=True) as cursor:
            cursor.execute(COPIED)
        assert reader.result(timeout=10).id == 2


def test_a_subscription_leaves_no_listener_in_the_pool(database: Database, run: int) -> None:
    with database.recorder.subscribe(gt=0) as subscription:
        assert next(subscription).id == 1
    with contextlib.ExitStack() as stack:
        # Every connection there is, at once.
        connections = [stack.enter_context(database.datastore.get_connection()) for _ in range(3)]
        assert [connection.execute("SELECT pg_listening_channels()").fetchall() for connection in connections] == [
            []
        ] * 3
