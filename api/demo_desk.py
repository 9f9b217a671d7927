"""The demo desk: a paper account, a bot and its webhook, made through the inbox as a trader would; and a ready `curl`."""

import time
from collections.abc import Callable
from decimal import Decimal

from domain.account.commands import DepositCash, ListInstrument, OpenAccount
from domain.bot.commands import CreateBot, StartBot
from domain.bot.settings import GroupSettings, LegSettings
from domain.errors import MissingError, StoreError
from domain.market import make_instrument
from domain.message import Command
from domain.signal.commands import OpenSource
from domain.values import Asset, Cash
from infrastructure.event_store.database import Database
from infrastructure.inbox import Entry, Inbox
from infrastructure.master_key import MasterKey
from infrastructure.webhook_keys import Webhooks

ACTOR = "operator"
ACCOUNT = "demo"
BOT = "dca"
WEBHOOK = "demo-dca"
SYMBOL = "BTC/USDT"
WALK = f"walk:{SYMBOL}=90000"
_GRACE_SECONDS = 86_400
_WAIT_SECONDS = 30.0


def open_desk(database: Database, key: MasterKey, run: int) -> str:
    """Make what is not there yet, and wait for the market's first price, without which an alert could not be priced.

    Returns the path of the bot's webhook, with a token that is new each time.
    """
    instrument = make_instrument(SYMBOL, Decimal("0.01"), Decimal("0.00001"), Decimal(5))
    legs = (("0", "40", "0.1"), ("-0.1", "30", "0.15"), ("-0.25", "30", "0.2"))
    settings = GroupSettings(
        capital=Decimal(10_000),
        legs=tuple(LegSettings(Decimal(gap), Decimal(weight), Decimal(target)) for gap, weight, target in legs),
    )
    commands: list[Command] = [
        OpenAccount(ACCOUNT),
        ListInstrument(ACCOUNT, instrument, Decimal("0.0002"), Decimal("0.0004")),
        DepositCash(ACCOUNT, Asset("USDT"), Cash(100_000 * 10**8)),
        CreateBot(BOT, ACCOUNT, "spot", "dca_signals", instrument, settings),
        StartBot(BOT),
        OpenSource(WEBHOOK, BOT, instrument.id),
    ]
    entries = [Entry(ACTOR, command, f"{ACCOUNT} {number}") for number, command in enumerate(commands)]
    inbox = Inbox(database)
    ids = inbox.put(entries)
    _wait(lambda: len(inbox.outcomes(ids)) == len(ids) and bool(inbox.last_prints(inbox.taken())))
    webhooks = Webhooks(database, key)
    try:
        new = webhooks.rotate(run, BOT, _GRACE_SECONDS)
    except MissingError:
        new = webhooks.create(run, BOT, WEBHOOK)
    return f"/webhooks/tradingview/{new.token.get_secret_value()}"


def ready_curl(url: str) -> str:
    """A line that sends an entry alert of now, and can be sent again for the next."""
    body = '{"time": "\'$(date -u +%FT%TZ)\'", "symbol": "BTCUSDT", "action": "buy"}'
    return f"curl -d '{body}' {url}"


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise StoreError("the worker does not take the inbox; see the log file")
        time.sleep(0.02)
