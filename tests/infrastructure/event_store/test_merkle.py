"""Merkle trees: the vectors of Certificate Transparency, the definition in RFC 6962, and pymerkle where it is at hand."""

import hashlib
import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputError
from infrastructure.event_store.codec import leaf_of
from infrastructure.event_store.merkle import (
    EMPTY_ROOT,
    Frontier,
    Subtree,
    consistency_proof,
    inclusion_proof,
    node_of,
    proves_consistency,
    proves_inclusion,
    root_of,
)
from tests.conftest import ROOT

# The eight inputs, their roots and proofs with which Certificate Transparency's own implementations are tested.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSIONS = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (0, 1): [],
}
CONSISTENCIES = {
    (1, 1): [],
    (1, 8): INCLUSIONS[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LEAVES = [leaf_of(bytes.fromhex(each)) for each in INPUTS]

PYMERKLE = os.environ.get("PYMERKLE_PYTHON", "")
"""A Python that has pymerkle 7: it is under the GPL, so it is none of this project's packages."""


def subtree_of(leaves: list[bytes]) -> Subtree:
    def subtree(level: int, index: int) -> bytes:
        found = leaves[index << level : (index + 1) << level]
        assert len(found) == 1 << level, "a perfect subtree lies within the tree"
        return naive_root(found)

    return subtree


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 defines it in 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = naive_split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_split(size: int) -> int:
    split = 1
    while split * 2 < size:
        split *= 2
    return split


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962 defines it in 2.1.1."""
    if len(leaves) == 1:
        return []
    split = naive_split(len(leaves))
    if index < split:
        return [*naive_path(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), naive_root(leaves[:split])]


def naive_proof(old: int, leaves: list[bytes], *, is_whole: bool = True) -> list[bytes]:
    """SUBPROOF as RFC 6962 defines it in 2.1.2."""
    if old == len(leaves):
        return [] if is_whole else [naive_root(leaves)]
    split = naive_split(len(leaves))
    if old <= split:
        return [*naive_proof(old, leaves[:split], is_whole=is_whole), naive_root(leaves[split:])]
    return [*naive_proof(old - split, leaves[split:], is_whole=False), naive_root(leaves[:split])]


def numbered(count: int) -> list[bytes]:
    return [leaf_of(str(number).encode()) for number in range(count)]


# --- vectors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSIONS)
def test_known_inclusions(index: int, size: int) -> None:
    proof = inclusion_proof(index, size, subtree_of(LEAVES[:size]))
    assert [each.hex() for each in proof] == INCLUSIONS[index, size]
    assert proves_inclusion(LEAVES[index], index, size, proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new"), CONSISTENCIES)
def test_known_consistencies(old: int, new: int) -> None:
    proof = consistency_proof(old, new, subtree_of(LEAVES[:new]))
    assert [each.hex() for each in proof] == CONSISTENCIES[old, new]
    assert proves_consistency(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), proof)


# --- the definition --------------------------------------------------------------------------------------------------


def test_every_small_tree_is_as_defined() -> None:
    leaves = numbered(33)
    for size in range(len(leaves) + 1):
        part = leaves[:size]
        assert root_of(part) == naive_root(part)
        for place in range(size):
            assert inclusion_proof(place, size, subtree_of(part)) == naive_path(place, part)
            assert consistency_proof(place + 1, size, subtree_of(part)) == naive_proof(place + 1, part)


@given(st.integers(1, 300), st.data())
def test_proofs_prove_and_nothing_else_does(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    root, old_root = naive_root(leaves), naive_root(leaves[:old])
    inclusion = inclusion_proof(index, size, subtree_of(leaves))
    consistency = consistency_proof(old, size, subtree_of(leaves))
    assert inclusion == naive_path(index, leaves)
    assert consistency == naive_proof(old, leaves)
    assert proves_inclusion(leaves[index], index, size, inclusion, root)
    assert proves_consistency(old, size, old_root, root, consistency)

    other = leaf_of(b"other")
    assert not proves_inclusion(other, index, size, inclusion, root)
    assert not proves_inclusion(leaves[index], index, size, inclusion, other)
    assert not proves_inclusion(leaves[index], index, size, [*inclusion, other], root)
    assert not proves_inclusion(leaves[index], size, size, inclusion, root)
    assert not proves_inclusion(leaves[index], -1, size, inclusion, root)
    wrong = data.draw(st.integers(0, size - 1).filter(lambda each: each != index)) if size > 1 else None
    assert wrong is None or not proves_inclusion(leaves[index], wrong, size, inclusion, root)
    assert not proves_consistency(old, size, other, root, consistency)
    assert not proves_consistency(old, size, old_root, other, consistency)
    assert not proves_consistency(old, size, old_root, root, [*consistency, other])
    assert not proves_consistency(0, size, old_root, root, consistency)
    assert not proves_consistency(size + 1, size, old_root, root, consistency)

    def includes(proof: list[bytes]) -> bool:
        return proves_inclusion(leaves[index], index, size, proof, root)

    def continues(proof: list[bytes]) -> bool:
        return proves_consistency(old, size, old_root, root, proof)

    for proof, is_good in ((inclusion, includes), (consistency, continues)):
        if proof:
            place = data.draw(st.integers(0, len(proof) - 1))
            assert not is_good([*proof[:place], other, *proof[place + 1 :]])
            assert not is_good(proof[:place] + proof[place + 1 :])
            assert not is_good(proof[:-1])


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 40))
def test_a_tree_grows_by_subtrees_as_by_leaves(levels: list[int], more: int) -> None:
    tree, whole = Frontier(), 0
    for level in sorted(levels, reverse=True):
        tree.add_subtree(naive_root(numbered(whole + (1 << level))[whole:]), level)
        whole += 1 << level
    leaves = numbered(whole + more)
    resumed = Frontier(tree.size, tree.roots)
    for each in (tree, resumed):
        each.extend(leaves[whole:])
        assert (each.size, each.root()) == (whole + more, naive_root(leaves))
        assert len(each.roots) == each.size.bit_count(), "its state is logarithmic"


def test_what_makes_no_tree_is_refused() -> None:
    assert Frontier().root() == EMPTY_ROOT
    with pytest.raises(InputError, match="a subtree of 4 leaves cannot follow 2"):
        Frontier(2, [node_of(*LEAVES[:2])]).add_subtree(LEAVES[0], 2)
    with pytest.raises(InputError, match="a tree of 3 leaves has 2 perfect subtrees, not 1"):
        Frontier(3, [LEAVES[0]])
    for index in (-1, 8):
        with pytest.raises(InputError, match=f"leaf {index} is none of a tree of 8"):
            inclusion_proof(index, 8, subtree_of(LEAVES))
    for old in (0, 9):
        with pytest.raises(InputError, match=f"first {old}; allowed: 1 to 8"):
            consistency_proof(old, 8, subtree_of(LEAVES))


# --- another's implementation ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not PYMERKLE, reason="PYMERKLE_PYTHON names no Python with pymerkle 7 (GPL: never in our lock)")
def test_pymerkle_agrees() -> None:
    sizes, inputs = [1, 2, 3, 7, 8, 64, 65, 100], [str(number).encode() for number in range(100)]
    script = ROOT / "benchmarks" / "pymerkle_proofs.py"
    asked = json.dumps({"inputs": [each.hex() for each in inputs], "sizes": sizes})
    done = subprocess.run([PYMERKLE, script], input=asked, capture_output=True, text=True, check=True, timeout=100)
    leaves, answer = [leaf_of(each) for each in inputs], json.loads(done.stdout)
    assert answer["roots"] == {str(size): root_of(leaves[:size]).hex() for size in sizes}
    for size in sizes:
        subtree = subtree_of(leaves[:size])
        for index in range(size):
            expected = [leaves[index].hex(), *(each.hex() for each in inclusion_proof(index, size, subtree))]
            assert answer["inclusions"][f"{index}/{size}"] == expected
