"""The parameters that a search may choose from, read from `--set` and typed by the strategy's own struct."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Struct

from domain.errors import InputError
from domain.values import parse_decimal

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(?::({NUMBER}|lin|log))?(?:/(\d+))?")
RANGE_ALLOWED = "LOW..HIGH, LOW..HIGH:STEP, LOW..HIGH/COUNT, LOW..HIGH:log, LOW..HIGH:log/COUNT, A|B|C or one value"
DIGITS = 6
"""Significant digits of what is drawn between two ends, so that a found value can be typed again."""
VALUES_MAX = 10_000
GRID_MAX = 100_000

Scale = Literal["lin", "log"]
Check = Callable[[Any], None]


class Choice(Struct, frozen=True):
    """One of these values; `ordered` where they are steps of a range, so that neighbours are alike."""

    name: str
    values: tuple[Any, ...]
    ordered: bool = False


class Between(Struct, frozen=True):
    """Any value between two ends, both included; drawn evenly, or evenly in the logarithm."""

    name: str
    low: float
    high: float
    scale: Scale
    type: Any

    def value(self, number: float) -> Any:
        """The number as the strategy takes it: to six significant digits, never outside of the ends."""
        short = float(f"{number:.{DIGITS}g}")
        return _typed(self.name, repr(min(max(short, self.low), self.high)), self.type)


Dimension = Choice | Between


class Space(Struct, frozen=True):
    """Dimensions in the order in which they were said, and what is the same in all trials.

    `check` raises InputError for values that make no sense together; what it refuses is skipped and counted.
    """

    dimensions: tuple[Dimension, ...]
    fixed: dict[str, Any]
    type: type[Struct]
    check: Check

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dimension.name for dimension in self.dimensions)

    def refusal(self, parameters: Mapping[str, Any]) -> str:
        """Why the strategy does not take these parameters; empty where it does."""
        try:
            self.check(msgspec.convert(parameters, self.type))
        except (InputError, msgspec.ValidationError) as error:
            return str(error)
        return ""

    @property
    def size(self) -> int | None:
        """How many combinations there are; None where a dimension has no steps."""
        sizes = [len(each.values) for each in self.dimensions if isinstance(each, Choice)]
        return math.prod(sizes) if len(sizes) == len(self.dimensions) else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination, the last dimension fastest; raises InputError where one has no steps or they are too many."""
        for each in self.dimensions:
            if isinstance(each, Between):
                raise InputError(
                    f"--set {each.name}: a grid needs steps; allowed: {each.name}={each.low:g}..{each.high:g}/COUNT, "
                    "or a random or Bayesian search"
                )
        if (self.size or 0) > GRID_MAX:
            raise InputError(f"the grid has {self.size:,} combinations; allowed: at most {GRID_MAX:,}")
        axes = [each.values for each in self.dimensions if isinstance(each, Choice)]
        return (dict(zip(self.names, values, strict=True)) | self.fixed for values in itertools.product(*axes))


def allow_all(_parameters: object) -> None:
    """Whatever its type allows makes sense."""


def read_space(
    texts: Sequence[str], type_: type[Struct], check: Check = allow_all, known: Mapping[str, Any] = MappingProxyType({})
) -> Space:
    """The space of `NAME=VALUES` texts; raises InputError for what the strategy's parameters do not allow.

    `known` are the values of a configuration, for what no text says.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(type_)}
    dimensions: list[Dimension] = []
    fixed: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name, values = name.strip(), values.strip()
        if not (name and equals and values):
            raise InputError(f"--set {text!r} is not NAME=VALUES; allowed: {RANGE_ALLOWED}")
        if name not in fields:
            raise InputError(f"--set {name}: there is no such parameter; allowed: {', '.join(fields) or 'none'}")
        if name in fixed or any(name == each.name for each in dimensions):
            raise InputError(f"--set {name} is given twice")
        read = _read(name, values, fields[name].type)
        if isinstance(read, Choice) and len(read.values) == 1:
            fixed[name] = read.values[0]
        else:
            dimensions.append(read)
    given = {*fixed, *(each.name for each in dimensions)}
    fixed |= {name: value for name, value in typed_values(known, type_).items() if name not in given}
    given |= fixed.keys()
    missing = [name for name, field in fields.items() if field.required and name not in given]
    if missing:
        raise InputError(f"--set {missing[0]}=VALUES is missing: the parameter has no default")
    return Space(tuple(dimensions), fixed, type_, check)


def typed_values(known: Mapping[str, Any], type_: type[Struct], where: str = "[parameters]") -> dict[str, Any]:
    """A configuration's values as the strategy's parameters take them, each by itself; raises InputError."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(type_)}
    for name in known:
        if name not in fields:
            raise InputError(f"{where} {name}: there is no such parameter; allowed: {', '.join(fields) or 'none'}")
    return {name: _typed(name, value, fields[name].type, where) for name, value in known.items()}


