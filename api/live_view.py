"""What `truetape up` shows while it runs: the account, the bot, the market, and the log as it grows."""

import threading
from collections import deque
from decimal import Decimal
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from api.event_line import event_line
from api.views import sparkline
from domain.errors import TruetapeError
from domain.values import cash_scale, decimal_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.readable import Reader
from infrastructure.event_store.runs import records_of
from infrastructure.inbox import Inbox, MarketCandle
from infrastructure.read_models import rows_of
from projections.instruments import InstrumentRow
from projections.portfolio import BalanceRow
from projections.positions import PositionRow

LINES = 14
PRICES = 60
CENTS = 2
"""Places of money in the view; the log and every command have all of them."""
REFRESH_SECONDS = 0.5


class LiveView:
    """A thread that redraws the terminal until it is stopped. It reads what anybody may read: rows and the log."""

    def __init__(self, database: Database, run: int, where: str) -> None:
        self._database = database
        self._run = run
        self._where = where
        self._reader = Reader()
        self._position = 0
        self._lines: deque[dict[str, Any]] = deque(maxlen=LINES)
        self._prices: deque[int] = deque(maxlen=PRICES)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, name="truetape-view", daemon=True)

    def start(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def stop(self) -> None:
        """Draw a last time and end."""
        self._stop.set()
        self._thread.join()

    def _show(self) -> None:
        with Live(console=Console(), auto_refresh=False, screen=False) as live:
            while not self._stop.wait(REFRESH_SECONDS):
                try:
                    live.update(self._picture(), refresh=True)
                except TruetapeError as error:
                    live.update(Text(f"the database does not answer: {error}"), refresh=True)

    def _picture(self) -> Group:
        self._read()
        return Group(Text(self._where, "dim"), self._markets(), self._accounts(), Text(""), *self._log())

    def _read(self) -> None:
        for kept in records_of(self._database, self._run, after=self._position):
            for offset, line in enumerate(self._reader.lines(kept.decode())):
                self._lines.append({"position": kept.position + offset, **line})
            self._position = kept.position

    def _markets(self) -> Text:
        """The last price of each market, the first with its recent course."""
        text = Text()
        for number, pushed in enumerate(Inbox(self._database).last_prints(2**62)):
            listed = self._reader.instruments.get(pushed.instrument)
            price = pushed.candle.close if isinstance(pushed, MarketCandle) else pushed.trade.price
            scale = listed.price_scale if listed else 0
            text.append(f"{pushed.instrument} ").append(_fixed(price, scale, scale), "bold")
            if number == 0:
                self._prices.append(price)
                text.append(f"  {sparkline(list(self._prices), PRICES)}", "cyan")
            text.append("\n")
        return text

    def _accounts(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("account", "equity", "cash", "held", "unrealized"):
            table.add_column(name, justify="left" if name == "account" else "right")
        scales = {(row.account, row.instrument): row for row in rows_of(self._database, InstrumentRow, self._run)}
        held: dict[str, list[str]] = {}
        for position in rows_of(self._database, PositionRow, self._run):
            listed = scales.get((position.account, position.instrument))
            if position.quantity and listed is not None:
                size = decimal_text(position.quantity, listed.size_scale)
                held.setdefault(position.account, []).append(f"{size} {position.instrument.partition('/')[0]}")
        for row in rows_of(self._database, BalanceRow, self._run):
            scale = cash_scale(row.asset)
            amounts = [_fixed(each, scale, CENTS) for each in (row.equity, row.cash, row.unrealized)]
            what = ", ".join(held.get(row.account, [])) or "-"
            table.add_row(row.account, f"{amounts[0]} {row.asset}", amounts[1], what, amounts[2])
        return table

    def _log(self) -> list[Text]:
        return [event_line(line) for line in self._lines]


def _fixed(quanta: int, scale: int, places: int) -> str:
    """To so many places, always: a figure that changes its length cannot be watched."""
    return f"{Decimal(quanta).scaleb(-scale):,.{places}f}"
