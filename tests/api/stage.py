"""A small market, alerts and a configuration in files, and the command line run on them."""

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from api.cli import run_cli
from domain.values import decimal_text, time_text
from tests.conftest import ROOT

START = 1_640_995_200_000_000
MINUTE = 60_000_000
HEADER = "open_time,open,high,low,close,volume"
CONFIG = """\
[group]
capital = "1000"
entry = "market"
max_pyramids = 1
when_flat = "keep"
legs = [
  {gap_pct = "0", weight_pct = "40", take_profit_pct = "0.4"},
  {gap_pct = "-0.3", weight_pct = "60", take_profit_pct = "0.5"},
]
"""

Quanta = tuple[int, int, int, int, int]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object) -> Ended:
    """A command in this process."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run_cli([str(each) for each in arguments])
    return Ended(code, out.getvalue(), err.getvalue())


def command(*arguments: object) -> list[str]:
    """The same as a program of its own."""
    return [sys.executable, "-m", "api", *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """The environment of these tests with these variables, and the code to run."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def run_apart(*arguments: object, **changes: str) -> Ended:
    """A command in a process of its own, with these variables in its environment."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(**changes), check=False, timeout=100
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def walk(count: int, seed: int = 3, first: int = 4_625_000) -> list[Quanta]:
    """(open, high, low, close, volume) of candles, in cents and whole units."""
    chance, price, candles = random.Random(seed), first, []
    for _ in range(count):
        close = price + (first - price) // 100 + chance.randint(-6000, 6000)
        high, low = max(price, close) + chance.randint(0, 2000), min(price, close) - chance.randint(0, 2000)
        candles.append((price, high, low, close, chance.randint(1, 50)))
        price = close
    return candles


def rows(candles: list[Quanta]) -> list[str]:
    """Lines of a CSV with a header, one candle a minute."""
    return [
        ",".join([time_text(START + index * MINUTE), *(decimal_text(price, 2) for price in candle[:4]), str(candle[4])])
        for index, candle in enumerate(candles)
    ]


def klines(candles: list[Quanta]) -> list[str]:
    """Lines as Binance writes them: eight decimals, milliseconds, no header."""
    lines = []
    for index, candle in enumerate(candles):
        prices = [f"{price // 100}.{price % 100:02d}000000" for price in candle[:4]]
        at = START // 1000 + index * 60_000
        lines.append(f"{at},{','.join(prices)},{candle[4]}.00000000,{at + 59_999},1.0,1,1.0,1.0,0")
    return lines


def deliveries(count: int, minutes: int, seed: int = 5) -> list[dict[str, Any]]:
    """Signal lines, by time: entries and exits; some repeated, some of another symbol, some no alerts at all."""
    chance, lines = random.Random(seed), []
    for number in range(count):
        at = time_text(START + (1 + number * (minutes - 2) // count) * MINUTE + 5_000_000)
        action = chance.choice(["buy", "buy", "buy", "exit"])
        body: Any = {"id": f"a{number}", "time": at, "symbol": "BTCUSDT", "timeframe": "1m", "action": action}
        luck = chance.randrange(20)
        if luck == 0:
            body["symbol"] = "ETHUSDT"
        elif luck == 1:
            body = "no alert"
        lines.append({"at": at, "body": body})
        if luck == 2:
            lines.append({"at": at, "body": body})
    return lines


class Stage:
    """The files of a backtest in a folder, and where it writes to."""

    def __init__(self, folder: Path, minutes: int = 900, alerts: int = 40) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.candles = folder / "candles.csv"
        self.signals = folder / "signals.jsonl"
        self.config = folder / "config.toml"
        self.market = walk(minutes)
        self.alerts = deliveries(alerts, minutes)
        self.candles.write_text("\n".join([HEADER, *rows(self.market)]) + "\n")
        self.signals.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in self.alerts))
        self.config.write_text(CONFIG)

    def arguments(self, *more: str, **changes: object) -> list[str]:
        """A backtest's command line; an option changed to None is left out, one that is a list is repeated."""
        options: dict[str, Any] = {
            "signals": self.signals, "candles": self.candles, "instrument": "BTC/USDT", "config": self.config,
            "balance": "USDT=100000", "tick": "0.01", "step": "0.00001", "min_notional": "5", "maker_fee": "0.0002",
            "taker_fee": "0.001", "out": self.out, **changes,
        }  # fmt: skip
        line = ["backtest", "dca_signals", *more]
        for name, value in options.items():
            values = value if isinstance(value, list) else [] if value is None else [value]
            line += [f"--{name.replace('_', '-')}={each}" for each in values]
        return line

    def backtest(self, *more: str, **changes: object) -> dict[str, Any]:
        """Run it in this process; returns the summary as it was written."""
        ended = run(*self.arguments(*more, **changes))
        assert ended.code == 0, ended.err
        return self.summary(Path(str(changes.get("out", self.out))))

    def summary(self, out: Path | None = None) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(((out or self.out) / "summary.json").read_text())
        return found

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "events.jsonl").read_text().splitlines()]


def files(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def without(summary: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in names}
