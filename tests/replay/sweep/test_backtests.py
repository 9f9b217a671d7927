"""Searches over a real strategy on a real tape: each trial is the backtest that it says it is."""

from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import structs

from domain.account.events import OrderFilled
from domain.errors import InputError
from domain.strategy.registry import strategy_named
from domain.values import DAY, Time
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import Terms
from projections.performance import DEPOSIT
from replay.demo import demo_tape
from replay.game import MarketSetup, Portfolio
from replay.gathered import gather
from replay.inputs import InstrumentTable
from replay.results import results_of
from replay.sweep.backtests import BacktestJob
from replay.sweep.job import Window, unseen
from replay.sweep.objective import Objective
from replay.sweep.processes import here, processes
from replay.sweep.search import Search, find
from replay.sweep.space import Space, read_space
from replay.sweep.walk_forward import Plan, walk
from tests.strategy_game import BTC, game_of, made, played

DAYS = 6
BALANCES = {"USDT": Decimal(100_000)}
TABLE = InstrumentTable("BTC/USDT", Decimal("0.01"), Decimal("0.00001"))
CROSS = {"fast": 20, "slow": 90, "notional": Decimal(10_000)}


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tapes") / "walk.parquet"
    demo_tape(DAYS, 11).save(path)
    return path


def job_on(tape: Path, market: Window | None = None) -> BacktestJob:
    terms = Terms(Decimal("0.0002"), Decimal("0.0005"))
    portfolio = Portfolio((MarketSetup(BTC, terms),), (), BALANCES, "spot")
    return BacktestJob("sma_cross", portfolio, (TABLE,), (tape,), market)


def space_of(*texts: str) -> Space:
    strategy = strategy_named("sma_cross")
    return read_space([*texts, "notional=10000"], strategy.parameters, lambda given: strategy.check(given, None))


def days_of(tape: Tape, first: int, last: int) -> Window:
    start = tape.open_times[0]
    return Window(Time(start + first * DAY), Time(start + last * DAY))


def test_a_trial_is_the_backtest_with_these_parameters(tape: Path) -> None:
    """The fills of a run by hand, added up: the profit of a strategy that ended flat is what its cash gained."""
    loaded = Tape.load(tape)
    ledger = played(game_of([made("sma_cross", strategy_named("sma_cross"), CROSS)], loaded, balances=BALANCES))
    fills = [event for record in ledger.records for event in record.events if isinstance(event, OrderFilled)]
    bought, sold = ([fill for fill in fills if fill.side == side] for side in ("buy", "sell"))
    whole = min(len(bought), len(sold))
    gained = sum(fill.cash - fill.fee for fill in sold) - sum(fill.cash + fill.fee for fill in bought[:whole])
    outcome = job_on(tape).prepare()(CROSS, None)
    assert outcome["trades"] == len(sold) > 20
    assert Decimal(str(outcome["profit"])) == pytest.approx(Decimal(gained).scaleb(-BTC.quote_scale))
    assert outcome["fees"] == pytest.approx(float(Decimal(sum(fill.fee for fill in fills)).scaleb(-BTC.quote_scale)))
    assert len(outcome["daily_returns"]) == DAYS


def test_a_window_is_a_backtest_of_its_candles_alone(tape: Path) -> None:
    loaded = Tape.load(tape)
    window = days_of(loaded, 2, 4)
    evaluate = job_on(tape).prepare()
    assert evaluate(CROSS, window) == job_on(tape, window).prepare()(CROSS, None)
    assert evaluate(CROSS, window) != evaluate(CROSS, days_of(loaded, 3, 5))
    assert len(evaluate(CROSS, window)["daily_returns"]) == 2


def test_nothing_is_left_from_one_trial_to_the_next(tape: Path) -> None:
    evaluate = job_on(tape).prepare()
    first = evaluate(CROSS, None)
    evaluate({**CROSS, "fast": 5}, None)
    assert evaluate(CROSS, None) == first


def test_what_the_strategy_refuses_is_refused(tape: Path) -> None:
    with pytest.raises(InputError, match="fast"):
        job_on(tape).prepare()({**CROSS, "fast": 100}, None)


def test_a_sweep_over_processes_is_the_sweep_of_one(tape: Path) -> None:
    space, sharpe = space_of("fast=10..40:10", "slow=30|60"), Objective("sharpe", "max")
    with here(job_on(tape)) as run:
        alone = find(Search("grid"), space, sharpe, run, unseen)
    with processes(job_on(tape), 2) as run:
        assert find(Search("grid"), space, sharpe, run, unseen) == alone
    assert [trial.status for trial in alone] == ["done", "done"] * 2 + ["skipped", "done"] * 2
    assert all(trial.moments is not None for trial in alone if trial.status == "done")


def test_a_walk_forward_chooses_and_trades(tape: Path) -> None:
    loaded = Tape.load(tape)
    space, total = space_of("fast=10|30", "slow=60|120"), Objective("total_return", "max")
    with here(job_on(tape)) as run:
        result = walk(Plan("anchored", 2, 1, 1), days_of(loaded, 0, DAYS), Search("grid"), space, total, run, unseen)
        evaluate = job_on(tape).prepare()
        for leg in result.legs:
            assert leg.chosen is not None
            assert leg.tested is not None
            given = [evaluate(parameters, leg.train)["total_return"] for parameters in space.grid()]
            assert leg.chosen.outcome["total_return"] == max(given)
            assert leg.tested.parameters == leg.chosen.parameters
            assert leg.tested.outcome["total_return"] == evaluate(leg.chosen.parameters, leg.test)["total_return"]
    assert len(result.legs) == 4
    assert len(result.returns) == 4


def test_what_was_held_at_the_start_is_sold_not_short(tape: Path) -> None:
    """A grid sells what the account came with: its round trips are those of the same run's own results, all of them long."""
    loaded, holding = Tape.load(tape), {"USDT": Decimal(100_000), "BTC": Decimal(1)}
    parameters = {"quantity": Decimal("0.01"), "levels_each_side": 20, "spacing_pct": Decimal("0.1")}
    game = game_of([made("grid", strategy_named("grid"), parameters)], loaded, balances=holding)
    results = results_of(game, gather(played(game).records))
    assert {trip.side for trip in results.trades.trips} == {"long"}
    assert any(trip.opening_order == DEPOSIT for trip in results.trades.trips)
    job = structs.replace(
        job_on(tape), strategy="grid", portfolio=structs.replace(job_on(tape).portfolio, balances=holding)
    )
    outcome = job.prepare()(parameters, None)
    figures = results.metrics.trades
    assert outcome["trades"] == figures.trades > 20
    assert outcome["profit"] == float(figures.net_profit)
    assert outcome["win_rate"] == figures.win_rate
    assert outcome["total_return"] == results.metrics.growth.total_return
