"""Verify: run a kept run again from its recorded facts and its tape, and compare record for record.

The rerun takes what came from outside (commands, alerts) from the log and everything else from the tape and the code,
so a decision or a fill that is missing, added or altered shows. Bytes that are not what was hashed are named first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from domain.engine_events import EngineStarted
from domain.errors import MissingError, StoreError
from domain.market import Instrument
from domain.message import Event, Record
from domain.strategy.events import StrategyConfigured, StrategyStarted
from domain.strategy.plugin import Strategy
from domain.strategy.registry import parameters_of, strategies
from infrastructure.event_store import codec
from infrastructure.event_store.database import Database
from infrastructure.event_store.engine_version import rules_hash
from infrastructure.event_store.ledger import ENGINE_STREAM
from infrastructure.event_store.readable import Reader
from infrastructure.event_store.runs import KeptRecord, Run, records_of
from infrastructure.inbox import Inbox
from infrastructure.market_data.tape import Tape
from infrastructure.plugins import code_of
from replay.facts import facts_of
from replay.game import Game, Played, StrategySetup, play
from replay.kept import rules_of, tapes_of, window_of
from replay.paper import play_inbox

DivergenceClass = Literal[
    "tampered", "code", "signal", "config", "strategy", "risk", "pricing", "fill", "missing", "added"
]

_CLASSES: dict[str, DivergenceClass] = {
    "signal": "signal",
    "bot.created": "config",
    "bot": "signal",
    "account.order_intended": "pricing",
    "account.risk_passed": "risk",
    "account.order_denied": "risk",
    "account.opened": "config",
    "account.instrument_listed": "config",
    "account.cash_deposited": "config",
    "account.position_deposited": "config",
    "account.risk_limits_set": "config",
    "account.trading_halted": "risk",
    "account": "fill",
    "execution_pool.configured": "config",
    "execution_pool": "risk",
    "portfolio_risk.configured": "config",
    "portfolio_risk": "risk",
    "position_group": "pricing",
    "strategy.started": "config",
    "strategy.configured": "config",
    "strategy": "strategy",
}


class Divergence(Struct, frozen=True):
    """The first place where log and rerun part; `recorded` and `rerun` are events as people read them."""

    position: int | None
    kind: DivergenceClass
    message: str
    recorded: dict[str, Any] | None = None
    rerun: dict[str, Any] | None = None


class Verdict(Struct, frozen=True):
    """What verifying a run found: `same`, `diverged`, or `interrupted`: the same up to where the run broke off."""

    run: int
    label: str
    status: Literal["same", "interrupted", "diverged"]
    records: int
    log_sha256: str
    divergence: Divergence | None = None


class _Parted(Exception):  # noqa: N818  (not an error: what verify is looking for)
    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.message)
        self.divergence = divergence


class _UnknownStrategyError(MissingError):
    """A strategy of the run is not installed, so it cannot be run again."""


class _BrokeOff(Exception):  # noqa: N818  (not an error: the run was interrupted here)
    """The log of an interrupted run ends, between two inputs."""


def verify(database: Database, home: Path, run: Run) -> Verdict:
    """Verify one kept run; raises MissingError where its tape or a strategy's code is gone. The tape of a paper run is the inbox."""
    rerun, log = _rerun(database, home, run)
    ledger = _Comparison(run, log)
    status: Literal["same", "interrupted", "diverged"] = "same"
    if run.end is None and run.mode == "backtest":
        status = "interrupted"
    divergence: Divergence | None = None
    try:
        rerun(ledger)
        ledger.finish()
    except _BrokeOff:
        status = "interrupted"
    except _Parted as parted:
        status, divergence = "diverged", _blame_code(run, parted.divergence, log.recoded)
    except (StoreError, _UnknownStrategyError):
        raise  # the database's trouble, or this machine's, not the log's
    except Exception as error:  # noqa: BLE001  (a log that the loop cannot run again is what verify looks for)
        status, divergence = "diverged", _blame_code(run, _failed(ledger, error), log.recoded)
    return Verdict(run.run, run.label, status, ledger.digest.records, ledger.digest.hexdigest(), divergence)


def _rerun(database: Database, home: Path, run: Run) -> tuple[Callable[["_Comparison"], object], "_Log"]:
    """How to run it again, and what of its log to hold that against."""
    if run.mode == "paper":
        upto, position = Inbox(database).taken_upto()
        paper_log = _Log(database, run, position)

        def play_again(ledger: "_Comparison") -> None:
            paper_log.recoded = _recoded(paper_log.checked())  # every record's bytes are looked at first
            play_inbox(database, ledger, upto)

        return play_again, paper_log
    named = tapes_of(run)
    if not named:
        raise MissingError(f"run {run.run} names no market tape, so it cannot be run again")
    tapes = _tapes(home, run, named)
    log = _Log(database, run)
    return lambda ledger: play(_game(log, run, tapes), ledger), log


