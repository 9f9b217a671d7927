"""`truetape backtest` of strategies: what it refuses, and that its options change what they say and nothing else."""

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.values import time_text
from tests.api.commands.test_bad_input import assert_refused
from tests.api.stage import HEADER, MINUTE, START, Ended, Stage, files, rows, run, run_apart, walk

pytestmark = pytest.mark.usefixtures("shipped_only")
MINUTES = 900
MINE = """\
\"\"\"`mine`: buys once, and breaks a hundred candles later where it is told to.\"\"\"

from msgspec import Struct

from domain.strategy.intents import Place
from domain.strategy.plugin import Act, Strategy, View
from domain.values import Quantity


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    \"\"\"`breaks`: whether it does.\"\"\"

    breaks: bool = False


def on_candle(parameters: Parameters, view: View) -> Act | None:
    if not view.position and not view.is_working():
        return Act((Place("buy", "market", Quantity(view.instrument.step * 1000)),))
    if parameters.breaks:
        raise ValueError("no more\\nof this")
    return None


STRATEGY = Strategy("mine", "Buys once.", Parameters, on_candle)
"""


class Market:
    """Candles in a file, and backtests of strategies on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.candles = self.write("candles.csv", walk(MINUTES))

    def write(self, name: str, candles: Any) -> Path:
        path = self.folder / name
        path.write_text("\n".join([HEADER, *rows(candles)]) + "\n")
        return path

    def arguments(self, name: str, *more: object, **changes: Any) -> list[str]:
        """A command line; an option changed to None is left out."""
        options: dict[str, Any] = {
            "candles": self.candles, "instrument": "BTC/USDT", "balance": "USDT=100000", "out": self.out, **changes
        }  # fmt: skip
        given = [f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value is not None]
        return ["backtest", name, *given, *map(str, more)]

    def cross(self, *more: object, **changes: Any) -> Ended:
        return run(*self.arguments("sma_cross", "--set=notional=10000", *more, **changes))

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return found

    def fills(self) -> list[dict[str, str]]:
        with (self.out / "fills.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def market(tmp_path: Path, home: Path) -> Market:
    assert home.exists()
    return Market(tmp_path)


def played(ended: Ended, market: Market) -> dict[str, Any]:
    assert (ended.code, ended.err) == (0, "")
    return market.summary()


# --- what it writes --------------------------------------------------------------------------------------------------


def test_a_strategy_needs_no_more_than_a_market_and_money(market: Market) -> None:
    summary = played(market.cross(), market)
    assert files(market.out) == [
        "equity.csv", "events.parquet", "fills.csv", "report.html", "round_trips.csv", "summary.json"
    ]  # fmt: skip
    assert (summary["strategy"], summary["instrument"], summary["rules"]) == ("sma_cross", "BTC/USDT", "candle-v1")
    assert summary["counts"]["candles"] == MINUTES
    assert summary["counts"]["fills"] == len(market.fills()) > 10
    assert summary["failed"] == {}
    assert "alerts" not in summary["counts"]
    # Without a grid the tape's own prices are the tick, and a hundred-millionth of the base asset the step.
    quantity = Decimal(market.fills()[0]["quantity"])
    price = Decimal(rows(walk(MINUTES))[0].split(",")[1])
    assert abs(quantity * price - 10_000) < 200
    assert min(Decimal(fill["quantity"]).as_tuple().exponent for fill in market.fills()) == -8


def test_lines_are_written_where_they_are_asked_for(market: Market) -> None:
    played(market.cross("--lines"), market)
    events = [json.loads(line)["event"] for line in (market.out / "events.jsonl").read_text().splitlines()]
    assert events.count("account.order_filled.v1") == market.summary()["counts"]["fills"]
    assert events.count("strategy.started.v1") == 1


@pytest.mark.parametrize("name", ["sma_cross", "grid"])
def test_every_feed_gives_the_same_log(name: str, market: Market) -> None:
    values = {
        "sma_cross": ["--set=notional=10000"],
        "grid": ["--set=quantity=0.01", "--set=levels_each_side=5", "--set=spacing_pct=0.2", "--set=recentre_after=5"],
    }[name]
    seen = set()
    for feed in ("skip", "plain", "every"):
        seen.add(played(run(*market.arguments(name, *values, feed=feed)), market)["log_sha256"])
    assert len(seen) == 1
    assert market.summary()["counts"]["fills"] > 10


def test_the_fill_rules_are_said_and_make_another_log(market: Market) -> None:
    """By close-fill each market order trades at the close that decided it, which is the candle's own time."""
    by_default, at_close = (played(market.cross(*more), market) for more in ([], ["--fill=close-fill"]))
    assert (by_default["rules"], at_close["rules"]) == ("candle-v1", "close-fill")
    assert by_default["counts"]["fills"] == at_close["counts"]["fills"] > 10
    assert by_default["log_sha256"] != at_close["log_sha256"]