def _read(name: str, text: str, type_: Any) -> Dimension:
    if found := RANGE.fullmatch(text):
        low, high, how, count = found.groups()
        return _range(name, _number(name, low), _number(name, high), how or "lin", count, type_)
    if ".." in text:
        raise InputError(f"--set {name}={text} is no range; allowed: {RANGE_ALLOWED}")
    words = [word.strip() for word in text.split("|")]
    return Choice(name, _distinct(name, [_typed(name, word, type_) for word in words]))


def _range(name: str, low: Decimal, high: Decimal, how: str, count: str | None, type_: Any) -> Dimension:
    if low > high:
        raise InputError(f"--set {name}: {low} is above {high}; allowed: LOW..HIGH")
    if how == "log" and low <= 0:
        raise InputError(f"--set {name}: a logarithmic range starts above 0, not at {low}")
    whole = _is_whole(type_)
    if how not in ("lin", "log"):
        if count is not None:
            raise InputError(f"--set {name}: a step and a count; allowed: one of them")
        return Choice(name, _typed_all(name, _stepped(name, low, high, _number(name, how)), type_), ordered=True)
    scale: Scale = "log" if how == "log" else "lin"
    if count is not None:
        return Choice(name, _typed_all(name, _spread(name, low, high, scale, int(count), whole), type_), ordered=True)
    if whole and scale == "lin":
        return Choice(name, _typed_all(name, _stepped(name, low, high, Decimal(1)), type_), ordered=True)
    if whole:
        raise InputError(
            f"--set {name}: whole numbers in a logarithmic range need a count; allowed: {low}..{high}:log/COUNT"
        )
    for end in (low, high):
        _typed(name, str(end), type_)
    if low == high:
        return Choice(name, (_typed(name, str(low), type_),))
    return Between(name, float(low), float(high), scale, type_)


def _stepped(name: str, low: Decimal, high: Decimal, step: Decimal) -> list[Decimal]:
    """From low on in exact steps, up to high where it is one of them."""
    if step <= 0:
        raise InputError(f"--set {name}: the step is {step}; allowed: above 0")
    count = int((high - low) / step) + 1
    if count > VALUES_MAX:
        raise InputError(f"--set {name}: {count:,} values; allowed: at most {VALUES_MAX:,}")
    return [low + step * index for index in range(count)]


def _spread(name: str, low: Decimal, high: Decimal, scale: Scale, count: int, whole: bool) -> list[Decimal]:  # noqa: FBT001  (of the type)
    """`count` values from low to high at even distances, of the number or of its logarithm; both ends are exact."""
    if not 2 <= count <= VALUES_MAX:  # noqa: PLR2004  (two ends)
        raise InputError(f"--set {name}: {count:,} values; allowed: 2 to {VALUES_MAX:,}")
    first, last = float(low), float(high)
    values = []
    for index in range(count):
        part = index / (count - 1)
        number = first * (last / first) ** part if scale == "log" else first + (last - first) * part
        values.append(Decimal(f"{number:.0f}" if whole else f"{number:.{DIGITS}g}"))
    return [low, *values[1:-1], high]


def _typed_all(name: str, numbers: Sequence[Decimal], type_: Any) -> tuple[Any, ...]:
    # Whole numbers spread over a short range may fall together; they are one value then.
    return tuple(dict.fromkeys(_typed(name, format(number.normalize(), "f"), type_) for number in numbers))


def _typed(name: str, told: Any, type_: Any, where: str = "--set") -> Any:
    """What was told, text or not, as the parameter's type takes it; raises InputError that says what is wrong."""
    try:
        value = msgspec.convert(told, type_, strict=False)
    except (msgspec.ValidationError, InvalidOperation) as error:
        raise InputError(f"{where} {name}: {told!r}: {error}") from None
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise InputError(f"{where} {name}: {told!r} is not a finite number")
    return value


def _number(name: str, text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except InputError as error:
        raise InputError(f"--set {name}: {error}") from None


def _distinct(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise InputError(f"--set {name}: {value} is given twice")
    return tuple(values)


def _is_whole(type_: Any) -> bool:
    """Whether the type takes whole numbers only."""
    info = msgspec.inspect.type_info(type_)
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    numbers = (msgspec.inspect.FloatType, msgspec.inspect.DecimalType, msgspec.inspect.StrType)
    return any(isinstance(kind, msgspec.inspect.IntType) for kind in kinds) and not any(
        isinstance(kind, numbers) for kind in kinds
    )
