"""The leaves of the log's Merkle tree: one for each record, numbered from 0 in the global order."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from domain.errors import MissingError, StoreError
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import Frontier, root_of
from infrastructure.event_store.reading import select
from infrastructure.event_store.segments import segment_roots

BLOCK_LEVEL = 12
BLOCK = 1 << BLOCK_LEVEL
"""Leaves of a sealed segment, a perfect and aligned subtree."""
_KEPT_BLOCKS = 4

BlockRoots = Callable[[Database], Sequence[bytes]]
"""The roots that are known of the first blocks, in order."""

_ROWS = (
    "SELECT position, run, stream, version, events, leaf FROM records WHERE position > %s ORDER BY position LIMIT %s"
)
_SEALED_UPTO = """
SELECT segment * 4096, first_position FROM segments WHERE first_position <= %s ORDER BY segment DESC LIMIT 1
"""
_SEALED_AT = """
SELECT segment * 4096, first_position FROM segments WHERE segment <= %s / 4096 ORDER BY segment DESC LIMIT 1
"""
_COUNT = "SELECT count(*) FROM records WHERE position >= %s AND position < %s"
_HOLDING = """
SELECT position, run, stream, version, events, leaf, state FROM records
WHERE position <= %s ORDER BY position DESC LIMIT 1
"""
_SKIP = "SELECT position FROM records WHERE position >= %s ORDER BY position OFFSET %s LIMIT 1"


class LeafRow(Struct, frozen=True):
    """What a record's row says of its place and its leaf."""

    position: int
    run: int
    stream: int
    version: int
    events: int
    leaf: bytes


class Place(Struct, frozen=True):
    """A record, its number in the global order, and its bytes."""

    index: int
    row: LeafRow
    state: bytes


class LogLeaves:
    """The perfect subtrees of the log's tree, from the segments' roots where there are any, else from the rows."""

    def __init__(self, database: Database, roots: BlockRoots = segment_roots) -> None:
        self._database = database
        self._roots = dict(enumerate(roots(database)))
        self._leaves: OrderedDict[int, list[bytes]] = OrderedDict()

    def subtree(self, level: int, index: int) -> bytes:
        """The root of 2^level leaves from index x 2^level on; raises StoreError where the log has fewer."""
        if level < BLOCK_LEVEL:
            start = index << level
            leaves = self._block(start >> BLOCK_LEVEL)[start % BLOCK : start % BLOCK + (1 << level)]
            if len(leaves) < 1 << level:
                raise StoreError(
                    f"the log has no {start + (1 << level)} records: look for damage, `truetape audit check`"
                )
            return root_of(leaves)
        blocks, tree = level - BLOCK_LEVEL, Frontier()
        for number in range(index << blocks, (index + 1) << blocks):
            tree.add_subtree(self._root(number), 0)
        return tree.root()

    def _root(self, number: int) -> bytes:
        if number not in self._roots:
            leaves = self._block(number)
            if len(leaves) < BLOCK:
                raise StoreError(f"the log has no {number + 1} blocks: look for damage, `truetape audit check`")
            self._roots[number] = root_of(leaves)
        return self._roots[number]

    def _block(self, number: int) -> list[bytes]:
        if number not in self._leaves:
            start = position_of(self._database, number * BLOCK)
            found = read_rows(self._database, start - 1, BLOCK) if start else []
            self._leaves[number] = [row.leaf for row in found]
            if len(self._leaves) > _KEPT_BLOCKS:
                self._leaves.popitem(last=False)
        self._leaves.move_to_end(number)
        return self._leaves[number]


def read_rows(database: Database, after: int, limit: int = BLOCK) -> list[LeafRow]:
    """The rows behind a position, in order."""
    return [LeafRow(*row) for row in select(database, _ROWS, [after, limit])]


def pages(database: Database, after: int = 0) -> Iterator[list[LeafRow]]:
    """All rows behind a position, a block at a time."""
    while rows := read_rows(database, after):
        yield rows
        after = rows[-1].position


def find_place(database: Database, position: int) -> Place:
    """The record that an event is in; raises MissingError where there is no such event."""
    rows = select(database, _HOLDING, [position])
    if not rows or not 0 <= position - rows[0][0] < rows[0][4]:
        raise MissingError(f"there is no event at position {position}")
    *columns, state = rows[0]
    row = LeafRow(*columns)
    # A segment counts what is before it; the rest, at most some thousands, is counted here.
    base, start = (select(database, _SEALED_UPTO, [row.position]) or [(0, 1)])[0]
    return Place(base + int(select(database, _COUNT, [start, row.position])[0][0]), row, state)


def position_of(database: Database, index: int) -> int:
    """The position of a record by its number, 0 where the log has none."""
    base, start = (select(database, _SEALED_AT, [index]) or [(0, 1)])[0]
    found = select(database, _SKIP, [start, index - base])
    return int(found[0][0]) if found else 0
