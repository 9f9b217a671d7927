"""How a position group ends, told a second time from its specification alone: targets, stops, time, pyramids, reversal.

One account in one quote asset, one instrument, the fill rules `candle-v1`, exact fractions, one candle after another. On
a margin account cash is not looked at: give it enough. Where the specification leaves a choice, this was chosen:

- What a sale takes goes out at the average over what was held when it filled: the average over what is left stays.
- The trailing stop counts the closes since the group's first fill at which something is held, that of the first fill's own
  candle included. It starts anew with a fill that finds the group flat.
- Break-even is at the average of what is held now, not of what was held when the target filled.
- Where leg targets have sold all of a hybrid group, its aggregate target closes nothing, and entries are not given up.
- `cancel_beyond_pct` is counted for all entries from the planned price of the group's first leg, pyramids included.
- Entries that expire are all that have not filled, a market order that waits for a late open among them.
- What follows from a candle's fills carries the candle's open time; a reversed group's minutes count from there.
- A reversal without a price of its own enters at the last close at its signal, not at the one at which it opens.
- On a group that is going out, a signal of its own side is refused; one against it is taken, and the newest reverses.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from tests import group_sizes
from tests.group_book import Book, Order
from tests.oracle import Alert, Candle, Result, Terms, Told, ceil, floor, read_alert, to_decimal

FLIPS = (
    *group_sizes.FLIPS,
    *"""
    stop_rounds_the_other_way stop_after_limits stop_leaves_targets stop_keeps_what_was_just_bought
    stop_stays_where_it_was average_of_the_lots_that_are_left exit_leaves_entries
    trail_follows_the_high trail_starts_at_the_close trail_rounds_the_other_way trail_needs_a_holding_before
    break_even_at_once break_even_rounds_the_other_way farthest_stop_counts
    aggregate_rounds_the_other_way aggregate_stays_where_it_was aggregate_keeps_entries
    aggregate_gives_up_what_it_just_bought hybrid_counts_new_fills hybrid_must_pass hybrid_fills_at_target
    hybrid_gives_up_entries time_limit_from_first_fill time_limit_for_each_pyramid deadline_after_alerts
    expiry_from_the_opening expiry_takes_the_group_out
    beyond_by_the_close beyond_of_each_pyramid beyond_rounds_the_other_way
    one_pyramid_more pyramid_around_the_first_price
    reverse_at_once reverse_forgotten reverse_at_the_new_close exit_leaves_a_reversal
    """.split(),
)
"""Rules told wrong on purpose, one at a time."""


@dataclass
class Group:
    """A live group; `firsts` are the planned prices of its pyramids' first legs, `best` the trailing stop's price.

    `equity` is the account's when it opened.
    """

    long: bool
    opened: int
    entry: Fraction
    firsts: list[Fraction] = field(default_factory=list)
    held: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    best: Fraction | None = None
    first_fill: int = 0
    target_filled: bool = False
    exiting: bool = False
    equity: Fraction | None = None

    @property
    def average(self) -> Fraction:
        return self.cost / self.held

    @property
    def sides(self) -> tuple[str, str]:
        """The side of its entries, and of its exits."""
        return ("buy", "sell") if self.long else ("sell", "buy")

    def profit(self, price: Fraction, percent: Any) -> Fraction:
        """A price moved so many percent in the group's favour."""
        return price * (1 + (1 if self.long else -1) * Fraction(percent) / 100)

    def reached(self, price: Fraction, level: Fraction) -> bool:
        return price >= level if self.long else price <= level


class Deadline(NamedTuple):
    """`pyramid` is None where the whole group's time is up."""

    due: int
    group: Group
    pyramid: int | None


