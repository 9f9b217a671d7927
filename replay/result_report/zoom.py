"""What page.js needs to look into a market's chart: closes and fills as small integers, each the step from the one before."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from domain.values import POWERS, SECOND
from replay.result_report.report import Floats, Integers, Market
from replay.result_report.sampling import thinned

COLUMNS = 8000
FILLS_MAX = 20_000
"""Of all markets together: they are most of a page's size, some 12 bytes for a fill."""


def zoom_data(
    market: Market, share: int, box: Mapping[str, float], shapes: Mapping[str, str], counts: Mapping[str, float]
) -> str:
    """JSON without anything that HTML would take for its own; `share` says how many markets the page has.

    `box` and `counts` are where the chart and the counts beneath it are drawn. Times are whole seconds after the first close.
    Without fills where there are more than this market's share.
    """
    closes, fills = thinned(market.closes, COLUMNS // share), market.fills
    fits = len(fills.times) <= FILLS_MAX // share
    start = int(closes.times[0]) // SECOND
    data: dict[str, Any] = {
        "start": start,
        "places": market.places,
        "box": box,
        "shapes": shapes,
        "counts": counts or None,
        "times": _steps(closes.times // SECOND - start),
        "prices": _steps(_quanta(closes.values, market.places)),
        "fill_times": _steps(fills.times // SECOND - start) if fits else [],
        "fill_prices": _steps(_quanta(fills.prices, market.places)) if fits else [],
        "sides": "".join(np.where(fills.is_buy, "b", "s").tolist()) if fits else "",
    }
    return json.dumps(data, separators=(",", ":"))


def _quanta(prices: Floats, places: int) -> Integers:
    quanta: Integers = np.rint(prices * POWERS[places]).astype(np.int64)
    return quanta


def _steps(values: Integers) -> list[int]:
    steps: list[int] = np.diff(values, prepend=0).tolist()
    return steps
