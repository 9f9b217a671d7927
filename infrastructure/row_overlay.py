"""Rows as of any position: those of the last boundary before it, under what the events since have changed in them."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from domain.message import Event, Record
from infrastructure.row_queries import Filters, Page, StoredRows, Values, cut, passes
from projections.rows import Key, Projection, Row, fold_records, key_getter

R = TypeVar("R", bound=Row)


class Overlay:
    """What events since a boundary have put in the place of rows, and what was there before, as far as it was read."""

    def __init__(self) -> None:
        self.changed: dict[type[Row], dict[Key, Row]] = {}
        self.found: dict[type[Row], dict[Key, Row | None]] = {}

    def read(self, row_type: type[R], key: Key, before: StoredRows) -> R | None:
        """The row as it was before."""
        found = self.found.setdefault(row_type, {})
        if key not in found:
            found[key] = before.one(row_type, *key)
        return found[key]  # type: ignore[return-value]  # what is kept for a row type is of that type


class _Changing:
    """Rows that a fold changes: what it puts goes over what was before, which is read when it asks."""

    def __init__(self, overlay: Overlay, before: StoredRows) -> None:
        self._overlay = overlay
        self._before = before

    def get(self, row_type: type[R], *key: str | int) -> R | None:
        changed = self._overlay.changed.get(row_type, {})
        if key in changed:
            return changed[key]  # type: ignore[return-value]
        return self._overlay.read(row_type, key, self._before)

    def put(self, row: Row) -> None:
        self._overlay.changed.setdefault(type(row), {})[key_getter(type(row))(row)] = row


def fold_over(projection: Projection, before: StoredRows, batches: Iterable[Sequence[Record[Event]]]) -> Overlay:
    """What the records of one run behind a boundary change in the projection's rows."""
    overlay = Overlay()
    for records in batches:
        fold_records([projection], _Changing(overlay, before), records)
    return overlay


class OverlaidRows:
    """The rows of a boundary under an overlay: in lists, pages and sums a changed row stands for the one that it was."""

    def __init__(self, before: StoredRows, overlay: Overlay) -> None:
        self._before = before
        self._overlay = overlay

    def one(self, row_type: type[R], *key: str | int) -> R | None:
        changed = self._changed(row_type)
        return changed[key] if key in changed else self._before.one(row_type, *key)

    def some(self, row_type: type[R], where: Filters, page: Page | None = None) -> list[R]:
        page = page or Page(row_type.key)
        changed = self._changed(row_type)
        # As many rows of before may have to give way as there are changed ones, so that many more are asked for.
        found = self._before.some(row_type, where, _longer(page, self._replaced(row_type)))
        key_of, place_of = key_getter(row_type), _placer(page.order)
        kept = [row for row in found if key_of(row) not in changed]
        kept += [row for row in changed.values() if passes(row, where)]
        return [row for _, row in cut([(place_of(row), row) for row in kept], page)]

    def sums(self, row_type: type[Row], fields: Sequence[str], where: Filters, page: Page) -> list[tuple[Any, ...]]:
        """Sums of before, less those of the rows that were changed, plus those of what they have become.

        A sum of no rows is none. That a row has gone from a sum and left it empty can happen to as many sums as there
        are rows that were; so that many more sums are asked for, each with the number of its rows.
        """
        place_of, values_of = _placer(page.order), _placer(fields)
        width = len(page.order)
        less: dict[Values, list[int]] = {}
        more: dict[Values, list[int]] = {}
        for key, row in self._changed(row_type).items():
            was = self._overlay.read(row_type, key, self._before)
            for each, sums in ((was, less), (row, more)):
                if each is not None and passes(each, where):
                    _add(sums, place_of(each), (*values_of(each), 1))
        longer = _longer(page, len(less))
        found = self._before.sums(row_type, fields, where, longer, counted=True)
        totals = {row[:width]: list(row[width:]) for row in found}
        # Behind a last one that was cut off, sums of before are unknown, and not needed.
        last = found[-1][:width] if longer.limit is not None and len(found) == longer.limit else None
        for place, values in more.items():
            if last is None or place == last or (place > last) == page.descending:
                _add(totals, place, values)
        for place, values in less.items():
            if place in totals:
                _add(totals, place, [-value for value in values])
        whole = [(place, tuple(values[:-1])) for place, values in totals.items() if values[-1]]
        return [(*place, *values) for place, values in cut(whole, page)]

    def _changed(self, row_type: type[R]) -> Mapping[Key, R]:
        return self._overlay.changed.get(row_type, {})  # type: ignore[return-value]

    def _replaced(self, row_type: type[Row]) -> int:
        """How many rows of before have changed, at most."""
        found = self._overlay.found.get(row_type, {})
        return sum(key not in found or found[key] is not None for key in self._changed(row_type))


def _longer(page: Page, more: int) -> Page:
    return page if page.limit is None else Page(page.order, page.descending, page.after, page.limit + more)


def _placer(fields: Sequence[str]) -> Any:
    """Take the values of some fields, as a tuple."""
    if len(fields) > 1:
        return attrgetter(*fields)
    take = attrgetter(fields[0])
    return lambda row: (take(row),)


def _add(sums: dict[Values, list[int]], place: Values, values: Sequence[int]) -> None:
    total = sums.setdefault(place, [0] * len(values))
    for index, value in enumerate(values):
        total[index] += value
