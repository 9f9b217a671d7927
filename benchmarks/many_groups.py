"""100 webhooks at the same moment while 50 position groups are open: none lost, each taken once, how long each answer took.

Run by hand: `.venv/bin/python -m benchmarks.many_groups`, about a minute. 50 bots on one account have a live group each, with
resting legs. Then bursts of 100 alerts, two for each bot, each on a line of its own, begin at once; the bare route
gets the same bursts in turns. At the end the log must have every alert once, or the script fails.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from statistics import quantiles

from benchmarks.living_server import Line, Living, add_users, bare, living, login
from benchmarks.timing import table
from benchmarks.webhook import ACCOUNT, CANDLE, RUN, Milliseconds, timed
from domain.position_group.events import GroupClosed, GroupOpened
from domain.signal.events import AlertReceived, SignalAccepted
from infrastructure.event_store.runs import records_of

BOTS = 50
BURSTS = 20
LINES = 100
LEGS = [
    {"gap_pct": "0", "weight_pct": "40", "take_profit_pct": "5"},
    {"gap_pct": "-5", "weight_pct": "60", "take_profit_pct": "5"},
]
SETTINGS = {"capital": "1000", "max_pyramids": 5, "stop_loss_pct": "20", "legs": LEGS}


async def open_groups(server: Living) -> list[str]:
    """The bots, a live group each, and the paths their alerts go to."""
    add_users(server.database, ["trader"])
    async with Line(server.port, await login(server.port, "trader")) as line:
        await line.ask("/accounts", ACCOUNT)
        await line.ask("/accounts/main/pool/settings", {"max_open_groups": BOTS}, method="PUT")
        paths = []
        for number in range(BOTS):
            name = f"bot{number}"
            bot = {"name": name, "account": "main", "strategy": "dca_signals", "instrument": "BTC/USDT"}
            await line.ask("/bots", {**bot, "settings": SETTINGS})
            await line.ask(f"/bots/{name}/start")
            paths.append(str((await line.ask(f"/bots/{name}/webhook"))["path"]))
        await line.ask("/market/sim/BTC-USDT/candles", [CANDLE])
        for path in paths:
            await line.post(path, alert("first", path))
        server.drain()
        await line.ask("/market/sim/BTC-USDT/candles", [{**CANDLE, "open_time": "2026-01-01T00:01:00Z"}])
    return paths


def alert(name: str, path: str) -> bytes:
    body = {"id": f"{name}-{path[-8:]}", "time": "2026-01-01T00:00:00Z", "symbol": "BTCUSDT", "action": "buy"}
    return json.dumps({**body, "price": "90000.00"}).encode()


async def burst(port: int, calls: list[tuple[str, bytes]]) -> Milliseconds:
    """All at once, each on an open line of its own."""
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line(port)) for _ in calls]
        return list(await asyncio.gather(*(timed(line, *call) for line, call in zip(lines, calls, strict=True))))


def check(server: Living, sent: int) -> tuple[int, int]:
    """How many alerts and how many open groups the log has; fails where an alert is missing or was taken twice."""
    events = [event for kept in records_of(server.database, RUN) for event in kept.decode().events]
    accepted = [(event.source, event.alert_id) for event in events if isinstance(event, SignalAccepted)]
    assert len(accepted) == len(set(accepted)) == sent, (len(accepted), sent)
    assert sum(isinstance(event, AlertReceived) for event in events) == sent
    groups = sum(isinstance(event, GroupOpened) for event in events)
    return len(accepted), groups - sum(isinstance(event, GroupClosed) for event in events)


def main() -> None:
    spent: dict[str, Milliseconds] = {"webhook": [], "bare": []}
    with living() as server, bare() as bare_port:
        paths = asyncio.run(open_groups(server))
        for number in range(BURSTS):
            calls = [(path, alert(f"{number}-{turn}", path)) for path in paths for turn in range(LINES // BOTS)]
            spent["webhook"] += asyncio.run(burst(server.port, calls))
            server.drain()
            spent["bare"] += asyncio.run(burst(bare_port, calls))
        accepted, groups = check(server, BOTS + BURSTS * LINES)
    cuts = {name: quantiles(times, n=100) for name, times in spent.items()}
    rows = [
        (
            name,
            f"p50 {cuts[name][49]:7.1f}   p99 {cuts[name][98]:7.1f}   max {max(times):7.1f}",
            f"{len(times):,} answers",
        )
        for name, times in spent.items()
    ]
    table(f"Milliseconds to the answer, {LINES} at once", rows)
    table("On the log", [("alerts taken once", f"{accepted:,}", "none lost"), ("groups open", f"{groups}", "")])


if __name__ == "__main__":
    main()
