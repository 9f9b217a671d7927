"""What follows from a run agrees with its summary, and its folder is whole."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from msgspec import structs

from domain.errors import InputError
from domain.market import make_instrument
from domain.values import Time
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import RULES
from replay.demo import demo_alerts, demo_setup, demo_tape
from replay.files import EVENTS_FILE, FILES, FILLS_FILE, REPORT_FILE
from replay.game import BotSetup, Game, MarketSetup, Portfolio, game_of, play, portfolio_game
from replay.gathered import gather
from replay.log_tables import write_fills
from replay.result import versions
from replay.results import results_of, write_report, write_tables
from replay.summary import summarize
from tests.replay.run import Kept


def played(game: Game) -> Kept:
    kept = Kept()
    play(game, kept)
    return kept


def one_market(balances: dict[str, Decimal] | None = None) -> Game:
    tape, setup = demo_tape(12, 4), demo_setup()
    return game_of(structs.replace(setup, balances=balances or setup.balances), tape, demo_alerts(tape, 300, 4))


def two_markets() -> Game:
    """The same settings on two walks; the second market's prices have more places."""
    setup = demo_setup()
    tapes = [demo_tape(6, 4), demo_tape(8, 9)]
    other = make_instrument("ETH/USDT", Decimal("0.001"), Decimal("0.00001"), Decimal(5))
    markets = (MarketSetup(setup.instrument, setup.terms), MarketSetup(other, setup.terms))
    bots = (
        BotSetup("a", "signals", setup.instrument.id, setup.settings),
        BotSetup("b", "others", other.id, setup.settings),
    )
    alerts = [
        *demo_alerts(tapes[0], 120, 4),
        *(
            structs.replace(alert, source="others", body=alert.body.replace("BTC", "ETH"))
            for alert in demo_alerts(tapes[1], 120, 9)
        ),
    ]
    alerts.sort(key=lambda alert: alert.at)
    return portfolio_game(Portfolio(markets, bots, {"USDT": Decimal(100_000)}), tapes, alerts)


def summary(game: Game, records: Kept) -> dict[str, Any]:
    figures = summarize(records, game.markets[0].instrument)
    return {
        "run": 3, "strategy": "dca_signals", "rules": RULES, "log_sha256": "0" * 64, "versions": versions(),
        "tape_digests": {market.instrument.id: market.tape.digest for market in game.markets},
        "counts": {"candles": game.candles, **figures.pop("counts")}, **figures,
    }  # fmt: skip


@pytest.mark.parametrize(
    "make", [one_market, two_markets, lambda: one_market({"USDT": Decimal(9000), "BTC": Decimal("0.5")})]
)
def test_results_are_those_of_the_summary(make: Any) -> None:
    game = make()
    records = played(game)
    told, results = summary(game, records), results_of(game, gather(records))
    assert results.metrics.growth.final_equity == told["final_equity"]
    assert results.metrics.trades.fees == told["fees"]
    assert results.metrics.trades.turnover == told["turnover"]
    assert results.metrics.trades.fills == told["counts"]["fills"] == len(results.fills) > 30
    assert {fill.instrument for fill in results.fills} == {market.instrument.id for market in game.markets}


@pytest.mark.parametrize("make", [one_market, two_markets])
def test_a_folder_is_whole_and_the_same_again(make: Any, tmp_path: Path) -> None:
    game = make()
    records = played(game)
    told = summary(game, records)
    for name in ("a", "b"):
        results = write_tables(tmp_path / name, game, gather(records), records)
        write_report(tmp_path / name / REPORT_FILE, game, results, told, {"legs": 3}, ("Mind the gap.",))
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    write_fills(tmp_path / "fills.csv", records)
    assert (tmp_path / "a" / FILLS_FILE).read_bytes() == (tmp_path / "fills.csv").read_bytes()
    events = pl.read_parquet(tmp_path / "a" / EVENTS_FILE)
    assert events.height == told["counts"]["events"]
    page = (tmp_path / "a" / REPORT_FILE).read_text()
    assert "Mind the gap." in page
    assert page.count('class="chart market"') == len(game.markets)
    assert ("bought and held" in page) == (len(game.markets) == 1)
    assert "maker fee" in page
    assert "kept as run" in page


def test_tables_of_a_log_that_breaks_off_leave_nothing(tmp_path: Path) -> None:
    game = one_market()
    records = played(game)

    def broken() -> Any:
        yield from records[:100]
        raise InputError("the log ends here")

    with pytest.raises(InputError, match="the log ends here"):
        write_tables(tmp_path, game, gather(records), broken())
    assert list(tmp_path.iterdir()) == []


def test_a_tape_without_candles_has_no_results() -> None:
    setup = demo_setup()
    empty: Tape = demo_tape(1, 1).slice(Time(0), Time(1))
    game = game_of(setup, empty, [])
    with pytest.raises(InputError, match="no candle"):
        results_of(game, gather(played(game)))


def test_figures_are_json() -> None:
    game = one_market()
    told = msgspec.json.decode(msgspec.json.encode(results_of(game, gather(played(game))).metrics))
    assert told["growth"]["currency"] == "USDT"
