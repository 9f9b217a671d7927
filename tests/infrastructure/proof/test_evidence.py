"""Evidence packs: proven by a program of one file that has neither Truetape nor its database, and by nothing that was changed."""

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import DamagedError, InputError, MissingError
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.merkle import consistency_proof, inclusion_proof, root_of
from infrastructure.proof import evidence_verifier
from infrastructure.proof.checkpoints import Checkpoints, open_checkpoints
from infrastructure.proof.evidence import find_event, make_pack
from infrastructure.proof.evidence_verifier import Checkpoint, NotProvenError, check_consistency, root_from, verify
from infrastructure.proof.signed_note import SigningKey
from infrastructure.settings import Settings
from tests.conftest import ROOT
from tests.infrastructure.event_store.test_merkle import numbered, subtree_of
from tests.infrastructure.proof.tampering import Bench, rechained, restated, write_log

FILE = ROOT / "infrastructure" / "proof" / "evidence_verifier.py"
Pack = dict[str, Any]


@pytest.fixture
def checkpoints(database: Database, home: Path) -> Checkpoints:
    """A log with two checkpoints, and some records behind them."""
    found = open_checkpoints(database, Settings(home=home))
    for seed in range(3):
        write_log(database, 20, seed)
        if seed < 2:
            found.make()
    return found


