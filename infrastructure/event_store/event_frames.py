"""Records as columns for analysts: the text that `readable.Reader` writes, made for all events of a type at once.

Read one by one an event costs 15 us, here 3. Fields that have parts of their own (intents, legs) are still read one by one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, groupby, islice
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union, cast, get_args, get_origin, get_type_hints

import msgspec
import polars as pl
from msgspec import Struct, UnsetType

from domain.account.events import InstrumentListed
from domain.catalogue import EVENTS, tag_of
from domain.message import Event, Record
from domain.strategy.intents import Place
from domain.values import POWERS, SECOND, Cash, Fee, Price, Quantity, Time
from infrastructure.event_store.readable import Reader, Scales, bare_fields

SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "position": pl.Int64, "stream": pl.String, "version": pl.Int64, "at": pl.Datetime("us", "UTC"),
    "actor": pl.String, "cause": pl.String, "event": pl.String, "data": pl.String,
}  # fmt: skip
"""As Parquet of sealed segments has them; `position` counts the events of the run from 1."""
BLOCK = 10_000
"""Records that are in memory at a time."""

_DIGITS = 38
"""The most that a decimal column has; 64-bit quanta with 18 places need 37."""
_DTYPES: dict[object, type[pl.DataType]] = {int: pl.Int64, str: pl.String, bool: pl.Boolean}
_SCALE_OF: dict[object, str] = {Price: "price", Quantity: "size", Cash: "cash", Fee: "fee"}
_SCALED_BY = ("asset", "instrument", "fee_asset")
_ENCODER = msgspec.json.Encoder()
_events_of = attrgetter("events")
_ByType = dict[type[Event], tuple[list[int], list[Event]]]
_ROW, _PLACE = "_row", "_place"
"""Where an event stands among all of a block, and among those of its type."""


class Kind(Struct, frozen=True):
    """The fields of a type of event: no column where one has parts, `bare` if these need no reading; units of amounts."""

    tag: str
    dtypes: dict[str, type[pl.DataType] | None]
    units: dict[str, object]
    scaled_by: tuple[str, ...]
    bare: frozenset[str] = frozenset()


def event_frames(records: Iterable[Record[Event]], block: int = BLOCK) -> Iterator[pl.DataFrame]:
    """Frames of `SCHEMA` of a run's records from its start, so many records to a frame."""
    reader, position, source = Reader(), 1, iter(records)
    while chunk := list(islice(source, block)):
        frame = _frame(reader, position, chunk)
        position += frame.height
        yield frame


def _frame(reader: Reader, position: int, records: Sequence[Record[Event]]) -> pl.DataFrame:
    for record in records:
        reader.learn_stream(record)
    numbers = [record.stream for record in records]
    names = {number: reader.stream_name(number) for number in set(numbers)}
    events = list(chain.from_iterable(map(_events_of, records)))
    parts = list(_texts(reader, records, events))
    texts = pl.concat(parts).sort(_ROW)
    counts = [len(record.events) for record in records]
    of_record = [number for number, count in enumerate(counts) for _ in range(count)]
    offsets = [offset for count in counts for offset in range(count)]
    envelopes = pl.DataFrame(
        {
            "stream": [names[number] for number in numbers],
            "version": [record.version for record in records],
            "at": [record.at for record in records],
            "actor": [record.actor for record in records],
            "cause": pl.Series(list(map(reader.cause, records)), dtype=pl.String),
        }
    )[of_record]
    return envelopes.select(
        pl.Series("position", range(position, position + len(events)), dtype=pl.Int64),
        "stream",
        pl.col("version") + pl.Series(offsets, dtype=pl.Int64),
        pl.col("at").cast(SCHEMA["at"]),
        "actor",
        "cause",
        texts["event"],
        texts["data"],
    )


