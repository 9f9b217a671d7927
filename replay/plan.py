"""What a backtest is asked for, from a configuration of instruments: its markets, its bots, and who hears which alert."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import get_args

from msgspec import Struct, structs

from domain.account.events import AccountKind
from domain.errors import InputError, TruetapeError
from domain.market import FeeAsset, Instrument, make_instrument
from domain.message import Command
from domain.signal.alert import parse_alert, plain_symbol, plain_timeframe
from domain.signal.body import MalformedAlertError
from domain.values import InstrumentId
from infrastructure.market_data.shelf import NAME, NAME_ALLOWED, Stored, find_tape, import_cached
from infrastructure.venues.simulated import RULES, Rules, Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.game import SOURCE, STRATEGY, UNROUTED, BotSetup, MarketSetup, Portfolio, check_portfolio
from replay.inputs import InstrumentConfig, InstrumentTable, Route, only

KINDS: tuple[str, ...] = get_args(AccountKind)
FEE_ASSETS: tuple[str, ...] = get_args(FeeAsset)


class Account(Struct, frozen=True):
    """The account of a run, and what holds for instruments that say nothing else."""

    kind: AccountKind
    balances: dict[str, Decimal]
    terms: Terms
    min_notional: Decimal = Decimal(0)
    fee_asset: FeeAsset = "quote"
    rules: Rules = RULES


class Plan(Struct, frozen=True):
    """Markets and bots, in the order of the tables of the configuration at `path`; None where options say it all."""

    path: Path | None
    markets: tuple[InstrumentTable, ...]
    bots: tuple[BotSetup, ...]
    commands: tuple[Command, ...] = ()
    """What is in force for the whole account: its pool, limits and offsets."""

    def portfolio(self, account: Account, scales: Sequence[int] = (), *, unrouted: bool = False) -> Portfolio:
        """The setup of a run; `scales` are the price scales of its tapes, where they are known."""
        known = scales or [0] * len(self.markets)
        markets = tuple(
            MarketSetup(self._instrument(table, account, scale), account.terms)
            for table, scale in zip(self.markets, known, strict=True)
        )
        return Portfolio(
            markets, self.bots, account.balances, account.kind, self.commands, unrouted, rules=account.rules
        )

    def _instrument(self, table: InstrumentTable, account: Account, scale: int) -> Instrument:
        minimum = account.min_notional if table.min_notional is None else table.min_notional
        fee_asset = table.fee_asset or account.fee_asset
        try:
            return make_instrument(table.name, table.tick, table.step, minimum, price_scale=scale, fee_asset=fee_asset)
        except TruetapeError as error:
            if self.path is None:
                raise
            raise InputError(f"{self.path}: instruments, {table.name}: {error}") from None

    def check(self, account: Account) -> None:
        """Refuse what no tape could make good."""
        check_portfolio(self.portfolio(account))

    def stored(self, home: Path) -> list[Stored]:
        """Each market's tape: imported, or found under its name. Paths are as seen from the configuration's folder."""
        folder = Path() if self.path is None else self.path.parent
        return [
            find_tape(home, table.tape) if table.tape else import_cached(folder / table.candles, home)
            for table in self.markets
        ]

    def route(self) -> Route:
        """Alerts go to the source that their line names, else to the bot of their symbol and timeframe.

        A bot without a timeframe hears those that no other is meant to hear. What is meant for none, or is no alert, goes
        to a source of its own, which gives it its verdict.
        """
        if self.path is None:
            return only(self.bots[0].source)
        sources = {bot.source for bot in self.bots}
        heard = {(plain_symbol(bot.instrument), plain_timeframe(bot.timeframe)): bot.source for bot in self.bots}

        def route(body: str, named: str) -> str:
            if named:
                if named not in sources:
                    raise InputError(f"source {named!r} is not there; allowed: {', '.join(sorted(sources))}")
                return named
            try:
                alert = parse_alert(body)
            except MalformedAlertError:
                return UNROUTED
            symbol = plain_symbol(alert.symbol)
            return heard.get((symbol, plain_timeframe(alert.timeframe))) or heard.get((symbol, "")) or UNROUTED

        return route


def check_rate(name: str, rate: Decimal, least: int = -1) -> None:
    """Refuse what is no fraction; `name` is what the user calls it."""
    if not -1 < rate < 1:
        raise InputError(f"{name} is {rate}; allowed: a fraction such as 0.001, between -1 and 1")
    if rate < least:
        raise InputError(f"{name} must not be below {least}")


def check_grid(name: str, grid: Decimal) -> Decimal:
    """A tick or a step that somebody named; there is none of nothing."""
    if grid <= 0:
        raise InputError(f"{name} is {grid}; allowed: above 0")
    return grid


def check_one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse what is not among these."""
    if value not in allowed:
        raise InputError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


def make_plan(path: Path, configs: Sequence[InstrumentConfig]) -> Plan:
    """The plan of these instruments; raises InputError where two of them cannot be told apart.

    An instrument that is named again, for another timeframe, gets another bot on the same market.
    """
    markets: dict[str, InstrumentTable] = {}
    bots: dict[tuple[str, str], BotSetup] = {}
    for config in configs:
        table, key = config.table, (plain_symbol(config.table.name), plain_timeframe(config.table.timeframe))
        first = markets.setdefault(table.name, table)
        if _market_of(first) != _market_of(table):
            raise InputError(f"{path}: instruments, {table.name}: named again with other candles, grids or fees")
        if key in bots:
            again = f"{table.name} of timeframe {table.timeframe!r}" if table.timeframe else table.name
            raise InputError(f"{path}: instruments: there are two bots for alerts on {again}")
        name = "-".join(filter(None, key))
        bots[key] = BotSetup(
            table.bot or f"{STRATEGY}-{name}", table.source or f"{SOURCE}-{name}", InstrumentId(table.name),
            config.settings, table.timeframe,
        )  # fmt: skip
    for what in ("bot", "source"):
        _check_names(path, what, [getattr(bot, what) for bot in bots.values()])
    return Plan(path, tuple(markets.values()), tuple(bots.values()))


def is_unrouted(alerts: Sequence[TimedAlert]) -> bool:
    """Whether an alert is meant for no bot."""
    return any(alert.source == UNROUTED for alert in alerts)


def _market_of(table: InstrumentTable) -> InstrumentTable:
    return structs.replace(table, bot="", source="", timeframe="", group={})


def _check_names(path: Path, what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: instruments: two of them name the {what} {name!r}")
        if not NAME.fullmatch(name) or name == UNROUTED:
            raise InputError(f"{path}: instruments: {what} {name!r} is not allowed; allowed are {NAME_ALLOWED}")
