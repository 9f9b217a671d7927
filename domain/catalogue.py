"""Every event there is, by its stored tag."""

from domain import engine_events as engine
from domain.account import events as account
from domain.bot import events as bot
from domain.execution_pool import events as execution_pool
from domain.message import Event
from domain.portfolio_risk import events as portfolio_risk
from domain.position_group import events as position_group
from domain.signal import events as signal
from domain.strategy import events as strategy


def _events_of(module: object) -> list[type[Event]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and value is not Event
    ]


EVENTS: tuple[type[Event], ...] = tuple(
    event
    for module in (account, bot, engine, execution_pool, portfolio_risk, position_group, signal, strategy)
    for event in _events_of(module)
)


def tag_of(event: type[Event]) -> str:
    """The explicit tag an event type is stored under."""
    return str(event.__struct_config__.tag)


BY_TAG: dict[str, type[Event]] = {tag_of(event): event for event in EVENTS}
