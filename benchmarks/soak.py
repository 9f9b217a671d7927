"""An hour of market time at speed: flat memory, laws that hold, stream clients that are cut off and miss nothing.

Run by hand: `.venv/bin/python -m benchmarks.soak`, some five minutes; `--hours 4` for longer. A server in a process
of its own trades for 20 bots of 4 accounts on 6 markets, whose candles, one a second, are pushed over HTTP by a user for
each market, while alerts come to every bot's webhook about every half minute of market time. Meanwhile five clients
follow the stream on every channel from its beginning; each is cut off at random, mostly without a goodbye, and resumes
behind the last message it had, sometimes only after the server has let go of it, so that it is read from the log.

The script fails where `verify` or the read models find a difference, where the books do not add up, or where a client
has missed, repeated or disordered a message: the channel of all events is held against the log, and all that a client
was told, word for word, against what a client that comes at the end reads from the log.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from msgspec import Struct, field
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.stream_messages import CHANNELS
from benchmarks.living_server import HOST, V1, Line, Living, add_users, living, login
from benchmarks.timing import table
from domain.account.events import CashDeposited, OrderFilled, OrderIntended
from domain.message import Event, Record
from domain.values import decimal_text, parse_time, time_text
from infrastructure.event_store.runs import find_run, records_of
from infrastructure.market_data.random_walk import walk
from infrastructure.read_models import update_all
from infrastructure.row_rebuild import differences
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.positions import PoolRow, PositionRow
from projections.rows import MemoryRows, fold_records
from replay.verify import verify

RUN = 1
HOUR = 3_600
STEP = 5
"""Seconds of market time that are pushed at once."""
START = parse_time("2026-01-01T00:00:00Z")
MARKETS = {"BTC": 9_000_000, "ETH": 300_000, "SOL": 15_000, "XRP": 20_000, "LTC": 8_000, "AVAX": 3_000}
"""Prices at the start, in hundredths."""
BOTS, ACCOUNTS, CLIENTS = 20, 4, 5
ALERT_SECONDS = 30
TOKEN_SECONDS = 600
SAMPLE_SECONDS = 0.25
SETTINGS = {
    "capital": "2000",
    "legs": [
        {"gap_pct": "0", "weight_pct": "50", "take_profit_pct": "0.1"},
        {"gap_pct": "-0.1", "weight_pct": "30", "take_profit_pct": "0.1"},
        {"gap_pct": "-0.3", "weight_pct": "20", "take_profit_pct": "0.2"},
    ],
}
Place = tuple[int, int]
"""Position and index of the channel."""


class Heard(Struct):
    """What one client has been told: places in order, a hash of each text, and how often it was cut off."""

    places: list[Place] = field(default_factory=list)
    texts: dict[Place, bytes] = field(default_factory=dict)
    cuts: int = 0

    def take(self, text: str, message: dict[str, Any]) -> None:
        place = message["position"], CHANNELS.index(message["channel"])
        self.places.append(place)
        self.texts[place] = hashlib.blake2b(text.encode(), digest_size=8).digest()


class Follower:
    """A client of the stream. It ends behind a position, once that is known."""

    def __init__(self, port: int, chance: random.Random | None) -> None:
        self.heard = Heard()
        self.end: int | None = None
        self._url = f"ws://{HOST}:{port}{V1}/stream"
        self._port = port
        self._chance = chance
        self._token, self._until = "", 0.0

    async def follow(self) -> None:
        """Connect, and again, until the end has come."""
        while not self._done():
            if time.monotonic() > self._until:
                self._token, self._until = await login(self._port, "follower"), time.monotonic() + TOKEN_SECONDS
            headers = {"Authorization": f"Bearer {self._token}"}
            async with connect(self._url, additional_headers=headers, compression=None, max_queue=4096) as socket:
                await socket.send(json.dumps({"type": "subscribe", "channels": CHANNELS, **self._resume()}))
                await self._hear(socket)
            if not self._done() and self._chance is not None:
                self.heard.cuts += 1
                if self.end is None:
                    await asyncio.sleep(self._chance.choice([0, 0, 0.2, 1, 20]))

    def _resume(self) -> dict[str, Any]:
        if not self.heard.places:
            return {"resume_from": 0}
        position, channel = self.heard.places[-1]
        return {"resume_from": position, "resume_channel": CHANNELS[channel]}

    async def _hear(self, socket: ClientConnection) -> None:
        """Hear so many messages, and leave: mostly as a broken line does."""
        left = 10**12 if self._chance is None else self._chance.randint(1, 4_000)
        while left and not self._done():
            try:
                text = str(await asyncio.wait_for(socket.recv(), 1))
            except TimeoutError:
                continue
            except ConnectionClosed:
                return
            message = json.loads(text)
            assert message["type"] in {"event", "authenticated", "subscribed", "heartbeat"}, message
            if message["type"] == "event":
                self.heard.take(text, message)
                left -= 1
        if self._chance is not None and self._chance.random() < 0.8:  # noqa: PLR2004
            socket.transport.abort()

    def _done(self) -> bool:
        return (
            self.end is not None
            and bool(self.heard.places)
            and self.heard.places[-1] >= (self.end, CHANNELS.index("events"))
        )


async def build(server: Living) -> list[tuple[str, str]]:
    """Accounts and started bots; of each bot its instrument and the path of its webhook."""
    symbols = [f"{base}/USDT" for base in MARKETS]
    terms = {"tick": "0.01", "step": "0.00001", "min_notional": "5", "maker_fee": "0.0002", "taker_fee": "0.001"}
    bots: list[tuple[str, str]] = []
    async with Line(server.port, await login(server.port, "owner")) as line:
        for number in range(ACCOUNTS):
            body = {
                "name": f"account-{number}", "mode": "paper", "kind": "spot", "balances": {"USDT": "100000"},
                "instruments": [{"symbol": symbol, **terms} for symbol in symbols],
            }  # fmt: skip
            await line.ask("/accounts", body)
        for number in range(BOTS):
            name, symbol = f"bot-{number}", symbols[number % len(symbols)]
            body = {
                "name": name, "account": f"account-{number % ACCOUNTS}", "strategy": "dca_signals", "instrument": symbol,
                "settings": SETTINGS,
            }  # fmt: skip
            await line.ask("/bots", body)
            await line.ask(f"/bots/{name}/start")
            bots.append((symbol, str((await line.ask(f"/bots/{name}/webhook"))["path"])))
    return bots


async def push_market(port: int, base: str, steps: int, turn: asyncio.Barrier) -> None:
    """A market's candles, a step at a time, together with the others."""
    first = MARKETS[base]
    candles = walk(random.Random(base), first, first)
    second = itertools.count()
    token, until = "", 0.0
    for _ in range(steps):
        body = []
        for open_, high, low, close, volume in itertools.islice(candles, STEP):
            prices = {"open": open_, "high": high, "low": low, "close": close}
            texts = {name: decimal_text(price, 2) for name, price in prices.items()}
            at = time_text(START + next(second) * 1_000_000)
            body.append({"open_time": at, "volume": str(volume), **texts})
        await turn.wait()
        if time.monotonic() > until:
            token, until = await login(port, base.lower()), time.monotonic() + TOKEN_SECONDS
        async with Line(port, token) as line:
            await line.ask(f"/market/sim/{base}-USDT/candles", body)


