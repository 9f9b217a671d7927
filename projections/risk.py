"""Risk: the limits in force on each account, and every halt with what ended it."""

from typing import ClassVar

import msgspec
from msgspec import structs

from domain.account.events import RiskLimitsSet, TradingHalted, TradingResumed, TradingState
from domain.account.limits import RiskLimits
from projections.rows import Context, Projection, Row, Rows


class RiskLimitsRow(Row, frozen=True):
    """An account's limits in force, as JSON, and their version; no row where none were ever set."""

    table: ClassVar[str] = "risk_limits"
    key: ClassVar[tuple[str, ...]] = ("account",)

    account: str
    version: int
    limits: str
    set_at: int


class TradingHaltRow(Row, frozen=True):
    """A halt of an account, or of one bot on it; `resumed_at` is None while it stands."""

    table: ClassVar[str] = "trading_halts"
    key: ClassVar[tuple[str, ...]] = ("account", "number")

    account: str
    number: int
    bot: str
    state: TradingState
    code: str
    reason: str
    halted_at: int
    resumed_at: int | None = None


def _limited(rows: Rows, context: Context, event: RiskLimitsSet) -> None:
    text = msgspec.json.encode(event.limits).decode()
    rows.put(RiskLimitsRow(event.account, event.version, text, context.at))


def _halted(rows: Rows, context: Context, event: TradingHalted) -> None:
    rows.put(
        TradingHaltRow(
            event.account, event.number, event.bot, event.state, event.code, event.reason, halted_at=context.at
        )
    )


def _resumed(rows: Rows, context: Context, event: TradingResumed) -> None:
    """A halt that another one of its scope outdid ends with that one."""
    for number in range(event.number, -1, -1):
        halt = rows.get(TradingHaltRow, event.account, number)
        if halt is not None and halt.bot == event.bot:
            if halt.resumed_at is not None:
                return
            rows.put(structs.replace(halt, resumed_at=context.at))


def limits_of(row: RiskLimitsRow) -> RiskLimits:
    """An account's limits as the core knows them."""
    return msgspec.json.decode(row.limits, type=RiskLimits)


RISK = Projection(
    name="risk",
    schema_version=1,
    tables=(RiskLimitsRow, TradingHaltRow),
    folds={RiskLimitsSet: _limited, TradingHalted: _halted, TradingResumed: _resumed},
)
