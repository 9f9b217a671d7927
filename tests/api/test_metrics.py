"""What an operator watches: the log, how far each read model is behind it, appends, the inbox, the worker."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from api.app import create_app
from domain.errors import StoreError
from infrastructure.event_store.append_measures import AppendMeasures
from infrastructure.event_store.database import Database
from infrastructure.projection_lag import watch
from infrastructure.projection_stops import note_stop
from infrastructure.read_models import update, update_all
from infrastructure.settings import Settings
from projections.catalogue import PROJECTIONS
from projections.fills import FILLS
from projections.orders import ORDERS
from tests.api.server import Server, problem_of, serving
from tests.infrastructure.event_store.rows import begin, record

HERE = ("127.0.0.1", 50_000)
Figures = dict[tuple[str, str], float]


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        yield served


def figures(text: str) -> Figures:
    """Every sample by its name and projection, "" where it has none."""
    return {
        (sample.name, sample.labels.get("projection", sample.labels.get("le", ""))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def append(database: Database, records: int, events: int) -> None:
    ledger = begin(database)
    ledger.append([record(stream, 1, events) for stream in range(1, records + 1)])
    ledger.flush()


def test_lag_is_what_the_rows_do_not_have(database: Database) -> None:
    assert {(lag.position, lag.events, lag.seconds) for lag in watch(database).lags} == {(0, 0, 0.0)}
    append(database, 3, 4)  # and the one that opens the run
    update(database, FILLS)
    found = watch(database)
    assert found.head == 13
    assert [lag.projection for lag in found.lags] == [each.name for each in PROJECTIONS]
    behind = {lag.projection: lag for lag in found.lags}
    assert (behind["fills"].position, behind["fills"].events, behind["fills"].seconds) == (13, 0, 0.0)
    assert (behind["orders"].position, behind["orders"].events) == (0, 13)
    assert behind["orders"].seconds > 0
    append(database, 1, 5)
    assert {lag.projection: lag.events for lag in watch(database).lags}["fills"] == 6
    note_stop(database, FILLS, 13, "planted")
    assert {lag.projection: lag.reason for lag in watch(database).lags if lag.reason} == {"fills": "planted"}


def test_metrics_say_how_things_stand(database: Database, home: Path) -> None:
    alive = True
    app = create_app(database, Settings(home=home), worker_alive=lambda: alive)
    append(database, 2, 3)
    update(database, FILLS)
    note_stop(database, FILLS, 7, "planted")
    with TestClient(app, client=HERE) as client:
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = figures(answer.text)
        assert found["truetape_log_position", ""] == 7
        assert found["truetape_projection_position", "fills"] == 7
        assert found["truetape_projection_lag_events", "fills"] == 0
        assert found["truetape_projection_lag_events", "orders"] == 7
        assert found["truetape_projection_lag_seconds", "orders"] > 0
        assert (found["truetape_projection_stopped", "fills"], found["truetape_projection_stopped", "orders"]) == (1, 0)
        assert found["truetape_sealed_segments", ""] == 0
        assert found["truetape_inbox_waiting_rows", ""] == 0
        assert found["truetape_appended_records_total", ""] == 3
        assert found["truetape_append_seconds_count", ""] == found["truetape_append_seconds_bucket", "+Inf"] >= 1
        assert found["truetape_refused_appends_total", ""] == 0
        assert found["truetape_worker_alive", ""] == 1
        update(database, ORDERS)
        alive = False
        found = figures(client.get("/metrics").text)
        assert found["truetape_projection_lag_events", "orders"] == 0
        assert found["truetape_worker_alive", ""] == 0
        assert "planted" not in answer.text, "reasons may quote what was traded"


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=x"}, {"Via": "1.1 x"}])
def test_metrics_are_for_this_machine_or_who_may_read(
    database: Database, home: Path, headers: dict[str, str], server: Server
) -> None:
    app = create_app(database, Settings(home=home))
    with TestClient(app, client=HERE) as client:
        if headers:
            problem_of(client.get("/metrics", headers=headers), 401)
        else:
            assert client.get("/metrics").status_code == 200
    for elsewhere in ("192.0.2.7", "testclient"):
        with TestClient(app, client=(elsewhere, 50_000)) as client:
            assert problem_of(client.get("/metrics"), 401)["code"] == "UNAUTHORIZED"
            bad = client.get("/metrics", headers={"Authorization": "Bearer x"})
            assert problem_of(bad, 401)["code"] == "TOKEN_INVALID"
            assert client.get("/metrics", headers=server.headers).status_code == 200


def test_the_api_says_the_lag_of_each_projection(server: Server, database: Database) -> None:
    server.open_account()
    update_all(database)
    note_stop(database, FILLS, 1, "projection fills stopped at position 2: planted")
    found = server.get("/system/projections").json()
    assert [each["name"] for each in found["projections"]] == [each.name for each in PROJECTIONS]
    for each in found["projections"]:
        assert each["position"] + each["events_behind"] == found["log_position"] > 0
    assert {each["name"] for each in found["projections"] if each["stopped"]} == {"fills"}


def test_appends_are_counted_when_they_are_done() -> None:
    times = iter([0.0, 0.0, 0.0, 0.004, 7.0])
    measures = AppendMeasures(clock=lambda: next(times))
    good, slow, bad = Future[list[int]](), Future[list[int]](), Future[list[int]]()
    for done, records in ((good, 3), (slow, 2), (bad, 9)):
        measures.follow(done, records)
    assert measures.read().appends == 0
    good.set_result([1, 2, 3])
    slow.set_result([4, 5])
    times = iter([8.0])
    bad.set_exception(StoreError("planted"))
    found = measures.read()
    assert (found.appends, found.records, found.refused) == (2, 5, 1)
    assert found.seconds == pytest.approx(7.004)
    assert (found.buckets[2], found.buckets[11], sum(found.buckets)) == (1, 1, 2)
