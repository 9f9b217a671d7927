"""`truetape backtest`: what it writes, and that it writes the same whenever the input is."""

import csv
import hashlib
import re
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import polars as pl
import psycopg
import pytest

from domain.values import decimal_text, time_text
from tests.api.stage import (
    HEADER,
    MINUTE,
    START,
    Stage,
    files,
    klines,
    rows,
    run,
    run_apart,
    without,
)
from tests.conftest import shared_data

NUMBER = re.compile(r"-?\d+(\.\d*[1-9])?")
FILES = [
    "equity.csv", "events.jsonl", "events.parquet", "fills.csv", "report.html", "round_trips.csv", "summary.json",
]  # fmt: skip
TEXTS = ["equity.csv", "events.jsonl", "fills.csv", "round_trips.csv"]


def fills_of(out: Path) -> list[dict[str, str]]:
    with (out / "fills.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def balances_after(fills: list[dict[str, str]], cash: str) -> tuple[Decimal, Decimal]:
    """Cash and position, by arithmetic on the fills alone."""
    money, position = Decimal(cash), Decimal(0)
    for fill in fills:
        sign = 1 if fill["side"] == "buy" else -1
        money -= sign * Decimal(fill["price"]) * Decimal(fill["quantity"]) + Decimal(fill["fee"])
        position += sign * Decimal(fill["quantity"])
    return money, position


def test_files_say_what_happened(stage: Stage) -> None:
    began = time.perf_counter()
    summary = stage.backtest()
    took = time.perf_counter() - began
    assert files(stage.out) == FILES
    events, fills = stage.events(), fills_of(stage.out)
    kinds = Counter(event["event"] for event in events)

    counts = summary["counts"]
    assert counts["candles"] == len(stage.market)
    assert counts["events"] == len(events)
    assert counts["orders"] == kinds["account.order_intended.v1"]
    assert counts["fills"] == kinds["account.order_filled.v1"] == len(fills) > 10
    refused = kinds["signal.refused.v1"] + kinds["bot.alert_refused.v1"]
    assert counts["alerts"]["received"] == len(stage.alerts) == kinds["signal.alert_received.v1"]
    assert counts["alerts"]["duplicate"] == kinds["signal.duplicated.v1"] > 0
    assert counts["alerts"]["malformed"] == kinds["signal.malformed.v1"] > 0
    assert counts["alerts"]["refused"] == refused > 0
    assert counts["alerts"]["accepted"] == kinds["signal.accepted.v1"] - kinds["bot.alert_refused.v1"] > 0

    seconds = summary["seconds"]
    assert list(seconds) == ["import", "load", "engine", "write", "report"]
    assert all(spent >= 0 for spent in seconds.values())
    assert 0 < sum(seconds.values()) <= took
    assert set(summary["versions"]) >= {"python", "truetape"}
    assert summary["run"] is None


def test_money_is_that_of_the_fills(stage: Stage) -> None:
    summary = stage.backtest(maker_fee="0", taker_fee="0.0037")
    cash, position = balances_after(fills_of(stage.out), "100000")
    assert position > 0, "something is held at the end"
    close = Decimal(stage.market[-1][3]) / 100
    assert Decimal(summary["final_equity"]) == cash + position * close
    fees = sum(Decimal(fill["fee"]) for fill in fills_of(stage.out))
    assert Decimal(summary["fees"]) == fees > 0
    assert summary["unrealized_pnl"] != "0"
    change = Decimal(summary["realized_pnl"]) + Decimal(summary["unrealized_pnl"]) - fees
    assert Decimal(summary["final_equity"]) == 100_000 + change


def test_what_is_held_counts_at_the_last_close(stage: Stage) -> None:
    stage.signals.write_text("")
    summary = stage.backtest(balance=["USDT=1000", "BTC=0.5"])
    close = Decimal(stage.market[-1][3]) / 100
    assert Decimal(summary["final_equity"]) == 1000 + close / 2
    assert Decimal(summary["unrealized_pnl"]) == (close - Decimal(stage.market[0][0]) / 100) / 2
    assert fills_of(stage.out) == []


def test_fills_are_rows_of_the_log(stage: Stage) -> None:
    stage.backtest()
    assert (stage.out / "fills.csv").read_text().splitlines()[0] == (
        "at,order_id,instrument,side,price,quantity,fee,fee_asset"
    )
    recorded = [event for event in stage.events() if event["event"] == "account.order_filled.v1"]
    opens = {time_text(START + index * MINUTE) for index in range(len(stage.market))}
    for fill, event in zip(fills_of(stage.out), recorded, strict=True):
        data = event["data"]
        assert fill == {
            "at": data["venue_at"], "order_id": str(data["order"]), "instrument": "BTC/USDT", "side": data["side"],
            "price": data["price"], "quantity": data["quantity"], "fee": data["fee"], "fee_asset": "USDT",
        }  # fmt: skip
        assert fill["at"] in opens
        for name in ("price", "quantity", "fee"):
            assert NUMBER.fullmatch(fill[name]), fill


def test_numbers_have_no_exponent(stage: Stage) -> None:
    stage.backtest(maker_fee="0.0000001", taker_fee="1e-9", slippage="0.00000001")
    listed = next(event["data"] for event in stage.events() if event["event"] == "account.instrument_listed.v1")
    assert (listed["maker_fee"], listed["taker_fee"], listed["slippage"]) == ("0.0000001", "0.000000001", "0.00000001")
    for name in TEXTS:
        assert not re.search(r"\d[eE][+-]?\d+\b", (stage.out / name).read_text().replace("sha256", "")), name


def test_prints_what_it_writes(stage: Stage) -> None:
    ended = run(*stage.arguments("--json"))
    assert ended.code == 0
    assert ended.json == stage.summary()
    assert ended.err == ""
    shown = run(*stage.arguments()).out
    assert stage.summary()["log_sha256"] in shown
    assert str(stage.out) in shown


def test_brackets_in_a_path_are_no_markup(stage: Stage) -> None:
    out = stage.folder / "[red]a[/blue]"
    ended = run(*stage.arguments(out=out))
    assert (ended.code, str(out) in ended.out) == (0, True)


def written(out: Path) -> tuple[str, str]:
    """The files that hold no times of the machine."""
    return (out / "events.jsonl").read_text(), (out / "fills.csv").read_text()


def test_the_same_input_gives_the_same_bytes(kept: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = kept.backtest()
    first = written(kept.out)
    again = kept.backtest(out=tmp_path / "deep" / "er" / "out")
    assert without(again, "seconds") == without(summary, "seconds")
    assert written(tmp_path / "deep" / "er" / "out") == first
    in_postgres = kept.backtest("--keep")
    assert in_postgres["run"] == 1
    assert without(in_postgres, "seconds", "run") == without(summary, "seconds", "run")
    assert written(kept.out) == first
    monkeypatch.setenv("TRUETAPE_HOME", str(tmp_path / "elsewhere"))
    assert without(kept.backtest(), "seconds") == without(summary, "seconds")


def as_parquet(stage: Stage, path: Path) -> Path:
    table = np.array(stage.market)
    times = pl.Series("open_time", [START + index * MINUTE for index in range(len(table))], pl.Int64)
    prices = {name: table[:, index] / 100 for index, name in enumerate(("open", "high", "low", "close"))}
    pl.DataFrame({"open_time": times.cast(pl.Datetime("us")), **prices, "volume": table[:, 4]}).write_parquet(path)
    return path


def as_klines(stage: Stage, path: Path) -> Path:
    path.write_text("\n".join(klines(stage.market)) + "\n")
    return path


@pytest.mark.parametrize(("write", "name"), [(as_parquet, "c.parquet"), (as_klines, "BTCUSDT-1m.csv")])
def test_the_same_candles_in_another_file_give_the_same_log(stage: Stage, write: Any, name: str) -> None:
    summary = stage.backtest()
    first = written(stage.out)
    other = stage.backtest(candles=write(stage, stage.folder / name))
    assert without(other, "seconds") == without(summary, "seconds")
    assert written(stage.out) == first


@pytest.mark.parametrize(
    "changes",
    [{"taker_fee": "0.0011"}, {"balance": "USDT=100001"}, {"min_notional": "6"}, {"step": "0.000001"}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_input_gives_another_log(stage: Stage, changes: dict[str, str]) -> None:
    assert stage.backtest()["log_sha256"] != stage.backtest(**changes)["log_sha256"]


def test_the_digest_is_over_the_stored_bytes(kept: Stage, superuser_url: str) -> None:
    summary = kept.backtest("--keep")
    with psycopg.connect(superuser_url) as connection:
        states = connection.execute("SELECT state FROM records WHERE run = 1 AND stream > 0 ORDER BY position")
        digest = hashlib.sha256(b"".join(state for (state,) in states)).hexdigest()
        row = connection.execute("SELECT records, events, encode(log_sha256, 'hex') FROM run_ends").fetchone()
    counts = summary["counts"]
    assert summary["log_sha256"] == digest
    assert row == (counts["records"], counts["events"], digest)


def test_hash_seeds_do_not_matter(stage: Stage) -> None:
    seen = set()
    for seed in ("0", "1", "2", "3", "4294967295"):
        ended = run_apart(*stage.arguments("--json"), PYTHONHASHSEED=seed)
        assert ended.code == 0, ended.err
        seen.add((stage.summary()["log_sha256"], *written(stage.out)))
    assert len(seen) == 1


def test_a_year_of_bitcoin(stage: Stage) -> None:
    candles = shared_data("candles/binance_spot_BTCUSDT_1m_2022.parquet")
    chance = Random(11)
    lines = []
    for number in range(200):
        at = time_text(START + chance.randrange(364 * 1440) * MINUTE)
        body = {"id": f"y{number}", "time": at, "symbol": "BTCUSDT", "action": chance.choice(["buy", "buy", "exit"])}
        lines.append({"at": at, "body": body})
    stage.signals.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    summary = stage.backtest(candles=candles)
    first = written(stage.out)
    assert summary["counts"]["candles"] == 525_600
    assert summary["counts"]["alerts"]["received"] == 200
    assert summary["counts"]["fills"] > 100
    cash, position = balances_after(fills_of(stage.out), "100000")
    close = decimal_text(round(pl.read_parquet(candles)["close"][-1] * 100), 2)
    # Each fill's cash is rounded once, to the quantum.
    assert abs(Decimal(summary["final_equity"]) - cash - position * Decimal(close)) < Decimal("0.0001")
    again = run_apart(*stage.arguments("--json", candles=candles), PYTHONHASHSEED="7")
    assert without(again.json, "seconds") == without(summary, "seconds")
    assert written(stage.out) == first


def test_the_header_is_the_products(stage: Stage) -> None:
    """The stage's candles are what `market import` takes, so that a refusal elsewhere is the planted fault's."""
    assert stage.candles.read_text().splitlines()[:2] == [HEADER, rows(stage.market)[0]]
    assert run("market", "import", stage.candles).code == 0
