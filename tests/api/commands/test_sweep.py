"""`truetape sweep` and `truetape walk-forward` on real candles, from the command line to the files."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.stage import HEADER, rows, run, walk

MINUTES_A_DAY = 1440
DAILY = ("--train", "1", "--test", "1", "--objective", "total_return")
"""A walk-forward by days; one day has no Sharpe ratio."""


def candles_in(folder: Path, minutes: int) -> Path:
    path = folder / f"{minutes}-candles.csv"
    path.write_text("\n".join([HEADER, *rows(walk(minutes))]) + "\n")
    return path


def long_walk(folder: Path) -> Path:
    """Candles of three days."""
    return candles_in(folder, 3 * MINUTES_A_DAY)


def swept(candles: Path, out: Path, *more: str) -> list[str]:
    """The options of a search over four pairs of means, of which one makes no sense."""
    options = ["--set", "fast=5|20", "--set", "slow=20|60", "--set", "notional=1000", "--balance", "USDT=10000"]
    market = ["--candles", str(candles), "--instrument", "BTC/USDT", "--tick", "0.01", "--step", "0.00001"]
    return ["sma_cross", *options, *market, "--out", str(out), "--processes", "1", *more]


@pytest.fixture
def candles(tmp_path: Path, home: Path) -> Path:
    assert home.exists()
    return long_walk(tmp_path)


def test_a_sweep_ranks_its_trials(candles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = run("sweep", *swept(candles, out, "--objective", "total_return", "--taker-fee", "0.001"), "--json").json
    assert said["counts"] == {"trials": 4, "done": 3, "without_value": 0, "skipped": 1, "failed": 0}
    best = [each["total_return"] for each in said["best"]]
    assert best == sorted(best, reverse=True)
    assert len(best) == 3
    assert (said["instrument"], said["taker_fee"], said["rules"]) == ("BTC/USDT", "0.001", "candle-v1")
    assert (said["from"], said["to"]) == ("2022-01-01T00:00:00Z", "2022-01-04T00:00:00Z")
    with (out / "trials.csv").open(newline="") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    assert statuses == ["done", "done", "skipped", "done"]
    assert "<svg" in (out / "heatmap.html").read_text()


def test_a_sweep_is_shown(candles: Path, tmp_path: Path) -> None:
    ended = run("sweep", *swept(candles, tmp_path / "out"))
    assert (ended.code, ended.err) == (0, "")
    for part in ("fast", "slow", "sharpe", "3 done, 1 skipped", "written to"):
        assert part in ended.out


def test_two_processes_give_the_same_files(candles: Path, tmp_path: Path) -> None:
    run("sweep", *swept(candles, tmp_path / "one"))
    ended = run("sweep", *swept(candles, tmp_path / "two", "--processes", "2"))
    assert ended.code == 0
    for name in ("trials.csv", "heatmap.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_part_of_the_market(candles: Path, tmp_path: Path) -> None:
    options = ["--from", "2022-01-02", "--to", "2022-01-03T12:00:00Z", "--json"]
    said = run("sweep", *swept(candles, tmp_path / "out", *options)).json
    assert (said["from"], said["to"]) == ("2022-01-02T00:00:00Z", "2022-01-03T12:00:00Z")
    whole = run("sweep", *swept(candles, tmp_path / "whole", "--json")).json
    assert sum(each["trades"] for each in said["best"]) < sum(each["trades"] for each in whole["best"])


def test_a_sweep_that_finds_nothing_says_so(candles: Path, tmp_path: Path) -> None:
    """On a day and a half of candles one day's return has no deviation, so there is no Sharpe ratio to be best."""
    ended = run("sweep", *swept(candles, tmp_path / "out", "--to", "2022-01-01T12:00:00Z"))
    assert (ended.code, ended.err) == (1, "")
    assert "no trial has a sharpe" in ended.out


# --- the market, as a backtest is told of it ---------------------------------------------------------------------------

PAIR = """\
[parameters]
fast = 5
[risk]
currency = "USDT"
order_notional_max = "1500"
[[instruments]]
name = "BTC/USDT"
candles = "btc.csv"
tick = "0.01"
step = "0.00001"
parameters = {slow = 50}
[[instruments]]
name = "ETH/USDT"
candles = "eth.csv"
tick = "0.01"
step = "0.0001"
bot = "ether"
parameters = {notional = "500"}
"""


def pair(folder: Path) -> Path:
    """The configuration of two instruments, the second of which has candles for the first two days only."""
    for name, market in (("btc", walk(3 * MINUTES_A_DAY)), ("eth", walk(2 * MINUTES_A_DAY, 4, 462_500))):
        (folder / f"{name}.csv").write_text("\n".join([HEADER, *rows(market)]) + "\n")
    config = folder / "pair.toml"
    config.write_text(PAIR)
    return config