def _texts(reader: Reader, records: Sequence[Record[Event]], events: Sequence[Event]) -> Iterator[pl.DataFrame]:
    """What `_parts` gives of all these events, read as the instruments were known when they came."""
    types = list(map(type, events))
    if InstrumentListed not in types:
        yield from _parts(reader, _by_type(types, events, 0))
        return
    first = last = 0
    for record in records:
        if InstrumentListed in map(type, record.events):
            # From here on amounts may have other places.
            yield from _parts(reader, _by_type(types[first:last], events[first:last], first))
            reader.learn(record)
            first = last
        last += len(record.events)
    yield from _parts(reader, _by_type(types[first:], events[first:], first))


def _by_type(types: Sequence[type[Event]], events: Sequence[Event], first: int) -> _ByType:
    """The events of each type with their rows, which count from `first`."""
    found: _ByType = {kind: ([], []) for kind in dict.fromkeys(types)}
    for row, (kind, event) in enumerate(zip(types, events, strict=True), first):
        rows, own = found[kind]
        rows.append(row)
        own.append(event)
    return found


def _parts(reader: Reader, waiting: _ByType) -> Iterator[pl.DataFrame]:
    """(row, tag, JSON of the fields) of the events, type by type."""
    for event_type, (rows, events) in waiting.items():
        kind = KINDS[event_type]
        if kind is None:
            texts = pl.Series(_jsons([reader.fields(event) for event in events]))
            yield _text_frame(pl.Series(_ROW, rows, pl.UInt32), tag_of(event_type), texts)
            continue
        # Column by column: a tuple of each event would keep the garbage collector busy.
        fields = {name: list(map(attrgetter(name), events)) for name in kind.dtypes}
        series = [pl.Series(name, fields[name], dtype) for name, dtype in kind.dtypes.items() if dtype is not None]
        numbers = [pl.Series(_ROW, rows, pl.UInt32), pl.Series(_PLACE, range(len(rows)), pl.UInt32)]
        frame = pl.DataFrame([*numbers, *series])
        for part in _by_scale(frame, kind, fields):
            scales = reader.scales(events[part[_PLACE][0]])
            jsons = []
            for name in [name for name, dtype in kind.dtypes.items() if dtype is None]:
                values = [fields[name][place] for place in part[_PLACE].to_list()]
                jsons.append(pl.Series(name, _part_jsons(reader, kind, name, values, scales)))
            data = part.with_columns(jsons).select(_object(kind, scales)).to_series()
            yield _text_frame(part[_ROW], kind.tag, data)


def _part_jsons(reader: Reader, kind: Kind, name: str, values: list[Any], scales: Scales) -> list[str]:
    """A field that is no column, as JSON."""
    if name in kind.bare:
        return _jsons(values)
    items = list(chain.from_iterable(values)) if name == "intents" else []
    if not items or set(map(type, items)) != {Place}:
        return _jsons([None if value is None else reader.parts(name, value, scales) for value in values])
    # Nearly every intent there is.
    columns = [pl.Series(each, list(map(attrgetter(each), items)), dtype) for each, dtype in _PLACE_KIND.dtypes.items()]
    texts = iter(pl.DataFrame(columns).select(_object(_PLACE_KIND, scales)).to_series().to_list())
    return [f"[{','.join(islice(texts, len(value)))}]" for value in values]


def text_columns(reader: Reader, events: Sequence[Event], names: Sequence[str]) -> pl.DataFrame:
    """These fields of events of one type, in the order of the events: amounts and times as text, all else as it is.

    The fields have no parts.
    """
    kind = KINDS[type(events[0])]
    assert kind is not None
    used = list(dict.fromkeys((*names, *kind.scaled_by)))
    fields = {name: list(map(attrgetter(name), events)) for name in used}
    frame = pl.DataFrame([pl.Series(name, fields[name], kind.dtypes[name]) for name in used]).with_row_index(_PLACE)
    parts = [
        part.select(
            _PLACE, *(_written(name, kind.units[name], reader.scales(events[part[_PLACE][0]])) for name in names)
        )
        for part in _by_scale(frame, kind, fields)
    ]
    return pl.concat(parts).sort(_PLACE).drop(_PLACE)


def _by_scale(frame: pl.DataFrame, kind: Kind, fields: Mapping[str, list[Any]]) -> list[pl.DataFrame]:
    """The events in parts whose amounts have the same places."""
    several = len(set(zip(*(fields[name] for name in kind.scaled_by), strict=True))) > 1
    return frame.partition_by(kind.scaled_by) if several else [frame]


