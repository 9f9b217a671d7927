"""What docs/strategies.md shows is run: the example, its output, and the facts that it tells of strategies."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from domain.strategy.plugin import Strategy, View
from domain.values import Time, decimal_text, time_text
from replay.demo import demo_tape
from tests.api.stage import HEADER, Ended, run
from tests.conftest import ROOT

DOCS = (ROOT / "docs" / "strategies.md").read_text()
LINES_MAX = 60
pytestmark = pytest.mark.usefixtures("shipped_only")


def example() -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    return str(code)


@pytest.fixture
def folder(tmp_path: Path, home: Path) -> Path:
    """The example in its file, beside a month of candles."""
    assert home.exists()
    (tmp_path / "breakout.py").write_text(example())
    tape = demo_tape(30, 7)
    columns = (tape.open_times, tape.opens, tape.highs, tape.lows, tape.closes, tape.volumes)
    lines = [
        f"{time_text(Time(at))},{','.join(decimal_text(price, 2) for price in prices)},{volume}"
        for at, *prices, volume in zip(*columns, strict=True)
    ]
    (tmp_path / "candles.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return tmp_path


def shown(folder: Path, command: str, *more: str) -> Ended:
    """A command of the page as it is written there, from within the folder."""
    found = re.search(rf"^ +(?:\$ )?truetape {command} (breakout\.py.*?[^\\])$", DOCS, re.MULTILINE | re.DOTALL)
    assert found is not None
    words = found[1].replace("\\\n", " ").split()
    words = [str(folder / word) if word in {"breakout.py", "candles.csv", "result"} else word for word in words]
    return run(command, *words, *more)


def test_the_example_is_short_and_trades(folder: Path) -> None:
    assert len(example().splitlines()) <= LINES_MAX
    ended = shown(folder, "backtest", "--json")
    assert (ended.code, ended.err) == (0, "")
    summary = ended.json
    assert (summary["strategy"], summary["failed"]) == ("breakout", {})
    assert summary["counts"]["fills"] > 50
    assert summary["metrics"]["trades"] > 20
    every = shown(folder, "backtest", "--json", "--feed=every")
    assert every.json["log_sha256"] == summary["log_sha256"]


def test_the_example_does_not_peek(folder: Path) -> None:
    ended = shown(folder, "lookahead", "--cuts=20")
    assert (ended.code, ended.err) == (0, "")
    said = re.search(r"^ +\$ truetape lookahead .*?\n((?: {4}.*\n)+)", DOCS, re.MULTILINE)
    assert said is not None
    assert ended.out.splitlines() == [line.strip() for line in said[1].splitlines()]
    start = shown(folder, "recursive")
    assert (start.code, start.err) == (0, "")
    assert start.out.startswith("43,200 candles; largest relative difference after so many candles of the later tape\n")


def test_every_part_of_a_strategy_is_told() -> None:
    for name in Strategy.__struct_fields__:
        assert f"`{name}" in DOCS, name
    for name in (*structs_of(View), "position", "result", "orders()", "is_working()"):
        assert f"`{name}`" in DOCS, name


def structs_of(kind: Any) -> list[str]:
    return [each.name for each in structs.fields(kind) if each.name not in {"bot", "account"}]
