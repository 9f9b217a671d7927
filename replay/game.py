"""A backtest: the loop over candle tapes and recorded alerts, with the simulated venue."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from msgspec import Struct

from domain.account import commands as account
from domain.account.events import AccountKind
from domain.bot.commands import CreateBot, StartBot
from domain.bot.settings import GroupSettings, check_settings
from domain.engine import Core, run
from domain.errors import AmountError, InputError
from domain.market import Instrument
from domain.message import Command
from domain.ports import Input, Interest, Ledger, Moment
from domain.signal.commands import OpenSource
from domain.strategy.commands import StartStrategy
from domain.strategy.plugin import Strategy
from domain.strategy.registry import parameters_text
from domain.values import Cash, InstrumentId, Quantity, Time, checked, exact_quanta
from infrastructure.market_data.tape import Tape
from infrastructure.plugins import code_of
from infrastructure.venues.lane import Lane, Pace
from infrastructure.venues.prepared import prepare
from infrastructure.venues.scans import Scans
from infrastructure.venues.simulated import RULES, Rules, SimulatedVenue, Terms, Wallet
from infrastructure.venues.simulated_market import SimulatedMarket, TimedAlert

ACCOUNT = "main"
SOURCE = "signals"
STRATEGY = "dca_signals"
OPERATOR = "operator"
UNROUTED = "unrouted"
NO_INSTRUMENT = InstrumentId("-")
"""What the source of alerts that are meant for no bot trades: it refuses them all."""

Watch = Callable[[int], None]
Window = tuple[Time, Time]
"""Candles that open from the first time on and before the second."""


class Setup(Struct, frozen=True):
    """What a run on one instrument needs besides its tape and alerts. Balances are decimal amounts per asset."""

    instrument: Instrument
    terms: Terms
    balances: dict[str, Decimal]
    settings: GroupSettings
    kind: AccountKind = "spot"

    def portfolio(self) -> "Portfolio":
        """The same as a portfolio of one."""
        bot = BotSetup(STRATEGY, SOURCE, self.instrument.id, self.settings)
        return Portfolio((MarketSetup(self.instrument, self.terms),), (bot,), self.balances, self.kind)


class MarketSetup(Struct, frozen=True):
    """An instrument of a run, and what the venue charges there."""

    instrument: Instrument
    terms: Terms


class BotSetup(Struct, frozen=True):
    """A bot of a run and the source it hears; `timeframe` is the alerts' that are meant for it, any where empty."""

    bot: str
    source: str
    instrument: InstrumentId
    settings: GroupSettings
    timeframe: str = ""


class StrategySetup(Struct, frozen=True):
    """A strategy of a run, under a bot's name, on one instrument; `parameters` have been checked."""

    bot: str
    strategy: Strategy
    parameters: Struct
    instrument: InstrumentId


class Portfolio(Struct, frozen=True):
    """What a run on several instruments in one account needs besides tapes and alerts.

    The order of `markets` is that in which candles of one instant are taken. `commands` come before the bots are made.
    """

    markets: tuple[MarketSetup, ...]
    bots: tuple[BotSetup, ...]
    balances: dict[str, Decimal]
    kind: AccountKind = "spot"
    commands: tuple[Command, ...] = ()
    unrouted: bool = False
    """Whether there is a source for alerts that no bot is meant to hear."""
    strategies: tuple[StrategySetup, ...] = ()
    rules: Rules = RULES


class Played(Struct, frozen=True):
    """A market that a run is played on; `position` is what the account has of it at the venue at the start, in quanta."""

    instrument: Instrument
    terms: Terms
    tape: Tape
    position: int = 0


class Game(Struct, frozen=True):
    """What the loop runs on: tapes, the inputs played on them, and the simulated venue's side of the account.

    `cash` is what the account has at the venue at the start, in quanta of the one quote asset.
    """

    markets: tuple[Played, ...]
    kind: AccountKind
    cash: int
    opening: Sequence[Input]
    alerts: Sequence[TimedAlert]
    strategies: Sequence[StrategySetup] = ()
    window: Window | None = None
    """The stretch that was cut out of the tapes, where they are not whole."""
    rules: Rules = RULES

    @property
    def candles(self) -> int:
        """How many there are on all tapes."""
        return sum(len(market.tape) for market in self.markets)

    def start(self) -> Time:
        """When the first input comes."""
        starts = [at for market in self.markets for at in market.tape.open_times[:1]]
        return Time(min([*starts, *(alert.at for alert in self.alerts)], default=0))


def name_of(game: Game) -> str:
    """What it is run by: its strategies; without one, position groups from alerts."""
    return ", ".join(dict.fromkeys(each.strategy.name for each in game.strategies)) or STRATEGY


def check_portfolio(portfolio: Portfolio) -> tuple[int, list[int]]:
    """Refuse what no tape could make good; the cash and each market's position at the start, in quanta."""
    instruments = [market.instrument for market in portfolio.markets]
    for bot in portfolio.bots:
        check_settings(bot.settings)
    owners = [bot.bot for bot in portfolio.bots] + [each.bot for each in portfolio.strategies]
    for owner in owners:
        if owners.count(owner) > 1:
            raise InputError(f"bot {owner!r} is named twice; allowed: each bot and strategy under a name of its own")
    for instrument in instruments:
        if instrument.base == instrument.quote:
            raise InputError(f"instrument {instrument.id}: base and quote must be two assets")
    quote, bases = instruments[0].quote, [instrument.base for instrument in instruments]
    for instrument in instruments:
        if instrument.quote != quote:
            raise InputError(f"instrument {instrument.id}: all instruments of an account are quoted in {quote}")
        if bases.count(instrument.base) > 1:
            raise InputError(f"instrument {instrument.id}: another instrument has {instrument.base} for its base too")
    unknown = sorted(set(portfolio.balances) - {quote, *bases})
    if unknown:
        traded = [*map(str, bases), str(quote)]
        names = f"{', '.join(traded[:-1])} and {traded[-1]}"
        raise InputError(f"balance {unknown[0]}: {_names(instruments)} trades {names} only")
    cash = _balance(portfolio, quote, instruments[0].quote_scale)
    return cash, [_balance(portfolio, each.base, each.size_scale) for each in instruments]


