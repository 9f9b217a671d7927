"""Checks an evidence pack of Truetape without Truetape: this one file, Python 3.11 and `cryptography`, no database.

    python evidence_verifier.py PACK.json --key verifier.key [--json]

It says what is proven: that the bytes of each record are the leaf with this number of a Merkle tree (RFC 6962), and that
the root of that tree was signed (C2SP tlog-checkpoint, Ed25519). Exit 0: proven. 1: not proven, and why. 2: no pack.
Without --key it takes the pack's own key, which proves nothing about who signed; it says so.
"""

import argparse
import base64
import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "truetape-evidence-1"
FIELDS = ("stream", "version", "at", "actor", "cause", "events", "key", "observed_at", "venue_at", "clock_offset")
"""Of a record, in the order of its bytes; the last four may be missing."""


class NotProvenError(Exception):
    """Something does not follow from the rest."""


class Checkpoint(NamedTuple):
    """What a signed note says: the log's name, how many records it had, and the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: list[str]


# --- signatures ------------------------------------------------------------------------------------------------------


def open_checkpoint(note: str, key_text: str) -> Checkpoint:
    """Check the signature on a note and read it."""
    name, key = read_key(key_text)
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    expected = hashlib.sha256(name.encode() + b"\n\x01" + key).digest()[:4]
    for line in signatures.splitlines():
        dash, _, rest = line.partition(" ")
        signer, _, encoded = rest.rpartition(" ")
        raw = base64.b64decode(encoded)
        if dash == "\u2014" and signer == name and raw[:4] == expected:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(raw[4:], text.encode())
            except InvalidSignature:
                raise NotProvenError("the signature does not fit the checkpoint") from None
            origin, size, root, *extensions = text.splitlines()
            return Checkpoint(origin, int(size), base64.b64decode(root), extensions)
    raise NotProvenError(f"the checkpoint is not signed by {key_text}")


def read_key(text: str) -> tuple[str, bytes]:
    """The name and the 32 bytes of a verifier key `NAME+ID+KEY`."""
    name, number, encoded = text.strip().split("+", 2)
    raw = base64.b64decode(encoded)
    if raw[:1] != b"\x01" or hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] != number:
        raise NotProvenError(f"{text.strip()} is no Ed25519 key with its own id")
    return name, raw[1:]


# --- trees -----------------------------------------------------------------------------------------------------------


def root_from(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """Compute the root that an inclusion proof leads to, by the way down to the leaf."""
    turns, start, end = [], 0, size
    while end - start > 1:
        split = start + (1 << (end - start - 1).bit_length() - 1)
        goes_left = index < split
        turns.append(goes_left)
        start, end = (start, split) if goes_left else (split, end)
    if len(turns) != len(proof) or not 0 <= index < size:
        raise NotProvenError(f"the proof of leaf {index} has {len(proof)} hashes instead of {len(turns)}")
    node = leaf
    for goes_left, sibling in zip(reversed(turns), proof, strict=True):
        node = node_of(node, sibling) if goes_left else node_of(sibling, node)
    return node


def check_consistency(old: Checkpoint, new: Checkpoint, proof: list[bytes]) -> None:
    """Check that the tree of `new` begins with that of `old`, by the way down to the end of the old one."""
    if not 0 < old.size <= new.size:
        raise NotProvenError(f"a checkpoint of {new.size} records cannot continue one of {old.size}")
    hashes = proof[::-1]
    roots = roots_from(0, new.size, old, hashes, is_whole=True)
    if hashes or roots != (old.root, new.root):
        raise NotProvenError("the checkpoint does not continue the older one")


def roots_from(start: int, end: int, old: Checkpoint, hashes: list[bytes], *, is_whole: bool) -> tuple[bytes, bytes]:
    """Compute the roots, before and after, of the leaves from `start` to `end`; takes the hashes that it needs."""
    if end == old.size:
        known = old.root if is_whole else take(hashes)
        return known, known
    split = start + (1 << (end - start - 1).bit_length() - 1)
    if old.size <= split:
        right = take(hashes)
        before, after = roots_from(start, split, old, hashes, is_whole=is_whole)
        return before, node_of(after, right)
    left = take(hashes)
    before, after = roots_from(split, end, old, hashes, is_whole=False)
    return node_of(left, before), node_of(left, after)


def take(hashes: list[bytes]) -> bytes:
    if not hashes:
        raise NotProvenError("the consistency proof is too short")
    return hashes.pop(0)


def hashes_of(proof: list[str]) -> list[bytes]:
    hashes = [base64.b64decode(node) for node in proof]
    if any(len(each) != hashlib.sha256().digest_size for each in hashes):
        raise NotProvenError("a proof has something that is no SHA-256 hash")
    return hashes


def node_of(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


# --- records ---------------------------------------------------------------------------------------------------------


def read_record(state: bytes) -> dict[str, Any]:
    """A record's bytes, which are MessagePack, as names and values."""
    values, end = unpack(state, 0)
    if end != len(state) or not isinstance(values, list):
        raise NotProvenError("a record's bytes are more or less than a record")
    return dict(zip(FIELDS, values, strict=False))