def _object(kind: Kind, scales: Scales) -> pl.Expr:
    """The fields as one JSON object: runs of plain ones at once, and what is JSON already between them."""
    texts: list[pl.Expr] = []
    for is_plain, run in groupby(kind.dtypes, lambda name: kind.dtypes[name] is not None):
        if is_plain:
            encoded = pl.struct(_written(name, kind.units[name], scales) for name in run).struct.json_encode()
            texts.append(encoded.str.strip_prefix("{").str.strip_suffix("}"))
        else:
            texts += [pl.concat_str(pl.lit(f'"{name}":'), name) for name in run]
    return pl.concat_str(pl.lit("{"), pl.concat_str(texts, separator=","), pl.lit("}"))


def _text_frame(rows: pl.Series, tag: str, data: pl.Series) -> pl.DataFrame:
    return pl.DataFrame([rows, pl.Series("event", [tag]).new_from_index(0, len(rows)), data.alias("data")])


def _jsons(values: Sequence[Any]) -> list[str]:
    """Each value as JSON, which has no line break in it."""
    return _ENCODER.encode_lines(values).decode().split("\n")[: len(values)]


def _written(name: str, unit: object, scales: Scales) -> pl.Expr:
    if unit is Time:
        return time_texts(name)
    scale = _SCALE_OF.get(unit)
    return pl.col(name) if scale is None else decimal_texts(name, getattr(scales, scale))


def decimal_texts(name: str, scale: int) -> pl.Expr:
    """A column of quanta as `values.decimal_text` writes them."""
    quanta = pl.col(name)
    if scale == 0:
        return quanta.cast(pl.String)
    # Exact: the column is given the places first, and then the power of ten is taken off. 64-bit quanta fit.
    places = pl.Decimal(_DIGITS, scale)
    amounts = (quanta.cast(places) / Decimal(POWERS[scale])).cast(places)
    return amounts.cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".").alias(name)


def time_texts(name: str) -> pl.Expr:
    """A column of microseconds as `values.time_text` writes them."""
    at = pl.col(name)
    second = at.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S")
    part = at % SECOND
    fraction = pl.when(part == 0).then(pl.lit("")).otherwise("." + part.cast(pl.String).str.zfill(6))
    return pl.concat_str(second, fraction, pl.lit("Z")).alias(name)


def _kind_of(event_type: type[Event]) -> Kind | None:
    """None where a field may be left out, or where the places of amounts are told by a part."""
    return _struct_kind(event_type, tag_of(event_type))


def _struct_kind(event_type: type[Struct], tag: str) -> Kind | None:
    dtypes: dict[str, type[pl.DataType] | None] = {}
    units: dict[str, object] = {}
    hints = get_type_hints(event_type)
    for name in event_type.__struct_fields__:
        if UnsetType in get_args(hints[name]):
            return None
        unit, plain = _plain(hints[name])
        dtypes[name] = _DTYPES.get(plain)
        units[name] = unit
    scaled_by = tuple(name for name in _SCALED_BY if name in dtypes)
    if any(dtypes[name] is None for name in scaled_by):
        return None
    return Kind(tag, dtypes, units, scaled_by, bare_fields(event_type))


def _plain(hint: object) -> tuple[object, object]:
    """What a field is an amount of, if of anything, and the type of its values but None; no type where it has several."""
    if get_origin(hint) in {Union, UnionType}:
        others = [part for part in get_args(hint) if part is not NoneType]
        return _plain(others[0]) if len(others) == 1 else (None, None)
    if get_origin(hint) is Literal:
        types = {type(value) for value in get_args(hint)}
        return None, types.pop() if len(types) == 1 else None
    if isinstance(hint, NewType):
        return hint, hint.__supertype__
    return None, hint


KINDS: dict[type[Event], Kind | None] = {event_type: _kind_of(event_type) for event_type in EVENTS}
_PLACE_KIND = cast("Kind", _struct_kind(Place, ""))
