"""Reports over HTTP: the bytes of the command, for auditors only."""

import hashlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from infrastructure.access import Role
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import find_run
from replay.report import NAMES, Name, Span, report_of
from replay.reports.formats import FORMATS, Format
from tests.api.server import Server, problem_of, serving
from tests.replay.reporting import read


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as running:
        running.open_account()
        running.push(0, "50000")
        yield running


def place(server: Server) -> None:
    order = {"account": "main", "instrument": "BTC/USDT", "side": "buy", "type": "limit", "quantity": "0.01"}
    assert server.post("/orders", {**order, "limit": "40000"}).status_code < 300
    server.post("/kill", {"scope": "everything", "reason": "=drill()"})


def test_the_answer_is_the_report(server: Server) -> None:
    place(server)
    server.add_user("ada", "auditor")
    server.act_as("ada")
    for name, form in product(NAMES, FORMATS):
        is_the_report(server, name, form)


def is_the_report(server: Server, name: Name, form: Format) -> None:
    answer = server.get(f"/reports/{name}?format={form}")
    run = find_run(server.database)
    assert answer.status_code == 200
    assert answer.content == b"".join(report_of(server.database, run, name, form, Span()))
    assert answer.headers["content-type"].startswith("text/csv" if form == "csv" else "application/json")
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.{form}"'
    manifest = server.get(f"/reports/{name}/manifest?format={form}&run={run.run}").json()
    assert manifest["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert (manifest["bytes"], manifest["from"], manifest["to"]) == (len(answer.content), None, None)


def test_it_says_who_did_what(server: Server) -> None:
    place(server)
    orders = read(server.get("/reports/orders").content)
    assert {row["decision_person"] for row in orders} == {"user:admin"}
    (killed,) = [row for row in read(server.get("/reports/controls").content) if row["kind"] == "killed"]
    assert (killed["actor"], killed["detail"]) == ("user:admin", "'=drill()")


def test_ranges_runs_and_as_of(server: Server) -> None:
    place(server)
    whole = read(server.get("/reports/orders").content)
    cut = int(whole[2]["position"])
    assert read(server.get(f"/reports/orders?as_of={cut}").content) == whole[:3]
    assert read(server.get("/reports/orders?to=2020-01-01T00:00:00Z").content) == []
    assert read(server.get("/reports/orders?from=2020-01-01T00:00:00Z").content) == whole


ALLOWED: dict[Role, bool] = {"viewer": False, "trader": False, "auditor": True, "admin": True}


def test_only_who_audits_may(server: Server) -> None:
    for role, allowed in ALLOWED.items():
        server.act_as("admin")
        server.add_user(f"a-{role}", role)
        server.act_as(f"a-{role}")
        for path in ("/reports/orders", "/reports/orders/manifest"):
            assert server.get(path).status_code == (200 if allowed else 403), role
    server.headers = {}
    problem_of(server.get("/reports/orders"), 401)


WRONG = {
    "orders?run=99": 404,
    "orders/manifest?run=99": 404,
    "nonsense": 422,
    "orders?format=xml": 422,
    "orders?from=yesterday": 422,
    "orders?as_of=99999999": 422,
    "orders?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": 422,
}


def test_what_cannot_be_is_a_problem(server: Server) -> None:
    for query, status in WRONG.items():
        problem_of(server.get(f"/reports/{query}"), status)
