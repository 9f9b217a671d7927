"""Where legs and targets lie: exact arithmetic, on the grid, never better than asked for.

For a long: leg price = floor_tick(entry x (1 + gap/100)), quantity = floor_step(capital x weight/100 / leg price),
target = ceil_tick(price x (1 + tp/100)). A short mirrors: gaps and targets change sign, floor and ceil swap.
"""

from decimal import Decimal

from domain.bot.settings import GroupSettings, LegSettings
from domain.market import Instrument
from domain.position_group.events import Leg
from domain.values import LARGEST, POWERS, Direction, Price, Quantity, ceil_ratio, floor_ratio, floor_to, growth, ratio


def plan_legs(settings: GroupSettings, instrument: Instrument, direction: Direction, entry: Decimal) -> tuple[Leg, ...]:
    """All legs of a group; leg 0 enters as the settings say, the others by limit."""
    numerator, denominator = entry.as_integer_ratio()
    scaled = numerator * POWERS[instrument.price_scale], denominator
    return tuple(_leg(index, leg, settings, instrument, direction, scaled) for index, leg in enumerate(settings.legs))


def market_leg(
    index: int, instrument: Instrument, entry: Decimal, quantity: Quantity, take_profit_pct: Decimal | None
) -> Leg:
    """A leg of a given size, entered at market; its reference price is the entry, floored to the tick."""
    numerator, denominator = entry.as_integer_ratio()
    price = floor_to(numerator * POWERS[instrument.price_scale] // denominator, instrument.tick)
    return Leg(index, "market", Price(price), quantity, take_profit_pct)


def target_price(instrument: Instrument, direction: Direction, worth: int, quantity: int, percent: Decimal) -> Price:
    """The take-profit price for `quantity` bought (or sold) for `worth` = sum of price x quantity, in quanta."""
    if direction == "long":
        numerator, denominator = growth(percent)
        return Price(ceil_ratio(worth, (numerator, denominator * quantity), instrument.tick))
    numerator, denominator = growth(-percent)
    return Price(floor_ratio(worth, (numerator, denominator * quantity), instrument.tick))


def _leg(
    index: int,
    leg: LegSettings,
    settings: GroupSettings,
    instrument: Instrument,
    direction: Direction,
    entry: tuple[int, int],
) -> Leg:
    """`entry` is the entry price in quanta, as a fraction."""
    scaled, denominator = entry
    if direction == "long":
        gap_numerator, gap_denominator = growth(leg.gap_pct)
        price = floor_ratio(scaled, (gap_numerator, gap_denominator * denominator), instrument.tick)
    else:
        gap_numerator, gap_denominator = growth(-leg.gap_pct)
        price = ceil_ratio(scaled, (gap_numerator, gap_denominator * denominator), instrument.tick)
    assert settings.capital is not None, "an entry is sized before its legs are planned"
    quantity = _quantity(settings.capital, leg.weight_pct, instrument, price)
    kind = settings.entry if index == 0 else "limit"
    return Leg(index, kind, Price(price), Quantity(quantity), leg.take_profit_pct)


def _quantity(capital: Decimal, weight: Decimal, instrument: Instrument, price: int) -> int:
    """floor_step(capital x weight/100 / price), 0 where there is no price; risk denies what makes no sense.

    It stops at 64 bits, far above what any balance affords.
    """
    if price <= 0:
        return 0
    capital_numerator, capital_denominator = ratio(capital)
    weight_numerator, weight_denominator = ratio(weight)
    numerator = capital_numerator * weight_numerator * POWERS[instrument.price_scale + instrument.size_scale]
    denominator = capital_denominator * weight_denominator * 100 * price
    return floor_to(min(numerator // denominator, LARGEST), instrument.step)
