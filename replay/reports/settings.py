"""Settings: a row for each setting that was changed, with what it was before."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from domain.account.events import AccountOpened, InstrumentListed, RiskLimitsSet
from domain.bot.events import (
    BotConfigured,
    BotCreated,
    BotDeleted,
    BotPaused,
    BotResumed,
    BotStarted,
    BotStopped,
)
from domain.engine_events import EngineStarted
from domain.execution_pool.events import PoolConfigured, PoolOpened
from domain.message import Event
from domain.portfolio_risk.events import GroupBlocked, GroupForgotten, GroupUnblocked, OffsetConfigured
from domain.signal.events import SourceMapped, SourceOpened
from domain.strategy.events import (
    StrategyConfigured,
    StrategyFailed,
    StrategyPaused,
    StrategyResumed,
    StrategyStarted,
)
from replay.reports.cells import Blank, Cell, Place, Row, changed, columns, text_of
from replay.reports.known import ORIGIN, PLACE, Known

Subject = tuple[str, str]
"""(kind, name)"""
GROUP, MAPPING, PARAMETER = "group.", "mapping.", "parameter."
"""How the keys of a bot's group settings begin, those of a source's mapping, and those of a strategy's parameters."""


class Change(Struct, frozen=True):
    """Settings of a subject as they stand from here on, as plain values by key: all whose keys begin with `scope`.

    `version` is None where the log counts none: then changes are counted here from 1; what only says how it stands is none.
    """

    subject: Subject
    settings: dict[str, Any]
    version: int | None = None
    scope: str = ""


class SettingsReport:
    """A row for each key that an event changed; where the report begins later, first what was in force then."""

    columns = (
        *PLACE,
        *columns(
            (Blank.NOT_APPLICABLE, "change event subject name version setting"),
            (Blank.NOT_SET, "before after"),
        ),
        *ORIGIN,
    )

    def __init__(self, known: Known) -> None:
        self._known = known
        self._versions: dict[Subject, int] = {}
        self._standing: dict[Subject, dict[str, Row]] = {}

    def take(self, place: Place, event: Event) -> Iterator[Row]:
        read = CHANGES.get(type(event))
        if read is None:
            return
        found: Change = read(event)
        version = found.version
        if version is None:
            version = self._versions.get(found.subject, 0) + (found.scope in {"", GROUP, MAPPING, PARAMETER})
        self._versions[found.subject] = version
        standing = self._standing.setdefault(found.subject, {})
        wanted = {key: text_of(value) for key, value in found.settings.items() if value is not None}
        shared = self._known.place(place) | {
            "event": str(type(event).__struct_config__.tag),
            "subject": found.subject[0],
            "name": found.subject[1],
            "version": version,
        }
        gone = [key for key in standing if key not in wanted and key.startswith(found.scope)]
        for key in (*wanted, *gone):
            before, after = _value(standing.get(key)), wanted.get(key, Blank.NOT_SET)
            if before != after:
                row: Row = {**shared, "setting": key, "before": before, "after": after}
                yield row | {"change": "set" if before is Blank.NOT_SET else "changed"}
                standing[key] = row
        for key in gone:
            del standing[key]
        if isinstance(event, BotDeleted | GroupForgotten):
            del self._standing[found.subject], self._versions[found.subject]

    def opening(self) -> Iterator[Row]:
        """What is in force, each at the position at which it was set."""
        for settings in self._standing.values():
            for row in settings.values():
                yield {**row, "change": "in_force", "before": Blank.NOT_APPLICABLE}


def _value(row: Row | None) -> Cell:
    return Blank.NOT_SET if row is None else row["after"]


def _group(settings: Struct) -> dict[str, Any]:
    return {f"{GROUP}{key}": value for key, value in changed(settings).items()}


def _status(status: str) -> Callable[[Any], Change]:
    return lambda event: Change(("bot", event.bot), {"status": status}, scope="status")


def _engine(event: EngineStarted) -> Change:
    settings = {"engine_version": event.engine_version, "rules_hash": event.rules_hash, "fill_rules": event.rules}
    return Change(("engine", "engine"), settings)


