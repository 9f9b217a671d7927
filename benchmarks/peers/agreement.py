"""Where the fills of two engines differ, regardless of their order within a candle."""

from collections import Counter
from typing import NamedTuple

from benchmarks.peers.workload import CENTS, STEPS, Fill


class Agreement(NamedTuple):
    """Fills that both have, that only the first has, and that only the second has; each in order of time."""

    same: int
    missing: list[Fill]
    surplus: list[Fill]

    def whole(self) -> bool:
        return not self.missing and not self.surplus

    def __str__(self) -> str:
        if self.whole():
            return f"all {self.same:,} fills agree"
        firsts = [
            f"first {what} {text(fills[0])}"
            for what, fills in (("missing", self.missing), ("surplus", self.surplus))
            if fills
        ]
        counts = f"{self.same:,} fills agree, {len(self.missing):,} are missing, {len(self.surplus):,} are surplus"
        return f"{counts}; {', '.join(firsts)}"


def agreement(expected: list[Fill], found: list[Fill]) -> Agreement:
    wanted, got = Counter(expected), Counter(found)
    missing, surplus = (sorted(each.elements()) for each in (wanted - got, got - wanted))
    return Agreement((wanted & got).total(), missing, surplus)


def planted(fills: list[Fill]) -> list[Fill]:
    """The same with two faults that a comparison must see: the middle one a cent dearer, the last one left out."""
    middle = len(fills) // 2
    dearer = fills[middle]._replace(price=fills[middle].price + 1)
    return [*fills[:middle], dearer, *fills[middle + 1 : -1]]


def text(fill: Fill) -> str:
    return f"{fill.side} {fill.quantity / STEPS:.5f} at {fill.price / CENTS:.2f} in candle {fill.time}"
