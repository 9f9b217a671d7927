"""Explanations: given a log of the engine, when somebody asks why, then the tree has all of it and says it well."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from domain.account.commands import AcceptReported, CancelOrderById, CancelReported, FillReported, PlaceOrder
from domain.account.events import OrderIntended
from domain.bot.commands import PauseBot
from domain.engine import stream_key
from domain.errors import MissingError
from domain.execution_pool.commands import PromoteSignal
from domain.execution_pool.settings import PoolSettings
from domain.message import Event, Record
from domain.position_group.events import GroupOpened
from domain.signal.events import AlertReceived
from domain.values import Asset, Fee, InstrumentId, Price, Quantity, Time
from infrastructure.causes import CausalLog, Kept
from infrastructure.event_store.database import Database
from replay import explain
from replay.causal_tree import Node, Said
from replay.explain import Explainer, Explanation
from replay.subjects import Subject, group_of, order_of, signal_of, subjects
from tests.api.reading import keep, log_of, records
from tests.domain.portfolio_risk.test_in_the_loop import scene
from tests.domain.test_pool_in_the_loop import Floor

HAND = PlaceOrder(
    "main", "", 0, 0, "manual", InstrumentId("BTC/USDT"), "buy", "limit", Quantity(1000), Price(10_000), None,
    Price(10_000), reduce_only=False,
)  # fmt: skip
"""By hand: buy 1 at 100."""


def nodes(root: Node) -> Iterator[Node]:
    yield root
    for child in root.children:
        yield from nodes(child)


def said(explanation: Explanation) -> list[Said]:
    return [each for node in nodes(explanation.root) for each in node.said]


def texts(explanation: Explanation) -> list[str]:
    return [each.text for each in said(explanation)]


def because(explanation: Explanation, words: str) -> list[str]:
    """How the decision came about that says this."""
    (node,) = (node for node in nodes(explanation.root) if any(words in each.text for each in node.said))
    return [each.text for each in node.because]


def has(explanation: Explanation, *wanted: str) -> None:
    """These words are said, in this order."""
    left = iter(texts(explanation))
    for words in wanted:
        assert any(words in text for text in left), f"{words!r} is not said, or not there:\n" + "\n".join(
            texts(explanation)
        )


@pytest.fixture
def floor() -> Floor:
    """An account with one slot, and bots on BTC, ETH and SOL."""
    return Floor(PoolSettings(1, queue_expiry_minutes=30))


def ask(database: Database, floor: Floor, **options: Any) -> Explainer:
    return Explainer(database, keep(database, floor.records), **options)


def fill(order: int, quantity: int, price: int, name: str = "BTC/USDT") -> FillReported:
    return FillReported(
        "main", order, InstrumentId(name), f"t{order}", Price(price), Quantity(quantity), Fee(0), Asset("USDT"), "taker",
        Time(0),
    )  # fmt: skip


# --- what did not trade ----------------------------------------------------------------------------------------------


def test_an_alert_that_came_to_nothing(database: Database, floor: Floor) -> None:
    floor.alert("BTC", "hold")
    floor.tell(PauseBot("BTC"))
    floor.alert("BTC")
    explainer = ask(database, floor)
    has(explainer.signal("BTC", 1), "alert 1 of BTC came", "malformed, nothing is done")
    has(
        explainer.signal("BTC", 2),
        "is accepted for bot BTC",
        "does not act on alert 2 of BTC, BOT_PAUSED: status=paused",
    )
    assert explainer.signal("BTC", 1).decisions == 1


def test_a_signal_that_waits_and_expires(database: Database, floor: Floor) -> None:
    floor.alert("BTC")
    floor.alert("ETH")
    floor.wait(30)
    story = ask(database, floor).signal("ETH", 1)
    has(story, "no slot is free: alert 1 of ETH waits for 30 min at most", "expires and nothing is traded")


def test_a_signal_that_another_replaces(database: Database, floor: Floor) -> None:
    floor.alert("BTC")
    floor.alert("ETH")
    floor.alert("ETH")
    story = ask(database, floor).signal("ETH", 1)
    has(story, "alert 1 of ETH waits", "alert 2 of ETH waits in place of alert 1 of ETH")
    assert because(story, "in place of")[-1].startswith("bot ETH would go long in ETH/USDT at 100")


def test_a_signal_that_an_exit_removes(database: Database, floor: Floor) -> None:
    floor.alert("BTC")
    floor.alert("ETH")
    floor.alert("ETH", "exit")
    story = ask(database, floor).signal("ETH", 1)
    has(story, "alert 1 of ETH waits", "waits no longer and nothing is traded: exit signal ETH/2")
    assert any("alert 2 of ETH is accepted" in text for text in because(story, "exit signal"))


def test_a_signal_that_is_promoted_enters_and_says_by_which_ranking(database: Database, floor: Floor) -> None:
    floor.alert("BTC")
    floor.alert("ETH")
    floor.alert("SOL")
    floor.tell(PromoteSignal("main", "SOL", "SOL", 1))
    floor.reject(1)
    explainer = ask(database, floor)
    story = explainer.signal("SOL", 1)
    has(
        story, "alert 1 of SOL waits", "put first in the queue by hand", "first of 2 that wait: 1. SOL/USDT long (put first",
        "opens group SOL/1", "order 2, entry of SOL/1",
    )  # fmt: skip
    assert because(story, "first of 2")[-1] == "bot BTC is free for its next group after BTC/1"
    # Asked about the order, the way goes by its own signal, not by that of the group which made room.
    assert "alert 1 of SOL came" in texts(explainer.order("main", 2))[0]
    # And what made room tells who came in on it, and stops there.
    freed = explainer.group("BTC", 1)
    has(freed, "the venue refuses order 1, NO: the venue does not want it", "group BTC/1 is over: never entered")
    assert not any("opens group SOL/1" in text for text in texts(freed))


def test_an_order_that_risk_denied_says_all_the_numbers(database: Database, floor: Floor) -> None:
    floor.tell(structs.replace(HAND, quantity=Quantity(10), limit=Price(100), reference=Price(100)))
    story = ask(database, floor).order("main", 1)
    has(
        story, "order 1, by hand: buy 0.01 BTC at 1 or better",
        "risk denies order 1, NOTIONAL_BELOW_MINIMUM: notional=0.01, minimum=5; 0.01 BTC not traded",
    )  # fmt: skip
    assert (story.root.actor, story.decisions) == ("ann", 1)


def test_an_order_that_was_cancelled_by_somebody(database: Database, floor: Floor) -> None:
    floor.tell(HAND)
    floor.tell(AcceptReported("main", 1, "v1"))
    floor.tell(CancelOrderById("main", 1, "by user:ann"))
    floor.tell(CancelReported("main", 1, Quantity(0), "canceled"))
    floor.tell(HAND)
    story = ask(database, floor).order("main", 1)
    assert texts(story) == [
        "order 1, by hand: buy 1 BTC at 100 or better",
        "risk lets order 1 pass: worth 100 USDT, holds back 100 USDT; no limits set",
        "the venue has order 1, as its v1",
        "order 1 is to be cancelled: by user:ann",
        "order 1 is cancelled with 1 BTC not traded: as asked",
    ]


# --- what did --------------------------------------------------------------------------------------------------------


def test_a_group_from_its_alert_to_its_end(database: Database, floor: Floor) -> None:
    floor.alert("BTC")
    floor.tell(AcceptReported("main", 1, "v1"), fill(1, 10_000, 10_000))
    floor.alert("BTC", "exit")
    floor.tell(CancelReported("main", 2, Quantity(0), "canceled"))
    floor.tell(fill(3, 10_000, 10_500))
    explainer = ask(database, floor)
    opened = explainer.signal("BTC", 1)
    has(
        opened, "alert 1 of BTC came", "is accepted", "would go long", "a slot for alert 1", "opens group BTC/1",
        "group BTC/1 opens long from 100", "order 1, entry of BTC/1", "risk lets order 1 pass", "order 1 bought 10 BTC at 100",
        "leg 0 holds 10 BTC", "leg 0 takes its profit", "order 2, target", "group BTC/1 is to close", "order 3, close",
        "order 3 sold 10 BTC at 105", "group BTC/1 is over", "the slot of group BTC/1 is free",
    )  # fmt: skip
    assert because(opened, "group BTC/1 is to close")[-1].startswith("alert 2 of BTC closes group BTC/1")
    # The alert that closed it goes on to what that sold.
    closed = explainer.signal("BTC", 2)
    has(
        closed,
        "closes group BTC/1",
        "order 2 is to be cancelled: the group exits",
        "order 3 sold 10 BTC at 105",
        "is over",
    )
    # The same group, asked for by its name: the same life, the same way to it.
    group = explainer.group("BTC", 1)
    assert {each.position for each in said(opened)} >= {each.position for each in said(group)}
    # A target that never filled: who called it back, and why.
    target = explainer.order("main", 2)
    has(target, "alert 1 of BTC", "order 1 bought", "order 2, target", "order 2 is cancelled with 10 BTC not traded")
    assert because(target, "order 2 is to be cancelled")[-1].startswith("group BTC/1 is to close")


def test_an_offset_says_whom_it_closed_and_who_paid(database: Database) -> None:
    explainer = Explainer(database, keep(database, scene(post_full_wait_minutes=1).ledger.records))
    loser = explainer.group("LOSS", 1)
    reasons = because(loser, "group LOSS/1 is to close")
    assert "LOSS/1 is to be closed" in reasons[0]
    assert "of WIN/1 pays" in reasons[0]
    assert "loser LOSS/1 is closed" in reasons[-1]
    winner = explainer.group("WIN", 1)
    assert any("LOSS/1 is to be closed" in text for text in because(winner, "of group WIN/1 is to be closed at market"))
    has(winner, "it pays for an offset", "offset 1: winner WIN/1 closed")
    has(explainer.event(_position(loser, "is over")), "group LOSS/1 is over", "offset 1 is done: loser LOSS/1 lost")


def _position(explanation: Explanation, words: str) -> int:
    return next(each.position for each in said(explanation) if words in each.text)


# --- laws ------------------------------------------------------------------------------------------------------------


def named(log: Iterable[tuple[int, int, Record[Event]]], about: Subject) -> set[int]:
    """The positions of all events that name something, told by reading the whole log."""
    return {
        first + offset
        for first, _, record in log
        for offset, event in enumerate(record.events)
        if about in subjects(event)
    }


def told(explanation: Explanation) -> set[int]:
    """The positions of the events that are said, or said to have led to something."""
    return {each.position for node in nodes(explanation.root) for each in (*node.said, *node.because)}


def lacking(database: Database, run: int) -> Iterator[tuple[Subject, set[int]]]:
    """What explanations of every order, alert and group of a run pass over, held against the whole log."""
    log, explainer = log_of(database, run), Explainer(database, run, most=5_000)
    for _, _, record in log:
        for event in record.events:
            if isinstance(event, OrderIntended):
                about, story = order_of(event.account, event.order), explainer.order(event.account, event.order)
            elif isinstance(event, AlertReceived):
                about, story = signal_of(event.source, event.number), explainer.signal(event.source, event.number)
            elif isinstance(event, GroupOpened):
                about, story = group_of(event.bot, event.group), explainer.group(event.bot, event.group)
            else:
                continue
            assert story.complete
            if missing := named(log, about) - told(story) - _beside(log, about):
                yield about, missing


def _beside(log: list[tuple[int, int, Record[Event]]], about: Subject) -> set[int]:
    """What belongs to the story of something else: of a group, what its signal caused besides before it was open."""
    if about[0] != "group":
        return set()
    opened = min(first for first, _, record in log if record.key == stream_key("position_group", about[1:]))
    beside = {"execution_pool.slot_assigned.v1", "portfolio_risk.group_watched.v1"}
    return {
        first + offset
        for first, _, record in log
        for offset, event in enumerate(record.events)
        if first < opened or str(type(event).__struct_config__.tag) in beside
    }


@pytest.mark.parametrize("seed", [5, 6])
def test_nothing_that_names_a_thing_is_missing_from_its_story(seed: int, database: Database) -> None:
    run = keep(database, records(seed))
    assert list(lacking(database, run)) == []


def test_nothing_is_missing_of_offsets(database: Database) -> None:
    run = keep(database, scene(post_full_wait_minutes=1).ledger.records)
    assert list(lacking(database, run)) == []


@pytest.mark.parametrize("bug", ["threads", "effects"])
def test_what_is_passed_over_is_found(bug: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The law above sees a reader that follows no venue's reports, and one that loses an effect in ten."""
    run = keep(database, records(5))
    if bug == "threads":
        monkeypatch.setattr(explain, "thread_of", lambda *_: iter(()))
    else:
        right = CausalLog.effects

        def wrong(self: CausalLog, causes: Any, limit: int) -> list[Kept]:
            return [kept for kept in right(self, causes, limit) if kept.position % 10]

        monkeypatch.setattr(CausalLog, "effects", wrong)
    assert next(lacking(database, run), None)