def check_setup(setup: Setup) -> None:
    """Refuse what no tape could make good."""
    check_portfolio(setup.portfolio())


def portfolio_game(portfolio: Portfolio, tapes: Sequence[Tape], alerts: Sequence[TimedAlert]) -> Game:
    """A run as it is asked for, its tapes in the order of its markets. A holding at the start costs the first price."""
    cash, positions = check_portfolio(portfolio)
    markets = tuple(
        Played(market.instrument, market.terms, tape.rescaled(market.instrument.price_scale), position)
        for market, tape, position in zip(portfolio.markets, tapes, positions, strict=True)
    )
    worth = cash
    for market in markets:
        if market.position:
            worth += market.instrument.notional(max(market.tape.highs), market.position)
            checked(worth, f"the balance in {market.instrument.quote} at the tape's highest price")
    opening = [Input(OPERATOR, command) for command in (*_account_of(portfolio, cash, markets), *_bots_of(portfolio))]
    return Game(markets, portfolio.kind, cash, opening, alerts, portfolio.strategies, rules=portfolio.rules)


def _account_of(portfolio: Portfolio, cash: int, markets: Sequence[Played]) -> Iterator[Command]:
    yield account.OpenAccount(ACCOUNT, portfolio.kind)
    for market in markets:
        terms = market.terms
        yield account.ListInstrument(ACCOUNT, market.instrument, terms.maker_fee, terms.taker_fee, terms.slippage)
    if cash:
        yield account.DepositCash(ACCOUNT, markets[0].instrument.quote, Cash(cash))
    for market in markets:
        if market.position:
            cost = market.instrument.notional(market.tape.opens[0], market.position)
            yield account.DepositPosition(ACCOUNT, market.instrument.id, Quantity(market.position), cost)
    yield from portfolio.commands


def _bots_of(portfolio: Portfolio) -> Iterator[Command]:
    instruments = {market.instrument.id: market.instrument for market in portfolio.markets}
    for bot in portfolio.bots:
        yield CreateBot(bot.bot, ACCOUNT, portfolio.kind, STRATEGY, instruments[bot.instrument], bot.settings)
        yield StartBot(bot.bot)
        yield OpenSource(bot.source, bot.bot, bot.instrument)
    if portfolio.unrouted:
        yield OpenSource(UNROUTED, "", NO_INSTRUMENT)
    for each in portfolio.strategies:
        text, code = parameters_text(each.parameters), code_of(each.strategy)
        yield StartStrategy(each.bot, ACCOUNT, each.strategy.name, code, instruments[each.instrument], text)


def game_of(setup: Setup, tape: Tape, alerts: Sequence[TimedAlert]) -> Game:
    """A run on one instrument as it is asked for."""
    return portfolio_game(setup.portfolio(), [tape], alerts)


def market_of(game: Game, pace: Pace = "skip", scans: Scans | None = None) -> SimulatedMarket:
    """The simulated market of a run: a book for each instrument, one wallet for all."""
    wallet = Wallet(game.cash)
    lanes = [
        Lane(
            market.instrument.id,
            market.tape,
            SimulatedVenue(ACCOUNT, game.kind, market.instrument, market.terms, wallet, market.position, game.rules),
            [
                prepare(each.bot, each.strategy, each.parameters, market.tape, scans)
                for each in game.strategies
                if each.instrument == market.instrument.id
            ],
        )
        for market in game.markets
    ]
    return SimulatedMarket(lanes, game.opening, game.alerts, pace)


def play(
    game: Game, ledger: Ledger, *, pace: Pace = "skip", watch: Watch | None = None, scans: Scans | None = None
) -> Core:
    """Run the loop to the tapes' end, with the same log at every pace; `watch` is told how many candles have passed.

    `scans` are kept from run to run: what features were there is not computed again.
    """
    market = market_of(game, pace, scans)
    core = Core()
    run(core, _Watched(market, watch) if watch else market, ledger, market)
    return core


def backtest(setup: Setup, tape: Tape, alerts: Sequence[TimedAlert], ledger: Ledger, *, pace: Pace = "skip") -> Core:
    """Run a setup over a tape."""
    return play(game_of(setup, tape, alerts), ledger, pace=pace)


class _Watched:
    """A feed that tells how far it is."""

    def __init__(self, market: SimulatedMarket, watch: Watch) -> None:
        self._market = market
        self._watch = watch

    def next(self, interest: Interest) -> list[Moment] | None:
        self._watch(self._market.candles)
        return self._market.next(interest)


def _names(instruments: Sequence[Instrument]) -> str:
    return instruments[0].id if len(instruments) == 1 else "the account"


def _balance(portfolio: Portfolio, asset: str, scale: int) -> int:
    try:
        amount = exact_quanta(portfolio.balances.get(asset, Decimal(0)), scale)
    except AmountError as error:
        raise InputError(f"balance {asset}: {error}") from None
    if amount < 0:
        raise InputError(f"balance {asset} must not be below 0")
    return amount
