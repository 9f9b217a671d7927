"""`truetape market download` as it is called: killed, gone on with, and said."""

import json
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from domain.values import Time
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import find_run
from infrastructure.market_data.download import Wanted, download
from infrastructure.market_data.importers import candles_from
from infrastructure.market_data.venue_candles import Series
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import Setup, game_of, play
from replay.kept import KeptRun
from replay.verify import verify
from tests.api.stage import command, environment, run, run_apart
from tests.infrastructure.market_data.candles import HEADER
from tests.spec import instrument, settings
from tests.venue_server import MINUTE, START, Fault, VenueServer, candle, venue

ASK = ("market", "download", "binance", "BTC/USDT", "--from", "2026-01-01")
COUNT = 3500


def addresses(server: VenueServer) -> str:
    return json.dumps({"binance": server.url})


def test_a_killed_download_goes_on_behind_its_last_page(home: Path) -> None:
    """Killed while it waits for the third page; then refused, cut and shut out for a second on the way."""
    there = {number: candle(number) for number in range(COUNT) if not 1200 <= number < 1300}
    rows = [f"{START + number * MINUTE},{','.join(each)}" for number, each in there.items()]
    whole = candles_from(Path("whole.csv"), "\n".join([HEADER, *rows]).encode())
    with venue("binance", there, COUNT) as server:
        server.faults = [Fault(), Fault(), Fault(hang=True)]
        variables = environment(TRUETAPE_HOME=str(home), TRUETAPE_VENUE_URLS=addresses(server))
        process = subprocess.Popen(command(*ASK), env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with process:
            assert server.hanging.wait(60)
            process.kill()
        assert not (home / "market" / "binance-BTC-USDT-1m.parquet").exists()
        assert len(server.asked) == 3
        server.faults = [Fault(500), Fault(cut=True), Fault(429, {"Retry-After": "1"})]
        ended = run_apart(*ASK, "--json", TRUETAPE_HOME=str(home), TRUETAPE_VENUE_URLS=addresses(server))
        assert (ended.code, ended.err) == (0, "")
        assert {each["startTime"] for each in server.asked[3:]} == {
            str(START + 2100 * MINUTE),
            str(START + 3100 * MINUTE),
        }
    facts = ended.json
    assert (facts["digest"], facts["rows"], facts["gaps"]["count"]) == (whole.digest, len(there), 1)
    assert (facts["candles_new"], facts["candles_resumed"], facts["new"]) == (len(there), 2000, True)
    assert facts["requests"] == 2 + 5, "markets, clock, two pages and three that failed"
    assert list((home / "market" / "downloads").iterdir()) == []


def test_what_it_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.exists()
    with venue("binance", {number: candle(number) for number in range(5, 40)}, 40) as server:
        monkeypatch.setenv("TRUETAPE_VENUE_URLS", addresses(server))
        ended = run(*ASK, "--to", "2026-01-01T00:30:00Z", "--name", "mine")
        assert (ended.code, ended.err) == (0, "")
        assert "tape        mine" in ended.out
        assert "25 new candles; 3 requests, " in ended.out
        assert "the venue gave none before 2026-01-01T00:05:00Z: 5m are missing" in ended.out
        more = run(*ASK[:4], "--name", "mine")
        assert "10 new candles; " in more.out
        assert "binance BTC/USDT 1m" in run("market", "download", "binance", "BTC/USDT").err
    assert [each["name"] for each in run("market", "list", "--json").json["tapes"]] == ["mine"]


def test_a_run_on_a_tape_that_was_extended_since_is_the_same(database: Database, home: Path) -> None:
    """It finds its own candles in the longer tape, whose prices have more digits now."""
    plain = dict.fromkeys(range(20), ("100", "101.5", "99", "100.25", "1"))
    with venue("binance", plain | {30: candle(30)}, 40) as server:
        series = Series("binance", "BTC/USDT", "1m")
        first = download(Wanted(series, Time(START * 1000), Time((START + 20 * MINUTE) * 1000)), home, server.url)
        game = game_of(
            Setup(instrument(), Terms(Decimal(0), Decimal(0)), {"USDT": Decimal(10_000)}, settings()),
            first.stored.load(),
            [
                TimedAlert(
                    Time((START + 2 * MINUTE) * 1000),
                    "signals",
                    '{"time": "2026-01-01T00:02:00Z", "symbol": "BTCUSDT", "action": "buy"}',
                )
            ],
        )
        made = KeptRun(database, game)
        play(game, made.ledger)
        made.ledger.end()
        longer = download(Wanted(series), home, server.url)
    assert (longer.stored.header.rows, longer.stored.header.price_scale) == (21, 9)
    verdict = verify(database, home, find_run(database))
    assert (verdict.status, verdict.divergence) == ("same", None)
    assert verdict.records > 15


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "yesterday"), "yesterday"),
        (("--timeframe", "1w"), "timeframe '1w' is not allowed"),
        ((), "say --from when"),
    ],
)
def test_what_cannot_be_asked(arguments: tuple[str, ...], said: str, home: Path) -> None:
    ended = run("market", "download", "binance", "BTC/USDT", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert list(home.iterdir()) == []


def test_an_address_that_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.exists()
    monkeypatch.setenv("TRUETAPE_VENUE_URLS", '{"binance": "ftp://x"}')
    assert "each must begin with http:// or https://" in run(*ASK).err
