"""Every message once, in order, to whoever keeps up, comes back, or comes late; and a word to whoever does wrong."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Self

import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from api.dependencies import tokens_of
from api.routes import stream
from api.stream import MESSAGE_MAX, MISTAKES_MAX, StreamSettings
from api.stream_messages import CHANNELS, CHANNELS_OF
from domain.account.events import TradingHalted
from domain.bot.events import CommandRefused
from domain.catalogue import EVENTS
from domain.message import Event, Record
from domain.signal.events import AlertReceived, SourceOpened
from domain.values import InstrumentId, Time
from infrastructure.embedded_postgres import SUPERUSER
from infrastructure.event_store.database import Database
from infrastructure.event_store.database import connect as open_database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.read_models import update_all
from infrastructure.row_views import log_end
from tests.api.reading import PREFIX, Api, application, keep, log_of, records
from tests.api.server import serving
from tests.conftest import TestServer

RECEIVE_SECONDS = 20.0
TOKENS = {"good"}


class Client:
    """A websocket client, which may come with a token that is good."""

    def __init__(self, url: str, token: str | None, **options: Any) -> None:
        headers = None if token is None else {"Authorization": f"Bearer {token}"}
        self._context = connect(url, additional_headers=headers, close_timeout=0.1, **options)
        self._greeted = token in TOKENS
        self.connection: ClientConnection
        self.rest: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self.connection = self._context.__enter__()
        if self._greeted:
            assert self.hear() == {"type": "authenticated"}
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(*error)

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self.connection.recv(timeout=RECEIVE_SECONDS))
        return heard

    def subscribe(self, *channels: str, **resume: Any) -> dict[str, Any]:
        self.say(type="subscribe", channels=channels, **resume)
        answer = self.hear()
        assert answer["type"] == "subscribed", answer
        return answer

    def events(self, count: int) -> list[dict[str, Any]]:
        """The next messages, heartbeats left out."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            message = self.hear()
            if message["type"] != "heartbeat":
                assert message["type"] == "event", message
                found.append(message)
        return found

    def end(self) -> tuple[int, str]:
        """How the server closes, and as `rest` what it says before."""
        with pytest.raises(ConnectionClosed) as closed:
            self._hear_the_rest()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def _hear_the_rest(self) -> None:
        while True:
            self.rest.append(self.hear())


class Live:
    """A server of the stream and the reads on a real port."""

    def __init__(self, app: FastAPI, database: Database, port: int) -> None:
        self.app = app
        self.database = database
        self.url = f"ws://127.0.0.1:{port}{PREFIX}/stream"

    def client(self, token: str | None = "good", **options: Any) -> Client:
        return Client(self.url, token, **options)


@contextmanager
def live(database: Database, **changes: Any) -> Iterator[Live]:
    app = application(database)
    app.include_router(stream.router, prefix=PREFIX)

    def anybody() -> Callable[[str], Any]:
        async def check(token: str) -> bool:
            return token in TOKENS

        return check

    app.dependency_overrides[tokens_of] = anybody
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    app.state.streaming.settings = structs.replace(StreamSettings(), **changes)
    try:
        yield Live(app, database, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def served(database: Database) -> Iterator[Live]:
    with live(database) as server:
        yield server


class Growing:
    """A run that grows, a transaction at a time."""

    def __init__(self, database: Database) -> None:
        self._ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1))
        self.run = self._ledger.run

    def append(self, happened: list[Record[Event]]) -> None:
        self._ledger.append(happened)
        self._ledger.flush()


def places_of(database: Database, run: int, channels: AbstractSet[str]) -> list[tuple[int, str]]:
    """Position and channel of every message there is to get, said apart from the code that sends them."""
    words = {
        "orders": ("account.order_", "account.risk_", "account.cancel_", "account.fill", "account.overfilled"),
        "fills": ("account.order_filled",),
        "groups": ("position_group.",),
        "portfolio": (
            "account.cash_deposited", "account.position_deposited", "account.order_filled", "account.instrument_listed",
            "position_group.dust_written_off", "account.valued",
        ),
        "bots": ("bot.", "account.trading_"),
        "deliveries": ("signal.alert_", "signal.accepted", "signal.dup", "signal.mal", "signal.ref", "signal.stale",
                       "bot.alert_refused", "bot.entry_taken", "bot.exit_taken"),
        "events": ("",),
    }  # fmt: skip
    places: list[tuple[int, str]] = []
    for first, _, record in log_of(database, run):
        for offset, event in enumerate(record.events):
            tag = str(type(event).__struct_config__.tag)
            places += [
                (first + offset, channel)
                for channel in CHANNELS
                if channel in channels and tag.startswith(words[channel])
            ]
    return places


def place(message: dict[str, Any]) -> tuple[int, str]:
    return message["position"], message["channel"]


