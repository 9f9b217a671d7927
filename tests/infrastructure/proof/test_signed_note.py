"""Signed notes: the known one verifies, ours verify, and nothing that was changed does."""

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InputError, StoreError
from infrastructure.proof.checkpoint import Checkpoint, parse_checkpoint
from infrastructure.proof.signed_note import SigningKey, VerifierKey, load_signing_key

# The example of Go's package golang.org/x/mod/sumdb/note, which C2SP's signed-note describes.
KNOWN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
KNOWN_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
KNOWN_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
KNOWN_NOTE = f"{KNOWN_TEXT}\n\u2014 PeterNeumann {KNOWN_SIGNATURE}\n"

KEY = SigningKey("truetape/test", bytes(range(32)))


def test_the_known_note() -> None:
    key = VerifierKey.parse(KNOWN_KEY)
    assert key.text == KNOWN_KEY
    assert key.open(KNOWN_NOTE) == KNOWN_TEXT
    with pytest.raises(InputError, match=r"the signature of PeterNeumann\+c74f20a3 does not fit"):
        key.open(KNOWN_NOTE.replace("answer", "question"))


@given(st.text(st.characters(exclude_categories=["C"]), max_size=80), st.data())
def test_what_is_signed_opens_and_what_is_changed_does_not(line: str, data: st.DataObject) -> None:
    note = KEY.sign(f"{line}\nsecond\n")
    assert VerifierKey.parse(KEY.verifier.text) == KEY.verifier
    assert KEY.verifier.open(note) == f"{line}\nsecond\n"
    assert KEY.sign(f"{line}\nsecond\n") == note
    place = data.draw(st.integers(0, len(note) - 2))
    changed = note[:place] + ("x" if note[place] != "x" else "y") + note[place + 1 :]
    with pytest.raises(InputError):
        KEY.verifier.open(changed)


def test_another_signature_beside_ours_does_no_harm() -> None:
    note = KEY.sign("text\n")
    other = SigningKey("somebody", bytes(32)).sign("text\n").rpartition("\n\n")[2]
    assert KEY.verifier.open(note + other) == "text\n"
    assert KEY.verifier.open(note.replace("\n\n", f"\n\n{other}")) == "text\n"
    with pytest.raises(InputError, match="not signed by truetape/test"):
        KEY.verifier.open(f"text\n\n{other}")
    same_name = SigningKey("truetape/test", bytes(32)).sign("text\n")
    with pytest.raises(InputError, match="not signed by truetape/test"):
        KEY.verifier.open(same_name)


@pytest.mark.parametrize(
    "note", ["", "text\n", "text\n\n", KNOWN_NOTE.rstrip(), "text\n\n\u2014 a b\n", "text\n\n\u2014 a !\n"]
)
def test_what_is_no_note(note: str) -> None:
    with pytest.raises(InputError):
        VerifierKey.parse(KNOWN_KEY).open(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a+b+c",
        KNOWN_KEY[:-4],
        KNOWN_KEY.replace("c74f20a3", "c74f20a4"),
        KNOWN_KEY.replace("ARpc", "Ahpc"),
        "+",
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InputError, match="is no Ed25519 verifier key; allowed: NAME"):
        VerifierKey.parse(text)


def test_the_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    key = load_signing_key(tmp_path, "log")
    path = tmp_path / "keys" / "checkpoint.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_signing_key(tmp_path, "log").verifier == key.verifier
    assert load_signing_key(tmp_path, "other log").verifier.id != key.verifier.id
    assert path.read_bytes().hex() not in repr(key)
    path.write_bytes(b"short")
    with pytest.raises(StoreError, match=r"checkpoint\.key is not a key of 32 bytes; restore it"):
        load_signing_key(tmp_path, "log")


# --- checkpoints -----------------------------------------------------------------------------------------------------

CHECKPOINT = Checkpoint("truetape/test", 5, bytes(range(32)), 9, bytes(32))


def test_a_checkpoint_has_the_form_of_c2sp() -> None:
    origin, size, root, *extensions = CHECKPOINT.text().split("\n")
    assert (origin, size) == ("truetape/test", "5")
    assert base64.b64decode(root) == bytes(range(32))
    assert extensions == ["position 9", f"runs {base64.b64encode(bytes(32)).decode()}", ""]
    assert parse_checkpoint(CHECKPOINT.text()) == CHECKPOINT


TEXT = CHECKPOINT.text()


@pytest.mark.parametrize(
    "text",
    ["", TEXT[:-1], TEXT + "more\n", TEXT.replace("\n5\n", "\n05\n"), TEXT.replace("\n5\n", "\nx\n"), TEXT.replace("AAEC", "AAE"),
     TEXT.replace("position", "place"), TEXT.replace("position 9", "position 9 "), KNOWN_TEXT],
)  # fmt: skip
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(InputError, match="is no checkpoint of Truetape"):
        parse_checkpoint(text)
