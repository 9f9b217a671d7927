"""Evidence packs: records of the log with all that proves them to somebody who has only a public key."""

import base64
from collections.abc import Sequence
from typing import Any

from domain.errors import DamagedError, InputError, MissingError
from infrastructure.event_store.codec import leaf_of
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import consistency_proof, inclusion_proof, proves_consistency, proves_inclusion
from infrastructure.event_store.reading import select
from infrastructure.event_store.runs import find_run
from infrastructure.proof.checkpoint import Checkpoint
from infrastructure.proof.checkpoints import Checkpoints, Made
from infrastructure.proof.log_leaves import LogLeaves, Place, find_place

FORMAT = "truetape-evidence-1"
_DIGITS_MAX = 19
_STREAMS = "SELECT stream FROM records WHERE run = %s AND key = %s ORDER BY position"
_VERSION = """
SELECT position + %s::bigint - version FROM records
WHERE run = %s AND stream = ANY(%s::integer[]) AND version <= %s AND version + events > %s ORDER BY position
"""

Pack = dict[str, Any]
"""JSON: see docs/proof.md."""


def find_event(database: Database, event: str, run: int | None = None) -> int:
    """The position of an event that is named by its position or as STREAM@VERSION; raises InputError, MissingError."""
    if _is_number(event):
        return int(event)
    stream, _, version = event.rpartition("@")
    if not stream or not _is_number(version):
        raise InputError(f"{event!r} is no event; allowed: a position, or STREAM@VERSION such as account/main@7")
    kept = find_run(database, run).run
    streams = [number for (number,) in select(database, _STREAMS, [kept, stream])]
    number = int(version)
    found = select(database, _VERSION, [number, kept, streams, number, number])
    if not found:
        raise MissingError(f"run {kept} has no event {event}")
    if len(found) > 1:
        raise InputError(f"run {kept} has {len(found)} streams of that name; name one of {[each for (each,) in found]}")
    return int(found[0][0])


def make_pack(
    database: Database,
    checkpoints: Checkpoints,
    positions: Sequence[int],
    made: Made | None = None,
    older: Made | None = None,
) -> Pack:
    """Prove these events under a checkpoint, the newest unless told, and that it continues an `older` one.

    Raises MissingError where the checkpoint does not reach an event, DamagedError where the log does not agree with it.
    """
    made = made or checkpoints.newest()
    if made is None:
        raise MissingError("there is no checkpoint yet; make one with `truetape audit checkpoint`")
    checkpoint, leaves = made.checkpoint, LogLeaves(database)
    places = [find_place(database, position) for position in positions]
    return {
        "format": FORMAT,
        "key": checkpoints.key.verifier.text,
        "checkpoint": made.note,
        "records": [
            _proven(leaves, checkpoint, place, position) for place, position in zip(places, positions, strict=True)
        ],
        "older": None if older is None else _continued(leaves, checkpoint, older),
    }


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX


def _proven(leaves: LogLeaves, checkpoint: Checkpoint, place: Place, position: int) -> Pack:
    if place.index >= checkpoint.size:
        raise MissingError(
            f"event {position} is behind the checkpoint, which ends at event {checkpoint.position}; make one with "
            "`truetape audit checkpoint`"
        )
    proof = inclusion_proof(place.index, checkpoint.size, leaves.subtree)
    if not proves_inclusion(leaf_of(place.state), place.index, checkpoint.size, proof, checkpoint.root):
        raise _damaged(checkpoint)
    row = place.row
    return {
        "event": position,
        "position": row.position,
        "index": place.index,
        "run": row.run,
        "state": _text(place.state),
        "proof": [_text(each) for each in proof],
    }


def _continued(leaves: LogLeaves, checkpoint: Checkpoint, older: Made) -> Pack:
    before = older.checkpoint
    if before.size > checkpoint.size:
        raise InputError(f"the older checkpoint has {before.size:,} records, and the other only {checkpoint.size:,}")
    proof = consistency_proof(before.size, checkpoint.size, leaves.subtree)
    if not proves_consistency(before.size, checkpoint.size, before.root, checkpoint.root, proof):
        raise _damaged(checkpoint)
    return {"checkpoint": older.note, "proof": [_text(each) for each in proof]}


def _damaged(checkpoint: Checkpoint) -> DamagedError:
    return DamagedError(
        f"the log does not agree with the checkpoint of {checkpoint.size:,} records, so nothing can be proven; "
        "`truetape audit check` says where"
    )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