def test_a_tick_that_is_coarser_than_the_tape_is_kept_by_orders_not_by_the_market(market: Market) -> None:
    values = ["--set=quantity=0.01", "--set=levels_each_side=5", "--set=spacing_pct=0.2"]
    played(run(*market.arguments("grid", "--lines", *values, tick="5")), market)
    lines = [json.loads(line) for line in (market.out / "events.jsonl").read_text().splitlines()]
    limits = [Decimal(each["data"]["limit"]) for each in lines if each["event"] == "account.order_intended.v1"]
    assert len(limits) > 10
    assert all(limit % 5 == 0 for limit in limits)
    played(market.cross(tick="5"), market)
    assert any(Decimal(fill["price"]) % 5 for fill in market.fills()), "a market order fills at the open as it was"


def test_only_a_stretch_of_the_market(market: Market) -> None:
    middle = START + 300 * MINUTE
    part = market.write("part.csv", walk(MINUTES)[:300])
    whole = played(market.cross("--lines", to=time_text(middle)), market)
    first = (market.out / "events.jsonl").read_bytes()
    assert whole["counts"]["candles"] == 300
    assert played(market.cross("--lines", candles=part), market)["log_sha256"] == whole["log_sha256"]
    assert (market.out / "events.jsonl").read_bytes() == first
    rest = played(market.cross(**{"from": time_text(middle)}), market)
    assert rest["counts"]["candles"] == MINUTES - 300
    assert min(fill["at"] for fill in market.fills()) > time_text(middle)
    day = played(market.cross(**{"from": "2022-01-01", "to": "2022-01-02"}), market)
    assert day["counts"]["candles"] == MINUTES


def test_parameters_of_a_file_and_those_that_are_typed_above_them(market: Market) -> None:
    config = market.folder / "cross.toml"
    config.write_text("[parameters]\nnotional = 10000\nfast = 5\nslow = 20\n")
    from_file = played(run(*market.arguments("sma_cross", config=config)), market)["log_sha256"]
    typed = played(market.cross("--set=fast=5", "--set=slow=20"), market)["log_sha256"]
    assert from_file == typed
    above = played(run(*market.arguments("sma_cross", "--set=slow=40", config=config)), market)["log_sha256"]
    assert above == played(market.cross("--set=fast=5", "--set=slow=40"), market)["log_sha256"] != typed


