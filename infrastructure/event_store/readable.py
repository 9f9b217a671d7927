"""Records as people and other programs read them: names for fields, decimal text for amounts, ISO times."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from domain.account.events import Holding, InstrumentListed
from domain.catalogue import EVENTS, tag_of
from domain.market import Instrument
from domain.message import Event, Record
from domain.portfolio_risk.events import Loser, Winner
from domain.position_group.events import Leg
from domain.strategy.intents import Place
from domain.values import Cash, Fee, Price, Quantity, Time, cash_scale, decimal_text, time_text

Format = Callable[[int, "Scales"], str]


class Scales(Struct, frozen=True):
    """How many decimal places an event's amounts have."""

    price: int = 0
    size: int = 0
    cash: int = 0
    fee: int = 0


_FORMATS: Mapping[object, Format] = {
    Price: lambda quanta, scales: decimal_text(quanta, scales.price),
    Quantity: lambda quanta, scales: decimal_text(quanta, scales.size),
    Cash: lambda quanta, scales: decimal_text(quanta, scales.cash),
    Fee: lambda quanta, scales: decimal_text(quanta, scales.fee),
    Time: lambda at, _scales: time_text(at),
}


def _formats_of(struct: type[Struct]) -> dict[str, Format]:
    """The fields of a struct that hold amounts or times, told by their types."""
    formats = {}
    for name, hint in get_type_hints(struct).items():
        for kind in (hint, *get_args(hint)):
            if kind in _FORMATS:
                formats[name] = _FORMATS[kind]
    return formats


_STRUCTS: tuple[type[Struct], ...] = (*EVENTS, Leg, Instrument, Holding, Loser, Place, Winner)
_FIELDS = {struct: _formats_of(struct) for struct in _STRUCTS}


