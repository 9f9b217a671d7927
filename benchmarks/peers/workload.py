"""What every engine is given and what it must answer; it runs in each peer's environment, on the standard library alone."""

import argparse
import csv
import json
import resource
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

SMA_CROSS: dict[str, Any] = {
    "fast": 10,
    "slow": 30,
    "notional": "10000",
    "tick": "0.01",
    "step": "0.00001",
    "maker_fee": "0.0002",
    "taker_fee": "0.0005",
    "quote": "1000000",
    "base": "0",
}
GRID: dict[str, Any] = {
    "lower": "88765",
    "upper": "91235",
    "levels": 20,
    "quantity": "0.01",
    "tick": "0.01",
    "step": "0.00001",
    "maker_fee": "0.0002",
    "taker_fee": "0.0005",
    "quote": "1000000",
    "base": "0.2",
}
WORKLOADS = {"sma_cross": SMA_CROSS, "grid": GRID}
"""The market of `market.py` begins at 90,000 and is drawn back to it; levels 130 apart fill some 60,000 times in a million."""

SWEEP = (range(5, 15), range(20, 70, 5))
"""Lengths of the fast and of the slow mean, each with each: 100 pairs."""

Made = TypeVar("Made")

CENTS = 100
STEPS = 100_000
"""Of one coin."""


class Fill(NamedTuple):
    """When the candle opened that filled it, in microseconds; cents; steps of 0.00001."""

    time: int
    side: str
    price: int
    quantity: int


class Took(NamedTuple):
    """Seconds by the clock, and of this process's processor time, which a busy machine distorts less."""

    clock: float
    processor: float

    def less(self, other: "Took") -> "Took":
        return Took(self.clock - other.clock, self.processor - other.processor)


class Answer(NamedTuple):
    """`engine` is the run alone, `cold` the first one where something is compiled on the way.

    `profit` is in quote currency: what the fills moved, fees included, and what is held more or less than at first at
    the last close. `fills` is asked for only where they are compared.
    """

    engine: Took
    filled: int
    profit: float
    fills: Callable[[], Iterable[Fill]]
    cold: Took | None = None


def cents(price: float | str | Decimal) -> int:
    """The nearest: floats of two decimals are off by less than any of these engines can move a price."""
    return round(Decimal(price) * CENTS) if isinstance(price, str | Decimal) else round(price * CENTS)


def steps(quantity: float | str | Decimal) -> int:
    return round(Decimal(quantity) * STEPS) if isinstance(quantity, str | Decimal) else round(quantity * STEPS)


def levels(parameters: dict[str, Any]) -> list[int]:
    """Prices of the grid in cents, ascending; each must be on one."""
    lower, upper, count = cents(parameters["lower"]), cents(parameters["upper"]), parameters["levels"]
    spacing, rest = divmod(upper - lower, count - 1)
    assert not rest, "the workload's levels lie on the tick, so that no rounding rule can differ"
    return [lower + spacing * index for index in range(count)]


def empty_level(prices: list[int], close: int) -> int:
    """The index of the level nearest to the first close; of two the lower."""
    return min(range(len(prices)), key=lambda index: (abs(prices[index] - close), index))


def profit_of(fills: Iterable[Fill], fee: float, last_close: float) -> float:
    """The same from the fills alone, where an engine has no such figure; `fee` is a rate, not rounded."""
    quote = held = 0.0
    for each in fills:
        value, signed = each.price * each.quantity / CENTS / STEPS, 1 if each.side == "buy" else -1
        quote -= signed * value + value * fee
        held += signed * each.quantity / STEPS
    return quote + held * last_close


def peak_memory_mb() -> float:
    """Of this process; where Linux tells, without what its parent had when it forked."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(work: Callable[[], Made]) -> tuple[Took, Made]:
    start = Took(time.perf_counter(), time.process_time())
    made = work()
    return Took(time.perf_counter(), time.process_time()).less(start), made


def serve(answer: Callable[[str, dict[str, Any], Path], Answer]) -> None:
    """The command line that all engines share: one line of JSON, and the fills as CSV where asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workload", choices=tuple(WORKLOADS), required=True)
    parser.add_argument("--params", type=json.loads, default={})
    parser.add_argument("--fills", type=Path)
    given = parser.parse_args()
    got = answer(given.workload, WORKLOADS[given.workload] | given.params, given.data)
    memory = peak_memory_mb()
    if given.fills:
        write_fills(given.fills, got.fills())
    told: dict[str, float | None] = {"engine": got.engine.processor, "engine_clock": got.engine.clock}
    told |= {"cold": got.cold and got.cold.processor, "cold_clock": got.cold and got.cold.clock}
    print(json.dumps(told | {"memory_mb": memory, "fills": got.filled, "profit": got.profit}))


def write_fills(path: Path, fills: Iterable[Fill]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "side", "price", "quantity"])
        writer.writerows(
            (each.time, each.side, f"{each.price / CENTS:.2f}", f"{each.quantity / STEPS:.5f}") for each in fills
        )


def read_fills(path: Path) -> list[Fill]:
    with path.open(newline="") as file:
        return [
            Fill(int(row["time"]), row["side"], cents(row["price"]), steps(row["quantity"]))
            for row in csv.DictReader(file)
        ]
