"""What is asked for as of a position is what was said when the log ended there."""

import threading
from typing import Any

import pytest

from domain.account.events import OrderIntended
from domain.values import Time, parse_time, time_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.read_models import update, update_all
from infrastructure.row_views import KEPT_FOLDS, AsOf, Views
from projections.catalogue import PROJECTIONS
from projections.orders import ORDERS, OrderRow
from tests.api.reading import LISTS, Api, application, keep, log_of, records

ONES = ("accounts/main", "bots/dca_signals", "groups/dca_signals/1", "deliveries/signals/3", "orders/main/2")


@pytest.fixture
def api(database: Database) -> Api:
    return Api(application(database))


def everything(api: Api, **parameters: Any) -> dict[str, Any]:
    """Every answer there is, but how to go on; what is not there yet is None."""
    said = {path: api.get(path, limit=500, **parameters) for path in LISTS}
    for path in ONES:
        said[path] = api.get(path, **parameters) if api.status(path, **parameters) == 200 else None
    return said


def test_as_of_is_what_was_said_then(api: Api, database: Database) -> None:
    happened = records(candles=40, alerts=15)
    ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1), 1)
    said: dict[int, dict[str, Any]] = {}
    for start in range(0, len(happened), 7):
        ledger.append(happened[start : start + 7])
        ledger.flush()
        update_all(database)
        now = everything(api)
        said[now["orders"]["as_of"]["position"]] = now
    assert len(said) > 4
    for position, then in said.items():
        again = everything(api, as_of=position)
        assert again == then
        moment = again["orders"]["as_of"]["at"]
        latest = everything(api, as_of=moment)
        assert latest["orders"]["as_of"]["position"] >= position
        assert latest["orders"]["as_of"]["at"] == moment
        del latest["runs"]  # their time is the recording's
        assert latest == {path: said_of for path, said_of in at_end_of(api, moment).items() if path != "runs"}


def at_end_of(api: Api, moment: str) -> dict[str, Any]:
    """Everything as of the last event that was decided at a time."""
    positions = [item["position"] for item in api.pages("events", limit=500) if item["at"] <= moment]
    return everything(api, as_of=positions[-1])


def test_each_event_of_a_decision_has_its_turn(api: Api, database: Database) -> None:
    run = keep(database, records())
    first, last, _ = next(
        entry
        for entry in log_of(database, run)
        if isinstance(entry[2].events[0], OrderIntended) and entry[0] < entry[1]
    )
    said = [api.get("orders", as_of=position) for position in (first - 1, first, last)]
    assert [page["as_of"]["position"] for page in said] == [first - 1, first, last]
    assert len(said[1]["items"]) == len(said[0]["items"]) + 1
    assert said[1]["items"][0]["status"] == "INITIALIZED"
    assert said[2]["items"][0]["status"] != "INITIALIZED"


def test_before_and_after_the_log(api: Api, database: Database) -> None:
    run = keep(database, records())
    log = log_of(database, run)
    end = log[-1][1]
    later = time_text(log[-1][2].at + 1)
    earlier = time_text(log[0][2].at - 1)
    assert api.get("orders", as_of=0) == {"items": [], "next": None, "as_of": {"position": 0, "at": None}}
    assert api.get("orders", as_of=earlier)["as_of"] == {"position": 0, "at": None}
    assert api.get("orders", as_of=later) == api.get("orders") == api.get("orders", as_of=end)
    assert api.status("orders", as_of=end + 1) == 422
    assert api.status("orders/main/1", as_of=1) == 404
    assert parse_time(api.get("orders")["as_of"]["at"]) == log[-1][2].at


def test_pages_as_of_a_position_stay_with_it(api: Api, database: Database) -> None:
    happened = records()
    run = keep(database, happened)
    position = log_of(database, run)[len(happened) // 2][1]
    for path in ("orders", "fills", "groups", "pnl?by=group", "deliveries", "events", "events?order=newest"):
        whole = api.get(path, as_of=position, limit=500)["items"]
        assert whole
        assert list(api.pages(path, as_of=position, limit=5)) == whole


def test_read_models_that_are_behind_say_so(api: Api, database: Database) -> None:
    happened = records()
    ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1), 1)
    ledger.append(happened[:40])
    ledger.flush()
    update_all(database)
    behind = api.get("orders", limit=500)
    ledger.append(happened[40:])
    ledger.flush()
    assert api.get("orders", limit=500) == behind
    end = log_of(database, ledger.run)[-1][1]
    assert behind["as_of"]["position"] < end
    ahead = api.get("orders", as_of=end, limit=500)
    assert ahead["as_of"]["position"] == end
    assert len(ahead["items"]) > len(behind["items"])
    update(database, ORDERS)
    assert api.get("orders", limit=500) == ahead
    # Two projections: the one that is behind says how far both are to be believed.
    assert api.get("bots")["as_of"] == behind["as_of"]


def test_reads_are_of_one_position_while_the_log_grows(api: Api, database: Database) -> None:
    ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1), 1)
    happened = records(candles=40, alerts=15)
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            for start in range(0, len(happened), 5):
                ledger.append(happened[start : start + 5])
                for projection in PROJECTIONS:
                    update(database, projection)
        except BaseException as error:  # noqa: BLE001  (a thread's failure is the test's)
            troubles.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    said: list[tuple[str, Any]] = []
    while worker.is_alive():
        said += [(path, api.get(path, limit=500)) for path in ("orders", "portfolio", "fills", "pnl")]
    worker.join()
    assert not troubles
    assert len({answer["as_of"]["position"] for _, answer in said}) > 3
    for path, answer in said:
        assert api.get(path, limit=500, as_of=answer["as_of"]["position"]) == answer


def test_a_fold_is_kept_for_the_next_page_and_few_are(database: Database) -> None:
    keep(database, records(candles=10, alerts=3))
    views = Views(database)

    def look(position: int) -> list[OrderRow]:
        with views.open([OrderRow], AsOf(position=position)) as view:
            return view.rows.some(OrderRow, {})

    end = views.log().position
    (first, *_) = look(end)
    assert look(end)[0] is first
    for position in range(end - KEPT_FOLDS, end):
        look(position)
    assert look(end)[0] is not first
