"""Strategies by request: which there are, what those that run have decided; now and as of any position."""

import msgspec
import pytest

from domain.account.commands import SetRiskLimits
from domain.message import Event, Record
from domain.strategy.events import StrategyFailed
from infrastructure.event_store import segments
from infrastructure.event_store.database import Database
from infrastructure.row_history import keep_history
from projections.catalogue import PROJECTIONS
from projections.rows import MemoryRows, fold_records
from projections.strategies import StrategyRow
from tests.api.reading import Api, application, keep, log_of
from tests.domain.risk.limited import limits
from tests.strategy_game import CROSS, GRID, candles, game_of, played, setup_of

CANDLES = 300


@pytest.fixture
def api(database: Database) -> Api:
    return Api(application(database))


@pytest.fixture(scope="module")
def records() -> list[Record[Event]]:
    game = game_of([setup_of("g", "grid", GRID), setup_of("c", "sma_cross", CROSS)], candles(CANDLES))
    return played(game).records


def test_those_there_are_say_what_they_take(api: Api) -> None:
    items = {each["name"]: each for each in api.get("strategies/available")["items"]}
    assert {"dca_signals", "grid", "sma_cross"} <= set(items)
    assert (items["dca_signals"]["acts_on"], items["grid"]["acts_on"]) == ("signals", "candles")
    for name, each in items.items():
        assert each["title"].endswith("."), name
        assert each["description"], name
        assert "$defs" in each["settings_schema"], name
    form = items["sma_cross"]["settings_schema"]["$defs"]["Parameters"]
    assert (form["required"], form["properties"]["slow"]) == (["notional"], {"type": "integer", "default": 30})


def test_those_that_run_say_what_they_decided_last(api: Api, database: Database, records: list[Record[Event]]) -> None:
    keep(database, records)
    cross, grid = api.get("strategies")["items"]
    assert (cross["bot"], grid["bot"]) == ("c", "g")
    rows = folded(records)
    row = rows["c"]
    assert cross["last"]["features"] == dict(
        zip(["fast", "slow", "fast_before", "slow_before"], msgspec.json.decode(row.values or ""), strict=True)
    )
    assert (cross["last"]["order"], cross["last"]["reason"], grid["last"]["features"]) == (None, None, {})
    assert grid["last"]["order"] == rows["g"].reacted_to
    assert (grid["status"], grid["error"], grid["halt"]) == ("running", None, None)
    assert grid["parameters"]["levels"] == 20
    assert grid["decisions"] == rows["g"].decisions > 20
    # Its money is what the profit and loss by bot says.
    money = {each["bot"]: each for each in api.get("pnl", by="bot")["items"]}
    for each in (cross, grid):
        assert each["pnl"]["realized"] == money[each["bot"]]["realized"]
        assert each["pnl"]["unrealized"] == money[each["bot"]]["unrealized"]
        assert each["fills"] == money[each["bot"]]["fills"]
    assert list(api.pages("strategies", limit=1)) == [cross, grid]
    one = api.get("strategies/g")
    assert {name: value for name, value in one.items() if name != "as_of"} == grid
    assert api.status("strategies/nobody") == 404
    assert [each["bot"] for each in api.get("strategies", strategy="grid")["items"]] == ["g"]
    assert api.get("strategies", status="failed")["items"] == []
    assert api.status("strategies", status="asleep") == 422


def test_one_that_failed_says_why(api: Api, database: Database, records: list[Record[Event]]) -> None:
    started = next(each for each in records if each.key == "strategy/g")
    last = max(each.version + len(each.events) - 1 for each in records if each.stream == started.stream)
    failed = Record[Event](
        started.stream, last + 1, records[-1].at, "core", None, (StrategyFailed("g", "main", "ValueError: x"),)
    )
    keep(database, [*records, failed])
    (item,) = api.get("strategies", status="failed")["items"]
    assert (item["bot"], item["error"]) == ("g", "ValueError: x")


@pytest.mark.parametrize("history", [False, True], ids=["folded", "from the history"])
def test_any_moment_can_be_asked_for(
    history: bool,
    api: Api,
    database: Database,
    records: list[Record[Event]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_RECORDS", 16)
    run = keep(database, records)
    if history:
        segments.seal(database)
        keep_history(database)
    log = log_of(database, run)
    for place in range(0, len(log), 41):
        upto = [record for _, last, record in log if last <= log[place][1]]
        # The first record says which engine the run has.
        rows = folded(upto[1:])
        said = {each["bot"]: each for each in api.get("strategies", as_of=log[place][1])["items"]}
        assert set(said) == set(rows)
        for bot, row in rows.items():
            assert (said[bot]["decisions"], said[bot]["fills"]) == (row.decisions, row.fills)


def folded(records: list[Record[Event]]) -> dict[str, StrategyRow]:
    rows = MemoryRows()
    fold_records(PROJECTIONS, rows, records)
    return {row.bot: row for row in rows.all(StrategyRow)}


def test_a_halt_of_it_shows(api: Api, database: Database) -> None:
    wanted = SetRiskLimits("main", limits(bot_daily_loss_max="20", value_every_seconds=60, flatten=True))
    game = game_of([setup_of("g", "grid", {**GRID, "quantity": "0.05"})], candles(900), commands=(wanted,))
    keep(database, played(game).records)
    (item,) = api.get("strategies")["items"]
    assert (item["status"], item["last"]["reason"], item["position"]) == ("paused", "closed", "0")
    assert item["halt"]["reason"].startswith("loss=")
