"""`truetape audit`: signed checkpoints of the log, proofs of its events, and the walk that finds what was changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, fail, print_json, progress
from domain.errors import DamagedError, InputError, MissingError

if TYPE_CHECKING:
    from infrastructure.proof.checkpoints import Checkpoints, Made
    from infrastructure.proof.log_check import Checked

app = typer.Typer(help="Sign the log, prove its events, find what was changed.", rich_markup_mode=None)

NOTE = Annotated[Path | None, typer.Option("--checkpoint", help="A checkpoint's file; the newest exported without it.")]


@app.command("checkpoint")
@exits
def checkpoint(as_json: JSON = False) -> int:
    """Sign the log as it is and export that. Exit 1 where it does not continue the newest exported checkpoint."""
    from infrastructure.database import open_database
    from infrastructure.proof.checkpoints import open_checkpoints
    from infrastructure.proof.log_check import head_of
    from infrastructure.settings import load_settings

    settings = load_settings()
    with open_database(settings) as database:
        checkpoints = open_checkpoints(database, settings)
        try:
            with progress("reading the log", head_of(database), quiet=as_json) as advance:
                made = checkpoints.make(advance=advance)
        except DamagedError as error:
            fail(error)
            return EXIT_FOUND
    if as_json:
        print_json(_described(checkpoints, made))
    else:
        said = "signed and exported to" if made.is_new else "nothing new since"
        console.print(made.note, soft_wrap=True, end="")
        console.print(f"{said} {_path(checkpoints, made)}", soft_wrap=True)
    return EXIT_CLEAN


@app.command("prove")
@exits
def prove(
    events: Annotated[list[str], typer.Argument(metavar="EVENT...", help="Positions, or STREAM@VERSION.")],
    run: Annotated[int | None, typer.Option(help="The run of STREAM@VERSION; the newest without it.")] = None,
    note: NOTE = None,
    older: Annotated[Path | None, typer.Option(help="Prove too that the log continues this checkpoint's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the evidence pack here; else print it.")] = None,
    as_json: JSON = False,
) -> int:
    """Make an evidence pack, which `truetape audit verifier` hands out the means to check."""
    import msgspec

    from infrastructure.database import open_database
    from infrastructure.proof.checkpoints import open_checkpoints
    from infrastructure.proof.evidence import find_event, make_pack
    from infrastructure.settings import load_settings
    from replay.result import replacing

    settings = load_settings()
    with open_database(settings) as database:
        checkpoints = open_checkpoints(database, settings)
        positions = [find_event(database, event, run) for event in events]
        try:
            pack = make_pack(database, checkpoints, positions, _read(checkpoints, note), _read(checkpoints, older))
        except DamagedError as error:
            fail(error)
            return EXIT_FOUND
    if out is not None:
        with replacing(out) as file:
            file.write(msgspec.json.format(msgspec.json.encode(pack)).decode() + "\n")
    if as_json or out is None:
        print_json(pack if out is None else {"path": str(out), "events": positions})
    else:
        console.print(f"proven in {out}: {', '.join(map(str, positions))}", soft_wrap=True)
    return EXIT_CLEAN


@app.command("check")
@exits
def check(note: NOTE = None, as_json: JSON = False) -> int:
    """Walk the whole log and hold it against a checkpoint. Exit 1 where an event is not as it was; it is named."""
    import msgspec

    from infrastructure.database import open_database
    from infrastructure.proof.checkpoints import open_checkpoints
    from infrastructure.proof.exported_log import ExportedLog
    from infrastructure.proof.log_check import check_log, head_of
    from infrastructure.settings import load_settings

    settings = load_settings()
    with open_database(settings) as database:
        checkpoints = open_checkpoints(database, settings)
        made = _read(checkpoints, note) or checkpoints.newest()
        if made is None:
            raise MissingError(
                f"no checkpoint of this log is in {checkpoints.folder.path}; make one with `truetape audit checkpoint`, "
                "or name one with --checkpoint"
            )
        with progress("checking the log", head_of(database), quiet=as_json) as advance:
            checked = check_log(database, made.checkpoint, ExportedLog(checkpoints), advance)
    if as_json:
        print_json({"checkpoint": _described(checkpoints, made), **msgspec.to_builtins(checked)})
    else:
        _say(checked, made)
    return EXIT_CLEAN if checked.damage is None else EXIT_FOUND


@app.command("key")
@exits
def key(as_json: JSON = False) -> None:
    """Print the public key that checkpoints are signed with; give it to whoever is to check them."""
    from infrastructure.database import open_database
    from infrastructure.proof.checkpoints import open_checkpoints
    from infrastructure.settings import load_settings

    settings = load_settings()
    with open_database(settings) as database:
        text = open_checkpoints(database, settings).key.verifier.text
    if as_json:
        print_json({"key": text})
    else:
        console.print(text, soft_wrap=True)


@app.command("verifier")
@exits
def verifier(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("evidence_verifier.py"),
    as_json: JSON = False,
) -> None:
    """Write the program that checks evidence packs without Truetape: one file, Python and `cryptography`."""
    from importlib.resources import files

    from replay.result import replacing

    source = files("infrastructure.proof").joinpath("evidence_verifier.py").read_text("utf-8")
    with replacing(out) as file:
        file.write(source)
    if as_json:
        print_json({"path": str(out)})
    else:
        console.print(f"written to {out}; run it as python {out} PACK.json --key verifier.key", soft_wrap=True)


def _read(checkpoints: "Checkpoints", path: Path | None) -> "Made | None":
    if path is None:
        return None
    try:
        return checkpoints.read(path.read_text("utf-8"))
    except (UnicodeDecodeError, InputError) as error:
        raise InputError(f"{path}: {error}") from None


def _path(checkpoints: "Checkpoints", made: "Made") -> Path:
    from infrastructure.proof.checkpoint_folder import note_name

    return checkpoints.folder.path / note_name(made.checkpoint.size)


def _described(checkpoints: "Checkpoints", made: "Made") -> dict[str, Any]:
    found = made.checkpoint
    return {
        "origin": found.origin,
        "size": found.size,
        "position": found.position,
        "root": found.root.hex(),
        "note": made.note,
        "path": str(_path(checkpoints, made)),
        "is_new": made.is_new,
    }


def _say(checked: "Checked", made: "Made") -> None:
    damage = checked.damage
    if damage is not None:
        where = f"event {damage.position}" if damage.last is None else f"events {damage.position} to {damage.last}"
        console.print(f"DAMAGED ({damage.kind}) at {where}: {damage.message}", soft_wrap=True)
        return
    console.print(
        f"sound: {checked.events:,} events in {checked.records:,} records; the first {checked.covered:,} are those of the "
        f"checkpoint of {made.checkpoint.size:,}",
        soft_wrap=True,
    )
    if checked.records > checked.covered:
        rest = checked.records - checked.covered
        console.print(
            f"{rest:,} records are newer than it and agree with themselves, which proves less", soft_wrap=True
        )
