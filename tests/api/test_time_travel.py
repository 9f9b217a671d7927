"""Every answer as of a position is the same from the history of the rows as from a fold of the whole log."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI

from api.routes import offsets, queue, risk_read
from domain.account.events import AccountOpened, InstrumentListed
from domain.execution_pool import commands as c
from domain.message import Event, Record
from domain.values import Time
from infrastructure.event_store import segments
from infrastructure.event_store.database import Database
from infrastructure.row_history import keep_history
from infrastructure.row_overlay import OverlaidRows
from infrastructure.row_past import Past
from tests.api.reading import LISTS, PREFIX, Api, application, keep, records
from tests.domain.portfolio_risk.desk import Desk as OffsetDesk
from tests.domain.portfolio_risk.desk import listed
from tests.domain.test_execution_pool import ETH, SOL
from tests.domain.test_execution_pool import Desk as PoolDesk
from tests.spec import BTC

ONES = (
    "accounts/main", "bots/dca_signals", "groups/dca_signals/1", "groups/dca_signals/2", "deliveries/signals/3",
    "orders/main/2", "accounts/main/pool", "accounts/main/offset", "risk/main", "risk/main/halts",
)  # fmt: skip
MORE = (
    "orders?status=open", "orders?status=done", "orders?bot=dca_signals", "orders?instrument=BTC/USDT", "groups?status=open",
    "groups?status=closed", "fills?group=2", "fills?order=3", "deliveries?verdict=accepted", "positions?held=true",
    "pnl?by=day&bot=dca_signals", "bots?status=running", "accounts/main/queue", "accounts/main/queue?status=waiting",
    "accounts/main/offset/evaluations", "accounts/main/offset/offsets",
)  # fmt: skip
ZERO = Decimal(0)


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", 8)


def reads(database: Database) -> FastAPI:
    app = application(database)
    for module in (queue, offsets, risk_read):
        app.include_router(module.router, prefix=PREFIX)
    return app


def everything(database: Database, positions: Sequence[int]) -> dict[tuple[int, str], Any]:
    """Every answer as of these positions, whole and in pages; what is not there is its status."""
    api = Api(reads(database))
    said: dict[tuple[int, str], Any] = {}
    for position in positions:
        for path in (*LISTS, *MORE, *ONES):
            status = api.status(path, as_of=position)
            said[position, path] = api.get(path, as_of=position) if status == 200 else status
            if status == 200 and "next" in said[position, path]:
                said[position, f"{path} in pages"] = list(api.pages(path, as_of=position, limit=3))
    return said


def pool_and_offset() -> list[Record[Event]]:
    """What a pool of one slot with a queue and an offset engine record, as one account's log."""
    pool = PoolDesk(expiry=90)
    pool.wants(1)
    pool.opened(1, 7)
    for number, name in enumerate((BTC, ETH, SOL, SOL), 2):
        pool.wants(number, name)
    pool.when(c.ReleaseGroupSlots("main", "dca", 7, "group closed"))
    desk = OffsetDesk()
    desk.opens("LOSS", 1000, 10000, 9000)
    desk.looks()
    desk.opens("WIN", 5000, 10000, 11000)
    desk.waits()
    desk.fills("WIN", 1000, 11000)
    desk.fills("LOSS", 1000, 8990)
    desk.closes("LOSS")
    names: list[Event] = [AccountOpened("main", "margin")]
    names += [InstrumentListed("main", listed(each), ZERO, ZERO, ZERO) for each in ("LOSS", "WIN")]
    told = {"account/main": names, "execution_pool/main": pool.past, "portfolio_risk/main": desk.past}
    return [
        Record(stream, version, Time(stream * 1000 + version), "core", None, (event,), key if version == 1 else None)
        for stream, (key, events) in enumerate(told.items(), 1)
        for version, event in enumerate(events, 1)
    ]


@pytest.mark.parametrize("log", [records(candles=30, alerts=12), pool_and_offset()], ids=["engine", "desks"])
def test_history_tells_what_the_log_does(database: Database, log: list[Record[Event]]) -> None:
    keep(database, log)
    last = Api(application(database)).get("orders")["as_of"]["position"]
    positions = range(last, 0, -last // 5)
    folded = everything(database, positions)
    segments.seal(database)
    assert keep_history(database) > last - 40
    assert everything(database, positions) == folded


@pytest.mark.parametrize(
    ("row_type", "bug"),
    [
        (OverlaidRows, ("_changed", lambda *_: {})),
        (OverlaidRows, ("_replaced", lambda *_: -1)),
        (Past, ("_records", lambda *_: iter(()))),
    ],
    ids=["without what came since", "a page that gives way to changes", "no fold of the rest"],
)
def test_a_bug_in_reading_history_is_found(
    database: Database, monkeypatch: pytest.MonkeyPatch, row_type: type, bug: tuple[str, Any]
) -> None:
    keep(database, records(candles=30, alerts=12))
    last = Api(application(database)).get("orders")["as_of"]["position"]
    folded = everything(database, [last - 3])
    segments.seal(database)
    keep_history(database)
    monkeypatch.setattr(row_type, *bug)
    assert everything(database, [last - 3]) != folded


def test_what_the_history_says_is_what_is_told(database: Database, superuser_url: str) -> None:
    """Whoever changes a version is told so: the answer comes from there, not from the log."""
    keep(database, records(candles=30, alerts=12))
    segments.seal(database)
    boundary = keep_history(database)
    api = Api(application(database))
    told = api.get("orders/main/1", as_of=boundary)["reason"]
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("UPDATE orders_history SET reason = 'changed by hand' WHERE \"order\" = 1")
    assert told is None
    assert Api(application(database)).get("orders/main/1", as_of=boundary)["reason"] == "changed by hand"
