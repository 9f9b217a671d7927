"""The demo desk: a bot with its webhook and two strategies on paper, made through the inbox as a trader would; and a `curl`."""

import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from domain.account.commands import DepositCash, ListInstrument, OpenAccount
from domain.bot.commands import CreateBot, StartBot
from domain.bot.settings import GroupSettings, LegSettings
from domain.errors import MissingError, StoreError
from domain.market import Instrument, make_instrument
from domain.message import Command
from domain.signal.commands import OpenSource
from domain.strategy.commands import StartStrategy
from domain.strategy.registry import parameters_text, read_parameters, strategy_named
from domain.values import Asset, Cash
from infrastructure.event_store.database import Database
from infrastructure.inbox import Entry, Inbox
from infrastructure.master_key import MasterKey
from infrastructure.plugins import code_of
from infrastructure.webhook_keys import Webhooks

ACTOR = "operator"
ACCOUNT = "demo"
BOT = "dca"
WEBHOOK = "demo-dca"
SYMBOL = "BTC/USDT"
WALK = f"walk:{SYMBOL}=90000"
PLAYGROUND = "strategies"
"""Their account: what they trade is not in the way of who looks at the bot's."""
STRATEGIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "grid": ("grid", {"quantity": "0.01", "spacing_pct": "0.06", "levels_each_side": 4, "recentre_after": 10}),
    "cross": ("sma_cross", {"notional": "5000", "fast": 5, "slow": 15}),
}
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
        *_playground(instrument),
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


def _playground(instrument: Instrument) -> Iterator[Command]:
    """A margin account, where a grid may sell what it has not bought, and the strategies on it."""
    yield OpenAccount(PLAYGROUND, "margin")
    yield ListInstrument(PLAYGROUND, instrument, Decimal("0.0002"), Decimal("0.0004"))
    yield DepositCash(PLAYGROUND, Asset("USDT"), Cash(100_000 * 10**8))
    for bot, (name, given) in STRATEGIES.items():
        strategy = strategy_named(name)
        text = parameters_text(read_parameters(strategy, given, instrument))
        yield StartStrategy(bot, PLAYGROUND, name, code_of(strategy), instrument, text)


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
