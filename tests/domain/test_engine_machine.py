"""The whole engine as a state machine: signals, prices, a venue at its worst, hands, time and restarts, in any order.

After every step every law is checked by witnesses that keep their own books (`witnesses.py`). `LAW_EXAMPLES` and
`LAW_STEPS` in the environment make it longer, as for a night; that needs `--timeout 0`.
"""

import os
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.account import folds
from domain.account.commands import CancelOrderById, HaltTrading, PlaceOrder, ResumeTrading, SetRiskLimits
from domain.account.limits import NO_LIMITS, EventWindow
from domain.bot.commands import CloseGroup, ConfigureBot, DeleteBot, PauseBot, ResumeBot, StartBot, StopBot
from domain.execution_pool.commands import ConfigurePool, PromoteSignal, RemoveSignal
from domain.execution_pool.settings import PoolSettings
from domain.execution_pool.state import PoolState
from domain.portfolio_risk.commands import BlockGroup, ConfigureOffset, RunOffset, SkipOffset, UnblockGroup
from domain.portfolio_risk.settings import OffsetSettings
from domain.risk import pre_trade
from domain.risk.worth import Rule
from domain.values import MINUTE, InstrumentId, Price, Quantity, Time
from tests import spec
from tests.domain.engine_floor import BOTS, INSTRUMENTS, START, Floor, Setup
from tests.domain.risk.limited import limits
from tests.domain.test_laws import LEGS, MODES, STOPS

EXAMPLES = int(os.environ.get("LAW_EXAMPLES", "40"))
STEPS = int(os.environ.get("LAW_STEPS", "50"))

NAMES = st.sampled_from(BOTS)
NAMED = st.sampled_from(INSTRUMENTS)
ACTIONS = st.sampled_from(["buy", "buy", "buy", "sell", "exit"])
FRAMES = st.sampled_from(["5m", "5m", "1h"])
SIDES = st.sampled_from(["buy", "sell"])
TYPES = st.sampled_from(["market", "limit", "stop", "stop_limit"])
REACH = st.sampled_from([0, 0, 50])
MOVES = st.sampled_from([-300, -60, -20, 0, 20, 60, 300])
"""Hundredths of a percent."""
LATE = st.booleans()
BOT_COMMANDS = [PauseBot, ResumeBot, StopBot, StartBot, CloseGroup, DeleteBot, None]
OFFSET_COMMANDS = [RunOffset, RunOffset, SkipOffset, ConfigureOffset, BlockGroup, UnblockGroup]
SEEDS = st.integers(0, 2**32)
SIGNALS = st.lists(st.tuples(NAMES, ACTIONS, FRAMES, st.none() | MOVES, MOVES), min_size=1, max_size=3)
FAR = (("0", "60", "40"), ("-2", "40", "40"))
"""Legs whose targets are out of reach, so that groups live long enough to pay for each other."""
GROUPS = st.builds(
    lambda legs, mode, stop, more: spec.settings(*legs, **{**mode, **stop, **more}),
    st.sampled_from([*LEGS, FAR, FAR]),
    st.sampled_from(MODES),
    st.sampled_from([*STOPS, {}, {}]),
    st.fixed_dictionaries(
        {
            "capital": st.sampled_from(["60", "1000"]),
            "entry": st.sampled_from(["market", "limit"]),
            "when_flat": st.sampled_from(["keep", "cancel"]),
            "max_pyramids": st.sampled_from([1, 3]),
            "reverse": st.booleans(),
        }
    ),
)
POOLS = st.builds(PoolSettings, st.sampled_from([1, 2, 3, 3]), st.booleans(), st.sampled_from([None, 5]))
OFFSETS = st.builds(
    OffsetSettings,
    enabled=st.just(value=True),
    loss_threshold_pct=st.sampled_from([Decimal("-0.1"), Decimal(-1)]),
    require_full_pyramids=st.sampled_from([False, False, True]),
    post_full_wait_minutes=st.sampled_from([1, 1, 10]),
    timer_start=st.sampled_from(["last_pyramid", "legs_filled"]),
    reset_on_replacement=st.booleans(),
    evaluate_seconds=st.sampled_from([60, 600]),
    cost_margin_pct=st.sampled_from([Decimal(0), Decimal("0.2")]),
)
LIMITS = st.sampled_from(
    [
        *[NO_LIMITS] * 5,
        limits(account_exposure_max="1500", open_orders_max=8, duplicate_window_seconds=30),
        limits(price_collar_pct="0.8", order_notional_max="700", orders_max=6),
        limits(consecutive_losses_max=2, cooldown_seconds=120),
        limits(daily_loss_max="5", flatten=True, value_every_seconds=300),
        limits(bot_daily_loss_max="2", drawdown_max="8", flatten=True, value_every_seconds=300),
        limits(event_windows=(EventWindow(Time(START + 5 * MINUTE), Time(START + 15 * MINUTE), "rates"),)),
    ]
)
SETUPS = st.builds(
    Setup, st.sampled_from(["spot", "margin"]), st.sampled_from([1_500, 100_000, 100_000]),
    st.lists(GROUPS, min_size=len(BOTS), max_size=len(BOTS)), POOLS, st.none() | OFFSETS, LIMITS,
    fee_in_base=st.booleans(), shared=st.booleans(),
)  # fmt: skip
TURNS = st.sampled_from([0, 5, 10, 20, 20])
FATES = st.lists(st.sampled_from(["accept", "refuse", "lose", "lose_answer", "hold"]), min_size=1, max_size=3)


