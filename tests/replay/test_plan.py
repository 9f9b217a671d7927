"""A backtest of several instruments, from its configuration: what it says, who hears which alert, kept and verified."""

import csv
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from domain.bot.settings import Sizing
from domain.errors import InputError
from domain.values import time_text
from infrastructure.database import open_database
from infrastructure.event_store.runs import find_run
from infrastructure.settings import load_settings
from infrastructure.venues.simulated import Terms
from replay.game import UNROUTED
from replay.inputs import read_instruments
from replay.kept import tapes_of
from replay.plan import Account, Plan, make_plan
from tests.api.stage import CONFIG, HEADER, MINUTE, START, Stage, rows, run, walk, without
from tests.conftest import TestServer

NAMES = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
TABLES = """
[[instruments]]
name = "BTC/USDT"
candles = "BTC.csv"
tick = "0.01"
step = "0.00001"

[[instruments]]
name = "ETH/USDT"
candles = "ETH.csv"
tick = "0.01"
step = "0.0001"
min_notional = "10"
bot = "ether"
source = "desk"
[instruments.group]
capital = "500"

[[instruments]]
name = "XRP/USDT"
candles = "XRP.csv"
tick = "0.01"
step = "0.1"
timeframe = "5m"
"""
OWN_SIZE = 'risk_pct_of_equity = "0.5"\nstop_loss_pct = "5"'
OPTIONS = {"candles": None, "instrument": None, "tick": None, "step": None}


