"""A market of chance: a seeded random walk, to try things on without data or network."""

import random
from collections.abc import Iterator

_LOWEST = 100


def walk(chance: random.Random, first: int, home: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(open, high, low, close, volume) of one candle after another, in quanta, for ever; drawn back towards `home`."""
    price, step = first, max(4, home // 1125)
    while True:
        drift = (home - price) // 4000
        close = max(_LOWEST, price + drift + chance.randint(-step, step))
        high = max(price, close) + chance.randint(0, step // 2)
        low = max(_LOWEST // 2, min(price, close) - chance.randint(0, step // 2))
        yield price, high, low, close, chance.randint(1, 90)
        price = close