@dataclass
class Oracle:
    """The one group of the account; `reversal` (long, entry) waits for the group to have closed."""

    terms: Terms
    settings: dict[str, Any]
    book: Book
    flip: str = ""
    last_close: Fraction | None = None
    group: Group | None = None
    reversal: tuple[bool, Fraction | None] | None = None
    deadlines: list[Deadline] = field(default_factory=list)
    seen: set[tuple[str, ...]] = field(default_factory=set)

    # --- signals and deadlines ---------------------------------------------------------------------------------------

    def hear(self, alert: Alert) -> str:
        told = read_alert(alert.body)
        if told is None:
            return "malformed"
        if told.identity in self.seen:
            return "duplicate"
        self.seen.add(told.identity)
        return "accepted" if told.symbol == self.terms.symbol and self.obey(told, alert.at) else "refused"

    def obey(self, told: Told, at: int) -> bool:
        group, long = self.group, told.action == "buy"
        if told.action == "exit" or (self.book.spot and not long):
            if group is None:
                return False
            if self.flip != "exit_leaves_a_reversal":
                self.reversal = None
            self.exit_group(group, at)
            return True
        entry = self.last_close if told.price is None else told.price
        if group is None:
            if entry is None:
                return False
            self.open_group(entry, at, long=long)
        elif group.long == long:
            most = self.settings["max_pyramids"] + (self.flip == "one_pyramid_more")
            if group.exiting or entry is None or len(group.firsts) >= most:
                return False
            self.add_pyramid(group, group.entry if self.flip == "pyramid_around_the_first_price" else entry, at)
        else:
            if self.settings["reverse"] and self.flip != "reverse_forgotten":
                self.reversal = long, told.price if self.flip == "reverse_at_the_new_close" else entry
            self.exit_group(group, at)
        return True

    def meet(self, deadline: Deadline) -> None:
        group = deadline.group
        if group is not self.group or group.exiting:
            return
        if deadline.pyramid is None or self.flip == "expiry_takes_the_group_out":
            self.exit_group(group, deadline.due)
        else:
            self.give_up(deadline.pyramid)
            self.close_if_done(deadline.due)

    def open_group(self, entry: Fraction, at: int, *, long: bool) -> None:
        self.group = Group(long, at, entry)
        if self.flip != "time_limit_from_first_fill":
            self.set_deadline("time_limit_minutes", at, self.group)
        self.add_pyramid(self.group, entry, at)

    def set_deadline(self, key: str, at: int, group: Group, pyramid: int | None = None) -> None:
        if self.settings[key] is not None:
            self.deadlines.append(Deadline(at + self.settings[key] * 60_000_000, group, pyramid))

    def add_pyramid(self, group: Group, entry: Fraction, at: int) -> None:
        number = len(group.firsts)
        if number and self.flip == "time_limit_for_each_pyramid":
            self.deadlines = [each for each in self.deadlines if each.pyramid is not None]
            self.set_deadline("time_limit_minutes", at, group)
        since = group.opened if self.flip == "expiry_from_the_opening" else at
        self.set_deadline("leg_expiry_minutes", since, group, number)
        equity = group_sizes.equity_of(self.book, self.last_close, entry, group.equity, self.flip)
        group.equity = equity if group.equity is None else group.equity
        capital = group_sizes.capital_of(self.settings, equity, self.flip)
        for index, leg in enumerate(self.settings["legs"]):
            price = (floor if group.long else ceil)(group.profit(entry, leg["gap_pct"]), self.terms.tick)
            share = capital * Fraction(leg["weight_pct"]) / 100
            quantity = floor(share / price, self.terms.step) if price > 0 else Fraction(0)
            kind = "market" if index == 0 and self.settings["entry"] == "market" else "limit"
            self.book.place(Order(group.sides[0], kind, "entry", price, quantity, number, index))
            if index == 0:
                group.firsts.append(price)
        self.close_if_done(at)

    def exit_group(self, group: Group, at: int) -> None:
        """Everything is cancelled, and what is held closed at market at the next open."""
        if not group.exiting:
            self.book.keep(*(["entry"] if self.flip == "exit_leaves_entries" else []))
            group.exiting = True
            if group.held:
                assert self.last_close is not None
                close = Order(group.sides[1], "market", "close", self.last_close, group.held)
                if not self.book.place(close):
                    group.held = Fraction(0)  # too small to close: written off
        if self.flip == "reverse_at_once" and self.reversal is not None and self.book.of("close"):
            self.group = None
        self.close_if_done(at)

    def close_if_done(self, at: int) -> None:
        group = self.group
        if group is not None and (group.held or self.book.of("entry") or self.book.of("close")):
            return
        if group is not None:
            self.group, self.book.orders = None, []
        if self.reversal is not None:
            (long, entry), self.reversal = self.reversal, None
            entry = self.last_close if entry is None else entry
            if entry is not None:
                self.open_group(entry, at, long=long)

    def give_up(self, pyramid: int | None = None) -> None:
        """No longer want the entries that have not filled, of one pyramid or of all."""
        orders = self.book.orders
        self.book.orders = [order for order in orders if order.role != "entry" or pyramid not in {None, order.pyramid}]

    # --- prices ------------------------------------------------------------------------------------------------------

    def up(self, group: Group, price: Fraction, told_wrong: str = "none") -> Fraction:
        """To the tick, in the group's favour: ceil for a long."""
        return (ceil if group.long != (self.flip == told_wrong) else floor)(price, self.terms.tick)

    def aggregate_target(self, group: Group) -> Fraction:
        exact = group.profit(group.average, self.settings["aggregate_take_profit_pct"])
        return self.up(group, exact, "aggregate_rounds_the_other_way")

    def stop_price(self, group: Group) -> Fraction | None:
        settings, stops = self.settings, []
        if settings["stop_loss_pct"] is not None:
            exact = group.profit(group.average, -Fraction(settings["stop_loss_pct"]))
            stops.append(self.up(group, exact, "stop_rounds_the_other_way"))
        if settings["trailing_stop_pct"] is not None and group.best is not None:
            exact = group.profit(group.best, -Fraction(settings["trailing_stop_pct"]))
            stops.append(self.up(group, exact, "trail_rounds_the_other_way"))
        if settings["break_even_after_first_target"] and (group.target_filled or self.flip == "break_even_at_once"):
            stops.append(self.up(group, group.average, "break_even_rounds_the_other_way"))
        nearest_is_highest = group.long != (self.flip == "farthest_stop_counts")
        return (max if nearest_is_highest else min)(stops) if stops else None

    # --- candles -----------------------------------------------------------------------------------------------------

    def play(self, candle: Candle) -> None:
        """All fills of the candle first, then what the group makes of them."""
        group = self.group
        held = group is not None and bool(group.held)
        aggregate = None
        if group is not None and group.held and self.settings["take_profit"] == "hybrid":
            aggregate = self.aggregate_target(group)
        late_stops = self.flip == "stop_after_limits"
        ranks = ("market", "limit", "stop") if late_stops else ("market", "stop", "limit")
        filled: list[tuple[Order, Fraction]] = []
        for order, price in self.book.met(candle, ranks):
            if order in self.book.orders and self.fill(candle.open_time, order, price):
                filled.append((order, price))
        self.last_close = Fraction(candle.close)
        if group is not None:
            if group.held and (held or self.flip != "trail_needs_a_holding_before"):
                self.trail(group, candle)
            self.settle(group, candle, filled, aggregate)

    def fill(self, at: int, order: Order, price: Fraction) -> bool:
        group = self.group
        if group is None:
            return self.book.settle(at, order, price)
        if order.role != "entry":
            order.quantity = min(order.quantity, group.held)
            if not order.quantity:  # nothing left to reduce
                self.book.orders.remove(order)
                return False
        if not self.book.settle(at, order, price):
            return False
        if order.role == "entry":
            if group.best is None:
                group.first_fill = at
                if self.flip == "time_limit_from_first_fill":
                    self.set_deadline("time_limit_minutes", at, group)
            if group.best is None or not group.held:
                group.best = price  # what is trailed is this holding
            group.cost += price * order.quantity
            group.held += order.quantity
        else:
            lots_left = self.flip == "average_of_the_lots_that_are_left" and order.role == "target"
            group.cost -= order.quantity * (order.paid if lots_left else group.average)
            group.held -= order.quantity
        if order.role == "stop" and self.flip != "stop_leaves_targets":
            self.book.keep("entry")
        group.target_filled |= order.role == "target"
        return True

    def trail(self, group: Group, candle: Candle) -> None:
        if group.best is None:
            return
        favourable = Fraction(candle.high if group.long else candle.low)
        price = favourable if self.flip == "trail_follows_the_high" else Fraction(candle.close)
        if self.flip == "trail_starts_at_the_close" and group.first_fill == candle.open_time:
            group.best = price
        group.best = (max if group.long else min)(group.best, price)

    def settle(
        self, group: Group, candle: Candle, filled: list[tuple[Order, Fraction]], aggregate: Fraction | None
    ) -> None:
        """Decisions at the candle's close; `aggregate` is a hybrid group's target in force when the candle began."""
        roles, at, settings = {order.role for order, _ in filled}, candle.open_time, self.settings
        favourable = Fraction(candle.high if group.long else candle.low)
        if group.exiting:
            self.close_if_done(at)
            return
        if self.flip == "hybrid_counts_new_fills" and aggregate is not None and group.held:
            aggregate = self.aggregate_target(group)
        reached = aggregate is not None and group.reached(favourable, aggregate)
        reached &= bool(group.held) or self.flip == "hybrid_gives_up_entries"
        reached &= self.flip != "hybrid_must_pass" or favourable != aggregate
        keeps = self.flip == "stop_keeps_what_was_just_bought" and bool(group.held)
        if reached or ("stop" in roles and not keeps):
            self.exit_group(group, at)
            if self.flip == "hybrid_fills_at_target" and reached and (close := self.book.of("close")) is not None:
                assert aggregate is not None
                self.fill(at, close, aggregate)
                self.close_if_done(at)
            return
        for order, paid in filled:
            if order.role == "entry" and settings["take_profit"] != "aggregate":
                price = self.up(group, group.profit(paid, settings["legs"][order.leg]["take_profit_pct"]))
                legs = order.pyramid, order.leg
                self.book.place(Order(group.sides[1], "limit", "target", price, order.quantity, *legs, paid))
        self.give_up_entries(group, candle, roles)
        self.guard(group)
        self.close_if_done(at)

    def give_up_entries(self, group: Group, candle: Candle, roles: set[str]) -> None:
        """Where nothing is held any more, and where the price has run away."""
        flat = group.best is not None and not group.held
        done = "aggregate" in roles and self.flip != "aggregate_keeps_entries"
        if flat and (done or self.settings["when_flat"] == "cancel"):
            self.give_up()
        if done and self.flip == "aggregate_gives_up_what_it_just_bought":
            self.give_up()
        percent = self.settings["cancel_beyond_pct"]
        if percent is None:
            return
        favourable = Fraction(candle.high if group.long else candle.low)
        price = Fraction(candle.close) if self.flip == "beyond_by_the_close" else favourable
        for pyramid, own in enumerate(group.firsts):
            first = own if self.flip == "beyond_of_each_pyramid" else group.firsts[0]
            if group.reached(price, self.up(group, group.profit(first, percent), "beyond_rounds_the_other_way")):
                self.give_up(pyramid)

    def guard(self, group: Group) -> None:
        """The stop and the aggregate target rest for all that is held, where they belong now."""
        aggregates = self.settings["take_profit"] == "aggregate"
        self.put(group, "stop", self.stop_price(group) if group.held else None)
        self.put(group, "aggregate", self.aggregate_target(group) if group.held and aggregates else None)

    def put(self, group: Group, role: str, price: Fraction | None) -> None:
        rests = self.book.of(role)
        if rests is not None:
            if (rests.price, rests.quantity) == (price, group.held):
                return
            self.book.orders.remove(rests)
            if self.flip == f"{role}_stays_where_it_was" and price is not None:
                price = rests.price
        if price is not None:
            self.book.place(Order(group.sides[1], "stop" if role == "stop" else "limit", role, price, group.held))


