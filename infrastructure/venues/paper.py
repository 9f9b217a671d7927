"""Paper trading: a simulated venue for every account, on markets whose data comes through the inbox.

The inbox's order is the order of things: what was accepted before a candle acts on it. The pushed data is the market's
clock; before the first of it, the time is that at which a row was received. Candles that were pushed as one instant are
one moment: all of them fill before anything reacts, and a row of them that cannot be taken takes none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.account.commands import DepositCash, DepositPosition
from domain.account.state import AccountState
from domain.engine import Core
from domain.errors import InputError
from domain.message import Command, Fact
from domain.ports import ClockStarted, DeadlineReached, Effect, Input, Interest, Mark, Moment
from domain.values import Asset, InstrumentId, Price, Time, time_text
from infrastructure.inbox import InboxRow, MarketCandle, MarketTrade
from infrastructure.venues.live_features import LiveFeatures
from infrastructure.venues.simulated import SimulatedVenue, Terms, Wallet, carry_out

VENUE = "venue"
Pushed = MarketCandle | MarketTrade


class PaperVenue:
    """The simulated venue of all accounts: one book for each account and instrument, made from the accounts' own state."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._books: dict[tuple[str, InstrumentId], SimulatedVenue] = {}
        self._wallets: dict[tuple[str, Asset], Wallet] = {}

    def carry_out(self, effect: Effect) -> Sequence[Fact]:
        """Carry out one effect."""
        return carry_out(self._book(effect.account, effect.instrument), effect)

    def pushed(self, pushed: Pushed) -> list[Fact]:
        """All fills of what was pushed."""
        return self.candle(pushed) if isinstance(pushed, MarketCandle) else self.trade(pushed)

    def candle(self, pushed: MarketCandle) -> list[Fact]:
        """All fills of a candle, account by account in the order in which they opened."""
        reports: list[Fact] = []
        candle = pushed.candle
        for book in self._books_of(pushed.instrument):
            reports += book.candle(candle.open_time, candle.open, candle.high, candle.low)
        return reports

    def trade(self, pushed: MarketTrade) -> list[Fact]:
        """All fills of a printed trade; each account has the print for itself."""
        reports: list[Fact] = []
        for book in self._books_of(pushed.instrument):
            reports += book.trade(pushed.trade.at, pushed.trade.price, pushed.trade.quantity)
            book.last = pushed.trade.price
        return reports

    def deposit(self, account: str) -> None:
        """Money or holdings came in from outside: the venue has them too."""
        state: AccountState = self._core.state("account", account)
        for (owner, asset), wallet in self._wallets.items():
            if owner == account:
                wallet.cash = state.cash.get(asset, 0)
        for (owner, instrument), book in self._books.items():
            if owner == account:
                book.position = state.positions.get(instrument, 0)

    def restore(self, prices: Mapping[InstrumentId, Price]) -> None:
        """Take back every account's working orders from the core, at the last prices."""
        for account in self._core.keys("account"):
            state: AccountState = self._core.state("account", account)
            for instrument in state.listings:
                book = self._book(account, instrument)
                book.last = prices.get(instrument)
                for order in state.orders.values():
                    if order.instrument == instrument:
                        book.restore(order)

    def _books_of(self, instrument: InstrumentId) -> list[SimulatedVenue]:
        keys = [(account, instrument) for account in self._core.keys("account")]
        return [self._books[key] for key in keys if key in self._books]

    def _book(self, account: str, instrument: InstrumentId) -> SimulatedVenue:
        book = self._books.get((account, instrument))
        if book is None:
            state: AccountState = self._core.state("account", account)
            listing = state.listings[instrument]
            quote = listing.instrument.quote
            wallet = self._wallets.setdefault((account, quote), Wallet(state.cash.get(quote, 0)))
            terms = Terms(listing.maker_fee, listing.taker_fee, listing.slippage)
            position = state.positions.get(instrument, 0)
            book = SimulatedVenue(account, state.kind, listing.instrument, terms, wallet, position)
            self._books[account, instrument] = book
        return book


