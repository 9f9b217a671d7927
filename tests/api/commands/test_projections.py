"""`truetape projections rebuild`: the read models against a fold of the log."""

from typing import Any

import psycopg
import pytest

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
    assert set(rebuilt.json.values()) == {last}
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