@pytest.fixture
def pack(database: Database, checkpoints: Checkpoints) -> Pack:
    older = checkpoints.exported(checkpoints.folder.sizes()[0])
    return make_pack(database, checkpoints, [1, 9, 20], older=older)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The verifier as somebody else runs it: a copy of the file, the standard library and `cryptography`, nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    packages = folder / "packages"
    packages.mkdir()
    for name in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
        found = find_spec(name)
        if found is not None and found.origin is not None:
            origin = Path(found.origin)
            origin = origin.parent if origin.name == "__init__.py" else origin
            (packages / origin.name).symlink_to(origin)
    (folder / "evidence_verifier.py").write_text(FILE.read_text())
    start = (
        "import importlib.util, runpy, sys\n"
        f"sys.path.append({str(packages)!r})\n"
        "assert not any(importlib.util.find_spec(name) for name in ('api', 'domain', 'infrastructure', 'msgspec'))\n"
        f"sys.argv = ['evidence_verifier.py', *sys.argv[1:]]\n"
        f"runpy.run_path({str(folder / 'evidence_verifier.py')!r}, run_name='__main__')\n"
    )

    def run(pack: Pack | str, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = folder / "pack.json"
        path.write_text(pack if isinstance(pack, str) else json.dumps(pack))
        command = [sys.executable, "-I", "-S", "-c", start, str(path), *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)

    return run


def test_the_verifier_imports_nothing_of_ours() -> None:
    allowed = {*sys.stdlib_module_names, "cryptography"}
    for node in ast.walk(ast.parse(FILE.read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.partition(".")[0] for name in names} <= allowed


def test_it_proves_a_pack_with_nothing_of_truetape(
    pack: Pack, checkpoints: Checkpoints, database: Database, alone: Callable[..., Any], tmp_path: Path
) -> None:
    key = tmp_path / "verifier.key"
    key.write_text(checkpoints.key.verifier.text + "\n")
    done = alone(pack, "--key", str(key), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    made = checkpoints.newest()
    assert made is not None
    assert (found["size"], found["root"], found["key"]) == (made.checkpoint.size, made.checkpoint.root.hex(), "given")
    assert found["continues"]["size"] == checkpoints.folder.sizes()[0]
    assert [each["event"] for each in found["records"]] == [1, 9, 20]
    for each, given_record in zip(found["records"], pack["records"], strict=True):
        record = codec.decode(base64.b64decode(given_record["state"]))
        assert (each["record"]["stream"], each["record"]["version"]) == (record.stream, record.version)
        assert each["record"]["events"] == [msgspec.to_builtins(event) for event in record.events]
    people = alone(pack)
    assert people.returncode == 0
    assert "signed     by the key that was in the pack: compare it yourself" in people.stdout
    assert people.stdout.count("proven     record") == 3


def changes() -> Iterator[tuple[str, Callable[[Pack], Any]]]:
    def nibble(text: str) -> str:
        raw = base64.b64decode(text)
        return base64.b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode()

    yield "state", lambda pack: pack["records"][1].update(state=nibble(pack["records"][1]["state"]))
    yield "proof", lambda pack: pack["records"][1]["proof"].__setitem__(0, nibble(pack["records"][1]["proof"][0]))
    yield "shorter proof", lambda pack: pack["records"][1]["proof"].pop()
    yield "short hash", lambda pack: pack["records"][1]["proof"].__setitem__(0, "AAAA")
    yield "index", lambda pack: pack["records"][1].update(index=pack["records"][1]["index"] ^ 1)
    yield "no such index", lambda pack: pack["records"][1].update(index=10**6)
    yield "negative index", lambda pack: pack["records"][1].update(index=-1)
    yield "checkpoint", lambda pack: pack.update(checkpoint=pack["checkpoint"].replace("position", "Position"))
    yield "older for newer", lambda pack: pack.update(checkpoint=pack["older"]["checkpoint"])
    yield "newer for older", lambda pack: pack["older"].update(checkpoint=pack["checkpoint"])
    yield "consistency", lambda pack: pack["older"]["proof"].__setitem__(-1, nibble(pack["older"]["proof"][-1]))
    yield "shorter consistency", lambda pack: pack["older"]["proof"].pop()
    yield "longer consistency", lambda pack: pack["older"]["proof"].append(pack["older"]["proof"][0])
    yield "format", lambda pack: pack.update(format="truetape-evidence-2")
    yield "key", lambda pack: pack.update(key=SigningKey("other", bytes(32)).verifier.text)


@pytest.mark.parametrize(("name", "change"), list(changes()), ids=lambda value: value if isinstance(value, str) else "")
def test_nothing_that_was_changed_is_proven(name: str, change: Callable[[Pack], Any], pack: Pack) -> None:
    assert verify(pack)["records"]
    change(pack)
    with pytest.raises(NotProvenError):
        verify(pack)


def test_a_pack_signed_by_another_key_is_not_proven(
    pack: Pack, alone: Callable[..., Any], checkpoints: Checkpoints, tmp_path: Path
) -> None:
    other = SigningKey(checkpoints.key.verifier.name, bytes(32))
    forged = {**pack, "older": None, "key": other.verifier.text}
    forged["checkpoint"] = other.sign(pack["checkpoint"].rpartition("\n\n")[0] + "\n")
    assert alone(forged).returncode == 0, "a pack alone says nothing about who signed"
    key = tmp_path / "verifier.key"
    key.write_text(checkpoints.key.verifier.text)
    done = alone(forged, "--key", str(key))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("NOT PROVEN: the checkpoint is not signed by truetape/")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "truetape-evidence-1"}', "\\ud800", "[" * 100_000])
def test_what_is_no_pack(text: str, alone: Callable[..., Any]) -> None:
    done = alone(text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: this is no evidence pack: ")
    assert "Traceback" not in done.stderr


@given(st.integers(1, 200), st.data())
def test_its_trees_are_ours(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    subtree, root = subtree_of(leaves), root_of(leaves)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert root_from(leaves[index], index, size, inclusion_proof(index, size, subtree)) == root
    before, after = Checkpoint("", old, root_of(leaves[:old]), []), Checkpoint("", size, root, [])
    proof = consistency_proof(old, size, subtree)
    check_consistency(before, after, list(proof))
    for wrong in (before._replace(root=bytes(32)), before._replace(size=size + 1), before._replace(size=0)):
        with pytest.raises(NotProvenError):
            check_consistency(wrong, after, list(proof))
    with pytest.raises(NotProvenError):
        check_consistency(before, after._replace(root=bytes(32)), list(proof))


_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(allow_nan=False)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


@given(_VALUES)
def test_it_reads_what_messagepack_says(value: Any) -> None:
    encoded = msgspec.msgpack.encode(value)
    assert evidence_verifier.unpack(encoded, 0) == (value, len(encoded))


@pytest.mark.parametrize("length", [0, 15, 16, 31, 32, 255, 256, 65535, 65536])
def test_it_reads_every_length(length: int) -> None:
    for value in ("x" * length, list(range(length)), {str(number): number for number in range(length)}):
        encoded = msgspec.msgpack.encode(value)
        assert evidence_verifier.unpack(encoded, 0) == (value, len(encoded))
    encoded = msgspec.msgpack.encode(bytes(length))
    assert evidence_verifier.unpack(encoded, 0) == ("00" * length, len(encoded))


# --- packs are made ---------------------------------------------------------------------------------------------------


def test_every_event_under_a_checkpoint_has_a_proof(database: Database, checkpoints: Checkpoints) -> None:
    made = checkpoints.newest()
    assert made is not None
    positions = range(1, made.checkpoint.position + 1)
    found = verify(make_pack(database, checkpoints, positions))
    assert [each["event"] for each in found["records"]] == list(positions)
    assert {each["index"] for each in found["records"]} == set(range(made.checkpoint.size))
    with pytest.raises(MissingError, match=f"event {made.checkpoint.position + 1} is behind the checkpoint"):
        make_pack(database, checkpoints, [made.checkpoint.position + 1])
    for nothing in (0, 10**9):
        with pytest.raises(MissingError, match=f"there is no event at position {nothing}"):
            make_pack(database, checkpoints, [nothing])


def test_an_event_is_named_by_its_stream_too(database: Database, checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() is not None
    assert find_event(database, "17") == 17
    assert find_event(database, "engine@1", run=1) == 1
    assert find_event(database, "engine@1", run=2) == 2
    for event in ("account", "@1", "s1@", "s1@x", "1.5", "-1", "9" * 5000, f"s1@{10**30}", "\u0661"):
        with pytest.raises(InputError, match="is no event; allowed: a position, or STREAM@VERSION"):
            find_event(database, event)
    for event in ("s1@0", "s1@99999", "nothing@1", f"s1@{2**40}"):
        with pytest.raises(MissingError, match="has no event"):
            find_event(database, event, run=1)


def test_a_damaged_log_proves_nothing(database: Database, checkpoints: Checkpoints, superuser_url: str) -> None:
    bench = Bench(superuser_url)
    bench.write(rechained([*bench.rows[:3], restated(bench.rows[3], actor="x"), *bench.rows[4:]]))
    bench.close()
    for position in (bench.rows[3]["position"], bench.rows[8]["position"]):
        with pytest.raises(DamagedError, match="the log does not agree with the checkpoint"):
            make_pack(database, checkpoints, [position])


def test_without_a_checkpoint_nothing_is_proven(database: Database, home: Path) -> None:
    write_log(database, 5)
    with pytest.raises(MissingError, match="there is no checkpoint yet; make one with `truetape audit checkpoint`"):
        make_pack(database, open_checkpoints(database, Settings(home=home)), [1])