# --- what comes ------------------------------------------------------------------------------------------------------


def test_messages_come_as_things_happen(served: Live) -> None:
    happened = records(candles=30, alerts=10)
    ledger = Growing(served.database)
    ledger.append(happened[:20])
    update_all(served.database)
    with served.client() as client:
        start = client.subscribe(*CHANNELS)["position"]
        assert start == log_end(served.database)
        ledger.append(happened[20:])
        expected = [each for each in places_of(served.database, ledger.run, set(CHANNELS)) if each[0] > start]
        messages = client.events(len(expected))
    assert [place(message) for message in messages] == expected
    said = {item["position"]: item for item in Api(served.app).pages("events", limit=500)}
    for message in messages:
        if message["channel"] != "portfolio":
            assert message["data"] == said[message["position"]]


@pytest.mark.parametrize("from_start", [True, False])
def test_portfolio_messages_are_the_rows_that_changed(served: Live, *, from_start: bool) -> None:
    """From the log's beginning, and from the stored rows: what is said at a position is what a read as of it says."""
    happened = records(candles=60, alerts=20)
    ledger = Growing(served.database)
    ledger.append(happened[: len(happened) // 2])
    update_all(served.database)
    with served.client() as client:
        client.subscribe("portfolio", **({"resume_from": 0} if from_start else {}))
        ledger.append(happened[len(happened) // 2 :])
        update_all(served.database)
        start = 0 if from_start else served.app.state.views.log().position // 2
        count = len([each for each in places_of(served.database, ledger.run, {"portfolio"}) if each[0] > start])
        messages = client.events(count if from_start else 12)
    api = Api(served.app)
    for message in messages[:: len(messages) // 10]:
        balances = {row["asset"]: row for row in api.get("portfolio", as_of=message["position"])["items"]}
        positions = api.get("positions", as_of=message["position"])["items"]
        assert message["data"]["account"] == "main"
        for row in message["data"]["balances"]:
            assert row.items() <= balances[row["asset"]].items()
        assert all(row in positions for row in message["data"]["positions"])
    assert any(message["data"]["balances"] and message["data"]["positions"] for message in messages)


def test_every_event_has_its_channels() -> None:
    assert CHANNELS_OF.keys() == set(EVENTS)
    assert all(channels[-1] == "events" for channels in CHANNELS_OF.values())
    assert CHANNELS_OF[TradingHalted] == ("bots", "events")
    assert CHANNELS_OF[CommandRefused] == ("bots", "events")


def test_only_paper_runs_are_told_and_the_newest_goes_on(served: Live) -> None:
    """The client is there before the first run."""
    happened = records(candles=5, alerts=2)
    with served.client() as client:
        assert client.subscribe("events")["position"] == 0
        first = keep(served.database, happened)
        keep(served.database, happened, "backtest")
        second = keep(served.database, happened)
        expected = [each for run in (first, second) for each in places_of(served.database, run, {"events"})]
        assert [place(message) for message in client.events(len(expected))] == expected


# --- once, and in order ----------------------------------------------------------------------------------------------

Plan = list[tuple[int, int, bool]]
"""Messages to take before going away, records that come meanwhile, whether they come before the client is back."""


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # the threads of client, server and pool do
@given(
    seed=st.integers(0, 50),
    told=st.integers(0, 60),
    channels=st.sets(st.sampled_from(CHANNELS), min_size=1),
    plan=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), min_size=1, max_size=8),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_who_goes_away_and_comes_back_has_every_message_once(
    small: Live, seed: int, told: int, channels: set[str], plan: Plan
) -> None:
    happened = records(seed, 40, 15)
    database = small.database
    resume: dict[str, Any] = {"resume_from": log_end(database)}
    ledger = Growing(database)
    ledger.append(happened[:told])
    heard: list[tuple[int, str]] = []
    for take, more, before in [*plan, (10**6, 10**6, True)]:
        if before:
            ledger.append(happened[told : told + more])
            told += more
        with small.client() as client:
            client.subscribe(*channels, **resume)
            if not before:
                ledger.append(happened[told : told + more])
                told += more
            left = len(places_of(database, ledger.run, channels)) - len(heard)
            heard += [place(message) for message in client.events(min(take, left))]
        if heard:
            resume = {"resume_from": heard[-1][0], "resume_channel": heard[-1][1]}
    assert heard == places_of(database, ledger.run, channels)


@pytest.fixture
def small(database: Database) -> Iterator[Live]:
    """A tail that keeps little, so that clients read the log as well."""
    with live(database, kept=8) as server:
        yield server


def test_many_clients_come_and_go_while_the_log_grows(small: Live) -> None:
    """Each with its own channels and its own luck; all have everything once."""
    database = small.database
    happened = records(candles=80, alerts=30)
    ledger = Growing(database)
    heard: dict[int, list[tuple[int, str]]] = {number: [] for number in range(8)}
    troubles: list[BaseException] = []
    done = threading.Event()

    def work(number: int) -> None:
        chance = Random(number)
        channels = set(chance.sample(CHANNELS, chance.randint(1, 7)))
        resume: dict[str, Any] = {"resume_from": 0}
        try:
            while True:
                over = done.is_set()
                left = len(places_of(database, ledger.run, channels)) - len(heard[number])
                if over and not left:
                    return
                with small.client() as client:
                    client.subscribe(*channels, **resume)
                    heard[number] += map(place, client.events(min(left, chance.randint(1, 150))))
                if heard[number]:
                    position, channel = heard[number][-1]
                    resume = {"resume_from": position, "resume_channel": channel}
        except BaseException as error:  # noqa: BLE001  (a thread's failure is the test's)
            troubles.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in heard]
    for worker in workers:
        worker.start()
    for start in range(0, len(happened), 4):
        ledger.append(happened[start : start + 4])
    done.set()
    for worker in workers:
        worker.join()
    assert not troubles
    for number, places in heard.items():
        chance = Random(number)
        assert places == places_of(database, ledger.run, set(chance.sample(CHANNELS, chance.randint(1, 7))))


def test_one_channel_resumes_from_a_position_alone(served: Live) -> None:
    run = keep(served.database, records(candles=20, alerts=6))
    expected = places_of(served.database, run, {"fills"})
    assert len(expected) > 2
    with served.client() as client:
        client.subscribe("fills", resume_from=expected[1][0])
        assert [place(message) for message in client.events(len(expected) - 2)] == expected[2:]


def test_channels_change_in_mid_stream(served: Live) -> None:
    happened = records(candles=30, alerts=10)
    run = keep(served.database, happened)
    every = places_of(served.database, run, {"events"})
    with served.client() as client:
        client.subscribe("events", resume_from=0)
        assert [place(message) for message in client.events(5)] == every[:5]
        client.say(type="subscribe", channels=["deliveries"], resume_from=0)
        while (message := client.hear())["type"] != "subscribed":
            assert message["channel"] == "events"
        expected = places_of(served.database, run, {"deliveries"})
        assert [place(message) for message in client.events(len(expected))] == expected


def test_the_log_lost_and_found(served: Live, test_server: TestServer, database_name: str) -> None:
    """Every connection of the server is cut, again and again, while another process writes."""
    happened = records(candles=40, alerts=15)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'writer'"
    )
    url = test_server.url(database_name)
    with (
        open_database(f"{url}&application_name=writer") as writer,
        psycopg.connect(test_server.url(database_name, SUPERUSER), autocommit=True) as superuser,
        served.client() as client,
    ):
        # Before the run begins: who subscribes later may be told to be behind its first event, or not yet.
        assert client.subscribe("events")["position"] == 0
        ledger = Growing(writer)
        for start in range(0, len(happened), 40):
            ledger.append(happened[start : start + 40])
            superuser.execute(cut)
            time.sleep(0.1)
        expected = places_of(writer, ledger.run, {"events"})
        assert [place(message) for message in client.events(len(expected))] == expected


# --- who is slow, and who is there -----------------------------------------------------------------------------------


def heavy(count: int) -> list[Record[Event]]:
    """Deliveries of 60 kB, more than any buffer holds."""
    source = SourceOpened("tv", "dca", InstrumentId("BTC/USDT"))
    events: list[Event] = [source, *(AlertReceived("tv", number, "x" * 60_000) for number in range(1, count + 1))]
    return [
        Record(1, version, Time(1), "test", None, (event,), "signal/tv" if version == 1 else None)
        for version, event in enumerate(events, 1)
    ]


def test_who_is_too_slow_is_sent_away_and_goes_on_later(database: Database) -> None:
    ledger = Growing(database)
    with live(database, send=0.5) as server:
        ledger.append(heavy(400))
        with server.client(max_queue=1, compression=None) as slow, server.client() as quick:
            slow.subscribe("events", resume_from=0)
            seen = slow.events(3)
            # The quick one is not held up by the slow one.
            quick.subscribe("events", resume_from=0)
            expected = places_of(database, ledger.run, {"events"})
            assert [place(message) for message in quick.events(len(expected))] == expected
            time.sleep(1.5)
            assert slow.end()[0] == 1013
            seen += slow.rest
        heard = [place(message) for message in seen]
        assert len(heard) < len(expected)
        with server.client() as again:
            again.subscribe("events", resume_from=heard[-1][0])
            heard += [place(message) for message in again.events(len(expected) - len(heard))]
        assert heard == expected


def test_heartbeats_say_how_far_a_client_is(database: Database) -> None:
    run = keep(database, records(candles=10, alerts=3))
    last = log_of(database, run)[-1][1]
    with live(database, heartbeat=0.1) as server, server.client() as client:
        assert client.hear() == {"type": "heartbeat", "position": last}
        client.subscribe("bots", resume_from=0)
        expected = places_of(database, run, {"bots"})
        assert [place(message) for message in client.events(len(expected))] == expected
        while (message := client.hear())["position"] < last:
            assert message["type"] == "heartbeat"
        assert message == {"type": "heartbeat", "position": last}


# --- who may, and what makes no sense --------------------------------------------------------------------------------


def test_a_token_comes_first(database: Database) -> None:
    with live(database, auth=0.3) as server:
        with server.client(None) as client:
            client.say(type="auth", token="good")
            assert client.hear() == {"type": "authenticated"}
            client.subscribe("events")
        with server.client(None) as client:
            client.say(type="auth", token="bad")
            assert client.end()[0] == 4401
        with server.client("bad") as client:
            assert client.end()[0] == 4401
        with server.client(None) as client:
            client.say(type="subscribe", channels=["events"])
            assert client.end()[0] == 4401
        with server.client(None) as client:
            assert client.end() == (4401, "no token came")


def test_a_token_that_expires_ends_the_stream_unless_another_comes(database: Database) -> None:
    with live(database, heartbeat=0.2) as server, server.client() as client, server.client() as renewed:
        client.subscribe("events")
        renewed.say(type="auth", token="good")
        TOKENS.add("better")
        renewed.say(type="auth", token="better")
        assert [renewed.hear()["type"] for _ in range(2)] == ["authenticated"] * 2
        TOKENS.remove("good")
        try:
            assert client.end()[0] == 4401
            assert renewed.hear()["type"] == "heartbeat"
        finally:
            TOKENS.add("good")
            TOKENS.remove("better")


NONSENSE = (
    "", "x", "[]", "{}", '{"type": "ping"}', '{"type": "subscribe"}', '{"type": "subscribe", "channels": []}',
    '{"type": "subscribe", "channels": ["gossip"]}', '{"type": "subscribe", "channels": ["events"], "resume_from": -1}',
    '{"type": "subscribe", "channels": ["events"], "resume_from": 1.5}', '{"type": "auth"}', '{"type": "auth", "token": 1}',
    '{"type": "subscribe", "channels": ["events"], "resume_from": 99999999999999999999}', "\ud83d",
)  # fmt: skip


def test_what_makes_no_sense_is_answered_and_nothing_breaks(served: Live) -> None:
    run = keep(served.database, records(candles=3, alerts=1))
    with served.client() as client:
        for nonsense in NONSENSE:
            client.connection.send(nonsense.encode(errors="surrogatepass"), text=nonsense.isprintable())
            answer = client.hear()
            assert (answer["type"], answer["code"]) == ("error", "MESSAGE_INVALID"), nonsense
            assert answer["detail"]
        client.say(type="subscribe", channels=["events"], resume_from=10**9)
        assert client.hear()["code"] == "RESUME_AHEAD"
        client.subscribe("events", resume_from=0)
        expected = places_of(served.database, run, {"events"})
        assert [place(message) for message in client.events(len(expected))] == expected


def test_too_much_of_it_ends_the_stream(served: Live) -> None:
    with served.client() as client:
        for _ in range(MISTAKES_MAX + 1):
            client.say(type="ping")
        assert client.end()[0] == 1008
    with served.client() as client:
        client.connection.send("x" * (MESSAGE_MAX + 1))
        assert client.end()[0] == 1009


def test_the_whole_server_streams_to_whoever_is_logged_in(database: Database, home: Path) -> None:
    with serving(database, home) as server:
        token = server.headers["Authorization"].removeprefix("Bearer ")
        with server.client.websocket_connect(f"{PREFIX}/stream") as socket:
            socket.send_json({"type": "auth", "token": token})
            assert socket.receive_json() == {"type": "authenticated"}
            socket.send_json({"type": "subscribe", "channels": ["events", "portfolio"], "resume_from": 0})
            assert socket.receive_json()["type"] == "subscribed"
            position = server.open_account().json()["position"]
            heard: list[dict[str, Any]] = []
            while not heard or heard[-1]["position"] < position:
                heard.append(socket.receive_json())
        assert any(message["channel"] == "portfolio" for message in heard)
        assert {message["data"]["event"] for message in heard if message["channel"] == "events"} >= {
            "account.opened.v1"
        }
        assert server.get("/accounts/main").json()["mode"] == "paper"
        with server.client.websocket_connect(f"{PREFIX}/stream") as socket:
            socket.send_json({"type": "auth", "token": token[:-2] + "xx"})
            assert socket.receive()["code"] == 4401
