"""Verify of runs with strategies: prepared again from the log; a strategy that was changed since is found and named."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from domain.account.events import OrderFilled
from domain.errors import MissingError
from domain.message import Event
from domain.strategies.grid import STRATEGY as GRID_NOW
from domain.strategies.grid import on_candle, on_fill
from domain.strategies.sma_cross import STRATEGY as CROSS_NOW
from domain.strategy import registry
from domain.strategy.events import StrategyActed, StrategyStarted
from domain.strategy.intents import Place
from domain.strategy.plugin import Act, Strategy, View
from domain.values import Price
from infrastructure.embedded_postgres import SUPERUSER
from infrastructure.event_store.database import Database, connect
from infrastructure.event_store.runs import find_run
from infrastructure.market_data.shelf import keep_tape
from infrastructure.plugins import code_of
from replay import verify as module
from replay.demo import demo_tape
from replay.game import Game, StrategySetup, play
from replay.kept import KeptRun
from replay.verify import verify
from tests.conftest import TestServer
from tests.replay.test_verify import Kept, diverged
from tests.strategy_game import CROSS, GRID, RICH_GRID, game_of, made, setup_of

TAPE = demo_tape(1, 7)


@pytest.fixture
def registered() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = dict(registry._registered)  # noqa: SLF001  (nothing else takes a strategy out again)
    yield
    registry._registered.clear()  # noqa: SLF001
    registry._registered.update(before)  # noqa: SLF001
    registry.parameters_of.cache_clear()
    registry.memory_of.cache_clear()


@pytest.fixture
def kept(tmp_path: Path, test_server: TestServer) -> Iterator[Kept]:
    """An empty database, and a data folder with the tape."""
    name = test_server.create()
    keep_tape(TAPE, tmp_path, "demo", None)
    yield Kept(tmp_path, test_server.url(name), test_server.url(name, SUPERUSER))
    test_server.drop(name)


def keep(kept: Kept, *strategies: StrategySetup) -> None:
    with connect(kept.url) as database:
        _keep(database, game_of(strategies, TAPE))


def _keep(database: Database, game: Game) -> None:
    run = KeptRun(database, game)
    play(game, run.ledger)
    run.ledger.end()
    run.project()


def off_by_a_tick(parameters: Any, view: View, fill: OrderFilled) -> Act | None:
    """The grid's answer, one tick away from where it belongs."""
    act = on_fill(parameters, view, fill)
    if act is None:
        return None
    (place,) = act.intents
    assert isinstance(place, Place)
    assert place.limit is not None
    return Act((msgspec.structs.replace(place, limit=Price(place.limit + view.instrument.tick)),))


CHANGED = msgspec.structs.replace(GRID_NOW, on_fill=off_by_a_tick)


@pytest.mark.parametrize("parameters", [GRID, RICH_GRID], ids=["plain", "rich"])
def test_a_kept_grid_is_the_same(parameters: dict[str, Any], kept: Kept) -> None:
    keep(kept, setup_of("grid", "grid", parameters))
    verdict = kept.verdict()
    assert (verdict.status, verdict.divergence, verdict.label) == ("same", None, "grid BTC/USDT")
    assert verdict.records > 300
    kept.find(StrategyActed, skip=40)


def test_a_run_by_other_fill_rules_is_verified_by_them(kept: Kept) -> None:
    game = game_of([setup_of("cross", "sma_cross", CROSS)], TAPE)
    with connect(kept.url) as database:
        _keep(database, game)
        _keep(database, replace(game, rules="close-fill"))
        runs = [find_run(database, number) for number in (1, 2)]
        assert [verify(database, kept.home, run).status for run in runs] == ["same", "same"]
    assert runs[0].settings.get("rules") is None
    assert runs[1].settings["rules"] == "close-fill"


def test_several_strategies_on_one_account_are_the_same(kept: Kept) -> None:
    keep(
        kept, setup_of("grid", "grid", GRID), setup_of("cross", "sma_cross", CROSS), setup_of("rich", "grid", RICH_GRID)
    )
    verdict = kept.verdict()
    assert (verdict.status, verdict.label) == ("same", "grid, sma_cross BTC/USDT")


