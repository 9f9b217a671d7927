"""How long a webhook's answer takes while many come at once, beside a bare FastAPI route; and that repeats count once.

Run by hand: `.venv/bin/python -m benchmarks.webhook`, half a minute on a quiet machine. The server runs in a process of its own, with its
worker and its own PostgreSQL, and so does the bare route: the same framework, uvicorn settings, client and machine, no
work. 10,000 deliveries of 1,000 distinct alerts, shuffled, go to each in rounds that take turns, 64 in flight. Then
some one at a time, as alerts come in life. A round begins when the inbox of the one before it is taken, so that the
worker's backlog does not slow the bare route. At the end the log is asked how many signals were accepted: exactly one
for each distinct alert, or the script fails.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from statistics import quantiles

from benchmarks.living_server import Line, Living, add_users, bare, living, login
from benchmarks.timing import table
from domain.signal.events import AlertReceived, SignalAccepted, SignalDuplicated
from infrastructure.event_store.runs import records_of

RUN = 1
ROUNDS = 10
ALONE = 50
"""Deliveries of a round that come one at a time."""
SEED = 20_260_101
ACCOUNT = {
    "name": "main", "mode": "paper", "kind": "spot", "balances": {"USDT": "1000000"},
    "instruments": [
        {"symbol": "BTC/USDT", "tick": "0.01", "step": "0.00001", "min_notional": "5", "maker_fee": "0.0002",
         "taker_fee": "0.001"}
    ],
}  # fmt: skip
BOT = {
    "name": "dca", "account": "main", "strategy": "dca_signals", "instrument": "BTC/USDT",
    "settings": {"capital": "1000", "legs": [{"gap_pct": "0", "weight_pct": "100", "take_profit_pct": "1"}]},
}  # fmt: skip
CANDLE = {"open_time": "2026-01-01T00:00:00Z", "open": "90000", "high": "90000", "low": "90000", "close": "90000"}

Milliseconds = list[float]


async def open_webhook(server: Living) -> str:
    """A bot that trades, and the path its alerts go to."""
    add_users(server.database, ["trader"])
    async with Line(server.port, await login(server.port, "trader")) as line:
        await line.ask("/accounts", ACCOUNT)
        await line.ask("/bots", BOT)
        await line.ask("/bots/dca/start")
        await line.ask("/market/sim/BTC-USDT/candles", [CANDLE])
        return str((await line.ask("/bots/dca/webhook"))["path"])


def alert(number: int) -> bytes:
    body = {
        "id": f"alert-{number}", "time": "2026-01-01T00:00:00Z", "symbol": "BTCUSDT", "timeframe": "1m",
        "action": "exit" if number % 2 else "buy", "price": "90000.00",
    }  # fmt: skip
    return json.dumps(body).encode()


async def deliver(port: int, path: str, bodies: Sequence[bytes], in_flight: int) -> Milliseconds:
    """Send all, each as soon as one of the lines is free; how long each answer took."""
    waiting, spent = iter(bodies), Milliseconds()
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line(port)) for _ in range(in_flight)]
        await asyncio.gather(*(_send(line, path, waiting, spent) for line in lines))
    return spent


async def _send(line: Line, path: str, waiting: Iterator[bytes], spent: Milliseconds) -> None:
    for body in waiting:
        spent.append(await timed(line, path, body))


async def timed(line: Line, path: str, body: bytes) -> float:
    """Milliseconds to the answer, which must be 200."""
    start = time.perf_counter()
    status, answer = await line.post(path, body)
    assert status == 200, (status, answer)  # noqa: PLR2004
    return (time.perf_counter() - start) * 1000


def measure(server: Living, bare_port: int, bodies: Sequence[bytes], in_flight: int) -> dict[str, Milliseconds]:
    """Rounds in turns, of each many at once and some alone."""
    path = asyncio.run(open_webhook(server))
    size = len(bodies) // ROUNDS
    spent: dict[str, Milliseconds] = {
        name: Milliseconds() for name in ("webhook", "bare", "webhook alone", "bare alone")
    }
    for start in range(0, len(bodies), size):
        some = bodies[start : start + size]
        many, alone = some[:-ALONE], some[-ALONE:]
        for name, port in (("webhook", server.port), ("bare", bare_port)):
            spent[name] += asyncio.run(deliver(port, path, many, in_flight))
            server.drain()
            spent[f"{name} alone"] += asyncio.run(deliver(port, path, alone, 1))
            server.drain()
    return spent


def check(server: Living, deliveries: int, alerts: int) -> Counter[type]:
    """Count what the log says; fails where a delivery is missing or an alert counts twice."""
    events = [event for kept in records_of(server.database, RUN) for event in kept.decode().events]
    counts = Counter(type(event) for event in events)
    assert counts[AlertReceived] == deliveries, counts[AlertReceived]
    accepted = {event.alert_id for event in events if isinstance(event, SignalAccepted)}
    assert counts[SignalAccepted] == len(accepted) == alerts, (counts[SignalAccepted], len(accepted))
    assert counts[SignalDuplicated] == deliveries - alerts, counts[SignalDuplicated]
    return counts


def report(spent: dict[str, Milliseconds], in_flight: int) -> None:
    rows = []
    for name, remark in (
        ("webhook", f"{in_flight} in flight"),
        ("bare", f"{in_flight} in flight"),
        ("webhook alone", "one at a time"),
        ("bare alone", "one at a time"),
    ):
        cuts = quantiles(spent[name], n=100)
        figure = f"p50 {cuts[49]:7.1f}   p99 {cuts[98]:7.1f}   max {max(spent[name]):7.1f}"
        rows.append((f"{name.partition(' ')[0]}, {remark}", figure, f"{len(spent[name]):,} answers"))
    table("Milliseconds to the answer", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=1_000, help="distinct alerts")
    parser.add_argument("--times", type=int, default=10, help="how often each is delivered")
    parser.add_argument("--in-flight", type=int, default=64, help="deliveries under way at once")
    asked = parser.parse_args()
    bodies = [alert(number) for number in range(asked.alerts) for _ in range(asked.times)]
    random.Random(SEED).shuffle(bodies)
    with living() as server, bare() as bare_port:
        start = time.perf_counter()
        spent = measure(server, bare_port, bodies, asked.in_flight)
        seconds = time.perf_counter() - start
        counts = check(server, len(bodies), asked.alerts)
    report(spent, asked.in_flight)
    table(
        "On the log",
        [
            ("deliveries", f"{counts[AlertReceived]:,}", f"{seconds:.0f} s, both routes"),
            ("signals accepted", f"{counts[SignalAccepted]:,}", f"of {asked.alerts:,} distinct alerts"),
            ("verdict duplicate", f"{counts[SignalDuplicated]:,}", "the rest"),
        ],
    )


if __name__ == "__main__":
    main()