def test_what_follows_comes_later_and_names_its_cause(database: Database) -> None:
    run = keep(database, scene(post_full_wait_minutes=1).ledger.records)
    causes = {
        first + offset: record.cause
        for first, _, record in log_of(database, run)
        for offset in range(len(record.events))
    }
    for story in (Explainer(database, run).group("LOSS", 1), Explainer(database, run).signal("WIN", 1)):
        for node in nodes(story.root):
            assert all(child.said[0].position > node.said[0].position for child in node.children)
            assert (node.cause is None) == (causes[node.said[0].position] is None)
            assert node.cause is None or node.cause < node.said[0].position


# --- bounds, the past, and what is not there -------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 10, 20])
def test_a_story_is_cut_and_says_so(most: int, database: Database) -> None:
    run = keep(database, scene(post_full_wait_minutes=1).ledger.records)
    whole = Explainer(database, run).group("LOSS", 1)
    part = Explainer(database, run, most=most).group("LOSS", 1)
    way = whole.decisions - sum(1 for node in nodes(whole.root) if node.said[0].position >= whole.asked)
    assert whole.complete
    assert (part.complete, part.decisions - way) == (False, most)
    assert any(node.cut for node in nodes(part.root))
    assert not any(node.cut for node in nodes(whole.root))
    exact = Explainer(database, run, most=whole.decisions - way).group("LOSS", 1)
    assert (exact.complete, exact.root) == (True, whole.root)