class PaperMarket:
    """Feed and venue of a shard: takes inbox rows one after another, and answers for the venue.

    `take` gives the next row, None when there will be none; `done` is told of each row whose whole cascade is over,
    `refuse` of each that cannot be taken, and why.
    """

    def __init__(
        self,
        core: Core,
        take: Callable[[], InboxRow | None],
        done: Callable[[InboxRow], None],
        refuse: Callable[[InboxRow, str], None],
    ) -> None:
        self.venue = PaperVenue(core)
        self.features = LiveFeatures(core)
        self.row: InboxRow | None = None
        self._core = core
        self._take = take
        self._done = done
        self._refuse = refuse
        self._rows: list[InboxRow] = []
        self._content: Command | list[Pushed] | None = None
        self._until: Time | None = None
        self._clock: Time | None = None
        self._latest: dict[InstrumentId, Time] = {}
        self._depositor = ""

    def restore(self, latest: Sequence[Pushed]) -> None:
        """Go on after a restart: the core is restored already; `latest` is the last that each market had."""
        for pushed in latest:
            at, price = _print(pushed)
            self._latest[pushed.instrument] = at
            self._core.marks[pushed.instrument] = price
        if self._latest:
            self._clock = max(_time_after(pushed) for pushed in latest)
            self._core.start_clock(self._clock)
        self.venue.restore(self._core.marks)

    def next(self, interest: Interest) -> list[Moment] | None:
        """The next row's moments; a candle after midnight first ends the day."""
        if self.row is not None and self._until is not None:
            if interest.deadline <= self._until:
                return [self._deadline(self.row, interest)]
            self._clock = self._until
            self._until = None
        if self._content is None:
            for done in self._rows:
                self._done(done)
            self._content = self._next_content()
        row, content = self.row, self._content
        if row is None or content is None:
            return None
        if isinstance(content, list):
            return [self._market(row, content, interest)]
        self._content = None
        if isinstance(content, DepositCash | DepositPosition):
            self._depositor = content.account
        return [Moment(self._now(row), [Input(row.actor, content)], row.received_at)]

    def _next_content(self) -> Command | list[Pushed] | None:
        """The content of the next row that can be taken, or of all the rows that are one instant with it."""
        while (row := self._take()) is not None:
            self._rows = [row]
            try:
                content = row.content()
                if isinstance(content, Command):
                    self.row = row
                    return content
                if not self._complete(content):
                    break
                pushed = [content, *map(_of_an_instant, self._rows[1:])]
                self._check(pushed)
            except InputError as error:
                for refused in self._rows:
                    self._refuse(refused, str(error))
            else:
                self.row = row
                return pushed
        self.row, self._rows = None, []
        return None

    def _complete(self, first: Pushed) -> bool:
        """Take the other rows of an instant, which were put with the first; False where there will be none any more."""
        if isinstance(first, MarketTrade):
            return True
        if not first.together:
            raise InputError("INSTANT_INCOMPLETE: the first candle of its instant was not taken")
        while len(self._rows) < first.together:
            row = self._take()
            if row is None:
                return False
            self._rows.append(row)
        return True

    def send(self, effects: list[Effect]) -> list[Moment]:
        """What the venue answers is known at once."""
        answers: list[Fact] = []
        if self._depositor:
            self.venue.deposit(self._depositor)
            self._depositor = ""
        for effect in effects:
            answers += self.venue.carry_out(effect)
        assert self.row is not None
        return [_reported(self._now(self.row), answers)] if answers else []

    def _now(self, row: InboxRow) -> Time:
        return row.received_at if self._clock is None else self._clock

    def _deadline(self, row: InboxRow, interest: Interest) -> Moment:
        self._clock = interest.deadline
        return Moment(self._clock, [DeadlineReached()], row.received_at)

    def _market(self, row: InboxRow, content: list[Pushed], interest: Interest) -> Moment:
        at = max(_print(pushed)[0] for pushed in content)
        if self._clock is None:
            self._clock = at
            return Moment(at, [ClockStarted()], row.received_at)
        if interest.deadline <= at:
            return self._deadline(row, interest)
        self._clock = max(self._clock, at)
        self._content = None
        until = max(map(_time_after, content))
        self._until = until if until > self._clock else None
        reports: list[Fact] = []
        for pushed in content:
            self._latest[pushed.instrument] = _print(pushed)[0]
            reports += self.venue.pushed(pushed)
        moment = _reported(self._clock, reports)
        wakes = self.features.wakes([pushed for pushed in content if isinstance(pushed, MarketCandle)])
        return Moment(self._clock, [*moment.facts, *map(_mark, content), *wakes], row.received_at)

    def _check(self, content: list[Pushed]) -> None:
        """A market's data comes in the order of its time; a candle comes once, and has ended after it opened."""
        seen = dict(self._latest)
        for pushed in content:
            at, _ = _print(pushed)
            latest = seen.get(pushed.instrument)
            if latest is not None and (at < latest or (at == latest and isinstance(pushed, MarketCandle))):
                times = f"has={time_text(latest)}, this={time_text(at)}"
                raise InputError(f"OUT_OF_ORDER: instrument={pushed.instrument}, {times}")
            if _time_after(pushed) < at:
                times = f"opened={time_text(at)}, ended={time_text(_time_after(pushed))}"
                raise InputError(f"ENDED_BEFORE_IT_OPENED: instrument={pushed.instrument}, {times}")
            seen[pushed.instrument] = at


def _mark(pushed: Pushed) -> Mark:
    if isinstance(pushed, MarketCandle):
        candle = pushed.candle
        return Mark(pushed.instrument, candle.close, candle.low, candle.high)
    return Mark(pushed.instrument, pushed.trade.price)


def _print(pushed: Pushed) -> tuple[Time, Price]:
    """When and at what price a market has been seen by what was pushed."""
    if isinstance(pushed, MarketCandle):
        return pushed.candle.open_time, pushed.candle.close
    return pushed.trade.at, pushed.trade.price


def _time_after(pushed: Pushed) -> Time:
    """The market's time once this has passed."""
    at, _ = _print(pushed)
    return at if isinstance(pushed, MarketTrade) or pushed.ended_at is None else pushed.ended_at


def _of_an_instant(row: InboxRow) -> MarketCandle:
    """A candle that belongs to the one before it."""
    content = row.content()
    if not isinstance(content, MarketCandle) or content.together:
        raise InputError(f"INSTANT_INCOMPLETE: row={row.id} is no candle of the instant")
    return content


def _reported(at: Time, reports: Sequence[Fact]) -> Moment:
    facts: list[Any] = [Input(VENUE, report) for report in reports]
    return Moment(at, facts)
