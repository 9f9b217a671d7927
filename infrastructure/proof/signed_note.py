"""Signed notes, as C2SP's signed-note says: text that people read, then a line for each Ed25519 signature over it.

The signing key is 32 bytes in the data folder, made once and never in the database; its public half is a line of text
that anybody may have.
"""

import base64
import binascii
import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from domain.errors import InputError
from infrastructure.master_key import FOLDER, read_or_make

FILE = "checkpoint.key"
_ED25519 = b"\x01"
_KEY_BYTES = 32
_ID_BYTES = 4
_DASH = "\u2014 "
_FORM = "NAME+ID+KEY, as `truetape audit key` prints it"


class VerifierKey(Struct, frozen=True):
    """A public key and the name that it signs under."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:_ID_BYTES]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read its text form; raises InputError."""
        name, _, rest = text.strip().partition("+")
        number, _, encoded = rest.partition("+")
        raw = _decoded(encoded) or b""
        key = cls(name, raw[1:])
        if not name or raw[:1] != _ED25519 or len(key.key) != _KEY_BYTES or number != key.id.hex():
            raise InputError(f"{text.strip()[:100]!r} is no Ed25519 verifier key; allowed: {_FORM}")
        return key

    def open(self, note: str) -> str:
        """Return the text of a note that this key has signed; raises InputError where it has not."""
        text, blank, signatures = note.rpartition("\n\n")
        if not blank or not signatures.endswith("\n"):
            raise InputError("this is no signed note: a text, an empty line and a signature are wanted")
        text += "\n"
        for line in signatures.splitlines():
            name, _, encoded = line.removeprefix(_DASH).rpartition(" ")
            raw = _decoded(encoded)
            if raw is None:
                raise InputError(f"a signature of the note cannot be read: {line[:100]!r}")
            if line.startswith(_DASH) and name == self.name and raw[:_ID_BYTES] == self.id:
                self._check(text, raw[_ID_BYTES:])
                return text
        raise InputError(f"the note is not signed by {self.name}+{self.id.hex()}")

    def _check(self, text: str, signature: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text.encode())
        except InvalidSignature:
            raise InputError(f"the signature of {self.name}+{self.id.hex()} does not fit the note's text") from None


class SigningKey:
    """The private key of one log's checkpoints."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.verifier.text})"

    def sign(self, text: str) -> str:
        """Return the text, which ends with a newline, as a note; the same text gives the same note."""
        signature = base64.b64encode(self.verifier.id + self._private.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{self.verifier.name} {signature}\n"


def load_signing_key(home: Path, name: str) -> SigningKey:
    """Read the key, or make it the first time; raises StoreError, with the mend."""
    path = home / FOLDER / FILE
    return SigningKey(name, read_or_make(path, "it signs checkpoints", "earlier checkpoints need its public key"))


def _decoded(text: str) -> bytes | None:
    """The bytes of base64 in its one canonical form, None for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
