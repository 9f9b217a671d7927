from hypothesis import given
from hypothesis import strategies as st

from projections.cost_basis import Flow, Pool, change, flow_of, share, take
from tests.projections.story import ETH, fill_of, intended

amounts = st.integers(-(10**12), 10**12)


@st.composite
def flows(draw: st.DrawFn) -> tuple[int, int]:
    """A signed quantity and the cash for it, of the same sign."""
    quantity = draw(st.integers(-(10**6), 10**6).filter(bool))
    cash = draw(st.integers(0, 10**9))
    return quantity, cash if quantity > 0 else -cash


def test_increase_adds_cost() -> None:
    assert change(Pool(3, 300), 2, 210) == (Pool(5, 510), 0)
    assert change(Pool(-3, -300), -2, -210) == (Pool(-5, -510), 0)


def test_reduction_takes_its_share_of_cost() -> None:
    assert change(Pool(3, 100), -1, -50) == (Pool(2, 67), 50 - 33)
    assert change(Pool(-3, -100), 1, 50) == (Pool(-2, -67), 33 - 50)


def test_last_quantity_takes_all_cost() -> None:
    pool, realized = change(Pool(2, 67), -2, -80)
    assert (pool, realized) == (Pool(0, 0), 13)


def test_crossing_zero_splits_cash_without_remainder() -> None:
    # 10 units sold for 1001: 3 close at 300 (1001 x 3 / 10), 7 open a short with the other 701.
    assert change(Pool(3, 90), -10, -1001) == (Pool(-7, -701), 300 - 90)
    assert change(Pool(-3, -90), 10, 1001) == (Pool(7, 701), 90 - 300)


def test_cash_without_quantity_is_realized() -> None:
    assert change(Pool(3, 90), 0, 7) == (Pool(3, 90), -7)


def test_take_splits_off_at_most_all() -> None:
    assert take(Pool(3, 100), 1) == (Pool(2, 67), Pool(1, 33))
    assert take(Pool(-3, -100), 1) == (Pool(-2, -67), Pool(-1, -33))
    assert take(Pool(3, 100), 9) == (Pool(0, 0), Pool(3, 100))
    assert take(Pool(), 9) == (Pool(), Pool())


@given(st.lists(flows(), max_size=30))
def test_cost_and_realized_conserve_cash(moves: list[tuple[int, int]]) -> None:
    pool, realized = Pool(), 0
    for quantity, cost in moves:
        pool, gained = change(pool, quantity, cost)
        realized += gained
    assert pool.quantity == sum(quantity for quantity, _ in moves)
    assert pool.cost == sum(cost for _, cost in moves) + realized
    if not pool.quantity:
        assert pool.cost == 0
    assert pool.cost == 0 or (pool.cost > 0) == (pool.quantity > 0)


@given(st.lists(flows(), max_size=30))
def test_short_mirrors_long(moves: list[tuple[int, int]]) -> None:
    pool, mirror = Pool(), Pool()
    for quantity, cost in moves:
        pool, gained = change(pool, quantity, cost)
        mirror, mirrored = change(mirror, -quantity, -cost)
        assert (mirror.quantity, mirror.cost, mirrored) == (-pool.quantity, -pool.cost, -gained)


@given(amounts, st.integers(1, 10**6), st.integers(1, 10**6))
def test_share_is_within_a_quantum_towards_zero(amount: int, part: int, whole: int) -> None:
    exact = amount * part
    got = share(amount, part, whole) * whole
    assert 0 <= abs(exact) - abs(got) < whole
    assert got == 0 or (got > 0) == (exact > 0)


def test_quote_fee_stands_beside_cost() -> None:
    fill = fill_of(intended(1), price=100, quantity=10, fee=5)
    assert flow_of(fill) == Flow(10, 10_000, 5)
    sale = fill_of(intended(1, side="sell"), price=100, quantity=10, fee=5)
    assert flow_of(sale) == Flow(-10, -10_000, 5)


def test_base_fee_is_worth_its_share_of_cash() -> None:
    bought = intended(1, instrument=ETH)
    fill = fill_of(bought, price=1000, quantity=3 * 10**8, fee=10**8, fee_asset="ETH", instrument=ETH)
    assert fill.cash == 3000
    assert flow_of(fill) == Flow(2 * 10**8, 2000, 1000)
    sold = intended(1, side="sell", instrument=ETH)
    fill = fill_of(sold, price=1000, quantity=3 * 10**8, fee=10**8, fee_asset="ETH", instrument=ETH)
    assert flow_of(fill) == Flow(-4 * 10**8, -4000, 1000)


def test_third_asset_fee_has_no_value_here() -> None:
    assert flow_of(fill_of(intended(1), fee=5, fee_asset="BNB")) == Flow(10, 10_000, 0)