def _recoded(records: Iterable[Record[Event]]) -> list[str]:
    """The strategies of a paper run that had another code than now, at any time; raises where one is not installed."""
    names: dict[str, str] = {}
    found: dict[str, None] = {}
    for record in records:
        for event in record.events:
            if isinstance(event, StrategyStarted):
                names[event.bot] = event.strategy
            if isinstance(event, StrategyStarted | StrategyConfigured):
                strategy = _installed(names[event.bot], event.bot)
                if event.code != code_of(strategy):
                    found[f"{strategy.name} of {event.bot}"] = None
    return list(found)


def recorded_game(database: Database, home: Path, run: Run) -> Game:
    """What a kept backtest was played on; of one that `verify` has found to be the same."""
    return _game(_Log(database, run), run, _tapes(home, run, tapes_of(run)))


def _tapes(home: Path, run: Run, digests: Mapping[str, str]) -> dict[str, Tape]:
    """The tapes of these digests, as far as the run went through them."""
    window = window_of(run)
    found = {instrument: Tape.find_by_digest(home, digest) for instrument, digest in digests.items()}
    return found if window is None else {instrument: tape.slice(*window) for instrument, tape in found.items()}


def _failed(ledger: "_Comparison", error: Exception) -> Divergence:
    message = f"the rerun fails after {ledger.digest.records} records: {type(error).__name__}: {error}"
    return Divergence(None, "config", message)


def _game(log: "_Log", run: Run, tapes: Mapping[str, Tape]) -> Game:
    """The game as the log tells it; every record's bytes are checked on the way."""
    facts = facts_of(log.checked())
    try:
        listed = facts.markets()
    except MissingError as error:
        if run.end is None:
            raise _BrokeOff from error
        raise _Parted(Divergence(None, "missing", str(error))) from error
    markets = tuple(
        Played(instrument, terms, _tape_of(instrument, tapes).rescaled(instrument.price_scale), position)
        for instrument, terms, position in listed
    )
    setups = [_strategy(event) for event in facts.strategies]
    log.recoded = [
        f"{event.strategy} of {event.bot}"
        for event, setup in zip(facts.strategies, setups, strict=True)
        if event.code != code_of(setup.strategy)
    ]
    return Game(markets, facts.kind, facts.cash, facts.opening, facts.alerts, setups, rules=rules_of(run))


def _strategy(event: StrategyStarted) -> StrategySetup:
    """The strategy as it is installed now, with the parameters of then."""
    _installed(event.strategy, event.bot)
    strategy, parameters = parameters_of(event.strategy, event.parameters)
    return StrategySetup(event.bot, strategy, parameters, event.instrument.id)


def _installed(name: str, bot: str) -> Strategy:
    found = strategies().get(name)
    if found is None:
        allowed = ", ".join(sorted(strategies()))
        raise _UnknownStrategyError(f"strategy {name!r} of {bot} is not installed; allowed: {allowed}")
    return found


def _tape_of(instrument: Instrument, tapes: Mapping[str, Tape]) -> Tape:
    """The instrument's tape: that of its name, or the only one."""
    tape = tapes.get(instrument.id, tapes.get(""))
    if tape is None:
        raise _Parted(Divergence(None, "config", f"the run names no market tape of {instrument.id}"))
    return tape


class _Log:
    """A run's records as verify reads them, twice: what is written between the two readings counts in neither.

    Of a run that goes on, nothing after position `upto` counts. `recoded` names the strategies whose code is another now.
    """

    def __init__(self, database: Database, run: Run, upto: int | None = None) -> None:
        self._database = database
        self._run = run
        self._upto = upto
        self._first = self._last = 0
        self.recoded: list[str] = []

    def checked(self) -> Iterator[Record[Event]]:
        """The records that the engine decided, each found to be what was written, after the one that names the engine."""
        for kept in records_of(self._database, self._run.run):
            if self._upto is not None and kept.position > self._upto and self._first:
                return
            record = _decoded(kept)
            if not self._first:
                self._first = kept.position
                self._check_engine(kept, record)
            else:
                yield record
            self._last = kept.position

    def again(self) -> Iterator[KeptRecord]:
        """The same records, as they lie in Postgres."""
        for kept in records_of(self._database, self._run.run, after=self._first):
            if kept.position > self._last:
                return
            # A run that goes on after an upgrade has an engine that says so among its records.
            if kept.stream != ENGINE_STREAM or self._run.mode == "backtest":
                yield kept

    def _check_engine(self, kept: KeptRecord, record: Record[Event]) -> None:
        run, event = self._run, record.events[0]
        if not isinstance(event, EngineStarted):
            message = f"position {kept.position}: the run does not begin with the engine that made it"
            raise _Parted(Divergence(kept.position, "missing", message, _first_line(kept)))
        if (event.engine_version, event.rules_hash) != (run.engine_version, run.rules_hash) or len(record.events) > 1:
            message = f"position {kept.position}: the run names another engine than its log does"
            raise _Parted(Divergence(kept.position, "tampered", message, _first_line(kept)))


