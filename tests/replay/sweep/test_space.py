"""What `--set` says: ranges, choices and fixed values, typed as the strategy takes them, or refused in a sentence."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputError
from replay.sweep.space import Between, Choice, Space, read_space
from tests.replay.sweep.jobs import Cross, check_cross


def values(text: str) -> tuple[Any, ...]:
    """The values of the one dimension that a text says."""
    (dimension,) = read_space([text], Cross).dimensions
    assert isinstance(dimension, Choice)
    return dimension.values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fast=5..20:5", (5, 10, 15, 20)),
        ("fast=5..19:5", (5, 10, 15)),
        ("fast=1..4", (1, 2, 3, 4)),
        ("fast=10..1000:log/3", (10, 100, 1000)),
        ("fast=1..3/9", (1, 2, 3)),
        ("slow=30|10|20", (30, 10, 20)),
        ("side=long|short", ("long", "short")),
        ("band=0.1..0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("band=-1..1/3", (-1.0, 0.0, 1.0)),
        ("band=0.001..1:log/4", (0.001, 0.01, 0.1, 1.0)),
        ("notional=100..300:100", (Decimal(100), Decimal(200), Decimal(300))),
        ("notional=0.1..0.3:0.1", (Decimal("0.1"), Decimal("0.2"), Decimal("0.3"))),
    ],
)
def test_a_text_says_its_values(text: str, expected: tuple[Any, ...]) -> None:
    found = values(text)
    assert found == expected
    assert [type(each) for each in found] == [type(each) for each in expected]


def test_one_value_is_fixed_and_no_dimension() -> None:
    space = read_space(["slow=50", "fast=1|2", "notional=7..7", "band=0.5..0.5"], Cross)
    assert space.names == ("fast",)
    assert space.fixed == {"slow": 50, "notional": Decimal(7), "band": 0.5}
    assert list(space.grid()) == [{"fast": fast, **space.fixed} for fast in (1, 2)]


def test_a_range_without_steps_is_continuous_where_the_parameter_is() -> None:
    space = read_space(["band=0.5..2", "notional=1..100:log"], Cross)
    assert space.dimensions == (Between("band", 0.5, 2, "lin", float), Between("notional", 1, 100, "log", Decimal))
    assert space.size is None


@pytest.mark.parametrize(
    ("texts", "refusal"),
    [
        (["fast"], "'fast' is not NAME=VALUES"),
        (["fast="], "'fast=' is not NAME=VALUES"),
        (["quick=1"], "there is no such parameter; allowed: fast, slow, band, notional, side"),
        (["fast=1|2", "fast=3"], "fast is given twice"),
        (["fast=1|1"], "1 is given twice"),
        (["fast=1..x"], "is no range; allowed: LOW..HIGH"),
        (["fast=9..1"], "9 is above 1"),
        (["fast=1..9:0"], "the step is 0; allowed: above 0"),
        (["fast=1..9:-1"], "the step is -1; allowed: above 0"),
        (["fast=1..9:2/3"], "a step and a count"),
        (["fast=1..9/1"], "1 values; allowed: 2 to"),
        (["fast=1..99999999"], "values; allowed: at most"),
        (["fast=1..9:log"], "need a count"),
        (["fast=1.5..3.5:1"], "'1.5'"),
        (["fast=0..3"], ">= 1"),
        (["slow=400..600:100"], "<= 500"),
        (["fast=five"], "'five'"),
        (["band=0..1:log"], "starts above 0"),
        (["band=nan"], "not a finite number"),
        (["notional=1e999999"], "notional"),
        (["band=1e308..1e309"], "band"),
    ],
)
def test_what_is_not_allowed_is_said(texts: list[str], refusal: str) -> None:
    with pytest.raises(InputError) as refused:
        read_space(texts, Cross)
    assert "--set" in str(refused.value)
    assert refusal in str(refused.value)


def test_a_parameter_without_a_default_must_be_said() -> None:
    class Levels(msgspec.Struct, frozen=True):
        lower: int
        upper: int = 9

    with pytest.raises(InputError, match="--set lower=VALUES is missing"):
        read_space(["upper=1..3"], Levels)
    assert read_space(["lower=1..3"], Levels).size == 3


def test_a_grid_varies_the_last_dimension_fastest() -> None:
    space = read_space(["fast=1..2", "slow=10|20"], Cross)
    assert [(each["fast"], each["slow"]) for each in space.grid()] == [(1, 10), (1, 20), (2, 10), (2, 20)]
    assert space.size == 4


def test_a_grid_needs_steps_and_an_end() -> None:
    with pytest.raises(InputError, match=r"a grid needs steps; allowed: band=0\.5\.\.2/COUNT"):
        read_space(["band=0.5..2"], Cross).grid()
    with pytest.raises(InputError, match="25,000,000 combinations; allowed: at most 100,000"):
        read_space(["fast=1..500", "slow=1..500", "band=0..0.99:0.01"], Cross).grid()


def test_what_the_strategy_refuses_has_a_reason() -> None:
    space = read_space(["fast=1..50", "slow=1..50"], Cross, check_cross)
    assert space.refusal({"fast": 10, "slow": 30}) == ""
    assert space.refusal({"fast": 30, "slow": 10}) == "parameter fast is 30; allowed: below slow, 10"
    assert "`int` >= 1" in space.refusal({"fast": 0, "slow": 10})


@given(
    low=st.decimals(-1000, 1000, places=3),
    step=st.decimals("0.001", 10, places=3),
    count=st.integers(1, 50),
    over=st.decimals(0, "0.999", places=3),
)
def test_steps_are_exact(low: Decimal, step: Decimal, count: int, over: Decimal) -> None:
    """A range that ends before its next step has all values up to there, none a binary fraction beside its decimal."""
    high = low + step * (count - 1) + (step * over).quantize(Decimal("0.000001"))
    space = read_space([f"notional={low}..{high}:{step}"], Cross)
    expected = [low + step * index for index in range(count)]
    assert [each["notional"] for each in grid_of(space)] == expected


def grid_of(space: Space) -> list[dict[str, Any]]:
    return list(space.grid())


@given(low=st.floats(1e-6, 1e6), width=st.floats(1e-6, 1e6), at=st.floats(0, 1), scale=st.sampled_from(["lin", "log"]))
def test_a_drawn_value_stays_between_the_ends_and_can_be_typed_again(
    low: float, width: float, at: float, scale: str
) -> None:
    high = low + width
    between = Between("band", low, high, "log" if scale == "log" else "lin", float)
    value = between.value(low + width * at)
    assert low <= value <= high
    assert read_space([f"band={value}"], Cross).fixed == {"band": value}