def _account(event: AccountOpened) -> Change:
    return Change(("account", event.account), {"kind": event.kind, "mode": event.mode})


def _listed(event: InstrumentListed) -> Change:
    listed = event.instrument
    fields = {
        "tick": listed.price_text(listed.tick),
        "step": listed.size_text(listed.step),
        "minimum_notional": listed.cash_text(listed.minimum_notional),
        "fee_asset": listed.fee_asset,
        "maker_fee": format(event.maker_fee, "f"),
        "taker_fee": format(event.taker_fee, "f"),
        "slippage": format(event.slippage, "f"),
    }
    return Change(("instrument", f"{event.account}/{listed.id}"), fields)


def _created(event: BotCreated) -> Change:
    fields = {"account": event.account, "strategy": event.strategy, "instrument": event.instrument.id}
    return Change(("bot", event.bot), {**fields, "status": "created", **_group(event.settings)})


def _configured(event: BotConfigured) -> Change:
    """All group settings anew: what is not among them is at its default."""
    return Change(("bot", event.bot), _group(event.settings), scope=GROUP)


def _source(event: SourceOpened) -> Change:
    fields = {
        "bot": event.bot,
        "instrument": event.instrument,
        "lag_us_max": event.lag_us_max,
        "follow": event.follow,
        **_mapping(event.mapping),
    }
    return Change(("source", event.source), fields)


def _mapping(mapping: Mapping[str, str]) -> dict[str, Any]:
    return {f"{MAPPING}{key}": path for key, path in mapping.items()}


def _mapped(event: SourceMapped) -> Change:
    return Change(("source", event.source), _mapping(event.mapping), scope=MAPPING)


def _strategy(event: StrategyStarted) -> Change:
    fields = {"account": event.account, "strategy": event.strategy, "instrument": event.instrument.id}
    return Change(("strategy", event.bot), {**fields, "status": "running", **_parameters(event)})


def _reconfigured(event: StrategyConfigured) -> Change:
    return Change(("strategy", event.bot), _parameters(event), scope=PARAMETER)


def _parameters(event: StrategyStarted | StrategyConfigured) -> dict[str, Any]:
    """Its parameters by key, and the digest of the code that reads them."""
    try:
        given = msgspec.json.decode(event.parameters, type=dict[str, Any])
    except msgspec.MsgspecError:
        given = {"": event.parameters}  # of a damaged log: as it stands
    return {**{f"{PARAMETER}{key}": value for key, value in given.items()}, f"{PARAMETER}code": event.code}


def _strategy_status(status: str) -> Callable[[Any], Change]:
    return lambda event: Change(("strategy", event.bot), {"status": status}, scope="status")


def _offset_part(part: str | None) -> Callable[[Any], Change]:
    return lambda event: Change(("group", f"{event.bot}/{event.group}"), {"offset": part}, scope="offset")


CHANGES: Mapping[type[Event], Callable[[Any], Change]] = {
    EngineStarted: _engine,
    AccountOpened: _account,
    InstrumentListed: _listed,
    RiskLimitsSet: lambda event: Change(("limits", event.account), changed(event.limits), event.version),
    PoolOpened: lambda event: Change(("pool", event.account), changed(event.settings), event.settings_version),
    PoolConfigured: lambda event: Change(("pool", event.account), changed(event.settings), event.settings_version),
    OffsetConfigured: lambda event: Change(("offset", event.account), changed(event.settings), event.settings_version),
    GroupBlocked: _offset_part("blocked"),
    GroupUnblocked: _offset_part("allowed"),
    GroupForgotten: _offset_part(None),
    BotCreated: _created,
    BotConfigured: _configured,
    BotStarted: _status("running"),
    BotPaused: _status("paused"),
    BotResumed: _status("running"),
    BotStopped: _status("stopped"),
    BotDeleted: _status("deleted"),
    SourceOpened: _source,
    SourceMapped: _mapped,
    StrategyStarted: _strategy,
    StrategyConfigured: _reconfigured,
    StrategyPaused: _strategy_status("paused"),
    StrategyResumed: _strategy_status("running"),
    StrategyFailed: _strategy_status("failed"),
}
"""What each event says of settings."""