def same_figures(folder: Path, *options: str) -> dict[str, Any]:
    """The one trial of a sweep, once it has been found to be the backtest with the same options."""
    made = run("backtest", "sma_cross", *options, "--out", folder / "backtest", "--json")
    assert (made.code, made.err) == (0, "")
    told = ("sma_cross", *options, "--out", folder / "sweep", "--processes", "1", "--objective", "total_return")
    said = run("sweep", *told, "--json")
    assert (said.code, said.err) == (0, "")
    (best,), metrics = said.json["best"], made.json["metrics"]
    for name in ("total_return", "sharpe", "max_drawdown", "trades", "win_rate"):
        assert best[name] == metrics[name], name
    assert best["profit"] == float(metrics["net_profit"])
    assert best["trades"] > 10
    for name in ("instrument", "instruments", "tape_digest", "tape_digests"):
        assert said.json.get(name) == made.json.get(name)
    found: dict[str, Any] = said.json
    return found


def test_the_market_is_named_as_for_a_backtest(candles: Path, tmp_path: Path) -> None:
    assert run("market", "import", candles, "--name", "btc").code == 0
    terms = ("--balance=USDT=10000", "--balance=BTC=0.1", "--taker-fee=0.001", "--fee-asset=base")
    said = same_figures(
        tmp_path, "--set=notional=1000", "--tape=btc", "--instrument=BTC/USDT", "--from=2022-01-02",
        "--periods-per-year=252", *terms,
    )  # fmt: skip
    assert (said["from"], said["to"], said["periods_per_year"]) == ("2022-01-02T00:00:00Z", "2022-01-04T00:00:00Z", 252)


def test_several_instruments_with_parameters_and_limits_of_a_file(home: Path, tmp_path: Path) -> None:
    assert home.exists()
    config = ("--config", str(pair(tmp_path)), "--balance=USDT=10000", "--set=notional=1000", "--set=slow=20")
    said = same_figures(tmp_path, *config)
    assert said["fixed"] == {"notional": "1000", "slow": 20, "fast": 5}
    assert (said["from"], said["to"]) == ("2022-01-01T00:00:00Z", "2022-01-04T00:00:00Z")
    # The limit is in force in both: nothing is left of the bitcoin's orders where they are above it.
    above = same_figures(tmp_path, *config[:-2], "--set=notional=2000", "--set=slow=20")
    assert above["best"][0]["trades"] < said["best"][0]["trades"]


def test_a_walk_forward_is_where_all_instruments_are(home: Path, tmp_path: Path) -> None:
    assert home.exists()
    told = ("--config", str(pair(tmp_path)), "--balance=USDT=10000", "--set=notional=1000", "--set=slow=20|40")
    said = run("walk-forward", "sma_cross", *told, *DAILY, "--out", tmp_path / "out", "--processes", "1", "--json")
    assert (said.code, said.err) == (0, "")
    assert (said.json["from"], said.json["to"]) == ("2022-01-01T00:00:00Z", "2022-01-03T00:00:00Z")
    assert [window["test_from"] for window in said.json["windows"]] == ["2022-01-02T00:00:00Z"]


