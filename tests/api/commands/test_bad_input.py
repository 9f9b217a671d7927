"""Bad input: exit 2, at most three lines that name it and say what is allowed, and nothing written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.api.stage import CONFIG, HEADER, Ended, Stage, files, klines, rows, run, run_apart

LINE = '{"at": "2022-01-01T00:05:00Z", "body": {}}\n'


class Bad(NamedTuple):
    """A fault: how it is planted, and what must be said of it."""

    name: str
    plant: Callable[[Stage], dict[str, Any]]
    said: tuple[str, ...]


def options(name: str, *said: str, **changes: Any) -> Bad:
    return Bad(name, lambda _stage: changes, said)


def signals(name: str, text: str | bytes, *said: str) -> Bad:
    def plant(stage: Stage) -> dict[str, Any]:
        stage.signals.write_bytes(text.encode() if isinstance(text, str) else text)
        return {}

    return Bad(name, plant, ("signals.jsonl", *said))


def config(name: str, old: str, new: str, *said: str) -> Bad:
    def plant(stage: Stage) -> dict[str, Any]:
        assert old in CONFIG
        stage.config.write_text(CONFIG.replace(old, new, 1))
        return {}

    return Bad(name, plant, ("config.toml", *said))


def whole_config(name: str, text: str | bytes, *said: str) -> Bad:
    def plant(stage: Stage) -> dict[str, Any]:
        stage.config.write_bytes(text.encode() if isinstance(text, str) else text)
        return {}

    return Bad(name, plant, ("config.toml", *said))


def candles(name: str, change: Callable[[list[str]], list[str]], *said: str) -> Bad:
    def plant(stage: Stage) -> dict[str, Any]:
        stage.candles.write_text("\n".join([HEADER, *change(rows(stage.market))]) + "\n")
        return {}

    return Bad(name, plant, ("candles.csv", *said))


def unreadable(option: str, *said: str, folder: bool) -> Bad:
    def plant(stage: Stage) -> dict[str, Any]:
        return {option: stage.folder if folder else stage.folder / "nothing.csv"}

    return Bad(f"{option} is {'a folder' if folder else 'missing'}", plant, said)


FAULTS = [
    *(unreadable(option, "nothing.csv", "o such file", folder=False) for option in ("signals", "candles", "config")),
    *(unreadable(option, "irectory", folder=True) for option in ("signals", "config")),
    unreadable("candles", "is a folder", ".csv", folder=True),
    signals("line is no JSON", LINE + "hello\n", "line 2", '{"at": "<UTC ISO time>", "body": <the alert>}'),
    signals("line is a list", "[]\n", "line 1", '"at"'),
    signals("blank line", LINE + "\n" + LINE, "line 2"),
    signals("no at", '{"body": {}}\n', "line 1", "`at`"),
    signals("at is a number", LINE + LINE + '{"at": 5, "body": {}}\n', "line 3", "$.at"),
    signals("at is no time", '{"at": "noon", "body": {}}\n', "line 1", "'noon' is not an ISO 8601 time"),
    signals("at is naive", '{"at": "2022-01-01T00:05:00", "body": {}}\n', "line 1", "UTC"),
    signals("at before time", '{"at": "0001-01-01T00:00:00+23:59", "body": {}}\n', "line 1", "1970-01-01T00:00:00Z"),
    signals("at after time", LINE + '{"at": "9999-01-01T00:00:00Z", "body": {}}\n', "line 2", "2200-01-01T00:00:00Z"),
    signals("extra key", '{"at": "2022-01-01T00:05:00Z", "body": {}, "x": 1}\n', "line 1", "`x`"),
    signals("no body", LINE + '{"at": "2022-01-01T00:05:00Z"}\n', "line 2", "`body`"),
    signals("key is not UTF-8", b"\xff\xfe" + LINE.encode(), "line 1", "not UTF-8 text"),
    signals("body is not UTF-8", LINE.encode() + LINE.replace("{}", '"\xff"').encode("latin-1"), "line 2", "UTF-8"),
    signals("nested too deeply", LINE.replace("{}", "[" * 100_000 + "]" * 100_000), "line 1", "nested too deeply"),
    signals("five megabytes of nothing", "x" * 5_000_000, "line 1"),
    whole_config("config is empty", "", "[group]"),
    whole_config("config is no TOML", "[group", "is not TOML"),
    whole_config("config is not UTF-8", b"\xff\xfe", "is not TOML", "utf-8"),
    whole_config("config nests too deeply", "x = " + "[" * 5000, "nested too deeply"),
    whole_config("config with an endless number", f"x = {'1' * 5000}", "is not TOML"),
    whole_config("config with a number out of range", f"x = 1e{'9' * 30}", "is not TOML", "out of range"),
    whole_config("group is a number", "group = 5", "group", "int", "a table of capital"),
    whole_config("group is a list", "[[group]]\ncapital = '1'", "group", "array", "a table of capital"),
    config("unknown table", "[group]", "[other]\nx = 1\n[group]", "'other'", "[group]"),
    config("unknown key at the top", "[group]", "fee = 1\n[group]", "'fee'", "[group]"),
    config("unknown key in the group", "max_pyramids", "pyramids", "`pyramids`", "max_pyramids"),
    config("unknown key in a leg", '{gap_pct = "0"', '{gap = "0"', "legs[0]", "gap_pct"),
    config("unknown key in the second leg", '{gap_pct = "-0.3"', '{x = 1, gap_pct = "-0.3"', "legs[1]", "`x`"),
    config(
        "no capital",
        'capital = "1000"\n',
        "",
        "group.capital is missing",
        "exactly one of capital, capital_pct_of_equity",
    ),
    config("weights of 99", '"60"', '"59"', "weight_pct", "99", "a sum of exactly 100"),
    config("weights a hair over", '"60"', '"60.0000000001"', "100.0000000001", "a sum of exactly 100"),
    config("capital is 0", '"1000"', "0", "group.capital is 0", "above 0"),
    config("capital is not finite", '"1000"', "nan", "group.capital is NaN"),
    config("capital is infinite", '"1000"', '"inf"', "group.capital"),
    config("capital is a word", '"1000"', '"much"', "group.capital", "a decimal number"),
    config("capital is true", '"1000"', "true", "group.capital", "bool", "a decimal number"),
    config("capital is a date", '"1000"', "2022-01-01", "group.capital", "date"),
    config("capital is a list", '"1000"', "[1]", "group.capital", "array"),
    config("capital is enormous", '"1000"', '"1e400"', "group.capital"),
    config("entry is no entry", '"market"', '"stop"', "group.entry", "'stop'", "market, limit"),
    config("when_flat is neither", '"keep"', '"sell"', "group.when_flat", "'sell'", "keep, cancel"),
    config("no pyramids", "max_pyramids = 1", "max_pyramids = 0", "group.max_pyramids is 0", "1 to 100"),
    config("a half pyramid", "max_pyramids = 1", "max_pyramids = 1.0", "group.max_pyramids", "a whole number"),
    config("gap of -100 %", '"-0.3"', '"-100"', "legs[1].gap_pct is -100", "above -100"),
    config("gap is not finite", '"-0.3"', "nan", "legs[1].gap_pct is NaN"),
    config("weight is 0", '"60"', "0", "legs[1].weight_pct is 0", "above 0"),
    config("target is 0", '"0.5"', "0", "legs[1].take_profit_pct is 0", "above 0"),
    config("leg is a word", '{gap_pct = "0", weight_pct = "40", take_profit_pct = "0.4"}', '"a"', "legs[0]", "gap_pct"),
    options("balance without =", "--balance", "'USDT'", "ASSET=AMOUNT", balance="USDT"),
    options("balance without asset", "--balance", "ASSET=AMOUNT", balance="=5"),
    options("balance without amount", "--balance", "decimal number", balance="USDT="),
    options("balance below 0", "balance USDT", "below 0", balance="USDT=-1"),
    options("balance off the grid", "balance USDT", "8 decimal places", balance="USDT=0.000000001"),
    options("balance too large", "balance USDT", "64 bits", balance="USDT=1e12"),
    options("balance not finite", "--balance", "finite", balance="USDT=NaN"),
    options("balance of a stranger", "balance EUR", "BTC", "USDT", balance=["USDT=5", "EUR=5"]),
    options("balance twice", "--balance", "USDT twice", balance=["USDT=5", "USDT=5"]),
    options("base balance off the grid", "balance BTC", "5 decimal places", balance=["USDT=5", "BTC=0.000001"]),
    *(
        options(f"{name} {value}", name[:3], **{name: value})
        for name in ("tick", "step", "min_notional")
        for value in ("-1", "NaN", "inf", "x", "1e30", "1e-19", "9" * 41)
    ),
    *(options(f"{name} 0", f"{name} 0", "above 0", **{name: "0"}) for name in ("tick", "step")),
    *(
        options(f"{name} {value}", f"--{name.replace('_', '-')}", **{name: value})
        for name in ("maker_fee", "taker_fee", "slippage")
        for value in ("5", "-5", "1", "NaN", "a tenth")
    ),
    options("slippage below 0", "--slippage", "below 0", slippage="-0.1"),
    *(
        options(f"instrument {name!r}", repr(name), "BASE/QUOTE", instrument=name)
        for name in ("BTCUSDT", "BTC/", "/USDT", "BTC/USDT/X", "", "BTC-USD/T")
    ),
    options("instrument against itself", "USDT/USDT", "two assets", instrument="USDT/USDT"),
    options("account is none of ours", "--account", "'futures'", "spot, margin", account="futures"),
    options("fee in a third asset", "--fee-asset", "'bnb'", "quote, base", fee_asset="bnb"),
    options("no tick", "--tick", "backtest --help", tick=None),
    options("unknown option", "--leverage", "backtest --help", leverage="5"),
    candles("price is no number", lambda lines: [*lines[:3], lines[3].replace(",4", ",x4", 1)], "row 4 (line 5)"),
    candles("price below 0", lambda lines: [*lines[:3], lines[3].replace(",4", ",-4", 1)], "row 4", "above 0"),
    candles("NaN", lambda lines: [*lines, "2022-01-02T00:00:00Z,NaN,1,1,1,1"], "row 901", "NaN"),
    candles("high below low", lambda lines: [*lines, "2022-01-02T00:00:00Z,2,1,2,2,1"], "row 901", "below low"),
    candles("out of order", lambda lines: [*lines[:5], lines[6], lines[5]], "row 7", "out of order"),
    candles("twice", lambda lines: [*lines[:5], lines[4]], "row 6", "duplicate"),
    candles("too few columns", lambda lines: [*lines[:5], "1,2"], "row 6", "2 columns", "6"),
    candles("none", lambda _lines: [], "no rows"),
]


def assert_refused(ended: Ended, *said: str) -> None:
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert len(ended.err.splitlines()) <= 3
    assert len(ended.err) < 1100
    assert "Traceback" not in ended.err
    for part in said:
        assert part in ended.err


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_is_refused_and_nothing_is_written(fault: Bad, stage: Stage, home: Path) -> None:
    changes = fault.plant(stage)
    before = files(stage.folder)
    assert_refused(run(*stage.arguments(**changes)), *fault.said)
    assert files(home) == []
    assert files(stage.folder) == before
    assert not stage.out.exists()


def test_the_stage_itself_is_good(stage: Stage) -> None:
    assert run(*stage.arguments()).code == 0


def test_binance_file_with_a_bad_row(stage: Stage, home: Path) -> None:
    lines = klines(stage.market)
    lines[7] = lines[7].replace(".", "..", 1)
    stage.candles.write_text("\n".join(lines))
    assert_refused(run(*stage.arguments()), "candles.csv", "row 8")
    assert files(home) == []


def test_amounts_that_grow_past_64_bits_with_the_prices(stage: Stage) -> None:
    for changes in ({"balance": ["USDT=1", "BTC=9000000000"]}, {"tick": "1e-18"}):
        assert_refused(run(*stage.arguments(**changes)), "64 bits")
        assert not stage.out.exists()


def test_strategy(stage: Stage, home: Path) -> None:
    arguments = stage.arguments()
    arguments[1] = "sma"
    assert_refused(run(*arguments), "strategy 'sma' is not known; allowed: dca_signals, grid, sma_cross, or a file")
    assert files(home) == []


def test_config_numbers_are_exact(stage: Stage) -> None:
    """A TOML number is read as it is written, never through a float."""
    text = stage.backtest()["log_sha256"]
    bare = CONFIG.replace('"', "").replace("market", '"market"').replace("keep", '"keep"')
    stage.config.write_text(bare)
    stage.backtest()
    created = next(event["data"] for event in stage.events() if event["event"] == "bot.created.v1")
    assert [leg["take_profit_pct"] for leg in created["settings"]["legs"]] == ["0.4", "0.5"]
    assert stage.summary()["log_sha256"] == text
    stage.config.write_text(bare.replace("1000", "1000.1000000000000001"))
    stage.backtest()
    created = next(event["data"] for event in stage.events() if event["event"] == "bot.created.v1")
    assert created["settings"]["capital"] == "1000.1000000000000001"


# --- where to write --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["", "keep"])
@pytest.mark.parametrize("place", ["a file", "under a file", "not writable", "not makeable", "summary is a folder"])
def test_out_is_refused_before_anything_is_written(
    place: str, keep: tuple[str, ...], kept: Stage, home: Path, superuser_url: str
) -> None:
    out = {
        "a file": kept.config,
        "under a file": kept.config / "a" / "b",
        "not writable": Path("/proc/self"),
        "not makeable": Path("/proc/nothing/here"),
        "summary is a folder": kept.out,
    }[place]
    if place == "summary is a folder":
        (kept.out / "summary.json").mkdir(parents=True)
    before = files(kept.folder)
    assert_refused(run(*kept.arguments(*keep, out=out)), str(out))
    assert files(home) == []
    assert files(kept.folder) == before
    assert_no_run(superuser_url)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_out_without_permission(stage: Stage, home: Path) -> None:
    stage.out.mkdir(mode=0o500)
    assert_refused(run(*stage.arguments()), str(stage.out), "Permission denied")
    assert files(home) == []


@pytest.mark.parametrize("where", ["/proc/nothing", "candles.csv", "candles.csv/home"])
def test_home_that_cannot_be_written(where: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    home = stage.folder / where
    monkeypatch.setenv("TRUETAPE_HOME", str(home))
    for keep in ((), ("--keep",)):
        assert_refused(run(*stage.arguments(*keep)), str(home))
        assert not stage.out.exists()


def test_unknown_variable(stage: Stage, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETAPE_X", "1")
    assert_refused(run(*stage.arguments()), "TRUETAPE_X", "TRUETAPE_HOME", "TRUETAPE_DATABASE_URL")
    assert files(home) == []


# --- with --keep -----------------------------------------------------------------------------------------------------


def assert_no_run(superuser_url: str) -> None:
    with psycopg.connect(superuser_url) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:hush@127.0.0.1:1/x", "Connection refused"),
        ("postgresql://me:hush@nowhere.invalid/x", "nowhere.invalid"),
        ("postgresql://me:hush@/x?host=/nothing/here", "/nothing/here"),
    ],
    ids=["port", "host", "socket"],
)
def test_database_that_cannot_be_reached(
    url: str, said: str, stage: Stage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", url)
    ended = run(*stage.arguments("--keep"))
    assert_refused(ended, said, "TRUETAPE_DATABASE_URL")
    assert "hush" not in ended.err
    assert files(home) == []
    assert not stage.out.exists()
    assert run(*stage.arguments()).code == 0, "without --keep there is no need of it"


@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS if fault.name in {"NaN", "balance of a stranger", "weights of 99", "tick 0", "no at"}],
    ids=lambda fault: fault.name,
)
def test_no_run_is_kept(fault: Bad, kept: Stage, home: Path, superuser_url: str) -> None:
    changes = fault.plant(kept)
    assert_refused(run(*kept.arguments("--keep", **changes)), *fault.said)
    assert files(home) == []
    assert not kept.out.exists()
    assert_no_run(superuser_url)


def test_as_a_program(stage: Stage, home: Path) -> None:
    stage.config.write_text(CONFIG.replace('"60"', '"59"'))
    assert_refused(run_apart(*stage.arguments()), "config.toml", "weight_pct")
    assert files(home) == []
