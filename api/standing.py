"""How things stand: the paper run's read models, brought up to the end of the log before they are asked.

So a command that follows another's answer sees what that one did.
"""

from typing import TypeVar

from api.problems import ProblemError
from domain.errors import StoreError
from domain.market import Instrument
from domain.values import Price
from infrastructure.access import transaction
from infrastructure.event_store.database import Database
from infrastructure.market_prices import last_prices
from infrastructure.read_models import bring_forward
from infrastructure.row_queries import Filters, StoredRows, Unequal
from projections.bots import BOTS, AccountRow, BotRow
from projections.instruments import InstrumentRow, instrument_of
from projections.orders import ORDERS, OrderRow
from projections.portfolio import PORTFOLIO, BalanceRow
from projections.positions import PoolRow, PositionRow
from projections.risk import RISK, TradingHaltRow
from projections.rows import Projection, Row
from projections.strategies import STRATEGIES, StrategyRow

R = TypeVar("R", bound=Row)

_RUN = "SELECT run FROM runs WHERE mode = 'paper' ORDER BY run DESC LIMIT 1"


class Standing:
    """The paper run as it stands. Reads the database: use it in a thread. Problems are raised as a request's answer."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.run = paper_run(database)
        self._stopped: dict[str, StoreError] | None = None

    def accounts(self) -> list[AccountRow]:
        return self._some(BOTS, AccountRow)

    def find_account(self, name: str) -> AccountRow | None:
        return self._find(BOTS, AccountRow, name)

    def account(self, name: str) -> AccountRow:
        """Raises ProblemError 404."""
        return _there(self.find_account(name), f"account {name}")

    def halts(self, account: str) -> list[TradingHaltRow]:
        """The halts of an account that stand, by number."""
        return [halt for halt in self._some(RISK, TradingHaltRow, account=account) if halt.resumed_at is None]

    def bots(self) -> list[BotRow]:
        """All bots that are not deleted."""
        return self._some(BOTS, BotRow, status=Unequal("deleted"))

    def find_bot(self, name: str) -> BotRow | None:
        """A bot that is not deleted."""
        row = self._find(BOTS, BotRow, name)
        return None if row is None or row.status == "deleted" else row

    def had_bot(self, name: str) -> bool:
        """Whether a bot has, or has ever had, this name."""
        return self._find(BOTS, BotRow, name) is not None

    def bot(self, name: str) -> BotRow:
        """Raises ProblemError 404."""
        return _there(self.find_bot(name), f"bot {name}")

    def strategies(self) -> list[StrategyRow]:
        """All strategies that run, or are paused."""
        return self._some(STRATEGIES, StrategyRow)

    def find_strategy(self, bot: str) -> StrategyRow | None:
        return self._find(STRATEGIES, StrategyRow, bot)

    def find_listing(self, symbol: str) -> Instrument | None:
        found = self._some(PORTFOLIO, InstrumentRow, instrument=symbol)
        return instrument_of(found[0]) if found else None

    def listing(self, symbol: str) -> Instrument:
        """An instrument by its symbol, whichever account lists it: its quanta are the same everywhere."""
        found = self.find_listing(symbol)
        if found is None:
            raise ProblemError(404, "NOT_FOUND", f"no account lists the instrument {symbol}")
        return found

    def instrument(self, account: str, symbol: str) -> Instrument:
        """Raises ProblemError 404."""
        row = self._find(PORTFOLIO, InstrumentRow, account, symbol)
        return instrument_of(_there(row, f"instrument {symbol} on account {account}"))

    def order(self, account: str, number: int) -> OrderRow:
        """Raises ProblemError 404."""
        return _there(self._find(ORDERS, OrderRow, account, number), f"order {number} of account {account}")

    def balance(self, account: str, asset: str) -> BalanceRow | None:
        return self._find(PORTFOLIO, BalanceRow, account, asset)

    def unattributed(self, account: str) -> list[PoolRow]:
        """What an account holds that belongs to no bot."""
        return self._some(PORTFOLIO, PoolRow, account=account, bot="", quantity=Unequal(0))

    def last_price(self, account: str, symbol: str) -> Price | None:
        """The last price seen: the market's last print, else the account's last fill."""
        seen = last_prices(self.database, [symbol]).get(symbol)
        if seen is not None:
            return seen.price
        position = self._find(PORTFOLIO, PositionRow, account, symbol)
        return None if position is None or position.mark is None else Price(position.mark)

    def _update(self, projection: Projection) -> None:
        """All go on together, so that reads find them at one position; only one that is needed may not have stopped."""
        if self._stopped is None:
            self._stopped = bring_forward(self.database)
        if projection.name in self._stopped:
            raise self._stopped[projection.name]

    def _find(self, projection: Projection, row_type: type[R], *key: str | int) -> R | None:
        self._update(projection)
        with transaction(self.database, row_type.table) as cursor:
            return StoredRows(cursor, self.run).one(row_type, *key)

    def _some(self, projection: Projection, row_type: type[R], **where: str | Unequal) -> list[R]:
        self._update(projection)
        filters: Filters = where
        with transaction(self.database, row_type.table) as cursor:
            return StoredRows(cursor, self.run).some(row_type, filters)


def paper_run(database: Database) -> int:
    """The newest paper run; raises ProblemError 503 where there is none yet."""
    with transaction(database, "the runs") as cursor:
        row = cursor.execute(_RUN).fetchone()
    if row is None:
        raise ProblemError(503, "RUN_MISSING", "no paper run has begun; start the worker")
    return int(row[0])


def _there(found: R | None, what: str) -> R:
    if found is None:
        raise ProblemError(404, "NOT_FOUND", f"there is no {what}")
    return found


def same_grids(one: Instrument, other: Instrument) -> bool:
    """Whether two listings of a symbol count in the same quanta."""
    return (one.price_scale, one.size_scale) == (other.price_scale, other.size_scale)
