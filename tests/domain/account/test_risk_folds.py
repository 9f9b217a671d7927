"""What risk is judged by: a state that looks ahead leaves the present alone, and what has happened is taken as it is."""

from copy import deepcopy
from typing import Any

from domain.account import events as e
from domain.account.commands import HaltTrading, RecordReference, UnknownReported
from domain.account.decider import DECIDER
from domain.account.folds import FOLDS
from domain.account.limits import Breaker
from domain.account.risk_folds import evolved
from domain.account.state import AccountState
from domain.risk.halts import Events
from tests.domain.risk.limited import ETH, MARKS, limited, trade
from tests.spec import BTC, USDT, Story, fill, order


def busy() -> Story:
    """An account that has something in every one of its collections."""
    account = limited(kind="margin", duplicate_window_seconds=60, daily_loss_max="500", breaker=Breaker("VIX", 4))
    account.when(RecordReference("main", "VIX", 5))
    trade(account, at=1)
    trade(account, 9999, at=1, side="sell")
    trade(account, at=1, instrument=ETH, side="sell")
    trade(account, at=1, quantity=500)
    account.when(order(limit=9000), 1, MARKS)
    account.when(order(side="sell", reduce_only=True, quantity=100, limit=11000), 1, MARKS)
    account.when(order(limit=8000), 1, MARKS)
    account.when(UnknownReported("main", 7, "timeout"))
    account.when(HaltTrading("main", "other", "kill"))
    return account


def collections(state: AccountState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__struct_fields__ if hasattr(getattr(state, name), "__len__")}


def ahead(account: Story) -> Events:
    """Something that changes each of them."""
    later: Story = Story(DECIDER, ())
    later.state = deepcopy(account.state)
    return (
        *later.when(order(bot="more", side="sell", reduce_only=True, quantity=7, limit=11000), 2, MARKS),
        *later.when(order(bot="more", limit=7000), 2, MARKS),
        *later.when(fill(6, "t6", 100, 9998, venue_at=2), 2, MARKS),
        *later.when(fill(7, "t7", 1000, 8000, venue_at=2, instrument=BTC), 2, MARKS),
        *later.when(order(type="market", side="sell", reference=7000, quantity=1400), 2, MARKS),
        *later.when(fill(10, "t10", 1400, 7000, venue_at=2), 2, MARKS),
        *later.when(order(instrument=ETH, quantity=500), 2, MARKS),
        *later.when(fill(11, "t11", 500, instrument=ETH, venue_at=2), 2, MARKS),
        *later.when(HaltTrading("main", "dca", "kill")),
    )


def test_a_state_that_looks_ahead_leaves_the_present_alone() -> None:
    account = busy()
    before = deepcopy(account.state)
    after = evolved(account.state, ahead(account), FOLDS)
    assert account.state == before
    fixed = {"account", "kind", "mode", "listings", "references"}
    same = {name for name, value in collections(after).items() if value == getattr(before, name)}
    assert same == fixed, "the events are to change every collection, or the test could not fail"


def test_it_knows_of_no_order_that_ended_before() -> None:
    account = busy()
    assert account.state.ended
    assert evolved(account.state, (), FOLDS).ended == {}


def test_what_has_happened_is_taken_as_it_is() -> None:
    watching = limited(breaker=Breaker("VIX", 4))
    for account in (watching, limited()):
        before = deepcopy(account.state)
        account._evolve((e.ReferencePriced("main", "DAX", 5), e.TradingResumed("main", "dca", 7, None)))  # noqa: SLF001
        assert account.state == before
    watching._evolve((e.ReferencePriced("main", "VIX", 5),))  # noqa: SLF001
    assert watching.state.references == (5,)
    assert watching.state.cash[USDT] > 0
