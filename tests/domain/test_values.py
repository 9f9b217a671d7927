"""Decimal text and quanta, there and back; rounding that is said and never silent."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AmountError, InputError
from domain.market import make_instrument
from domain.values import (
    LARGEST,
    ceil_ratio,
    decimal_places,
    decimal_text,
    divide_half_even,
    exact_quanta,
    floor_quanta,
    floor_ratio,
    growth,
    parse_decimal,
    parse_time,
    time_text,
)

scales = st.integers(0, 18)


@given(st.integers(-LARGEST, LARGEST), scales)
def test_quanta_come_back_from_their_text(quanta: int, scale: int) -> None:
    text = decimal_text(quanta, scale)
    assert exact_quanta(text, scale) == quanta
    assert not (("." in text) and text.endswith("0"))


@pytest.mark.parametrize(
    ("quanta", "scale", "text"),
    [(462500, 2, "4625"), (-5, 2, "-0.05"), (0, 8, "0"), (1, 8, "0.00000001"), (120, 2, "1.2"), (7, 0, "7")],
)
def test_decimal_text(quanta: int, scale: int, text: str) -> None:
    assert decimal_text(quanta, scale) == text


@pytest.mark.parametrize(
    "value", ["NaN", "inf", "-Infinity", "sNaN", "", "abc", "1e999999", "1" * 41, "0x10", "1_0", "\u0661\u0660"]
)
def test_what_is_no_sane_number_is_refused(value: str) -> None:
    with pytest.raises(AmountError):
        parse_decimal(value)


def test_a_digit_is_never_lost() -> None:
    with pytest.raises(AmountError, match="has more than 2 decimal places"):
        exact_quanta("0.005", 2)
    assert floor_quanta("0.005", 2) == 0
    assert floor_quanta("-0.005", 2) == -1


def test_amounts_fit_64_bits() -> None:
    assert exact_quanta(str(LARGEST), 0) == LARGEST
    with pytest.raises(AmountError, match="64 bits"):
        exact_quanta(str(LARGEST + 1), 0)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_half_even_division_is_the_decimal_module_s(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    quotient = divide_half_even(numerator, denominator)
    assert abs(exact - quotient) <= Fraction(1, 2)
    if abs(exact - quotient) == Fraction(1, 2):
        assert quotient % 2 == 0


@given(st.integers(-1000, 1000))
def test_halves_go_to_the_even_neighbour(half: int) -> None:
    assert divide_half_even(half, 2) == int((Decimal(half) / 2).quantize(Decimal(1), ROUND_HALF_EVEN))


@given(st.integers(0, 10**12), st.decimals("-99", "99", places=4), st.integers(1, 500))
def test_ratios_floor_and_ceil_to_the_grid(quanta: int, percent: Decimal, grid: int) -> None:
    exact = quanta * (1 + Fraction(percent) / 100)
    assert floor_ratio(quanta, growth(percent), grid) == floor(exact / grid) * grid
    assert ceil_ratio(quanta, growth(percent), grid) == ceil(exact / grid) * grid


@pytest.mark.parametrize(("text", "places"), [("100", 0), ("0.010", 2), ("1E+3", 0), ("0.00001", 5), ("0", 0)])
def test_decimal_places(text: str, places: int) -> None:
    assert decimal_places(Decimal(text)) == places


@given(st.integers(0, 4 * 10**15))
def test_times_come_back_from_their_text(at: int) -> None:
    assert parse_time(time_text(at)) == at


@pytest.mark.parametrize(
    "text",
    ["2022-01-01T00:00:00", "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "yesterday", "2022-13-01T00:00:00Z", ""],
)
def test_a_time_that_does_not_say_utc_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_time(text)


def test_another_offset_is_the_same_instant() -> None:
    assert parse_time("2022-01-01T05:30:00+05:30") == parse_time("2022-01-01T00:00:00Z")


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 9), st.integers(0, 9))
def test_notional_is_price_times_quantity(price: int, quantity: int, price_scale: int, size_scale: int) -> None:
    listed = make_instrument("BTC/USDT", Decimal(1).scaleb(-price_scale), Decimal(1).scaleb(-size_scale), Decimal(0))
    exact = Fraction(price, 10**price_scale) * Fraction(quantity, 10**size_scale) * 10**8
    assert abs(listed.notional(price, quantity) - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("symbol", "tick", "step", "named"),
    [
        ("BTCUSDT", "0.01", "0.1", "instrument 'BTCUSDT' is not BASE/QUOTE"),
        ("BTC/BTC", "0.01", "0.1", "instrument 'BTC/BTC'"),
        ("BTC/", "0.01", "0.1", "instrument 'BTC/'"),
        ("BTC/USDT", "0", "0.1", "tick 0 must be above 0"),
        ("BTC/USDT", "0.01", "-1", "step -1 must be above 0"),
        ("BTC/USDT", "1e-19", "1", "tick and step may have at most 18"),
    ],
)
def test_an_instrument_that_makes_no_sense_is_refused(symbol: str, tick: str, step: str, named: str) -> None:
    with pytest.raises(InputError) as refused:
        make_instrument(symbol, Decimal(tick), Decimal(step), Decimal(0))
    assert str(refused.value).startswith(named)


def test_rupees_have_paise() -> None:
    listed = make_instrument("NIFTY/INR", Decimal("0.05"), Decimal(1), Decimal(0))
    assert (listed.quote_scale, listed.tick, listed.notional(5, 3)) == (2, 5, 15)