def backtest(
    candles: list[Candle], alerts: list[Alert], settings: dict[str, Any], terms: Terms, *, spot: bool, flip: str = ""
) -> Result:
    """`settings` as under [group] in the TOML file; `flip` names one rule of FLIPS to tell wrong."""
    assert flip in ("", *FLIPS)
    book = Book(terms, spot, Fraction(terms.balance))
    oracle = Oracle(terms, group_sizes.DEFAULTS | settings, book, flip)
    verdicts: dict[int, str] = {}
    waiting = sorted(range(len(alerts)), key=lambda line: (alerts[line].at, line))

    def meet_deadlines(until: int) -> None:
        while due := [each for each in oracle.deadlines if each.due <= until]:
            soonest = min(due, key=lambda each: each.due)
            oracle.deadlines.remove(soonest)
            oracle.meet(soonest)

    def pass_until(until: int) -> None:
        """Alerts and deadlines up to and including a time; a deadline comes before everything at its time."""
        while waiting and alerts[waiting[0]].at <= until:
            line = waiting.pop(0)
            meet_deadlines(alerts[line].at - (1 if flip == "deadline_after_alerts" else 0))
            verdicts[line] = oracle.hear(alerts[line])
        meet_deadlines(until)

    for candle in candles:
        pass_until(candle.open_time)
        oracle.play(candle)
    if waiting:
        pass_until(alerts[waiting[-1]].at)
    return Result(
        book.fills,
        [verdicts[line] for line in range(len(alerts))],
        to_decimal(book.cash),
        to_decimal(book.position),
        to_decimal(book.fees),
        book.denials,
    )
