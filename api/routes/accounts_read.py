"""Accounts: of which kind, and whether they may trade."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.dependencies import VIEWER
from api.problems import responses
from api.reads import AskedList, AskedOne, Listing, Name, Order, Point, point
from domain.account.events import AccountKind
from domain.errors import MissingError
from domain.values import time_text
from infrastructure.row_views import View
from projections.bots import AccountRow, HaltRow

router = APIRouter(tags=["accounts"], dependencies=[VIEWER])
_ORDER = Order("accounts", AccountRow, ("account",))


class Halt(BaseModel):
    """Nothing may raise exposure since then, for this reason."""

    at: str = Field(examples=["2026-01-31T09:30:00Z"])
    reason: str = Field(examples=["drawdown"])


class AccountView(BaseModel):
    """An account; `mode` is fixed when it is opened. `halted_bots` are halted on it one by one."""

    account: str = Field(examples=["main"])
    kind: AccountKind
    mode: str = Field(examples=["paper"])
    opened_at: str
    halt: Halt | None
    halted_bots: list[str]


class AccountAnswer(AccountView):
    """An account, and what position that is true at."""

    as_of: Point


Halts = Mapping[str, list[HaltRow]]


@router.get("/accounts", summary="List the accounts by name", responses=responses())
def list_accounts(asked: AskedList) -> Listing[AccountView]:
    return asked.rows(_ORDER, AccountRow, {}, _described)


@router.get("/accounts/{account}", summary="One account", responses=responses(404))
def read_account(account: Name, asked: AskedOne) -> AccountAnswer:
    with asked.view(AccountRow) as view:
        row = view.rows.one(AccountRow, account)
        if row is None:
            raise MissingError(f"there is no account {account!r}")
        return AccountAnswer(**_described(view, [row])(row).model_dump(), as_of=point(view))


def halt_of(row: HaltRow | None) -> Halt | None:
    return Halt(at=time_text(row.changed_at), reason=row.reason) if row is not None and row.halted else None


def _halts(view: View) -> Halts:
    halts: dict[str, list[HaltRow]] = {}
    for row in view.rows.some(HaltRow, {"halted": True}):
        halts.setdefault(row.account, []).append(row)
    return halts


def _described(view: View, _rows: Sequence[AccountRow]) -> Callable[[AccountRow], AccountView]:
    return partial(_view, mode=view.run.mode if view.run else "", halts=_halts(view))


def _view(row: AccountRow, mode: str, halts: Halts) -> AccountView:
    mine = halts.get(row.account, [])
    return AccountView(
        account=row.account,
        kind=row.kind,
        mode=mode,
        opened_at=time_text(row.opened_at),
        halt=halt_of(next((halt for halt in mine if not halt.bot), None)),
        halted_bots=[halt.bot for halt in mine if halt.bot],
    )
