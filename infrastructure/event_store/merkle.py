"""Merkle trees of RFC 6962 over leaf hashes: roots, proofs and their verification; nothing here knows where leaves lie.

A node is SHA-256(0x01 || left || right). A tree of n leaves splits at the largest power of two below n, so every left
subtree is perfect and aligned: it has 2^level leaves from index x 2^level on, and never changes again.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from domain.errors import InputError

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""

Subtree = Callable[[int, int], bytes]
"""(level, index) -> the root of that perfect subtree; level 0 is a leaf."""


def node_of(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows by leaves or by perfect subtrees; it keeps one root for each bit of its size."""

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """`roots` are those of the perfect subtrees of a tree of `size`, largest first."""
        if len(roots) != size.bit_count():
            raise InputError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees, not {len(roots)}")
        self.size = size
        self._roots = list(roots)

    @property
    def roots(self) -> tuple[bytes, ...]:
        return tuple(self._roots)

    def add(self, leaf: bytes) -> None:
        self.add_subtree(leaf, 0)

    def extend(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self.add_subtree(leaf, 0)

    def add_subtree(self, root: bytes, level: int) -> None:
        """Take 2^level leaves at once; raises InputError where the tree does not end on a multiple of that."""
        count = 1 << level
        if self.size & (count - 1):
            raise InputError(f"a subtree of {count} leaves cannot follow {self.size}")
        size = self.size >> level
        while size & 1:
            root = node_of(self._roots.pop(), root)
            size >>= 1
        self._roots.append(root)
        self.size += count

    def root(self) -> bytes:
        """The root of all that was added."""
        return _joined(self._roots)


def root_of(leaves: Iterable[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The siblings on the way from leaf `index` to the root of a tree of `size`, lowest first (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise InputError(f"leaf {index} is none of a tree of {size}")
    siblings, start, end = [], 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            siblings.append(_range_root(split, end, subtree))
            end = split
        else:
            siblings.append(_range_root(start, split, subtree))
            start = split
    return siblings[::-1]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """What shows that the tree of `new` leaves begins with that of `old` (RFC 6962, 2.1.2)."""
    if not 0 < old <= new:
        raise InputError(f"a tree of {new} leaves has no proof for its first {old}; allowed: 1 to {new}")
    nodes, start, end, is_whole = [], 0, new, True
    while end > old:
        split = start + _split(end - start)
        if old <= split:
            nodes.append(_range_root(split, end, subtree))
            end = split
        else:
            nodes.append(_range_root(start, split, subtree))
            start, is_whole = split, False
    if not is_whole:
        nodes.append(_range_root(start, end, subtree))
    return nodes[::-1]


def proves_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from this leaf at this index to this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_of(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_of(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def proves_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof leads to both roots (RFC 9162, 2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path = [old_root, *proof] if old.bit_count() == 1 else list(proof)
    if not path:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_of(node, before), node_of(node, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_of(after, node)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _range_root(start: int, end: int, subtree: Subtree) -> bytes:
    """The root of the leaves from `start` to before `end`, a subtree of an RFC 6962 tree."""
    roots = []
    while start < end:
        level = (end - start).bit_length() - 1
        roots.append(subtree(level, start >> level))
        start += 1 << level
    return _joined(roots)


def _joined(roots: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees that stand side by side, largest first."""
    if not roots:
        return EMPTY_ROOT
    node = roots[-1]
    for root in reversed(roots[:-1]):
        node = node_of(root, node)
    return node
