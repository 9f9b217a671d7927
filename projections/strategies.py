"""Running strategies: what each is run with, how it is, what it decided last, what its fills came to."""

from typing import ClassVar

import msgspec
from msgspec import structs

from domain.account.events import OrderFilled
from domain.strategy.decider import Status
from domain.strategy.events import (
    StrategyActed,
    StrategyConfigured,
    StrategyFailed,
    StrategyPaused,
    StrategyResumed,
    StrategyStarted,
)
from projections import cost_basis
from projections.cost_basis import Pool
from projections.rows import Context, Projection, Row, Rows, need


class StrategyRow(Row, frozen=True):
    """A strategy under a bot's name. `parameters`, `features` (names) and `values` (of the last decision) are JSON.

    `acted_at` is when it last decided something, None before; at a fill `reacted_to` is that order's number, else 0.
    `error` is why it failed, None where it has not, or goes on. `held` and `cost` are signed, `realized` is before fees,
    fees are in the quote asset.
    """

    table: ClassVar[str] = "strategies"
    key: ClassVar[tuple[str, ...]] = ("bot",)

    bot: str
    account: str
    strategy: str
    code: str
    instrument: str
    parameters: str
    features: str
    started_at: int
    updated_at: int
    status: Status = "running"
    error: str | None = None
    decisions: int = 0
    acted_at: int | None = None
    close: int | None = None
    values: str | None = None
    intents: int = 0
    reacted_to: int = 0
    reason: str = ""
    fills: int = 0
    held: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0


def _started(rows: Rows, context: Context, event: StrategyStarted) -> None:
    rows.put(
        StrategyRow(
            bot=event.bot,
            account=event.account,
            strategy=event.strategy,
            code=event.code,
            instrument=event.instrument.id,
            parameters=event.parameters,
            features=_json(event.features),
            started_at=context.at,
            updated_at=context.at,
        )
    )


def _configured(rows: Rows, context: Context, event: StrategyConfigured) -> None:
    row = need(rows, StrategyRow, event.bot)
    rows.put(
        structs.replace(
            row,
            code=event.code,
            parameters=event.parameters,
            features=_json(event.features),
            updated_at=context.at,
        )
    )


def _acted(rows: Rows, context: Context, event: StrategyActed) -> None:
    row = need(rows, StrategyRow, event.bot)
    rows.put(
        structs.replace(
            row,
            decisions=row.decisions + 1,
            acted_at=context.at,
            close=event.close,
            values=_json(event.values),
            intents=len(event.intents),
            reacted_to=event.order,
            reason=event.reason,
            updated_at=context.at,
        )
    )


def _paused(rows: Rows, context: Context, event: StrategyPaused) -> None:
    row = need(rows, StrategyRow, event.bot)
    rows.put(structs.replace(row, status="paused", updated_at=context.at))


def _resumed(rows: Rows, context: Context, event: StrategyResumed) -> None:
    row = need(rows, StrategyRow, event.bot)
    rows.put(structs.replace(row, status="running", error=None, updated_at=context.at))


def _failed(rows: Rows, context: Context, event: StrategyFailed) -> None:
    row = need(rows, StrategyRow, event.bot)
    rows.put(structs.replace(row, status="failed", error=event.error, updated_at=context.at))


def _filled(rows: Rows, context: Context, event: OrderFilled) -> None:
    if event.role != "strategy":
        return
    row = need(rows, StrategyRow, event.bot)
    flow = cost_basis.flow_of(event)
    pool, realized = cost_basis.change(Pool(row.held, row.cost), flow.quantity, flow.cost)
    rows.put(
        structs.replace(
            row,
            fills=row.fills + 1,
            held=pool.quantity,
            cost=pool.cost,
            realized=row.realized + realized,
            fees=row.fees + flow.fee,
            updated_at=context.at,
        )
    )


def _json(values: tuple[object, ...]) -> str:
    return msgspec.json.encode(values).decode()


STRATEGIES = Projection(
    name="strategies",
    schema_version=1,
    tables=(StrategyRow,),
    folds={
        StrategyStarted: _started,
        StrategyConfigured: _configured,
        StrategyActed: _acted,
        StrategyPaused: _paused,
        StrategyResumed: _resumed,
        StrategyFailed: _failed,
        OrderFilled: _filled,
    },
)
