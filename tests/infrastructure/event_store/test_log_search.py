"""A time names the last event that was decided by then: found by halving as by looking at every record."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.engine_events import EngineStarted
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import ENGINE_STREAM, PostgresLedger, RunOpening
from infrastructure.event_store.log_search import last_decided, last_recorded
from infrastructure.event_store.mapper import RecordMapper
from infrastructure.event_store.reading import reading
from infrastructure.event_store.runs import records_of
from tests.domain.test_laws import Play, plays
from tests.infrastructure.event_store.rows import record

UPGRADE: tuple[Event, ...] = (EngineStarted("0.2.0", "ff", "candle-v1"),)


def at_time(stream: int, version: int, events: int, at: int) -> Record[Event]:
    made: Any = record(stream, version, events)
    return Record(made.stream, made.version, Time(at), made.actor, made.cause, made.events, made.key)


def write(database: Database, steps: list[tuple[int, int]], runs: int, upgraded: int) -> list[int]:
    """Records of so many events, each so much later than the one before, in the runs in turn; one upgrade in each run."""
    ledgers = [PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(100)) for _ in range(runs)]
    at, versions = 100, [1] * runs
    for number, (events, later) in enumerate(steps):
        at += later
        ledger = ledgers[number % runs]
        if number // runs == upgraded:
            mapper = RecordMapper(ledger.run)
            told: Record[Event] = Record(ENGINE_STREAM, 2, Time(100), "engine", None, UPGRADE)
            database.recorder.insert_events([mapper.to_stored_event(told)])
        ledger.append([at_time(1, versions[number % runs], events, at)])
        ledger.flush()
        versions[number % runs] += events
    return [ledger.run for ledger in ledgers]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0, 0, 1, 5])), max_size=12),
    st.integers(1, 2),
    st.integers(0, 20),
)
def test_halving_finds_what_looking_at_all_does(
    database: Database, steps: list[tuple[int, int]], runs: int, upgraded: int
) -> None:
    numbers = write(database, steps, runs, upgraded)
    with reading(database) as cursor:
        for run in numbers:
            found = [(each.position + each.events - 1, each.decode()) for each in records_of(database, run)]
            for at in range(99, 101 + sum(later for _, later in steps)):
                expected, reached = 0, 0
                for last, each in found:
                    reached = max(reached, each.at)  # an upgrade's own time is that of the run's beginning
                    if reached <= at:
                        expected = last
                assert last_decided(cursor, run, Time(at)) == expected


def test_no_log_and_no_run(database: Database) -> None:
    with reading(database) as cursor:
        assert last_decided(cursor, 1, Time(5)) == 0
        assert last_recorded(cursor, datetime.now(UTC)) == 0


def test_a_time_of_the_recording(database: Database) -> None:
    (run,) = write(database, [(2, 1), (1, 1), (3, 1)], 1, 9)
    with reading(database) as cursor:
        rows = cursor.execute("SELECT position + events - 1, recorded_at FROM records ORDER BY position").fetchall()
        tick = timedelta(microseconds=1)
        assert run
        for last, moment in rows:
            assert last_recorded(cursor, moment) == last
            assert last_recorded(cursor, moment - tick) < last
        assert last_recorded(cursor, rows[-1][1] + timedelta(days=1)) == rows[-1][0]


@given(plays())
def test_the_engine_never_decides_back_in_time(play: Play) -> None:
    times = [each.at for each in play.ledger.records]
    assert times == sorted(times)
