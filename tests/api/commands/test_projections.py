"""`truetape projections rebuild`: the read models against a fold of the log."""

from typing import Any, cast

import psycopg
import pytest

from domain.account.events import OrderFilled
from infrastructure.event_store import segments
from projections.fills import FILLS
from tests.api.stage import Stage, run


@pytest.fixture
def projected(kept: Stage) -> Stage:
    """A kept run, its read models up to date."""
    kept.backtest("--keep")
    return kept


def execute(url: str, statement: str, *parameters: Any) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode(), parameters).rowcount


def test_nothing_differs_after_a_run(projected: Stage) -> None:
    ended = run("projections", "rebuild", "--diff")
    assert (ended.code, ended.out, ended.err) == (0, "nothing differs\n", "")
    ended = run("projections", "rebuild", "--diff", "--json")
    assert (ended.code, ended.json) == (0, [])
    assert projected.out.exists()


ALTERED = [
    ("changed", "orders", 'UPDATE orders SET filled = filled + 1 WHERE run = 1 AND "order" = 1'),
    ("missing", "fills", 'DELETE FROM fills WHERE run = 1 AND "order" = 1'),
    ("extra", "alerts", "INSERT INTO alerts (run, source, number, at, body, verdict) VALUES (1, 'x', 1, 0, '', 'y')"),
    ("extra", "portfolio", "UPDATE portfolio SET run = 2 WHERE run = 1"),
]


@pytest.mark.parametrize(("kind", "table", "statement"), ALTERED, ids=lambda value: value.split()[0])
def test_a_row_altered_by_hand_is_found_and_mended(
    kind: str, table: str, statement: str, projected: Stage, superuser_url: str
) -> None:
    assert execute(superuser_url, statement) == 1
    ended = run("projections", "rebuild", "--diff", "--json")
    assert ended.code == 1
    assert kind in {difference["kind"] for difference in ended.json}
    assert {difference["table"] for difference in ended.json} == {table}
    ended = run("projections", "rebuild", "--diff")
    assert ended.code == 1
    assert f"{kind} {table} of run" in ended.out
    assert run("projections", "rebuild", "--diff").code == 1, "looking writes nothing"
    rebuilt = run("projections", "rebuild", "--json")
    assert rebuilt.code == 0
    last = run("events", "list", "--limit", 100_000, "--json").json[-1]["position"]
    assert set(rebuilt.json["reached"].values()) == {last}
    assert run("projections", "rebuild", "--diff").out == "nothing differs\n"
    assert projected.out.exists()


def test_a_difference_shows_both_values(projected: Stage, superuser_url: str) -> None:
    execute(superuser_url, "UPDATE alerts SET reason = '[/red] \x1b[31m' WHERE run = 1 AND number = 1")
    ended = run("projections", "rebuild", "--diff")
    assert ended.code == 1
    assert "reason: [/red] ?[31m -> None" in ended.out
    (difference,) = run("projections", "rebuild", "--diff", "--json").json
    assert (difference["key"], difference["fields"]) == (["signals", 1], {"reason": ["[/red] \x1b[31m", None]})
    assert projected.out.exists()


def test_rebuild_from_nothing(projected: Stage, superuser_url: str) -> None:
    assert execute(superuser_url, "DELETE FROM orders") > 0
    ended = run("projections", "rebuild")
    assert (ended.code, "rebuilt to position" in ended.out) == (0, True)
    assert run("projections", "rebuild", "--diff").code == 0
    assert projected.out.exists()


def test_no_log_at_all(kept: Stage) -> None:
    assert run("projections", "rebuild").code == 0
    assert run("projections", "rebuild", "--diff").code == 0
    assert not kept.out.exists()


def test_a_log_that_cannot_be_folded(projected: Stage, superuser_url: str) -> None:
    execute(superuser_url, "ALTER TABLE records DISABLE TRIGGER append_only")
    execute(superuser_url, "UPDATE records SET state = 'x' WHERE position = 3")
    for more in ((), ("--diff",)):
        ended = run("projections", "rebuild", *more)
        assert (ended.code, ended.out) == (2, "")
        assert "position 3 of run 1" in ended.err
    assert projected.out.exists()


def test_history_says_how_far_it_goes(projected: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", 8)
    first = run("projections", "history", "--json").json
    assert first["sealed"] > 1
    assert 0 < first["position"] <= first["log"]
    again = run("projections", "history", "--anew", "--json").json
    assert again == {**first, "sealed": 0}
    told = f"the history of the rows goes to position {first['position']:,} of {first['log']:,}\n"
    assert run("projections", "history").out == told
    assert projected.out.exists()


def test_only_what_is_named_is_rebuilt(projected: Stage, superuser_url: str) -> None:
    for table in ("orders", "fills"):
        assert execute(superuser_url, f"UPDATE {table} SET cash = cash + 1") > 0
    ended = run("projections", "rebuild", "orders", "--diff", "--json")
    assert (ended.code, {each["table"] for each in ended.json}) == (1, {"orders"})
    ended = run("projections", "rebuild", "orders", "--json")
    assert (ended.code, ended.json["reached"].keys(), ended.json["stopped"]) == (0, {"orders"}, {})
    ended = run("projections", "rebuild", "--diff", "--json")
    assert (ended.code, {each["table"] for each in ended.json}) == (1, {"fills"})
    assert run("projections", "rebuild", "fills", "orders").code == 0
    assert run("projections", "rebuild", "--diff").code == 0
    assert projected.out.exists()


@pytest.mark.parametrize("name", ["nothing", "", "orders ", "../orders", "[/red]"])
def test_a_projection_that_is_not_there(name: str, projected: Stage) -> None:
    for more in ((), ("--diff",)):
        ended = run("projections", "rebuild", "orders", name, *more)
        assert (ended.code, ended.out) == (2, "")
        assert "there are bots, alerts, orders" in ended.err
    assert projected.out.exists()


def test_a_projection_that_cannot_be_folded_is_named_and_the_others_are_rebuilt(
    projected: Stage, superuser_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = FILLS.folds[OrderFilled]

    def fold(*_: object) -> None:
        raise KeyError("[/red] planted")

    monkeypatch.setitem(cast("dict[Any, Any]", FILLS.folds), OrderFilled, fold)
    for table in ("orders", "fills"):
        execute(superuser_url, f"UPDATE {table} SET cash = cash + 1")
    ended = run("projections", "rebuild")
    assert ended.code == 1
    assert "not rebuilt, the old rows stay: fills: projection fills stopped at position" in ended.out
    assert "account.order_filled.v1: '[/red] planted'" in ended.out
    monkeypatch.setitem(cast("dict[Any, Any]", FILLS.folds), OrderFilled, good)
    found = run("projections", "rebuild", "--diff", "--json")
    assert {each["table"] for each in found.json} == {"fills"}
    assert projected.out.exists()