def is_bare(hint: object) -> bool:
    """Whether JSON has values of this type as they are: nothing in them is an amount, a time or a struct."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return True
    return hint in _BARE or (bool(parts) and get_origin(hint) in _HOLDERS and all(map(is_bare, parts)))


_BARE = frozenset({int, float, str, bool, type(None), ...})
_HOLDERS = frozenset({tuple, Union, UnionType})
_READ_BY_NAME = frozenset({"marks", "equity", "bots"})


def bare_fields(struct: type[Struct]) -> frozenset[str]:
    """The fields of a struct that are read as they are."""
    hints = get_type_hints(struct)
    return frozenset(name for name, hint in hints.items() if is_bare(hint) and name not in _READ_BY_NAME)


def _readings_of(struct: type[Struct]) -> tuple[tuple[str, bool, Format | None], ...]:
    """Of each field its name, whether it is read as it is, and how an amount or a time is written."""
    formats, bare = _FIELDS.get(struct, {}), bare_fields(struct) if struct in _FIELDS else frozenset()
    return tuple((name, name in bare, formats.get(name)) for name in struct.__struct_fields__)


_READINGS = {struct: _readings_of(struct) for struct in _STRUCTS}
_SCALED_ALONE = frozenset({Instrument, Holding, Loser, Winner})
"""Parts that say themselves of which instrument or asset they are."""


class Reader:
    """Makes records readable. It learns instruments and stream names from the log, so it reads a run from its start."""

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}
        self._names: dict[int, str] = {}

    def lines(self, record: Record[Event]) -> Iterator[dict[str, Any]]:
        """One plain dictionary per event, of JSON values."""
        self.learn(record)
        for offset, event in enumerate(record.events):
            yield {
                "stream": self.stream(record),
                "version": record.version + offset,
                "at": _text(_FORMATS[Time], record.at, Scales()),
                "actor": record.actor,
                "cause": self.cause(record),
                "event": tag_of(type(event)),
                "data": self.fields(event),
            }

    def learn(self, record: Record[Event]) -> None:
        """Take in what later records rely on, without making lines of this one."""
        self.learn_stream(record)
        for event in record.events:
            if isinstance(event, InstrumentListed):
                self.instruments[event.instrument.id] = event.instrument

    def learn_stream(self, record: Record[Event]) -> None:
        """Take in what the record's stream is called, if it says so."""
        if record.key is not None:
            self._names[record.stream] = record.key

    def fields(self, event: Event) -> dict[str, Any]:
        """An event's fields by name."""
        fields: dict[str, Any] = self._plain(event, self.scales(event))
        return fields

    def stream(self, record: Record[Event]) -> str:
        """The name of a record's stream."""
        return self.stream_name(record.stream)

    def stream_name(self, number: int) -> str:
        """The name of the stream with this number."""
        return self._names.get(number) or str(number)

    def cause(self, record: Record[Event]) -> str | None:
        """The event that led to a record, `stream@version`."""
        if record.cause is None:
            return None
        stream, version = record.cause
        return f"{self._names.get(stream, stream)}@{version}"

    def scales(self, event: Struct) -> Scales:
        """The decimal places of an event's amounts, by what of `asset`, `instrument`, `fee_asset` it has."""
        asset = getattr(event, "asset", None)
        if asset is not None:
            return Scales(cash=cash_scale(asset))
        instrument = getattr(event, "instrument", None)
        if isinstance(instrument, str):
            instrument = self.instruments.get(instrument)
        if not isinstance(instrument, Instrument):
            # Cash of nothing in particular is in the quote asset of something listed; where these differ, it stays raw.
            cash = {cash_scale(each.quote) for each in self.instruments.values()}
            return Scales(cash=cash.pop()) if len(cash) == 1 else Scales()
        fee_asset = getattr(event, "fee_asset", instrument.quote)
        fee = instrument.size_scale if fee_asset == instrument.base else cash_scale(fee_asset)
        return Scales(instrument.price_scale, instrument.size_scale, instrument.quote_scale, fee)

    def _plain(self, value: Any, scales: Scales) -> Any:
        """A struct as a dictionary; pairs of AccountValued are (instrument, price) and (asset, cash)."""
        if not isinstance(value, Struct):
            return format(value, "f") if isinstance(value, Decimal) else value
        if type(value) in _SCALED_ALONE:
            scales = _own_scales(value) if isinstance(value, Instrument) else self.scales(value)
        plain: dict[str, Any] = {}
        for name, is_bare_field, form in _READINGS.get(type(value)) or _readings_of(type(value)):
            field = getattr(value, name)
            if is_bare_field:
                plain[name] = list(field) if type(field) is tuple else field
            elif field is None:
                plain[name] = None
            elif form is not None:
                plain[name] = _text(form, field, scales)
            elif field is not msgspec.UNSET:
                plain[name] = self.parts(name, field, scales)
        return plain

    def parts(self, name: str, value: Any, scales: Scales) -> Any:
        """A field of this name that is no amount itself; it may have amounts in it."""
        if name == "marks":
            return {key: self._price(key, price) for key, price in value}
        if name == "equity" and isinstance(value, tuple | list):
            return {asset: decimal_text(cash, cash_scale(asset)) for asset, cash in value}
        if name == "bots" and all(isinstance(pair, tuple) for pair in value):
            return {bot: decimal_text(cash, scales.cash) for bot, cash in value}
        if isinstance(value, bytes):
            return _remembered(value)
        if isinstance(value, tuple | list):
            return [self._plain(item, scales) for item in value]
        return self._plain(value, scales)

    def _price(self, instrument: str, price: int) -> str:
        listed = self.instruments.get(instrument)
        return str(price) if listed is None else listed.price_text(price)


def _own_scales(instrument: Instrument) -> Scales:
    return Scales(instrument.price_scale, instrument.size_scale, instrument.quote_scale)


def _remembered(memory: bytes) -> Any:
    """What a strategy remembers, as plain values; in hexadecimal where it cannot be read."""
    try:
        return msgspec.to_builtins(msgspec.msgpack.decode(memory)) if memory else []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return memory.hex()


def _text(form: Format, quanta: int, scales: Scales) -> str:
    """An amount or a time as text; as the integer it is where it is none, so that a damaged log can be looked at."""
    try:
        return form(quanta, scales)
    except (ArithmeticError, LookupError, ValueError):
        return str(quanta)
