"""The running server: worker, markets, HTTP and the live view, started together and stopped in the reverse order."""

import gc
import logging
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

import uvicorn
from msgspec import Struct

from api.app import create_app
from api.demo_desk import ACCOUNT, open_desk, ready_curl
from api.live_view import LiveView
from api.remote import server_url
from api.security import TokenFilter
from api.terminal import console
from domain.errors import InputError
from domain.values import InstrumentId, Price, exact_quanta
from infrastructure.access import Access
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store.database import Database
from infrastructure.event_store.segments import seal
from infrastructure.inbox import Inbox
from infrastructure.market_data.shelf import find_tape
from infrastructure.market_players import MarketPlayer, PlayingTape, WalkingMarket
from infrastructure.master_key import load_master_key
from infrastructure.proof.checkpoints import open_checkpoints
from infrastructure.row_history import keep_history
from infrastructure.settings import Settings
from infrastructure.upkeep import Upkeep
from infrastructure.worker import Worker

BACKLOG = 2048
LOG_BYTES = 10_000_000
LOG_FILES = 5
WALK_SCALE = 2
SEAL_SECONDS = 5.0
REVIVE_SECONDS = 2.0


class Plan(Struct, frozen=True):
    """What to run besides the worker and the API; markets are `walk:SYMBOL=PRICE` or `tape:NAME=SYMBOL`."""

    markets: Sequence[str] = ()
    speed: int = 1
    demo: bool = False
    view: bool = True
    origins: Sequence[str] = ()
    take_over: bool = False


def serve(database: Database, settings: Settings, listening: socket.socket, plan: Plan) -> None:
    """Run until interrupted. Everything that was accepted is on the log or in the inbox when this returns."""
    _log_to(settings.home / "log" / "truetape.log")
    host, port = listening.getsockname()[:2]
    url = f"http://{host}:{port}"
    players = [_player(text, plan.speed, database, settings) for text in plan.markets]
    checkpoints = open_checkpoints(database, settings)
    with ExitStack() as stack:
        # Entered first: its last checkpoint is made when nothing appends any more.
        make = partial(checkpoints.make, whole=False)
        stack.enter_context(Upkeep("checkpoints", settings.checkpoint_minutes * 60, make))
        if settings.database_url is None:
            revive = EmbeddedPostgres(settings.home).revive
            stack.enter_context(Upkeep("the embedded database", REVIVE_SECONDS, revive))
        stack.enter_context(Upkeep("sealing", SEAL_SECONDS, partial(seal, database)))
        # A batch at a time: what is behind catches up without the loop feeling it.
        stack.enter_context(Upkeep("row-history", SEAL_SECONDS, partial(keep_history, database, most=1)))
        worker = stack.enter_context(Worker(database, take_over=plan.take_over))
        app = create_app(
            database,
            settings,
            origins=plan.origins,
            worker_alive=lambda: worker.is_alive,
            worker_halted=lambda: worker.halted,
        )
        for player in players:
            stack.enter_context(player)
        _greet(database, settings, worker.run, url, demo=plan.demo)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
        if plan.view and console.is_terminal:
            view = LiveView(database, worker.run, f"{url}  Ctrl-C stops; started again it goes on")
            view.start()
            stack.callback(view.stop)
        stack.callback(lambda: setattr(server, "should_exit", True))
        # What is there by now stays to the end: a collector that walks it again takes 50 ms of every thread's time.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Take the address; raises InputError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # who comes before the server is up waits instead of being refused
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose with --host and --port"
        ) from None
    return listening


def _greet(database: Database, settings: Settings, run: int, url: str, *, demo: bool) -> None:
    first = Access(database).make_first_admin()
    described = f"its API is described at {url}/api/v1/docs"
    console.print(f"Truetape listens on [bold]{url}[/]; {described}", markup=True, soft_wrap=True)
    if first is not None:
        name, password = first
        said = f"first user [bold]{name}[/], password [bold]{password.get_secret_value()}[/]  (shown once)"
        console.print(said, markup=True, soft_wrap=True)
    if demo:
        path = open_desk(database, load_master_key(settings.home), run)
        console.print("send an alert from a second terminal:")
        console.print(f"  {ready_curl(url + path)}", soft_wrap=True, markup=False)
        console.print("and look at what it did:")
        elsewhere = "" if url == server_url() else f"export TRUETAPE_URL={url}; "
        console.print(f"  {elsewhere}truetape login; truetape account show {ACCOUNT}", soft_wrap=True, markup=False)
        console.print("two strategies trade on an account of their own:")
        console.print("  truetape strategy running", soft_wrap=True, markup=False)


def _player(text: str, speed: int, database: Database, settings: Settings) -> MarketPlayer:
    """`walk:BTC/USDT=90000` or `tape:NAME=BTC/USDT`."""
    kind, colon, rest = text.partition(":")
    name, equals, value = rest.partition("=")
    if not (colon and equals) or kind not in {"walk", "tape"}:
        raise InputError(f"--market {text!r} is neither walk:SYMBOL=PRICE nor tape:NAME=SYMBOL")
    inbox = Inbox(database)
    if kind == "walk":
        return WalkingMarket(inbox, InstrumentId(name), Price(exact_quanta(value, WALK_SCALE)))
    return PlayingTape(inbox, InstrumentId(value), find_tape(settings.home, name).load(), speed)


def _log_to(path: Path) -> None:
    """Warnings and worse go to a file that is rotated; the terminal belongs to people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    handler.addFilter(TokenFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
