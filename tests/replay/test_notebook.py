"""`from replay import backtest`: the run that the command makes, from a file, a stored tape or a table, as DataFrames."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from domain.errors import InputError, MissingError
from domain.strategy.registry import strategy_named
from replay import Result, backtest
from tests.api.stage import HEADER, MINUTE, START, Quanta, environment, rows, run, walk

MINUTES = 900
CANDLES = walk(MINUTES)
CROSS: dict[str, Any] = {"notional": 10_000}
USDT = {"USDT": 100_000}


@pytest.fixture
def path(tmp_path: Path, home: Path) -> Path:
    assert home.exists()
    return written(tmp_path / "candles.csv", CANDLES)


def written(path: Path, candles: list[Quanta]) -> Path:
    path.write_text("\n".join([HEADER, *rows(candles)]) + "\n")
    return path


def columns() -> dict[str, Any]:
    """The candles as numpy arrays, with naive times."""
    table = np.array(CANDLES)
    times = (START + np.arange(MINUTES) * MINUTE).astype("datetime64[us]")
    prices = {name: table[:, index] / 100 for index, name in enumerate(("open", "high", "low", "close"))}
    return {"open_time": times, **prices, "volume": table[:, 4].astype(float)}


def crossed(candles: Any, **changes: Any) -> Result:
    given: dict[str, Any] = {"instrument": "BTC/USDT", "parameters": CROSS, "balances": USDT, **changes}
    return backtest(given.pop("strategy", "sma_cross"), candles, **given)


def test_it_is_the_run_of_the_command(path: Path) -> None:
    out = path.parent / "out"
    ended = run(
        "backtest", "sma_cross", "--set=notional=10000", f"--candles={path}", "--instrument=BTC/USDT",
        "--balance=USDT=100000", "--taker-fee=0.001", "--slippage=0.0001", "--periods-per-year=252", f"--out={out}",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    summary = json.loads((out / "summary.json").read_text())
    del summary["seconds"]
    made = crossed(path, taker_fee=0.001, slippage="0.0001", periods_per_year=252)
    assert made.summary == summary
    assert made.metrics == summary["metrics"]
    assert made.fills.height == summary["counts"]["fills"] > 10
    assert made.events.height == summary["counts"]["events"]
    assert made.events.equals(pl.read_parquet(out / "events.parquet"))
    assert made.round_trips.height == made.metrics["trades"] > 5
    assert made.equity.height == MINUTES
    assert made.equity["equity"][-1] == Decimal(summary["final_equity"])
    assert made.fills["fee"].sum() == Decimal(summary["fees"])
    assert made.fills is made.fills, "made once"
    page = made.report(path.parent / "page.html")
    assert page.read_text() == (out / "report.html").read_text()
    assert (
        repr(made)
        == f"<sma_cross on BTC/USDT: {made.metrics['total_return']:+.2%}, {made.round_trips.height} round trips>"
    )


WAYS: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "stored": lambda path: "walk",
    "polars": lambda path: pl.DataFrame(columns()),
    "numpy": lambda path: columns(),
    "lists": lambda path: {name: column.tolist() for name, column in columns().items()},
    "with a zone": lambda path: columns() | {"open_time": np.array(zoned(), dtype=object)},
    "integers": lambda path: columns() | {"open_time": START // 1000 + np.arange(MINUTES) * 60_000},
    "another order": lambda path: pl.DataFrame(columns()).select("volume", "close", "high", "low", "open", "open_time"),
}


def zoned() -> list[datetime]:
    return [datetime.fromtimestamp((START + index * MINUTE) / 1e6, UTC) for index in range(MINUTES)]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_candles_in_another_shape_are_the_same_run(way: str, path: Path) -> None:
    assert run("market", "import", path, "--name", "walk").code == 0
    first, again = crossed(path), crossed(WAYS[way](path))
    assert again.summary["log_sha256"] == first.summary["log_sha256"]
    assert again.summary["tape_digest"] == first.summary["tape_digest"]


def test_a_strategy_by_name_by_its_file_or_itself(path: Path) -> None:
    mine = path.parent / "mine.py"
    mine.write_text("from domain.strategies.sma_cross import STRATEGY\n")
    digests = {crossed(path, strategy=each).summary["log_sha256"] for each in ("sma_cross", mine, str(mine))}
    digests.add(crossed(path, strategy=strategy_named("sma_cross")).summary["log_sha256"])
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2022-01-01T05:00:00Z", "2022-01-01T10:00:00Z"),
        (datetime(2022, 1, 1, 5, tzinfo=UTC), datetime(2022, 1, 1, 10)),  # noqa: DTZ001  (naive is UTC)
    ],
)
def test_a_stretch_of_the_market(start: Any, end: Any, path: Path) -> None:
    made = crossed(path, start=start, end=end)
    part = written(path.parent / "part.csv", CANDLES)
    lines = part.read_text().splitlines()
    part.write_text("\n".join([lines[0], *lines[301:601]]) + "\n")
    assert made.summary["counts"]["candles"] == 300
    assert made.summary["log_sha256"] == crossed(part).summary["log_sha256"]
    assert crossed(path, start=date(2022, 1, 1), end="2022-01-02").summary["counts"]["candles"] == MINUTES


def test_options_change_what_they_say(path: Path) -> None:
    plain = crossed(path)
    assert plain.metrics["fees"] == "0"
    coarse = crossed(path, step="0.01")
    assert {quantity % Decimal("0.01") for quantity in coarse.fills["quantity"]} == {0}
    assert {quantity % Decimal("0.01") for quantity in plain.fills["quantity"]} != {0}
    assert crossed(path, min_notional=20_000).fills.is_empty()
    assert crossed(path, fee_asset="base", taker_fee=0.001).fills["fee_asset"].to_list()[0] == "BTC"
    assert crossed(path, account="margin").summary["log_sha256"] != plain.summary["log_sha256"]
    assert crossed(path, progress=True).summary == plain.summary


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategy": "luck"}, "strategy 'luck' is not known; allowed: "),
        ({"strategy": 5}, "5 is no domain.strategy.plugin.Strategy"),
        ({"parameters": {}}, "Object missing required field `notional`"),
        ({"parameters": {**CROSS, "fast": 90}}, "parameter fast is 90"),
        ({"balances": {"EUR": 5}}, "balance EUR: BTC/USDT trades BTC and USDT only"),
        ({"balances": {"USDT": float("nan")}}, "balances USDT: 'nan' is not a finite decimal number"),
        ({"maker_fee": 2}, "maker_fee is 2; allowed: a fraction such as 0.001, between -1 and 1"),
        ({"slippage": -0.1}, "slippage must not be below 0"),
        ({"tick": 0}, "tick is 0; allowed: above 0"),
        ({"step": "-1"}, "step is -1; allowed: above 0"),
        ({"account": "cash"}, "account is 'cash'; allowed: spot, margin"),
        ({"fee_asset": "bnb"}, "fee_asset is 'bnb'; allowed: quote, base"),
        ({"fill": "close"}, "fill is 'close'; allowed: candle-v1, close-fill, through"),
        ({"instrument": "BTC"}, "BTC"),
        ({"start": "tomorrow"}, "'tomorrow' is not an ISO 8601 time"),
        ({"start": "2022-01-02", "end": "2022-01-01"}, "start 2022-01-02 is not before end 2022-01-01"),
        ({"end": "2021-01-01"}, "start and end leave no candle; there are candles from 2022-01-01T00:00:00Z"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], said: str, path: Path) -> None:
    with pytest.raises(InputError) as refused:
        crossed(path, **changes)
    assert said in str(refused.value)


def test_candles_that_are_none_are_refused(path: Path) -> None:
    with pytest.raises(
        MissingError, match="candles 'btc' are no file, and no tape is named 'btc'; there are: none yet"
    ):
        crossed("btc")
    with pytest.raises(InputError, match="there is no such file"):
        crossed(path.parent / "none.csv")
    short = columns()
    del short["volume"]
    for table in (short, pl.DataFrame(short)):
        with pytest.raises(InputError, match="candles have no column volume; needed are open_time, open"):
            crossed(table)
    with pytest.raises(InputError, match="candles have no rows"):
        crossed(pl.DataFrame(columns()).clear())
    crossing = columns()
    crossing["low"][6] = crossing["high"][6] + 1
    with pytest.raises(InputError, match=r"candles: row 7: high .* is below low"):
        crossed(crossing)
    uneven = columns()
    uneven["close"] = uneven["close"][:-1]
    with pytest.raises(InputError, match="columns of different lengths"):
        crossed(uneven)


def test_the_package_stays_light() -> None:
    code = "import sys, replay; assert not {'polars', 'numpy', 'replay.notebook'} & set(sys.modules), 'heavy'"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(ImportError, match="cannot import name 'sweep_all'"):
        exec("from replay import sweep_all")