def test_several_markets_each_with_its_own_parameters(market: Market) -> None:
    market.write("eth.csv", [tuple(price // 10 for price in candle) for candle in walk(MINUTES, seed=4)])
    config = market.folder / "two.toml"
    config.write_text("""\
[parameters]
notional = "10000"
fast = 5
[[instruments]]
name = "BTC/USDT"
candles = "candles.csv"
tick = "0.01"
step = "0.00001"
parameters = {slow = 20}
[[instruments]]
name = "ETH/USDT"
candles = "eth.csv"
tick = "0.01"
step = "0.0001"
bot = "ether"
parameters = {slow = 50, notional = "500"}
""")
    both = market.arguments("sma_cross", "--lines", config=config, candles=None, instrument=None, taker_fee="0.001")
    summary = played(run(*both), market)
    assert summary["instruments"] == ["BTC/USDT", "ETH/USDT"]
    lines = [json.loads(line) for line in (market.out / "events.jsonl").read_text().splitlines()]
    started = [line["data"] for line in lines if line["event"] == "strategy.started.v1"]
    assert [(each["bot"], json.loads(each["parameters"])) for each in started] == [
        ("sma_cross-btcusdt", {"notional": "10000", "fast": 5, "slow": 20}),
        ("ether", {"notional": "500", "fast": 5, "slow": 50}),
    ]
    together = market.fills()
    # With money for both neither hears of the other: each trades as it does alone.
    for name, path, step, values in (
        ("BTC/USDT", "candles.csv", "0.00001", ("notional=10000", "slow=20")),
        ("ETH/USDT", "eth.csv", "0.0001", ("notional=500", "slow=50")),
    ):
        alone = market.arguments(
            "sma_cross", "--set=fast=5", *(f"--set={each}" for each in values), candles=market.folder / path,
            instrument=name, step=step, tick="0.01", taker_fee="0.001",
        )  # fmt: skip
        played(run(*alone), market)
        terms = ("at", "side", "price", "quantity", "fee")
        ours = [tuple(fill[term] for term in terms) for fill in together if fill["instrument"] == name]
        assert ours == [tuple(fill[term] for term in terms) for fill in market.fills()]
        assert len(ours) > 5


def test_a_year_has_as_many_days_as_is_said(market: Market) -> None:
    market.write("candles.csv", walk(5 * 1440))
    crypto, stocks = (played(market.cross(periods_per_year=days), market)["metrics"]["sharpe"] for days in (365, 252))
    assert crypto == pytest.approx(stocks * (365 / 252) ** 0.5)
    assert crypto != 0


# --- what it refuses -------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, Callable[[Market], list[str]], str]] = [
    (
        "unknown strategy",
        lambda market: market.arguments("sma"),
        "strategy 'sma' is not known; allowed: dca_signals, grid, sma_cross, or a file that ends in .py",
    ),
    (
        "unknown parameter",
        lambda market: market.arguments("sma_cross", "--set=notional=1", "--set=speed=3"),
        "parameters of sma_cross: Object contains unknown field `speed`; it has notional, fast, slow",
    ),
    (
        "missing parameter",
        lambda market: market.arguments("sma_cross"),
        "parameters of sma_cross: Object missing required field `notional`; it has notional, fast, slow",
    ),
    (
        "a parameter of no sense",
        lambda market: market.arguments("sma_cross", "--set=notional=1", "--set=fast=40"),
        "parameter fast is 40; allowed: 1 or more, and below slow (30)",
    ),
    (
        "a parameter twice",
        lambda market: market.arguments("sma_cross", "--set=notional=1", "--set=notional=2"),
        "--set names notional twice",
    ),
    (
        "a parameter without =",
        lambda market: market.arguments("sma_cross", "--set=notional"),
        "--set 'notional' is not NAME=VALUE, such as fast=10",
    ),
    (
        "no market",
        lambda market: market.arguments("sma_cross", "--set=notional=1", candles=None, instrument=None),
        "no market is named; allowed: --instrument with --candles, --tape or --market, or [[instruments]]",
    ),
    (
        "candles of no instrument",
        lambda market: market.arguments("sma_cross", "--set=notional=1", instrument=None),
        "Invalid value for --instrument: it is missing. See truetape backtest --help.",
    ),
    (
        "an instrument without candles",
        lambda market: market.arguments("sma_cross", "--set=notional=1", candles=None),
        "Invalid value for --candles, --tape or --market: one of them is missing. See truetape backtest --help.",
    ),
    (
        "two sources",
        lambda market: market.arguments("sma_cross", "--set=notional=1", tape="btc"),
        "--candles and --tape are given; allowed: one of them",
    ),
    (
        "a tape that is not there",
        lambda market: market.arguments("sma_cross", "--set=notional=1", tape="btc", candles=None),
        "no tape is named 'btc'; there are: none yet",
    ),
    (
        "backwards",
        lambda market: market.arguments("sma_cross", "--set=notional=1", **{"from": "2022-01-02", "to": "2022-01-01"}),
        "--from 2022-01-02 is not before --to 2022-01-01",
    ),
    (
        "no time",
        lambda market: market.arguments("sma_cross", "--set=notional=1", to="tomorrow"),
        "'tomorrow' is not an ISO 8601 time",
    ),
    (
        "a stretch without candles",
        lambda market: market.arguments("sma_cross", "--set=notional=1", to="2021-01-01"),
        "--from and --to leave no candle of the tape; it has 2022-01-01T00:00:00Z to 2022-01-01T14:59:00Z",
    ),
    (
        "alerts",
        lambda market: market.arguments("sma_cross", "--set=notional=1", signals=market.candles),
        "--signals is not for sma_cross",
    ),
    (
        "parameters for alerts",
        lambda market: market.arguments("dca_signals", "--set=notional=1"),
        "--set is not for dca_signals",
    ),
    (
        "a quantity off the step",
        lambda market: market.arguments(
            "grid", "--set=quantity=0.003", "--set=levels_each_side=5", "--set=spacing_pct=1", step="0.002"
        ),
        "parameter quantity is 0.003; allowed: a multiple of the step 0.002",
    ),
    (
        "a feed",
        lambda market: market.arguments("sma_cross", "--set=notional=1", feed="fast"),
        "--feed is 'fast'; allowed: skip, plain, every",
    ),
    (
        "fill rules",
        lambda market: market.arguments("sma_cross", "--set=notional=1", fill="close"),
        "--fill is 'close'; allowed: candle-v1, close-fill, through",
    ),
    (
        "a file that is not there",
        lambda market: market.arguments("nothing.py"),
        "nothing.py cannot be read: No such file or directory",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_makes_no_sense_is_refused_in_a_line(
    ask: Callable[[Market], list[str]], said: str, market: Market
) -> None:
    ended = run(*ask(market))
    assert_refused(ended, said)
    assert len(ended.err.splitlines()) == 1, ended.err
    assert not market.out.exists()


def test_a_group_is_no_strategys(market: Market) -> None:
    config = market.folder / "c.toml"
    config.write_text("[group]\ncapital = 1\n")
    assert_refused(market.cross(config=config), "[group] is for dca_signals; a strategy has [parameters]")
    config.write_text('[[instruments]]\nname = "BTC/USDT"\ncandles = "candles.csv"\ntick = "0.01"\nstep = "0.01"\n')
    assert_refused(market.cross(config=config), "--instrument is given, and", "[[instruments]]; allowed: one of both")


# --- a strategy's own file -------------------------------------------------------------------------------------------


@pytest.fixture
def mine(market: Market) -> Path:
    path = market.folder / "mine.py"
    path.write_text(MINE)
    return path


def test_a_strategy_out_of_its_own_file(mine: Path, market: Market) -> None:
    ended = run_apart(*market.arguments(str(mine), "--json"))
    assert (ended.code, ended.err) == (0, "")
    assert (ended.json["strategy"], ended.json["counts"]["fills"]) == ("mine", 1)
    assert files(market.folder) == sorted([*(f"out/{name}" for name in files(market.out)), "candles.csv", "mine.py"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "it has no STRATEGY"),
        ("STRATEGY = 1\n", "TypeError: STRATEGY is int, no domain.strategy.plugin.Strategy"),
        ("import nothing_like_it\n", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def f(:\n", "SyntaxError: "),
    ],
    ids=["no strategy", "another thing", "an import", "no Python"],
)
def test_a_file_that_is_no_strategy(text: str, said: str, mine: Path, market: Market) -> None:
    mine.write_text(text)
    ended = run(*market.arguments(str(mine)))
    assert_refused(ended, f"{mine} cannot be loaded: {said}")
    assert len(ended.err.splitlines()) == 1


def test_one_that_breaks_is_said_everywhere(mine: Path, market: Market) -> None:
    said = "ValueError: no more\nof this"
    ended = run(*market.arguments(str(mine), "--set=breaks=true"))
    assert (ended.code, ended.err) == (1, "")
    assert "mine broke and decided nothing more: ValueError: no more?of this" in ended.out
    assert market.summary()["failed"] == {"mine": said}
    assert "mine broke and decided nothing more: ValueError: no more" in (market.out / "report.html").read_text()
    assert market.summary()["counts"]["fills"] == 1
    as_json = run(*market.arguments(str(mine), "--set=breaks=true", "--json"))
    assert (as_json.code, as_json.json["failed"]) == (1, {"mine": said})


# --- kept ------------------------------------------------------------------------------------------------------------


def test_a_kept_stretch_is_verified_on_that_stretch(kept: Stage, tmp_path: Path) -> None:
    market = Market(tmp_path)
    ended = market.cross("--keep", **{"from": time_text(START + 100 * MINUTE), "to": time_text(START + 700 * MINUTE)})
    assert (ended.code, market.summary()["run"]) == (0, 1)
    verdict = run("verify", "--json")
    assert (verdict.code, verdict.json[0]["status"]) == (0, "same")
    assert verdict.json[0]["log_sha256"] == market.summary()["log_sha256"]
    assert verdict.json[0]["records"] == market.summary()["counts"]["records"] > 20


def test_a_kept_run_of_a_file_is_verified_with_that_file(kept: Stage, tmp_path: Path) -> None:
    market = Market(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    assert run_apart(*market.arguments(str(path), "--keep")).code == 0
    without = run_apart("verify")
    assert (without.code, "strategy 'mine' of mine is not installed" in without.out) == (2, True)
    assert run_apart("verify", f"--strategy={path}").code == 0
    path.write_text(MINE.replace("step * 1000", "step * 2000"))
    other = run_apart("verify", f"--strategy={path}")
    assert (other.code, "the code of mine of mine has changed" in " ".join(other.out.split())) == (1, True)