@pytest.mark.parametrize(
    ("change", "more", "refusal"),
    [
        (
            ("fast = 5", "quick = 5"),
            [],
            "[parameters] quick: there is no such parameter; allowed: notional, fast, slow",
        ),
        (("fast = 5", 'fast = "x"'), [], "[parameters] fast: 'x'"),
        (("{slow = 50}", "{low = 50}"), [], "parameters of BTC/USDT: low: there is no such parameter"),
        (('{notional = "500"}', "{slow = 60}"), ["--set=slow=20|40"], "--set slow: nothing would differ"),
        (('tick = "0.01"', 'tick = "0"'), [], "instruments, BTC/USDT: tick is 0; allowed: above 0"),
        (("eth.csv", "none.csv"), [], "none.csv: there is no such file"),
        (
            ("", ""),
            ["--from=2022-01-03"],
            "--from and --to leave no candle of ETH/USDT; it has 2022-01-01T00:00:00Z to",
        ),
        (("", ""), ["--instrument=BTC/USDT", "--tape=x"], "--instrument is given, and"),
    ],
)
def test_a_configuration_that_makes_no_sense(
    change: tuple[str, str], more: list[str], refusal: str, home: Path, tmp_path: Path
) -> None:
    assert home.exists()
    config = pair(tmp_path)
    config.write_text(config.read_text().replace(*change, 1) if change[0] else PAIR)
    ended = run(
        "sweep", "sma_cross", "--config", config, "--balance=USDT=10000", "--set=notional=1000", *more, "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert (ended.code, ended.out) == (2, "")
    assert refusal in ended.err
    assert not (tmp_path / "out").exists()


def test_alerts_are_not_searched(candles: Path, tmp_path: Path) -> None:
    ended = run("sweep", *["dca_signals", *swept(candles, tmp_path / "out")[1:]])
    assert (ended.code, "this command is not for dca_signals, which acts on alerts" in ended.err) == (2, True)


# --- walk-forward ------------------------------------------------------------------------------------------------------


def test_a_walk_forward(candles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = swept(candles, out, *DAILY)
    said = run("walk-forward", *options, "--json").json
    assert [window["test_from"] for window in said["windows"]] == ["2022-01-02T00:00:00Z", "2022-01-03T00:00:00Z"]
    assert said["out_of_sample"]["days"] == 2
    with (out / "returns.csv").open(newline="") as file:
        grown = float(list(csv.DictReader(file))[-1]["growth"])
    assert grown - 1 == pytest.approx(said["out_of_sample"]["total_return"])
    assert json.loads((out / "walk_forward.json").read_text())["windows"] == said["windows"]
    shown = run("walk-forward", *options, "--windows", "anchored")
    assert (shown.code, shown.err) == (0, "")
    assert "2 days in 2 windows, 2 of them traded" in shown.out


@pytest.mark.parametrize(
    ("command", "more", "refusal"),
    [
        ("sweep", ["--set", "quick=1"], "--set quick: there is no such parameter; allowed: notional, fast, slow"),
        ("sweep", ["--set", "fast=1|2"], "--set fast is given twice"),
        ("sweep", ["--objective", "luck"], "--objective 'luck' is no figure of a backtest"),
        ("sweep", ["--search", "best"], "--search is 'best'; allowed: grid, random, bayesian"),
        ("sweep", ["--trials", "5"], "--trials with --search grid"),
        ("sweep", ["--engine", "dask"], "--engine is 'dask'; allowed: processes, ray, ray://HOST:PORT"),
        ("sweep", ["--processes", "0"], "--processes is 0; allowed: 1 or more"),
        ("sweep", ["--from", "2023-01-01T00:00:00Z"], "--from and --to leave no candle"),
        ("sweep", ["--maker-fee", "2"], "--maker-fee is 2"),
        ("sweep", ["--balance", "EUR=1"], "balance EUR"),
        ("walk-forward", ["--train", "2", "--test", "2"], "are 4 days, and there are 3 whole ones"),
        ("walk-forward", ["--train", "1", "--test", "1", "--windows", "sliding"], "--windows is 'sliding'"),
        ("walk-forward", ["--train", "1", "--test", "2", "--every", "1"], "--every is 1; allowed: 2 or more"),
    ],
)
def test_what_cannot_be_run_is_refused(
    command: str, more: list[str], refusal: str, candles: Path, tmp_path: Path
) -> None:
    ended = run(command, *swept(candles, tmp_path / "out"), *more)
    assert (ended.code, ended.out) == (2, "")
    assert refusal in ended.err
    assert not list((tmp_path / "out").glob("*"))


def test_a_strategy_that_is_not_there(candles: Path, tmp_path: Path) -> None:
    ended = run("sweep", *["luck", *swept(candles, tmp_path / "out")[1:]])
    assert (ended.code, ended.out) == (2, "")
    assert "strategy 'luck' is not known; allowed: " in ended.err


def test_the_trades_of_a_backtest_in_other_orders(candles: Path, tmp_path: Path) -> None:
    """All files are the backtest's own: its trades in their order come to what it made, but for what is still open."""
    market = ["--candles", candles, "--instrument", "BTC/USDT", "--tick", "0.01", "--step", "0.00001"]
    made = run(
        "backtest", "sma_cross", "--set", "notional=1000", "--balance", "USDT=10000", *market, "--out", tmp_path / "out",
        "--json",
    )  # fmt: skip
    assert (made.code, made.err) == (0, "")
    said = run("monte-carlo", tmp_path / "out", "--paths", "200", "--json").json
    with (tmp_path / "out" / "round_trips.csv").open(newline="") as file:
        profits = [float(row["profit"]) for row in csv.DictReader(file)]
    assert said["trades"] == len(profits) > 10
    assert said["start"] == 10_000
    assert said["actual_final_equity"] == pytest.approx(10_000 + sum(profits))