def _decoded(kept: KeptRecord) -> Record[Event]:
    if not kept.is_intact():
        message = f"the record at position {kept.position} is not what was hashed when it was written"
        raise _Parted(Divergence(kept.position, "tampered", message, _first_line(kept)))
    try:
        record = kept.decode()
    except StoreError as error:
        raise _Parted(Divergence(kept.position, "tampered", str(error))) from error
    if (record.stream, len(record.events)) != (kept.stream, kept.events):
        message = f"the columns of the record at position {kept.position} are not what its bytes say"
        raise _Parted(Divergence(kept.position, "tampered", message, _first_line(kept)))
    return record


class _Comparison:
    """A ledger that holds what the rerun decides against what was recorded."""

    def __init__(self, run: Run, log: _Log) -> None:
        self.digest = codec.LogDigest()
        self._run = run
        self._kept = log.again()
        self._recorded, self._rerun = Reader(), Reader()

    def append(self, records: list[Record[Event]]) -> None:
        """Compare one input's cascade, byte for byte."""
        for index, record in enumerate(records):
            kept = next(self._kept, None)
            if kept is None:
                self._ended_early(record, index)
                return
            if codec.encode(record) != kept.state:
                raise _Parted(self._difference(kept, record))
            self._recorded.learn(record)
            self._rerun.learn(record)
            self.digest.update([record])

    def finish(self) -> None:
        """The rerun is over: so must the log be, with the digest it was ended with."""
        kept = next(self._kept, None)
        if kept is not None:
            message = f"the log goes on at position {kept.position} where the rerun has ended"
            raise _Parted(Divergence(kept.position, "added", message, _first_line(kept)))
        end, digest = self._run.end, self.digest
        if end is not None and end.log_sha256 != digest.hexdigest():
            raise _Parted(Divergence(None, "tampered", "the run's recorded digest is not that of its records"))
        if end is not None and (end.records, end.events) != (digest.records, digest.events):
            raise _Parted(Divergence(None, "tampered", "the run's recorded counts are not those of its records"))

    def _ended_early(self, record: Record[Event], index: int) -> None:
        broken_off = self._run.end is None and self._run.mode == "backtest"
        if broken_off and index == 0:
            raise _BrokeOff
        what = "in the middle of an input" if broken_off else "before the rerun does"
        line = next(self._rerun.lines(record))
        raise _Parted(Divergence(None, "missing", f"the log ends {what}", None, line))

    def _difference(self, kept: KeptRecord, record: Record[Event]) -> Divergence:
        """The first event that differs, on both sides."""
        lines = list(self._rerun.lines(record))
        theirs = list(self._recorded.lines(_decoded(kept)))
        for position, (recorded, rerun) in enumerate(zip(theirs, lines, strict=False), kept.position):
            if recorded != rerun:
                message = f"position {position}: recorded {recorded['event']}, rerun {rerun['event']}"
                return Divergence(position, class_of(rerun["event"]), message, recorded, rerun)
        if len(theirs) == len(lines):
            message = f"position {kept.position}: the same events in another envelope or other bytes"
            return Divergence(kept.position, "tampered", message, theirs[0], lines[0])
        position = kept.position + min(len(theirs), len(lines))
        message = f"position {position}: recorded {len(theirs)} events in this decision, rerun {len(lines)}"
        longer = max(theirs, lines, key=len)
        return Divergence(position, class_of(longer[-1]["event"]), message, theirs[-1], lines[-1])


def class_of(tag: str) -> DivergenceClass:
    """What it is about that an event differs, or is there on one side only."""
    name = tag.removesuffix(".v1")
    return _CLASSES.get(name) or _CLASSES[name.partition(".")[0]]


def _blame_code(run: Run, divergence: Divergence, recoded: Sequence[str]) -> Divergence:
    """Where the bytes are sound and the code has changed since, the engine's or a strategy's, that is the class."""
    if divergence.kind == "tampered":
        return divergence
    if run.rules_hash != rules_hash():
        message = f"{divergence.message}; the code has changed since the run was recorded ({run.engine_version})"
    elif recoded:
        message = f"{divergence.message}; the code of {', '.join(recoded)} has changed since the run was recorded"
    else:
        return divergence
    return msgspec.structs.replace(divergence, kind="code", message=message)


def _first_line(kept: KeptRecord) -> dict[str, Any] | None:
    """The record's first event as far as it can still be read; amounts stay in quanta."""
    try:
        return next(Reader().lines(kept.decode()))
    except (StoreError, LookupError):
        return None
