"""The code of running strategies: gone, broken or changed, it concerns that strategy alone, and the log says so."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from domain.account import commands as account
from domain.account.events import OrderFilled
from domain.errors import InputError, MissingError
from domain.indicators import Indicator, Sum
from domain.message import Command
from domain.strategy.commands import CloseStrategy, ConfigureStrategy, FailStrategy, ResumeStrategy, StartStrategy
from domain.strategy.decider import DECIDER, StrategyState
from domain.strategy.events import StrategyActed, StrategyConfigured, StrategyFailed
from domain.strategy.intents import Place
from domain.strategy.plugin import NoParameters, Strategy
from domain.strategy.registry import register, strategy_named
from domain.values import Cash
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import find_run
from infrastructure.inbox import Content, Outcome
from infrastructure.plugins import code_of, load_plugins, loaded_code, reload
from infrastructure.venues import live_features
from replay.verify import verify
from tests.infrastructure.test_take_over import until
from tests.infrastructure.test_worker import candle, log_of, put, running, wait
from tests.plugged import NAME, Package, package
from tests.spec import USDT, instrument

FLAT = (10_000,) * 4
OPENING: tuple[Content, ...] = (
    account.OpenAccount("main", "margin"),
    account.ListInstrument("main", instrument(), Decimal(0), Decimal(0)),
    account.DepositCash("main", USDT, Cash(100_000 * 10**8)),
)
GRID = '{"quantity":"1","spacing_pct":"0.5","levels_each_side":2}'
"""Beside the other it lays its orders at the first candle, and answers fills."""


@pytest.fixture
def plugged(tmp_path: Path) -> Iterator[Package]:
    with package(tmp_path) as made:
        made.install(1000)
        load_plugins()
        yield made


def start(bot: str, strategy: str, parameters: str = "{}") -> Command:
    code = code_of(strategy_named(strategy))
    return StartStrategy(bot, "main", strategy, code, instrument(), parameters)


def taken(database: Database, *contents: Content) -> list[Outcome]:
    """What became of these, put while a worker runs until they are taken."""
    with running(database):
        ids = put(database, list(contents))
        outcomes = wait(database, ids)
    return [outcomes[number] for number in ids]


def start_alone(database: Database) -> None:
    """Start a worker and let it find by itself that code is gone; what waits in the inbox would be before that."""
    with running(database):
        until(lambda: bool(events(database, StrategyFailed)))


def events(database: Database, kind: type[Any], bot: str = "b") -> list[Any]:
    """Those of a kind and a bot, as they came."""
    found: list[Any] = [event for record in log_of(database, 1) for event in record.events if type(event) is kind]
    return [event for event in found if event.bot == bot]


def bought(database: Database, bot: str = "b") -> list[int]:
    return [intent.quantity for act in events(database, StrategyActed, bot) for intent in act.intents]


def same(database: Database) -> bool:
    return verify(database, Path("nowhere"), find_run(database, 1)).status == "same"


# --- gone ------------------------------------------------------------------------------------------------------------


def test_one_whose_code_is_gone_fails_alone_and_can_be_closed(
    database: Database, plugged: Package, caplog: pytest.LogCaptureFixture
) -> None:
    taken(
        database,
        *OPENING,
        start("b", NAME),
        start("g", "grid", GRID),
        candle(0, FLAT),
        candle(1, FLAT),
        candle(2, FLAT),
    )
    assert (bought(database), len(events(database, OrderFilled))) == ([1000] * 3, 2)
    plugged.remove()
    with caplog.at_level(logging.ERROR):
        start_alone(database)
        outcomes = taken(database, candle(3, FLAT), candle(4, (10_000, 10_100, 9_900, 10_000)))
    assert [each.error for each in outcomes] == [None, None]
    (failed,) = events(database, StrategyFailed)
    assert failed.error.startswith("the code of strategy buyer is gone; there is ")
    assert "b: the code of strategy buyer is gone" in caplog.text
    assert len(events(database, OrderFilled, "g")) > 0, "the other goes on"
    with pytest.raises(MissingError, match="strategy 'buyer' of b is not installed"):
        same(database)
    # Resumed, it fails again, by itself; what it holds can be closed without it.
    (resumed, *_) = taken(
        database, ResumeStrategy("b"), candle(5, FLAT), CloseStrategy("b"), candle(6, FLAT), candle(7, FLAT)
    )
    assert resumed.error is None
    assert len(events(database, StrategyFailed)) == 2
    closes = [act.reason for act in events(database, StrategyActed)][3:]
    assert closes == ["close", "closed"]
    assert sum(fill.quantity * (1 if fill.side == "buy" else -1) for fill in events(database, OrderFilled)) == 0


def test_a_rerun_takes_that_the_code_was_gone_from_the_inbox(database: Database, plugged: Package) -> None:
    taken(database, *OPENING, start("b", NAME), candle(0, FLAT), candle(1, FLAT))
    plugged.remove()
    start_alone(database)
    plugged.install(1000)
    taken(database, candle(2, FLAT), ResumeStrategy("b"), candle(3, FLAT))
    assert bought(database) == [1000] * 3
    assert same(database)


def test_candles_that_waited_find_it_gone_too(database: Database, plugged: Package) -> None:
    taken(database, *OPENING, start("b", NAME), candle(0, FLAT), candle(1, FLAT))
    plugged.remove()
    ids = put(database, [candle(2, FLAT), candle(3, FLAT)])
    with running(database):
        outcomes = wait(database, ids)
    assert {each.error for each in outcomes.values()} == {None}
    (failed,) = events(database, StrategyFailed)
    assert failed.error.startswith("InputError: strategy 'buyer' is not known; allowed: ")


def _peeked(*_: object) -> Any:
    raise ZeroDivisionError("a bug of its author's")


class Breaking(Sum, frozen=True):
    """A sum that breaks when it is stepped."""

    def begin(self) -> Any:
        return _peeked


@pytest.mark.parametrize("where", ["stepped", "made", "watched", "heard", "remembered"])
def test_code_that_breaks_anywhere_stops_its_strategy_alone(database: Database, plugged: Package, where: str) -> None:
    """Not at its start, where it would be refused: later, as a new version may."""
    taken(database, *OPENING, start("b", NAME), start("g", "grid", GRID), candle(0, FLAT), candle(1, FLAT))

    def features(_parameters: object) -> Mapping[str, Indicator]:
        return _peeked() if where == "made" else {"sum": Breaking("close", 2)}

    versions: dict[str, dict[str, Any]] = {
        "stepped": {"features": features},
        "made": {"features": features},
        "watched": {"watch": _peeked, "on_candle": _peeked},
        "heard": {"on_fill": _peeked, "on_candle": lambda *_: None},
        "remembered": {"memory": Place},
    }
    broken = structs.replace(strategy_named(NAME), **versions[where])
    assert isinstance(broken, Strategy)
    # As a start with that version on disk would find it.
    plugged.remove()
    register(broken)
    outcomes = taken(database, candle(2, FLAT), candle(3, (10_000, 10_100, 9_900, 10_000)), candle(4, FLAT))
    assert {each.error for each in outcomes} == {None}
    assert len(events(database, StrategyFailed)) == 1
    assert len(events(database, OrderFilled, "g")) > 0
    assert events(database, StrategyFailed, "g") == []
    assert live_features.UNKNOWN == ()


# --- changed ---------------------------------------------------------------------------------------------------------


def configure(bot: str, code: str, parameters: str = "{}") -> Command:
    return ConfigureStrategy(bot, code, parameters)


def test_a_new_version_decides_from_the_row_on_that_names_it(database: Database, plugged: Package) -> None:
    """The worker runs on, and so do the others; a file that only lies there changes nothing."""
    with running(database):
        wait(
            database,
            put(database, [*OPENING, start("b", NAME), start("g", "grid", GRID), candle(0, FLAT), candle(1, FLAT)]),
        )
        old = code_of(strategy_named(NAME))
        plugged.install(2000)
        new = code_of(strategy_named(NAME))
        wait(database, put(database, [candle(2, FLAT)]))
        assert loaded_code(strategy_named(NAME)) == old != new
        wait(database, put(database, [configure("b", new), candle(3, FLAT)]))
        assert loaded_code(strategy_named(NAME)) == new
    assert bought(database) == [1000, 1000, 1000, 2000]
    assert [each.code for each in events(database, StrategyConfigured)] == [new]
    assert len(events(database, StrategyActed, "g")) == 1
    # A rerun has one version of it, and blames that where the other had decided.
    verdict = verify(database, Path("nowhere"), find_run(database, 1))
    assert verdict.divergence is not None
    assert (verdict.divergence.kind, "the code of buyer of b has changed" in verdict.divergence.message) == (
        "code",
        True,
    )


def test_a_version_that_is_not_there_is_refused_and_the_old_one_goes_on(database: Database, plugged: Package) -> None:
    good = code_of(strategy_named(NAME))
    taken(database, *OPENING, start("b", NAME), candle(0, FLAT), candle(1, FLAT))
    (absent,) = taken(database, configure("b", "0" * 64))
    assert absent.error == f"CODE_CHANGED: strategy=buyer, asked={'0' * 12}, there={good[:12]}; ask again"
    plugged.path.write_text("def on_candle(:")
    (broken, _) = taken(database, configure("b", code_of(strategy_named(NAME))), candle(2, FLAT))
    assert broken.error is not None
    assert broken.error.startswith("strategy buyer cannot be loaded again: SyntaxError: ")
    plugged.path.write_text("THERE = 1")
    (other,) = taken(database, configure("b", code_of(strategy_named(NAME))))
    assert other.error == "buyer_of_tests.py has no strategy 'buyer' any more"
    assert (bought(database), events(database, StrategyConfigured)) == ([1000, 1000, 1000], [])


def test_one_that_cannot_be_loaded_leaves_all_that_was(plugged: Package) -> None:
    before = strategy_named(NAME)
    plugged.path.write_text(plugged.path.read_text().replace("1000", "2000") + "\nraise RuntimeError('half way')\n")
    with pytest.raises(InputError, match="strategy buyer cannot be loaded again: RuntimeError: half way"):
        reload(NAME)
    assert strategy_named(NAME) is before
    act = before.on_candle(NoParameters(), None)  # type: ignore[arg-type]  # it does not look
    assert act is not None
    (place,) = act.intents
    assert isinstance(place, Place)
    assert place.quantity == 1000


def test_a_file_of_the_same_second_and_size_is_read_again(plugged: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python takes its compiled bytes for current."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for quantity in (2000, 3000, 4000):
        plugged.install(quantity)
        os.utime(plugged.path, (1, 1))
        act = reload(NAME).on_candle(NoParameters(), None)  # type: ignore[arg-type]  # it does not look
        assert act is not None
        (place,) = act.intents
        assert isinstance(place, Place)
        assert place.quantity == quantity


def test_features_begin_anew_with_other_code_and_not_with_the_same(database: Database, plugged: Package) -> None:
    """On every start they come back from the inbox as they were made: a rerun of it decides the same."""
    averaging = plugged.path.read_text().replace("on_candle, memory", "on_candle, features=features, memory")
    averaging = averaging.replace("\n\ndef on", '\n\ndef features(p):\n    return {"sum": Sum("close", 3)}\n\n\ndef on')
    averaging = averaging.replace(
        "from domain.strategy.int", "from domain.indicators import Sum\nfrom domain.strategy.int"
    )
    plugged.path.write_text(averaging)
    reload(NAME)
    first = code_of(strategy_named(NAME))
    closes = [candle(minute, (10_000 + minute,) * 4) for minute in range(12)]
    taken(database, *OPENING, start("b", NAME), *closes[:5])
    seen = [act.values for act in events(database, StrategyActed)]
    assert seen[-1] == (30_009,)
    taken(database, configure("b", first), closes[5])  # the same: it goes on
    assert len(events(database, StrategyActed)) == len(seen) + 1
    plugged.path.write_text(averaging + "\n# another digest\n")
    with running(database):
        wait(database, put(database, [configure("b", code_of(strategy_named(NAME))), *closes[6:8]]))
        assert len(events(database, StrategyActed)) == len(seen) + 1, "it warms up"
    taken(database, closes[8], closes[9])
    assert [act.values for act in events(database, StrategyActed)][-1] == (30_024,)
    assert len(events(database, StrategyActed)) == len(seen) + 3
    assert same(database)


def test_what_was_refused_has_no_features(database: Database) -> None:
    """Restored from the inbox, one that was first asked for with wrong parameters has those of its true start."""
    wrong, right = '{"notional":"10","fast":9,"slow":3}', '{"notional":"10","fast":2,"slow":3}'
    closes = [candle(minute, (10_000 + (-1) ** (minute // 4) * 20 * minute,) * 4) for minute in range(40)]
    code = code_of(strategy_named("sma_cross"))
    opening = [
        *OPENING, start("b", "sma_cross", wrong), start("b", "sma_cross", right), configure("b", code, wrong)
    ]  # fmt: skip
    taken(database, *opening, *closes[:17])
    taken(database, *closes[17:])
    assert len(events(database, StrategyActed)) > 3
    assert same(database)


def test_a_command_of_the_machine_ends_only_what_runs() -> None:
    rule = DECIDER.rules[FailStrategy]
    running_one = StrategyState("b", "main", instrument(), "grid", "{}")
    assert rule(running_one, FailStrategy("b", "gone")) == (StrategyFailed("b", "main", "gone"),)
    assert rule(structs.replace(running_one, status="paused"), FailStrategy("b", "gone")) == ()


def test_a_package_that_cannot_be_loaded_does_not_keep_the_shard_from_its_start(
    database: Database, plugged: Package, caplog: pytest.LogCaptureFixture
) -> None:
    taken(database, *OPENING, start("b", NAME), candle(0, FLAT))
    plugged.forget()
    plugged.path.write_text("import nothing_of_this_name")
    with pytest.raises(InputError, match="strategy buyer of buyer_of_tests:STRATEGY cannot be loaded"):
        load_plugins()
    with caplog.at_level(logging.ERROR):
        (outcome,) = taken(database, candle(1, FLAT))
    assert outcome.error is None
    assert "strategy buyer of buyer_of_tests:STRATEGY cannot be loaded: No module named" in caplog.text
    assert len(events(database, StrategyFailed)) == 1


def test_other_code_at_a_start_is_named_and_goes_on(
    database: Database, plugged: Package, caplog: pytest.LogCaptureFixture
) -> None:
    taken(database, *OPENING, start("b", NAME), candle(0, FLAT), candle(1, FLAT))
    plugged.forget()
    plugged.install(2000)
    with caplog.at_level(logging.WARNING):
        taken(database, candle(2, FLAT))
    assert "b: the code of strategy buyer is not that which it was configured with; configure it anew" in caplog.text
    assert bought(database) == [1000, 1000, 2000]
