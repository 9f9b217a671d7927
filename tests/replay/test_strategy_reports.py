"""Reports of runs with strategies: an order names the strategy, its parameters and its level; settings have all of both."""

from hashlib import sha256

from msgspec import structs

from domain.account.events import OrderFilled
from domain.message import Event, Record
from domain.strategy.events import (
    StrategyConfigured,
    StrategyFailed,
    StrategyPaused,
    StrategyResumed,
    StrategyStarted,
)
from tests.projections.story import BTC, Story
from tests.replay.reporting import quanta, rows
from tests.strategy_game import CROSS, GRID, candles, counted, game_of, played, setup_of

LEDGER = played(game_of([setup_of("g", "grid", GRID), setup_of("c", "sma_cross", CROSS)], candles(700)))


def test_an_order_names_who_decided_it() -> None:
    started = {event.bot: event for event in LEDGER.of(StrategyStarted)}
    for name in ("orders", "trades"):
        found = [row for row in rows(name, LEDGER.records) if row["bot"] in started]
        assert {row["decision_algorithm"] for row in found} == {"grid/g", "sma_cross/c"}
        for row in found:
            parameters = started[row["bot"]].parameters
            assert row["parameters_sha256"] == sha256(parameters.encode()).hexdigest()
            assert (row["role"], row["group"], row["correlation"], row["decision_person"]) == ("strategy", "", "", "")
        assert {row["leg"] for row in found if row["bot"] == "g"} <= {str(level) for level in range(20)}
        assert len({row["leg"] for row in found if row["bot"] == "g"}) > 10


def test_trades_sum_to_what_each_holds() -> None:
    found = rows("trades", LEDGER.records)
    assert len(found) == counted(LEDGER)["OrderFilled"] + 1
    for bot in ("g", "c"):
        mine = [row for row in found if row["bot"] == bot]
        moved = sum(quanta(row["position_change"], 5) for row in mine)
        fills = [fill for fill in LEDGER.of(OrderFilled) if fill.bot == bot]
        assert moved == sum(fill.received if fill.side == "buy" else -fill.received for fill in fills)


def story(*events: Event) -> list[Record[Event]]:
    told = Story()
    told.tell(1, StrategyStarted("s", "main", "grid", "code-1", BTC, '{"levels":5,"quantity":"1","lower":null}', ()))
    for event in events:
        told.tell(1, event)
    return told.records


def changes(records: list[Record[Event]]) -> list[tuple[str, str, str, str]]:
    found = rows("settings", records)
    assert {(row["subject"], row["name"]) for row in found} == {("strategy", "s")}
    return [(row["setting"], row["before"], row["after"], row["version"]) for row in found]


BEGUN = [
    ("account", "", "main", "1"),
    ("strategy", "", "grid", "1"),
    ("instrument", "", "BTC/USDT", "1"),
    ("status", "", "running", "1"),
    ("parameter.levels", "", "5", "1"),
    ("parameter.quantity", "", "1", "1"),
    ("parameter.code", "", "code-1", "1"),
]


def test_parameters_are_shown_as_they_change() -> None:
    configured = StrategyConfigured("s", "code-2", '{"levels":7,"lower":"3"}', ())
    assert changes(story(configured)) == [
        *BEGUN,
        ("parameter.levels", "5", "7", "2"),
        ("parameter.lower", "", "3", "2"),
        ("parameter.code", "code-1", "code-2", "2"),
        ("parameter.quantity", "1", "", "2"),
    ]


def test_how_it_stands_is_no_version() -> None:
    found = changes(story(StrategyPaused("s"), StrategyResumed("s"), StrategyFailed("s", "main", "broken")))
    assert found == [
        *BEGUN,
        ("status", "running", "paused", "1"),
        ("status", "paused", "running", "1"),
        ("status", "running", "failed", "1"),
    ]


def test_parameters_that_are_no_json_are_shown_as_they_stand() -> None:
    (record, *_) = story()
    forged = structs.replace(record.events[0], parameters="{")
    assert ("parameter.", "", "{", "1") in changes([structs.replace(record, events=(forged,))])