class Engine(RuleBasedStateMachine):
    """Anything may happen at any time; whatever happens, the laws hold."""

    floor: Floor

    @initialize(setup=SETUPS, habit=st.sampled_from(["fill", "fill", "accept", "hold"]), seed=SEEDS, turns=TURNS)
    def open(self, setup: Setup, habit: str, seed: int, turns: int) -> None:
        """Most machines begin in the middle of a life."""
        self.floor = Floor(setup)
        self.floor.habit = habit
        self.bodies: list[tuple[str, str]] = []
        self.be_busy(random.Random(seed), turns)

    @rule(seed=SEEDS, turns=st.integers(1, 4))
    def go_on(self, seed: int, turns: int) -> None:
        """So many minutes in which much happens, by chance: rules alone take long to open and fill a few groups."""
        self.be_busy(random.Random(seed), turns)

    def be_busy(self, chance: random.Random, turns: int) -> None:
        for _ in range(turns):
            bot = chance.choice(BOTS)
            self.floor.late = chance.random() < 0.3
            self.floor.fates = chance.choice([[], [], [], ["refuse"], ["lose"], ["lose_answer"], ["hold"]])[:]
            self.floor.cancel_fates = chance.choice([[], [], [], ["race"], ["race"], ["refuse"], ["hold"]])[:]
            if chance.random() < 0.9:
                self.floor.run_again(bot)
            action = chance.choice(["buy", "buy", "buy", "buy", "sell", "target"])
            if action == "target":
                self.floor.alert(bot, action=action, position=chance.choice(["1", "2.5", "0.7"]))
            else:
                self.post(bot, action, chance.choice(["5m", "1h"]), chance.choice([None, 0, chance.randint(-60, 60)]))
            self.floor.shake(chance)
            for name in self.floor.listed:
                self.floor.candle(name, self.near(name, chance.randint(-100, 100)), chance.choice([0, 30]))
            if chance.random() < 0.6:
                self.floor.pause(1)
            if chance.random() < 0.1:
                self.floor.tell(RunOffset("main"))

    # --- signals ------------------------------------------------------------------------------------------------------

    @rule(signals=SIGNALS, ready=st.sampled_from([True, True, False]), late=LATE)
    def signal(self, signals: list[tuple[str, str, str, int | None, int]], ready: bool, late: bool) -> None:
        """Alerts near the market or without a price, each followed by a candle; perhaps nothing keeps their bots back."""
        self.floor.late = late
        for bot, action, timeframe, move, then in signals:
            if ready:
                self.floor.run_again(bot)
            self.post(bot, action, timeframe, move)
            name = self.floor.instrument(bot).id
            self.floor.candle(name, self.near(name, then), 0)

    @rule(data=st.data(), action=st.sampled_from(["buy", "buy", "sell", "exit"]), move=MOVES, late=LATE)
    @precondition(lambda self: self.floor.core.keys("position_group"))
    def follow(self, data: st.DataObject, action: str, move: int, late: bool) -> None:
        """A signal for a group that is live, and a candle."""
        self.floor.late = late
        bot, _ = data.draw(st.sampled_from(self.floor.core.keys("position_group")))
        self.post(bot, action, "5m", None)
        name = self.floor.instrument(bot).id
        self.floor.candle(name, self.near(name, move), 0)

    @rule(bot=NAMES, size=st.sampled_from(["0", "0.5", "1.5", "4.0009", "-2"]), late=LATE)
    def size_to_hold(self, bot: str, size: str, late: bool) -> None:
        self.floor.late = late
        self.floor.alert(bot, action="target", position=size)

    @rule(data=st.data())
    @precondition(lambda self: self.bodies)
    def signal_again(self, data: st.DataObject) -> None:
        """The same delivery once more, or one that is none."""
        bot, body = data.draw(st.sampled_from(self.bodies))
        others = [body, body[:-5], body.replace("a", "b"), body.replace("USDT", "EUR")]
        self.floor.post(bot, data.draw(st.sampled_from(others)))

    def post(self, bot: str, action: str, timeframe: str, move: int | None) -> None:
        price = None if move is None else str(Decimal(self.near(self.floor.instrument(bot).id, move)).scaleb(-2))
        self.bodies.append((bot, self.floor.alert(bot, action=action, timeframe=timeframe, price=price)))

    # --- the market ---------------------------------------------------------------------------------------------------

    @rule(candles=st.lists(st.tuples(NAMED, MOVES, REACH), min_size=1, max_size=4), late=LATE)
    def trade(self, candles: list[tuple[InstrumentId, int, int]], late: bool) -> None:
        """Candles, and the venue fills what they meet."""
        self.floor.late = late
        for name, move, reach in candles:
            self.floor.candle(name, self.near(name, move), reach)

    @rule(name=NAMED, move=MOVES, reach=REACH)
    def price(self, name: InstrumentId, move: int, reach: int) -> None:
        """A candle of which the venue has filled nothing yet."""
        self.floor.candle(name, self.near(name, move), reach, fills=False)

    @rule(data=st.data(), thirds=st.sampled_from([1, 2, 3, 3]), move=MOVES, late=LATE)
    @precondition(lambda self: self.floor.venue.in_state("working"))
    def fill(self, data: st.DataObject, thirds: int, move: int, late: bool) -> None:
        """So many thirds of an order."""
        self.floor.late = late
        ticket = data.draw(st.sampled_from(self.floor.venue.in_state("working")))
        step = self.floor.listed[ticket.order.instrument].step
        price = ticket.order.limit or self.near(ticket.order.instrument, move)
        self.floor.venue.fill(ticket, max(step, ticket.left * thirds // 3 // step * step), price, self.floor.at)
        self.floor.speak()

    @rule(data=st.data(), late=LATE)
    @precondition(lambda self: self.openers())
    def overfill(self, data: st.DataObject, late: bool) -> None:
        self.floor.late = late
        ticket = data.draw(st.sampled_from(self.openers()))
        step = self.floor.listed[ticket.order.instrument].step
        self.floor.venue.overfill(ticket, step, ticket.order.limit or 10_000, self.floor.at)
        self.floor.speak()

    # --- the venue and the wire ---------------------------------------------------------------------------------------

    @rule(fates=FATES, cancels=st.lists(st.sampled_from(["refuse", "hold", "race"]), max_size=2))
    def trouble(self, fates: list[str], cancels: list[str]) -> None:
        """What is to become of the next requests."""
        self.floor.fates, self.floor.cancel_fates = fates, cancels

    @rule(data=st.data(), fate=st.sampled_from(["accept", "accept", "refuse", "lose", "lose_answer"]), late=LATE)
    @precondition(lambda self: self.floor.venue.in_state("coming"))
    def arrive(self, data: st.DataObject, fate: Any, late: bool) -> None:
        self.floor.late = late
        self.floor.venue.arrive(data.draw(st.sampled_from(self.floor.venue.in_state("coming"))), fate)
        self.floor.speak()

    @rule(data=st.data(), fate=st.sampled_from(["accept", "race", "refuse"]), late=LATE)
    @precondition(lambda self: self.floor.venue.cancels)
    def cancel(self, data: st.DataObject, fate: Any, late: bool) -> None:
        self.floor.late = late
        self.floor.cancel(data.draw(st.sampled_from(self.floor.venue.cancels)), fate)
        self.floor.speak()

    @rule(data=st.data(), late=LATE)
    @precondition(lambda self: self.floor.venue.queries)
    def answer(self, data: st.DataObject, late: bool) -> None:
        self.floor.late = late
        self.floor.venue.answer(data.draw(st.sampled_from(self.floor.venue.queries)))
        self.floor.speak()

    @rule(data=st.data())
    @precondition(lambda self: self.floor.venue.said)
    def hear(self, data: st.DataObject) -> None:
        """Late reports arrive, some or all, in any order."""
        places = data.draw(st.permutations(range(len(self.floor.venue.said))))
        self.floor.hear(places[: data.draw(st.integers(1, len(places)))])

    @rule(data=st.data())
    @precondition(lambda self: self.floor.told)
    def hear_again(self, data: st.DataObject) -> None:
        reports = data.draw(st.lists(st.sampled_from(self.floor.told[-20:]), min_size=1, max_size=3))
        self.floor.tell(*reports, actor="venue")

    # --- time ---------------------------------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([1, 2, 5]))
    def wait(self, minutes: int) -> None:
        self.floor.pause(minutes)

    @rule()
    def end_the_day(self) -> None:
        self.floor.wait_for_midnight()

    @rule()
    def restart(self) -> None:
        self.floor.restart()

    # --- hands --------------------------------------------------------------------------------------------------------

    @rule(bot=NAMES, command=st.sampled_from(BOT_COMMANDS), group=GROUPS)
    def bot_by_hand(self, bot: str, command: Any, group: Any) -> None:
        if self.floor.core.state("bot", bot).status == "deleted":
            self.floor.open_bot(bot, group)
        elif command is DeleteBot:
            self.floor.tell(StopBot(bot), DeleteBot(bot))
        else:
            self.floor.tell(ConfigureBot(bot, group) if command is None else command(bot))

    @rule(bot=st.just("") | NAMES, state=st.sampled_from(["HALTED", "REDUCING", None]), late=LATE)
    def halt(self, bot: str, state: Any, late: bool) -> None:
        self.floor.late = late
        self.floor.tell(ResumeTrading("main", bot) if state is None else HaltTrading("main", bot, "by hand", state))

    @rule(command=st.builds(SetRiskLimits, st.just("main"), LIMITS) | st.builds(ConfigurePool, st.just("main"), POOLS))
    def configure(self, command: Any) -> None:
        self.floor.tell(command)

    @rule(data=st.data(), first=st.booleans())
    @precondition(lambda self: self.floor.core.state("execution_pool", "main").waiting)
    def queue_by_hand(self, data: st.DataObject, first: bool) -> None:
        waiting = self.floor.core.state("execution_pool", "main").waiting
        who = waiting[data.draw(st.sampled_from(list(waiting)))]
        key = "main", who.bot, who.source, who.number
        self.floor.tell(PromoteSignal(*key) if first else RemoveSignal(*key, "by hand"))

    @rule(data=st.data(), command=st.sampled_from(OFFSET_COMMANDS))
    def offset_by_hand(self, data: st.DataObject, command: Any) -> None:
        live = self.floor.core.keys("position_group")
        if command is ConfigureOffset:
            self.floor.tell(ConfigureOffset("main", data.draw(OFFSETS)))
        elif command in {RunOffset, SkipOffset}:
            self.floor.tell(command("main"))
        elif live:
            self.floor.tell(command("main", *data.draw(st.sampled_from(live))))

    @rule(name=NAMED, side=SIDES, kind=TYPES, move=MOVES, reduce_only=st.booleans(), steps=st.sampled_from([1, 100]))
    def place_by_hand(self, name: InstrumentId, side: Any, kind: Any, move: int, reduce_only: bool, steps: int) -> None:
        listed, price = self.floor.listed[name], Price(self.near(name, move))
        price = Price(price - price % listed.tick)
        limit, stop = kind in {"limit", "stop_limit"}, kind in {"stop", "stop_limit"}
        self.floor.tell(
            PlaceOrder(
                "main", "", 0, 0, "manual", name, side, kind, Quantity(steps * listed.step), price if limit else None,
                price if stop else None, self.floor.mark(name), reduce_only,
            )
        )  # fmt: skip

    @rule(data=st.data(), late=LATE)
    @precondition(lambda self: self.floor.core.state("account", "main").orders)
    def cancel_by_hand(self, data: st.DataObject, late: bool) -> None:
        self.floor.late = late
        order = data.draw(st.sampled_from(sorted(self.floor.core.state("account", "main").orders)))
        self.floor.tell(CancelOrderById("main", order, "by hand"))

    # --- the laws -----------------------------------------------------------------------------------------------------

    @invariant()
    def the_laws_hold(self) -> None:
        self.floor.check()

    def teardown(self) -> None:
        if hasattr(self, "floor") and self.floor.sound:
            self.floor.restart()
            self.floor.go_home()

    def near(self, name: InstrumentId, move: int) -> int:
        """The last price, so many hundredths of a percent away."""
        mark = self.floor.mark(name)
        return mark + mark * move // 10_000

    def openers(self) -> list[Any]:
        working = self.floor.venue.in_state("working")
        return [each for each in working if each.order.side == "buy" and not each.order.reduce_only]


BOUNDS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestEngine = Engine.TestCase
TestEngine.settings = BOUNDS


# --- what the machine is good for -----------------------------------------------------------------------------------


def without(asked: Rule) -> tuple[Rule, ...]:
    return tuple(each for each in pre_trade.RULES if each is not asked)


PLANTED: dict[str, tuple[Any, str, Any]] = {
    "a slot too many": (PoolState, "free", property(lambda pool: len(pool.slots) <= pool.settings.max_open_groups)),
    "what an ended order held back is kept": (folds, "_give_back", lambda *_: None),
    "entries beside an unknown order": (pre_trade, "RULES", without(pre_trade.nothing_unknown)),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_the_machine_finds_a_planted_bug(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pre_trade.active_rules.cache_clear()
    monkeypatch.setattr(*PLANTED[bug])
    quick = settings(BOUNDS, max_examples=200, derandomize=True, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Engine, settings=quick)
    pre_trade.active_rules.cache_clear()