def test_a_story_as_it_was_known(database: Database) -> None:
    run = keep(database, records(5))
    whole = Explainer(database, run).group("dca_signals", 1)
    positions = sorted(each.position for each in said(whole))
    for upto in range(whole.asked, positions[-1] + 1):
        known = Explainer(database, run, upto).group("dca_signals", 1)
        assert sorted(each.position for each in said(known)) == [each for each in positions if each <= upto]
    with pytest.raises(MissingError, match=f"group dca_signals/1 is not on the log of run {run}"):
        Explainer(database, run, whole.asked - 1).group("dca_signals", 1)


def test_two_runs_do_not_mix(database: Database) -> None:
    first, second = keep(database, records(5)), keep(database, records(5), "backtest")
    for number in (1, 2, 3):
        one, two = (Explainer(database, run).order("main", number) for run in (first, second))
        assert texts(one) == texts(two)
        assert not {each.position for each in said(one)} & {each.position for each in said(two)}


def test_what_is_not_there(database: Database, floor: Floor) -> None:
    floor.alert("BTC")
    explainer = ask(database, floor)
    missing: list[Callable[[], Explanation]] = [
        lambda: explainer.order("main", 99), lambda: explainer.order("other", 1), lambda: explainer.signal("BTC", 2),
        lambda: explainer.signal("other", 1), lambda: explainer.group("BTC", 2), lambda: explainer.event(10**6),
    ]  # fmt: skip
    for each in missing:
        with pytest.raises(MissingError, match="is not on the log of run"):
            each()


def test_amounts_are_decimal_text(database: Database) -> None:
    run = keep(database, records(5))
    (filled,) = [each for each in said(Explainer(database, run).order("main", 1)) if "order_filled" in each.event]
    assert Decimal(filled.data["price"]) < 1_000
    assert filled.data["quantity"] in filled.text