def unpack(data: bytes, at: int) -> tuple[Any, int]:
    """One MessagePack value, and where the next one begins."""
    tag, at = data[at], at + 1
    if tag <= SMALL_MAX or tag >= NEGATIVE_MIN:
        return (tag if tag <= SMALL_MAX else tag - 256), at
    if tag in {0xC0, 0xC2, 0xC3}:
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    if tag in NUMBERS:
        form = NUMBERS[tag]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    kind, count, at = sized(tag, data, at)
    if kind in {"text", "bytes"}:
        raw = data[at : at + count]
        return (raw.decode() if kind == "text" else raw.hex()), at + count
    values = []
    for _ in range(count if kind == "list" else 2 * count):
        value, at = unpack(data, at)
        values.append(value)
    return (values if kind == "list" else dict(zip(values[::2], values[1::2], strict=True))), at


SMALL_MAX, MAP_MAX, LIST_MAX, TEXT_MAX, NEGATIVE_MIN = 0x7F, 0x8F, 0x9F, 0xBF, 0xE0
"""Tags that hold their value or count in themselves."""
NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
SIZED = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4),
    0xDC: ("list", 2), 0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip


def sized(tag: int, data: bytes, at: int) -> tuple[str, int, int]:
    """What follows a tag, how much of it, and where."""
    if tag <= MAP_MAX:
        return "map", tag & 0x0F, at
    if tag <= LIST_MAX:
        return "list", tag & 0x0F, at
    if tag <= TEXT_MAX:
        return "text", tag & 0x1F, at
    if tag not in SIZED:
        raise NotProvenError(f"a record's bytes have an unknown tag {tag:#x}")
    kind, width = SIZED[tag]
    return kind, int.from_bytes(data[at : at + width]), at + width


# --- the pack --------------------------------------------------------------------------------------------------------


def verify(pack: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """What a pack proves; raises NotProvenError."""
    if pack["format"] != FORMAT:
        raise NotProvenError(f"the format is {pack['format']!r}; this file knows {FORMAT!r}")
    checkpoint = open_checkpoint(pack["checkpoint"], key or pack["key"])
    records = []
    for each in pack["records"]:
        state = base64.b64decode(each["state"])
        leaf = hashlib.sha256(b"\x00" + state).digest()
        proof = hashes_of(each["proof"])
        if root_from(leaf, each["index"], checkpoint.size, proof) != checkpoint.root:
            raise NotProvenError(f"the record of event {each['event']} is not in the tree of the checkpoint")
        records.append(
            {"event": each["event"], "index": each["index"], "leaf": leaf.hex(), "record": read_record(state)}
        )
    older = None
    if pack.get("older") is not None:
        before = open_checkpoint(pack["older"]["checkpoint"], key or pack["key"])
        check_consistency(before, checkpoint, hashes_of(pack["older"]["proof"]))
        older = {"size": before.size, "root": before.root.hex()}
    return {
        "origin": checkpoint.origin,
        "key": "given" if key else "from the pack",
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "extensions": checkpoint.extensions,
        "records": records,
        "continues": older,
    }


def describe(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    said = [f"log        {found['origin']}, {found['size']} records, root {found['root']}"]
    said += [
        f"signed     by the key that was {'given' if found['key'] == 'given' else 'in the pack: compare it yourself'}"
    ]
    if found["continues"]:
        said.append(f"continues  the log of {found['continues']['size']} records, root {found['continues']['root']}")
    for each in found["records"]:
        record = each["record"]
        said.append(f"proven     record {each['index']} (event {each['event']}), leaf {each['leaf']}")
        said.append(f"           stream {record['stream']} version {record['version']} by {record['actor']}")
        said += [f"           {json.dumps(event, ensure_ascii=False)}" for event in record["events"]]
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an evidence pack of Truetape.")
    parser.add_argument("pack", type=Path)
    parser.add_argument("--key", type=Path, help="the file with the public key that you trust")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    try:
        pack = json.loads(chosen.pack.read_text("utf-8"))
        key = chosen.key.read_text("utf-8") if chosen.key else None
        found = verify(pack, key)
    except NotProvenError as error:
        sys.stdout.write(f"NOT PROVEN: {error}\n")
        return 1
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error, RecursionError) as error:
        sys.stderr.write(f"error: this is no evidence pack: {type(error).__name__}: {error}\n")
        return 2
    lines = [json.dumps(found, indent=2, ensure_ascii=False)] if chosen.json else describe(found)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
