"""Explanations over HTTP: the same trees, for whoever may read, of any run and as of any moment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.event_store.database import Database
from replay.explain import DECISIONS_MAX, Explainer, Explanation
from tests.api.reading import Api, application, keep, records
from tests.api.server import problem_of, serving


@pytest.fixture
def api(database: Database) -> Api:
    keep(database, records(seed=6), mode="backtest")
    keep(database, records())
    return Api(application(database))


def said(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from node["said"]
    for child in node["children"]:
        yield from said(child)


@pytest.mark.parametrize(
    "path",
    ["orders/main/1", "signals/signals/1", "groups/dca_signals/1", "events/40"],
    ids=lambda path: path.split("/")[0],
)
def test_a_story_is_the_log_in_words(path: str, api: Api, database: Database) -> None:
    story = api.get(f"explain/{path}", run=2 if "events" not in path else 1)
    kind, *names = path.split("/")
    explainer = Explainer(database, story["run"])
    asked: dict[str, Callable[..., Explanation]] = {
        "orders": explainer.order, "signals": explainer.signal, "groups": explainer.group, "events": explainer.event,
    }  # fmt: skip
    expected = asked[kind](*(int(name) if name.isdigit() else name for name in names))
    assert (story["decisions"], story["asked"], story["complete"]) == (expected.decisions, expected.asked, True)
    assert story["root"]["said"][0]["text"] == expected.root.said[0].text
    positions = [each["position"] for each in said(story["root"])]
    assert len(set(positions)) == len(positions)
    assert story["as_of"]["position"] >= max(positions)


def test_an_event_said_is_the_event(api: Api) -> None:
    for each in said(api.get("explain/groups/dca_signals/1")["root"]):
        event = api.get(f"events/{each['position']}")
        assert (event["event"], event["data"]) == (each["event"], each["data"])


def test_the_run_that_trades_unless_another_is_named(api: Api) -> None:
    assert api.get("explain/orders/main/1")["run"] == 2
    backtest = api.get("explain/orders/main/1", run=1)
    assert (backtest["run"], backtest["asked"] < api.get("explain/orders/main/1")["asked"]) == (1, True)
    assert api.status("explain/orders/main/1", run=3) == 404


def test_as_it_was_known(api: Api) -> None:
    whole = api.get("explain/groups/dca_signals/1")
    position = whole["asked"]
    known = api.get("explain/groups/dca_signals/1", as_of=position)
    assert known["as_of"]["position"] == position
    assert max(each["position"] for each in said(known["root"])) == position
    assert api.status("explain/groups/dca_signals/1", as_of=position - 1) == 404
    assert api.status("explain/groups/dca_signals/1", as_of="soon") == 422
    assert api.get("explain/groups/dca_signals/1", as_of=whole["root"]["at"])["decisions"] < whole["decisions"]


def test_a_story_is_cut_where_it_is_asked_to_be(api: Api) -> None:
    whole = api.get("explain/groups/dca_signals/1")
    part = api.get("explain/groups/dca_signals/1", limit=2)
    assert (whole["complete"], part["complete"]) == (True, False)
    assert part["decisions"] < whole["decisions"]
    for limit in (0, DECISIONS_MAX + 1):
        assert api.status("explain/groups/dca_signals/1", limit=limit) == 422


@pytest.mark.parametrize(
    "path",
    ["orders/main/9999", "orders/other/1", "signals/signals/9999", "signals/other/1", "groups/other/1", "events/1000000",
     "orders/main/9223372036854775807", "events/9223372036854775807"],
)  # fmt: skip
def test_what_is_not_there(path: str, api: Api) -> None:
    assert api.status(f"explain/{path}") == 404


@pytest.mark.parametrize("path", ["orders/main/0", "orders/main/x", "events/-1", "groups/a%00b/1"])
def test_what_cannot_be(path: str, api: Api) -> None:
    assert api.status(f"explain/{path}") == 422


def test_nothing_on_the_log(database: Database) -> None:
    assert Api(application(database)).status("explain/orders/main/1") == 404


def test_who_may_read_may_ask(database: Database, home: Path) -> None:
    with serving(database, home, worker=False) as server:
        server.add_user("vera", "viewer")
        server.act_as("vera")
        problem_of(server.get("/explain/orders/main/1"), 404)
        server.headers = {}
        problem_of(server.get("/explain/orders/main/1"), 401)
