"""Explanations of a strategy's orders: from what it was decided, what became of it, what answered it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from msgspec import structs

from domain.account.commands import SetRiskLimits
from domain.account.events import OrderIntended, TradingHalted
from domain.message import Event, Record
from domain.strategy.events import StrategyActed, StrategyConfigured
from infrastructure.causes import CausalLog
from infrastructure.event_store.database import Database
from replay.causal_tree import Node
from replay.explain import Explainer, Explanation
from replay.sentences.strategy import SHOWN
from tests.api.reading import keep, log_of
from tests.domain.risk.limited import limits
from tests.strategy_game import CROSS, GRID, candles, game_of, played, setup_of

DONE = {"buy": "bought", "sell": "sold"}


def told(explanation: Explanation) -> list[str]:
    return list(_said(explanation.root))


def _said(node: Node) -> Iterator[str]:
    yield from (said.text for said in node.said)
    for child in node.children:
        yield from _said(child)


def because(root: Node) -> list[str]:
    return [said.text for said in root.because]


def in_order(texts: list[str], *wanted: str) -> None:
    left = iter(texts)
    for words in wanted:
        assert any(words in text for text in left), f"{words!r} is not said, or not there:\n" + "\n".join(texts)


def orders(records: list[Record[Event]], **wanted: Any) -> list[OrderIntended]:
    events = (event for record in records for event in record.events)
    return [
        event
        for event in events
        if isinstance(event, OrderIntended) and all(getattr(event, name) == value for name, value in wanted.items())
    ]


def test_a_crossing_is_told_with_its_features_by_name(database: Database) -> None:
    records = played(game_of([setup_of("cross", "sma_cross", CROSS)], candles(600))).records
    first, second, *_ = orders(records, role="strategy")
    acted = next(event for record in records for event in record.events if isinstance(event, StrategyActed))
    explainer = Explainer(database, keep(database, records))
    story = explainer.order("main", first.order)
    fast, slow, fast_before, slow_before = acted.values
    names = f"fast {fast:,}, slow {slow:,}, fast_before {fast_before:,}, slow_before {slow_before:,}; it buys "
    in_order(
        told(story),
        names,
        f"order {first.order}, of strategy cross: buy ",
        f"risk lets order {first.order} pass",
        f"the venue has order {first.order}",
        f"order {first.order} bought ",
    )
    assert told(story)[0].startswith("strategy cross at a candle's close: the price is ")
    assert told(story)[0].endswith("at market")
    assert (story.complete, because(story.root)) == (True, [])
    # The next decision has other values.
    assert names not in told(explainer.order("main", second.order))[0]


def test_a_grids_order_is_told_with_what_it_answers_and_what_answers_it(database: Database) -> None:
    records = played(game_of([setup_of("grid", "grid", GRID)], candles(600))).records
    events = {(each.stream, each.version + place): event for each in records for place, event in enumerate(each.events)}
    placed_by: dict[OrderIntended, Any] = {
        event: events[record.cause] for record in records for event in record.events
        if isinstance(event, OrderIntended) and record.cause is not None
    }  # fmt: skip
    answers = {acted.order: order for order, acted in placed_by.items() if acted.order}
    asked, counter = next(
        (each, answers[each.order]) for each in answers.values() if each.order in answers and each.leg
    )
    answered = next(order for order in placed_by if order.order == placed_by[asked].order)
    explainer = Explainer(database, keep(database, records))
    story = explainer.order("main", asked.order)
    root = told(story)[0]
    assert root.startswith(f"strategy grid at the fill of order {answered.order}: the price is ")
    cause = f"order {answered.order} {DONE[answered.side]}"
    assert [text.partition(" 0.01 ")[0] for text in because(story.root)] == [cause]
    in_order(
        told(story), root, f"order {asked.order}, of strategy grid, leg {asked.leg}: {asked.side} 0.01 BTC at ",
        f"risk lets order {asked.order} pass", f"the venue has order {asked.order}",
        f"order {asked.order} {DONE[asked.side]} 0.01 BTC",
        f"strategy grid at the fill of order {asked.order}: ", f"order {counter.order}, of strategy grid",
    )  # fmt: skip
    assert {asked.side, counter.side} == {"buy", "sell"}
    # What becomes of the answer is told where somebody asks for it.
    assert not any(f"the venue has order {counter.order}," in text for text in told(story))
    # The first orders of all come from a close.
    first = told(explainer.order("main", 1))[0]
    assert first.startswith("strategy grid at a candle's close: ")
    assert first.endswith(f"and {GRID['levels'] - 1 - SHOWN} orders more")


def test_a_close_goes_back_to_the_halt_that_wanted_it(database: Database) -> None:
    wanted = SetRiskLimits("main", limits(daily_loss_max="60", value_every_seconds=60, flatten=True))
    grid = setup_of("grid", "grid", {**GRID, "quantity": "0.05"})
    game = game_of([grid], candles(600), balances={"USDT": Decimal(100_000)}, commands=(wanted,))
    records = played(game).records
    assert any(isinstance(event, TradingHalted) for record in records for event in record.events)
    (close,) = orders(records, role="strategy", type="market")
    story = Explainer(database, keep(database, records)).order("main", close.order)
    in_order(
        told(story),
        "halt 1 of account main, HALTED, DAILY_LOSS",
        "cancels all its orders, to close what it holds when they are gone, because DAILY_LOSS",
        "because nothing of it works any more",
        f"order {close.order}, of strategy grid: sell",
        f"order {close.order} sold",
    )


def test_features_have_the_names_of_their_time(database: Database) -> None:
    """Other parameters, other names: those before keep theirs."""
    records = played(game_of([setup_of("cross", "sma_cross", CROSS)], candles(600))).records
    acts = [record for record in records if isinstance(record.events[0], StrategyActed)]
    stream, middle = acts[0].stream, acts[len(acts) // 2]
    configured = StrategyConfigured("cross", "", "{}", ("a", "b", "c", "d"))
    log: list[Record[Event]] = []
    for record in records:
        if record is middle:
            log.append(structs.replace(record, events=(configured,), cause=None))
        log.append(
            structs.replace(record, version=record.version + 1)
            if record.stream == stream and record.version >= middle.version
            else record
        )
    run = keep(database, log)
    causal = CausalLog(database, run)
    names = [
        causal.features_of(record.stream, record.version)
        for _, _, record in log_of(database, run)
        if isinstance(record.events[0], StrategyActed)
    ]
    before = acts.index(middle)
    assert set(names[:before]) == {("fast", "slow", "fast_before", "slow_before")}
    assert set(names[before:]) == {("a", "b", "c", "d")}