@pytest.mark.usefixtures("registered")
def test_a_strategy_that_was_changed_is_named_with_its_first_other_decision(kept: Kept) -> None:
    keep(kept, setup_of("grid", "grid", GRID))
    registry.register(CHANGED)
    assert code_of(CHANGED) != code_of(GRID_NOW)
    first = next(
        position + index for position, index, record in _all(kept, StrategyActed) if record.events[index].order
    )
    found = diverged(kept.verdict(), "code", first)
    assert "the code of grid of grid has changed since the run was recorded" in found.message
    assert "recorded strategy.acted.v1, rerun strategy.acted.v1" in found.message
    assert found.recorded is not None
    assert found.rerun is not None
    (recorded,), (rerun,) = (each["data"]["intents"] for each in (found.recorded, found.rerun))
    assert float(rerun["limit"]) - float(recorded["limit"]) == pytest.approx(0.01)


def _all(kept: Kept, kind: type[Event]) -> Iterator[tuple[int, int, Any]]:
    skip = 0
    while skip < 5:
        yield kept.find(kind, skip)
        skip += 1


@pytest.mark.usefixtures("registered")
def test_another_file_that_decides_the_same_is_the_same(kept: Kept) -> None:
    """What counts is what it decides: a digest alone is no divergence."""
    keep(kept, setup_of("grid", "grid", GRID))

    def as_before(parameters: Any, view: View) -> Act | None:
        return on_candle(parameters, view)

    again = msgspec.structs.replace(GRID_NOW, on_candle=as_before)
    registry.register(again)
    assert code_of(again) != code_of(GRID_NOW)
    assert kept.verdict().status == "same"


@pytest.mark.usefixtures("registered")
def test_a_strategy_that_reads_hidden_state_is_found(kept: Kept) -> None:
    """The same code on the same facts decides otherwise: that is the strategy's own fault, and called so."""
    calls = []

    def moody(parameters: Any, view: View, fill: OrderFilled) -> Act | None:
        calls.append(fill)
        return on_fill(parameters, view, fill) if len(calls) < 40 else off_by_a_tick(parameters, view, fill)

    registry.register(msgspec.structs.replace(GRID_NOW, on_fill=moody))
    keep(kept, made("grid", registry.strategy_named("grid"), GRID))
    found = kept.verdict().divergence
    assert found is not None
    assert (found.kind, "has changed" in found.message) == ("strategy", False)


@pytest.mark.usefixtures("registered")
def test_a_strategy_that_is_not_installed_is_missing(kept: Kept) -> None:
    registry.register(msgspec.structs.replace(CROSS_NOW, name="elsewhere"))
    keep(kept, setup_of("cross", "elsewhere", CROSS))
    assert kept.verdict().status == "same"
    del registry._registered["elsewhere"]  # noqa: SLF001
    with pytest.raises(MissingError, match="strategy 'elsewhere' of cross is not installed; allowed: grid, sma_cross"):
        kept.verdict()


def _other_close(event: StrategyActed) -> StrategyActed:
    return msgspec.structs.replace(event, close=Price(event.close + 1))


def _other_parameters(event: StrategyStarted) -> StrategyStarted:
    return msgspec.structs.replace(event, parameters=event.parameters.replace('"0.01"', '"0.02"'))


def _no_parameters(event: StrategyStarted) -> StrategyStarted:
    return msgspec.structs.replace(event, parameters="{")


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        (StrategyActed, _other_close, "strategy"),
        (StrategyStarted, _other_parameters, "strategy"),
        (StrategyStarted, _no_parameters, "config"),
    ],
    ids=["an act", "the parameters", "no parameters"],
)
def test_what_was_altered_with_its_leaf_diverges(
    kind: type[Event], change: Callable[[Any], Event], named: str, kept: Kept
) -> None:
    keep(kept, setup_of("grid", "grid", GRID))
    kept.rewrite(kind, change)
    verdict = kept.verdict()
    assert verdict.divergence is not None
    assert (verdict.status, verdict.divergence.kind) == ("diverged", named)


def test_a_codes_digest_is_of_every_file_that_decides() -> None:
    one = code_of(GRID_NOW)
    assert (len(one), one) == (64, code_of(msgspec.structs.replace(GRID_NOW, title="Another.")))
    assert len({one, code_of(CHANGED), code_of(CROSS_NOW)}) == 3
    assert isinstance(CHANGED, Strategy)


def test_the_run_is_found_by_its_strategy(kept: Kept) -> None:
    keep(kept, setup_of("cross", "sma_cross", CROSS))
    with connect(kept.url) as database:
        run = find_run(database, 1)
        assert (run.label, run.settings["strategy"]) == ("sma_cross BTC/USDT", "sma_cross")
        assert module.recorded_game(database, kept.home, run).strategies[0].bot == "cross"
        assert verify(database, kept.home, run).status == "same"