async def send_alerts(port: int, bots: Sequence[tuple[str, str]], steps: int, turn: asyncio.Barrier) -> int:
    """Alerts while the candles of a step come: mostly entries, some sent twice, some no alerts; how many."""
    chance, sent = random.Random(7), 0
    for step in range(steps):
        await turn.wait()
        async with Line(port) as line:
            for symbol, path in bots:
                if chance.random() < STEP / ALERT_SECONDS:
                    body = {
                        "id": f"step-{step}", "time": time_text(START + step * STEP * 1_000_000),
                        "symbol": symbol.replace("/", ""), "action": chance.choice(["buy", "buy", "buy", "exit"]),
                    }  # fmt: skip
                    text = b"buy please" if chance.random() < 0.02 else json.dumps(body).encode()  # noqa: PLR2004
                    for _ in range(1 + (chance.random() < 0.1)):  # noqa: PLR2004
                        status, answer = await line.post(path, text)
                        assert status == 200, (status, answer)  # noqa: PLR2004
                        sent += 1
    return sent


async def watch_memory(server: Living) -> list[int]:
    """Samples of the server's memory, until cancelled."""
    samples: list[int] = []
    try:
        while True:
            samples.append(server.memory())
            await asyncio.sleep(SAMPLE_SECONDS)
    except asyncio.CancelledError:
        return samples


async def play(server: Living, steps: int) -> tuple[list[Heard], list[int], int, float]:
    """The whole hour; what each client and, last, the late one heard, samples of memory, alerts, and seconds."""
    bots = await build(server)
    followers = [Follower(server.port, random.Random(number)) for number in range(CLIENTS)]
    following = [asyncio.create_task(each.follow()) for each in followers]
    watching = asyncio.create_task(watch_memory(server))
    turn, start = asyncio.Barrier(len(MARKETS) + 1), time.perf_counter()
    sending = asyncio.create_task(send_alerts(server.port, bots, steps, turn))
    await asyncio.gather(sending, *(push_market(server.port, base, steps, turn) for base in MARKETS))
    seconds = time.perf_counter() - start
    watching.cancel()
    samples = await watching
    await asyncio.to_thread(server.drain)
    late = Follower(server.port, None)
    end = max(kept.position + kept.events - 1 for kept in records_of(server.database, RUN))
    for each in [*followers, late]:
        each.end = end
    async with asyncio.timeout(300):
        await asyncio.gather(*following)
        await late.follow()
    return [each.heard for each in [*followers, late]], samples, sending.result(), seconds