@pytest.fixture
def several(
    tmp_path: Path, home: Path, test_server: TestServer, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    """Three tapes (one of five-minute candles that begins late), alerts on all of them, and their configuration."""
    assert home.is_dir()
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(database_name))
    kept = Stage(tmp_path)
    for index, name in enumerate(("BTC", "ETH")):
        candles = walk(600, seed=index + 1, first=4_625_000 // (1 + 9 * index))
        (kept.folder / f"{name}.csv").write_text("\n".join([HEADER, *rows(candles)]) + "\n")
    slow = [line.partition(",")[2] for line in rows(walk(90, seed=9, first=400_000))]
    times = [time_text(START + (30 + 5 * index) * MINUTE) for index in range(len(slow))]
    lines = [f"{at},{line}" for at, line in zip(times, slow, strict=True)]
    (kept.folder / "XRP.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    kept.config.write_text(CONFIG + TABLES)
    kept.signals.write_text("".join(json.dumps(line) + "\n" for line in _signals()))
    return kept


def _signals() -> list[dict[str, Any]]:
    lines = []
    for number in range(60):
        name = NAMES[number % 3]
        at = time_text(START + (10 * number + 3) * MINUTE)
        action = "exit" if number % 9 > 5 else "buy"
        body: Any = {
            "id": f"a{number}",
            "time": at,
            "symbol": name.replace("/", ""),
            "timeframe": "5m",
            "action": action,
        }
        if number == 20:
            body["symbol"] = "DOGEUSDT"
        if number == 23:
            body["timeframe"] = "1h"  # XRP is traded on five minutes only
        if number == 30:
            body = "no alert"
        lines.append({"at": at, "body": body})
    return lines


def plan_of(path: Path, tables: str) -> Plan:
    (path / "config.toml").write_text(CONFIG + tables)
    return make_plan(path / "config.toml", read_instruments(path / "config.toml"))


def alert(symbol: str, timeframe: str = "") -> str:
    return json.dumps({"time": "2022-01-01T00:00:00Z", "symbol": symbol, "action": "buy", "timeframe": timeframe})


# --- the configuration -----------------------------------------------------------------------------------------------


def test_what_the_tables_say(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TABLES)
    assert [(bot.bot, bot.source, bot.instrument, bot.timeframe) for bot in plan.bots] == [
        ("dca_signals-BTCUSDT", "signals-BTCUSDT", "BTC/USDT", ""),
        ("ether", "desk", "ETH/USDT", ""),
        ("dca_signals-XRPUSDT-5m", "signals-XRPUSDT-5m", "XRP/USDT", "5m"),
    ]
    assert [bot.settings.capital for bot in plan.bots] == [1000, 500, 1000]
    account = Account("spot", {"USDT": Decimal(1)}, Terms(Decimal(0), Decimal(0)), Decimal(5))
    portfolio = plan.portfolio(account, [2, 4, 2])
    assert [market.instrument.id for market in portfolio.markets] == list(NAMES)
    assert [market.instrument.price_scale for market in portfolio.markets] == [2, 4, 2]
    assert [market.instrument.minimum_notional for market in portfolio.markets] == [5 * 10**8, 10 * 10**8, 5 * 10**8]


def test_an_instrument_s_own_size_stands_for_the_common_one(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TABLES.replace('capital = "500"', OWN_SIZE))
    sizes = [(bot.settings.capital, bot.settings.sizing) for bot in plan.bots]
    assert sizes == [(1000, UNSET), (None, Sizing("risk_pct_of_equity", Decimal("0.5"))), (1000, UNSET)]


def test_alerts_go_to_the_bot_of_their_symbol_and_timeframe(tmp_path: Path) -> None:
    again = '[[instruments]]\nname = "XRP/USDT"\ncandles = "XRP.csv"\ntick = "0.01"\nstep = "0.1"\n'
    route = plan_of(tmp_path, TABLES).route()
    both = plan_of(tmp_path, TABLES + again)
    assert (len(both.markets), len(both.bots)) == (3, 4)
    for symbol, timeframe, source in (
        ("BTCUSDT", "", "signals-BTCUSDT"),
        ("BINANCE:BTC-USDT", "1h", "signals-BTCUSDT"),
        ("ethusdt", "5m", "desk"),
        ("XRPUSDT", "5m", "signals-XRPUSDT-5m"),
        ("XRPUSDT", "1h", UNROUTED),
        ("XRPUSDT", "", UNROUTED),
        ("DOGEUSDT", "5m", UNROUTED),
    ):
        assert route(alert(symbol, timeframe), "") == source
    assert both.route()(alert("XRPUSDT", "1h"), "") == "signals-XRPUSDT"
    assert both.route()(alert("XRPUSDT", "5m"), "") == "signals-XRPUSDT-5m"
    assert route("no alert", "") == UNROUTED
    assert route("no alert", "desk") == "desk", "a line may name its source"
    with pytest.raises(InputError, match="'other' is not there; allowed: desk, signals-BTCUSDT, "):
        route(alert("BTCUSDT"), "other")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('step = "0.0001"\n', "", "missing required field `step`"),
        ('candles = "ETH.csv"', 'candle = "ETH.csv"', "unknown field `candle`"),
        ('candles = "ETH.csv"', 'candles = "ETH.csv"\ntape = "eth"', r"instruments\[1\] must have candles, .* or tape"),
        ('candles = "ETH.csv"\n', "", r"instruments\[1\] must have candles"),
        (
            'min_notional = "10"',
            'min_notional = "ten"',
            r"instruments\[1\].min_notional: .*\nallowed: a decimal number",
        ),
        ('min_notional = "10"', 'fee_asset = "bnb"', r"instruments\[1\].fee_asset: .*\nallowed: quote, base"),
        ('capital = "500"', 'capital = "0"', r"instruments\[1\]: group.capital is 0; allowed: above 0"),
        ('capital = "500"', "capital = true", r"instruments\[1\].group.capital: .*\nallowed: a decimal number"),
        ('capital = "500"', "x = 1", r"instruments\[1\].group: .*unknown field `x`"),
        ('name = "ETH/USDT"', 'name = "BTC/USDT"', "BTC/USDT: named again with other candles, grids or fees"),
        ('timeframe = "5m"', 'bot = "ether"', "two of them name the bot 'ether'"),
        ('timeframe = "5m"', 'source = "desk"', "two of them name the source 'desk'"),
        ('bot = "ether"', 'bot = "a/b"', "bot 'a/b' is not allowed"),
        ('source = "desk"', 'source = "unrouted"', "source 'unrouted' is not allowed"),
        (
            'capital = "500"',
            'risk_amount = "5"',
            r"instruments\[1\]: group.stop_loss_pct is missing; allowed: .* risk_am",
        ),
        (TABLES, "instruments = 5\n", "must be written as"),
        (
            TABLES,
            TABLES + "[other]\nx = 1\n",
            r"unknown key 'other'; allowed: \[group\], \[parameters\], \[\[instruments\]\]",
        ),
    ],
)
def test_what_they_must_not_say(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in TABLES
    text = TABLES.replace(old, new, 1)
    if new.startswith("instruments"):
        (tmp_path / "config.toml").write_text(new + CONFIG)
        with pytest.raises(InputError, match=said):
            read_instruments(tmp_path / "config.toml")
        return
    with pytest.raises(InputError, match=said):
        plan_of(tmp_path, text)


def test_the_same_bot_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two bots for alerts on BTC/USDT"):
        plan_of(tmp_path, TABLES + TABLES[: TABLES.index("[[instruments]]", 5)])


@pytest.mark.parametrize(
    ("old", "new", "balance", "said"),
    [
        (
            'name = "ETH/USDT"',
            'name = "ETH/EUR"',
            "USDT=1",
            "ETH/EUR: all instruments of an account are quoted in USDT",
        ),
        ('name = "ETH/USDT"', 'name = "BTC/USDT"', "DOGE=1", "named again"),
        ("", "", "DOGE=1", "balance DOGE: the account trades BTC, ETH, XRP and USDT only"),
        ('step = "0.0001"', 'step = "0"', "USDT=1", "instruments, ETH/USDT: step 0 must be above 0"),
        ('name = "ETH/USDT"', 'name = "ETHUSDT"', "USDT=1", "'ETHUSDT' is not BASE/QUOTE"),
        ('candles = "ETH.csv"', 'tape = "ether"', "USDT=1", "no tape is named 'ether'"),
        ('candles = "ETH.csv"', 'candles = "none.csv"', "USDT=1", "none.csv"),
    ],
)
def test_a_run_that_cannot_be(old: str, new: str, balance: str, said: str, several: Stage) -> None:
    several.config.write_text(CONFIG + TABLES.replace(old, new, 1))
    ended = run(*several.arguments(**OPTIONS, balance=balance))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert not several.out.exists()


def test_options_of_one_instrument_do_not_go_with_tables_of_several(several: Stage) -> None:
    ended = run(*several.arguments(**{**OPTIONS, "tick": "0.01"}))
    assert (ended.code, "--tick is given, and" in ended.err) == (2, True)
    ended = run(*several.arguments(**OPTIONS, config=several.folder / "one.toml"))
    assert ended.code == 2
    (several.folder / "one.toml").write_text(CONFIG)
    ended = run(*several.arguments(**OPTIONS, config=several.folder / "one.toml"))
    assert (ended.code, "--candles" in ended.err, "[[instruments]]" in ended.err) == (2, True, True)


# --- the run ---------------------------------------------------------------------------------------------------------


def test_a_run_trades_all_of_them_from_one_account(several: Stage) -> None:
    summary = several.backtest(**OPTIONS)
    assert summary["instruments"] == list(NAMES)
    assert list(summary["tape_digests"]) == list(NAMES)
    assert summary["counts"]["candles"] == 600 + 600 + 90
    assert summary["counts"]["alerts"]["received"] == 60
    verdicts = Counter(event["event"] for event in several.events() if event["data"].get("source") == UNROUTED)
    assert (verdicts["signal.refused.v1"], verdicts["signal.malformed.v1"]) == (2, 1)
    with (several.out / "fills.csv").open(newline="") as file:
        fills = list(csv.DictReader(file))
    assert {fill["instrument"] for fill in fills} == set(NAMES)
    cash, positions = Decimal(100_000), Counter[str]()
    for fill in fills:
        sign = 1 if fill["side"] == "buy" else -1
        cash -= sign * Decimal(fill["price"]) * Decimal(fill["quantity"]) + Decimal(fill["fee"])
        positions[fill["instrument"]] += sign * Decimal(fill["quantity"])  # type: ignore[assignment]
    closes = {name: _last_close(several.folder / f"{name[:3]}.csv") for name in NAMES}
    worth = sum(positions[name] * closes[name] for name in NAMES)
    assert Decimal(summary["final_equity"]) == cash + worth


def _last_close(path: Path) -> Decimal:
    return Decimal(path.read_text().splitlines()[-1].split(",")[4])


@pytest.mark.parametrize("size", ['capital = "500"', OWN_SIZE])
def test_it_is_kept_verified_and_the_same_from_stored_tapes(size: str, several: Stage) -> None:
    tables = TABLES.replace('capital = "500"', size)
    several.config.write_text(CONFIG + tables)
    summary = several.backtest(**OPTIONS)
    kept = several.backtest("--keep", **OPTIONS)
    assert without(kept, "run", "seconds") == without(summary, "run", "seconds")
    with open_database(load_settings()) as database:
        found = find_run(database, 1)
    assert found.label == "dca_signals BTC/USDT, ETH/USDT, XRP/USDT"
    assert tapes_of(found) == kept["tape_digests"]
    ended = run("verify", "--json")
    assert (ended.code, ended.json[0]["status"]) == (0, "same"), ended.json
    assert ended.json[0]["log_sha256"] == summary["log_sha256"]
    assert run("doctor").code == 0
    several.config.write_text(CONFIG + tables.replace('candles = "BTC.csv"', 'tape = "BTC"'))
    assert several.backtest(**OPTIONS)["log_sha256"] == summary["log_sha256"]


def test_verify_says_which_tape_is_gone(several: Stage, home: Path) -> None:
    several.backtest("--keep", **OPTIONS)
    (home / "market" / "ETH.parquet").unlink()
    ended = run("verify", "--json")
    assert (ended.code, ended.json[0]["status"]) == (2, "missing")
    assert run("doctor").code == 1


def test_the_order_of_the_tables_is_that_of_one_instant_and_part_of_the_run(several: Stage) -> None:
    first = several.backtest(**OPTIONS)
    tables = TABLES.split("[[instruments]]")[1:]
    several.config.write_text(CONFIG + "".join(f"[[instruments]]{table}" for table in reversed(tables)))
    second = several.backtest(**OPTIONS)
    assert second["instruments"] == list(reversed(NAMES))
    assert second["log_sha256"] != first["log_sha256"]
    assert second["final_equity"] == first["final_equity"], "enough cash for all: the order changes names, not money"


def test_one_table_trades_as_the_options_do(several: Stage) -> None:
    """Another name for bot and source is all that differs."""
    table = TABLES[: TABLES.index("[[instruments]]", 5)]
    several.config.write_text(CONFIG + table + 'bot = "dca_signals"\nsource = "signals"\n')
    lines = [line for line in _signals() if isinstance(line["body"], dict) and line["body"]["symbol"] == "BTCUSDT"]
    several.signals.write_text("".join(json.dumps(line) + "\n" for line in lines))
    by_table = several.backtest(**OPTIONS)
    several.config.write_text(CONFIG)
    by_options = several.backtest(candles=several.folder / "BTC.csv", min_notional="0")
    several.config.write_text(CONFIG + table + 'min_notional = "5"\nbot = "dca_signals"\nsource = "signals"\n')
    assert by_table["log_sha256"] == several.backtest(**OPTIONS)["log_sha256"], "the option holds for those without"
    assert by_options["log_sha256"] != by_table["log_sha256"]
    several.config.write_text(CONFIG)
    by_options = several.backtest(candles=several.folder / "BTC.csv")
    assert by_options["log_sha256"] == by_table["log_sha256"]
