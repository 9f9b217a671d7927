"""A backtest: the loop over a candle tape and recorded alerts, with the simulated venue."""

from collections.abc import Callable, Sequence
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
from domain.values import Cash, Quantity, Time, checked, exact_quanta
from infrastructure.market_data.tape import Tape
from infrastructure.venues.simulated import SimulatedVenue, Terms, Wallet
from infrastructure.venues.simulated_market import SimulatedMarket, TimedAlert

ACCOUNT = "main"
SOURCE = "signals"
STRATEGY = "dca_signals"
OPERATOR = "operator"

Watch = Callable[[int], None]


class Setup(Struct, frozen=True):
    """What a run needs besides its tape and alerts. Balances are decimal amounts per asset."""

    instrument: Instrument
    terms: Terms
    balances: dict[str, Decimal]
    settings: GroupSettings
    kind: AccountKind = "spot"


class Game(Struct, frozen=True):
    """What the loop runs on: a tape, the inputs played on it, and the simulated venue's side of the account.

    `cash` and `position` are what the account has at the venue at the start, in quanta.
    """

    tape: Tape
    instrument: Instrument
    terms: Terms
    kind: AccountKind
    cash: int
    position: int
    opening: Sequence[Input]
    alerts: Sequence[TimedAlert]

    def start(self) -> Time:
        """When the first input comes."""
        starts = [*self.tape.open_times[:1], *(alert.at for alert in self.alerts)]
        return Time(min(starts, default=0))


def check_setup(setup: Setup) -> tuple[int, int]:
    """Refuse what no tape could make good; the cash and the position at the start, in quanta."""
    instrument = setup.instrument
    check_settings(setup.settings)
    if instrument.base == instrument.quote:
        raise InputError(f"instrument {instrument.id}: base and quote must be two assets")
    unknown = sorted(set(setup.balances) - {instrument.base, instrument.quote})
    if unknown:
        raise InputError(f"balance {unknown[0]}: {instrument.id} trades {instrument.base} and {instrument.quote} only")
    cash = _balance(setup, instrument.quote, instrument.quote_scale)
    return cash, _balance(setup, instrument.base, instrument.size_scale)


def game_of(setup: Setup, tape: Tape, alerts: Sequence[TimedAlert]) -> Game:
    """A run as it is asked for. A holding at the start costs the first price seen."""
    instrument = setup.instrument
    cash, quantity = check_setup(setup)
    tape = tape.rescaled(instrument.price_scale)
    if quantity:
        worth = cash + instrument.notional(max(tape.highs), quantity)
        checked(worth, f"the balance in {instrument.quote} at the tape's highest price")
    commands: list[Command] = [
        account.OpenAccount(ACCOUNT, setup.kind),
        account.ListInstrument(ACCOUNT, instrument, setup.terms.maker_fee, setup.terms.taker_fee, setup.terms.slippage),
    ]
    if cash:
        commands.append(account.DepositCash(ACCOUNT, instrument.quote, Cash(cash)))
    if quantity:
        cost = instrument.notional(tape.opens[0], quantity)
        commands.append(account.DepositPosition(ACCOUNT, instrument.id, Quantity(quantity), cost))
    commands += [
        CreateBot(STRATEGY, ACCOUNT, setup.kind, STRATEGY, instrument, setup.settings),
        StartBot(STRATEGY),
        OpenSource(SOURCE, STRATEGY, instrument.id),
    ]
    opening = [Input(OPERATOR, command) for command in commands]
    return Game(tape, instrument, setup.terms, setup.kind, cash, quantity, opening, alerts)


def play(game: Game, ledger: Ledger, *, every: bool = False, watch: Watch | None = None) -> Core:
    """Run the loop to the tape's end.

    `every` puts each candle through the core, with the same log; `watch` is told how many candles have passed.
    """
    venue = SimulatedVenue(ACCOUNT, game.kind, game.instrument, game.terms, Wallet(game.cash), game.position)
    market = SimulatedMarket(game.instrument.id, game.tape, venue, game.opening, game.alerts, every=every)
    core = Core()
    run(core, _Watched(market, watch) if watch else market, ledger, market)
    return core


def backtest(setup: Setup, tape: Tape, alerts: Sequence[TimedAlert], ledger: Ledger, *, every: bool = False) -> Core:
    """Run a setup over a tape."""
    return play(game_of(setup, tape, alerts), ledger, every=every)


class _Watched:
    """A feed that tells how far it is."""

    def __init__(self, market: SimulatedMarket, watch: Watch) -> None:
        self._market = market
        self._watch = watch

    def next(self, interest: Interest) -> list[Moment] | None:
        self._watch(self._market.candles)
        return self._market.next(interest)


def _balance(setup: Setup, asset: str, scale: int) -> int:
    try:
        amount = exact_quanta(setup.balances.get(asset, Decimal(0)), scale)
    except AmountError as error:
        raise InputError(f"balance {asset}: {error}") from None
    if amount < 0:
        raise InputError(f"balance {asset} must not be below 0")
    return amount
