"""Where legs and targets lie, against the formulas written out with fractions."""

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from domain.position_group.plan import plan_legs, target_price
from tests.spec import instrument, settings

percents = st.decimals("-50", "50", places=3)
prices = st.decimals("0.01", "99999", places=4)


def test_the_documented_example() -> None:
    first, second = plan_legs(settings(), instrument(step="0.00001"), "long", Decimal("46250.00"))
    assert (first.type, first.price, first.quantity) == ("market", 46250_00, 864)  # 400 / 46250 = 0.008648...
    assert (second.type, second.price, second.quantity) == ("limit", 46018_75, 1303)  # 600 / 46018.75 = 0.01303...


def test_leg_0_is_a_limit_where_the_settings_say_so() -> None:
    legs = plan_legs(settings(entry="limit"), instrument(), "long", Decimal(100))
    assert [leg.type for leg in legs] == ["limit", "limit"]


@given(prices, percents, st.decimals("1", "100000", places=2))
def test_a_long_leg_is_floored_to_tick_and_step(entry: Decimal, gap: Decimal, capital: Decimal) -> None:
    grid = instrument(tick="0.05", step="0.001")
    plan = settings((str(gap), "100", "1"), capital=str(capital))
    (leg,) = plan_legs(plan, grid, "long", entry)
    exact = Fraction(entry) * (1 + Fraction(gap) / 100)
    assert leg.price == floor(exact / Fraction("0.05")) * 5
    if leg.price > 0:
        assert leg.quantity == floor(Fraction(capital) / Fraction(leg.price, 100) / Fraction("0.001"))
    else:
        assert leg.quantity == 0


@given(prices, percents)
def test_a_short_leg_mirrors_and_is_ceiled(entry: Decimal, gap: Decimal) -> None:
    (leg,) = plan_legs(settings((str(gap), "100", "1")), instrument(tick="0.05"), "short", entry)
    assert leg.price == ceil(Fraction(entry) * (1 - Fraction(gap) / 100) / Fraction("0.05")) * 5


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.decimals("0.001", "99", places=3))
def test_targets_are_never_nearer_than_asked(price: int, quantity: int, percent: Decimal) -> None:
    grid = instrument(tick="0.05")
    long = target_price(grid, "long", price * quantity, quantity, percent)
    assert long == ceil(Fraction(price) * (1 + Fraction(percent) / 100) / 5) * 5
    short = target_price(grid, "short", price * quantity, quantity, percent)
    assert short == floor(Fraction(price) * (1 - Fraction(percent) / 100) / 5) * 5


def test_a_price_that_floors_to_nothing_buys_nothing() -> None:
    (leg,) = plan_legs(settings(("0", "100", "1")), instrument(), "long", Decimal("0.001"))
    assert (leg.price, leg.quantity) == (0, 0)