def check_streams(heard: Sequence[Heard], positions: Sequence[int]) -> None:
    """Every message once, in order, the same for all; and of the channel of all events, every position of the log."""
    everything = CHANNELS.index("events")
    for each in heard:
        assert all(before < after for before, after in itertools.pairwise(each.places)), "repeated or out of order"
        assert [position for position, channel in each.places if channel == everything] == positions, "not the log"
        assert each.places == heard[-1].places, "not what a late client is told"
        assert each.texts == heard[-1].texts, "other words than a late client is told"


def check_books(records: Sequence[Record[Event]]) -> None:
    """Laws 1, 2, 3, 6 and 18, for each account, from the fills themselves."""
    cash: Counter[str] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    filled: Counter[tuple[str, int]] = Counter()
    ordered: dict[tuple[str, int], int] = {}
    trades: set[tuple[str, str, str]] = set()
    for event in (event for record in records for event in record.events):
        if isinstance(event, CashDeposited):
            cash[event.account] += event.amount
        elif isinstance(event, OrderIntended):
            ordered[event.account, event.order] = event.quantity
        elif isinstance(event, OrderFilled):
            trade = (event.account, event.instrument, event.trade)
            assert trade not in trades, f"{trade} twice"
            trades.add(trade)
            sign = 1 if event.side == "buy" else -1
            cash[event.account] -= sign * event.cash + event.fee
            held[event.account, event.instrument] += sign * event.received
            filled[event.account, event.order] += event.quantity
    assert all(quantity <= ordered[order] for order, quantity in filled.items()), "filled more than ordered"
    rows = MemoryRows()
    fold_records((PORTFOLIO,), rows, records)
    pooled: Counter[tuple[str, str]] = Counter()
    gained: defaultdict[str, int] = defaultdict(int)
    for pool in rows.all(PoolRow):
        pooled[pool.account, pool.instrument] += pool.quantity
        gained[pool.account] += pool.realized - pool.fees
    for books in rows.all(BalanceRow):
        assert books.cash == cash[books.account] >= 0, books
        assert books.equity == books.deposited + gained[books.account] + books.unrealized, books
    for row in rows.all(PositionRow):
        key = row.account, row.instrument
        assert row.quantity == held[key] == pooled[key] >= 0, row


def report(
    server: Living, heard: Sequence[Heard], samples: Sequence[int], alerts: int, played: tuple[int, float]
) -> None:
    steps, seconds = played
    everything = list(records_of(server.database, RUN))
    kept = [each for each in everything if each.stream]
    check_streams(heard, [each.position + at for each in everything for at in range(each.events)])
    records = [each.decode() for each in kept]
    check_books(records)
    verdict = verify(server.database, server.home, find_run(server.database, RUN))
    assert verdict.status == "same", verdict
    update_all(server.database)
    assert not differences(server.database)
    counts = Counter(type(event) for record in records for event in record.events)
    market = steps * STEP
    table(
        "What was played",
        [
            (
                "market time",
                f"{market / 60:.0f} min",
                f"in {seconds:.0f} s: {market / seconds:.0f} times its own speed",
            ),
            ("bots, accounts, markets", f"{BOTS}, {ACCOUNTS}, {len(MARKETS)}", f"{market * len(MARKETS):,} candles"),
            ("alerts", f"{alerts:,}", ""),
            ("orders, fills", f"{counts[OrderIntended]:,}, {counts[OrderFilled]:,}", ""),
            ("records, events", f"{len(kept):,}, {sum(counts.values()):,}", ""),
        ],
    )
    quarters = [median(samples[len(samples) * at // 4 : len(samples) * (at + 1) // 4]) / 2**20 for at in range(4)]
    rows = [(f"quarter {at}", f"{quarter:.1f} MiB", "") for at, quarter in enumerate(quarters, 1)]
    growth = (
        "from the second to the last",
        f"{quarters[3] - quarters[1]:+.1f} MiB",
        f"in {market / 120:.0f} min of market time",
    )
    table(f"Resident memory of the server, medians of {len(samples)} samples", [*rows, growth])
    cuts = sum(each.cuts for each in heard)
    table(
        "Held",
        [
            ("verify", verdict.status, f"{verdict.records:,} records"),
            ("books add up", "yes", "cash, positions, equity of every account; no trade twice; no order overfilled"),
            ("read models", "equal a fold of the log", ""),
            ("stream clients", f"{len(heard) - 1}, cut off {cuts} times", "and one that came at the end"),
            ("messages to each", f"{len(heard[-1].places):,}", "every one once, in order, the same words"),
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1, help="of market time")
    steps = int(parser.parse_args().hours * HOUR / STEP)
    with living() as server:
        add_users(server.database, ["owner", "follower", *(base.lower() for base in MARKETS)])
        heard, samples, alerts, seconds = asyncio.run(play(server, steps))
        report(server, heard, samples, alerts, (steps, seconds))


if __name__ == "__main__":
    main()
