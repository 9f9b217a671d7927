"""What figures need of a log, gathered as its records pass: fills, what came in, and how many there were of what."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import attrgetter

from msgspec import Struct, field

from domain.account.events import InstrumentListed, OrderDenied, OrderFilled, OrderIntended, PositionDeposited
from domain.market import Instrument
from domain.message import Event, Record
from domain.strategy.events import StrategyFailed

AT_ONCE = 2000
_events_of = attrgetter("events")


class Gathered(Struct):
    """Of the records so far. `failed` are the strategies that broke."""

    records: int = 0
    kinds: Counter[type[Event]] = field(default_factory=Counter)
    fills: list[OrderFilled] = field(default_factory=list)
    deposits: list[PositionDeposited] = field(default_factory=list)
    failed: list[StrategyFailed] = field(default_factory=list)
    instruments: dict[str, Instrument] = field(default_factory=dict)

    def take(self, records: Sequence[Record[Event]]) -> None:
        """Take these in, which come next in the log."""
        events = list(chain.from_iterable(map(_events_of, records)))
        kinds = Counter(map(type, events))
        self.records += len(records)
        self.kinds += kinds
        self.fills += [event for event in events if type(event) is OrderFilled]
        if not _RARE.isdisjoint(kinds):
            self._take_rare(events)

    def passing(self, records: Iterable[Record[Event]]) -> Iterator[Record[Event]]:
        """The same records, taken in as they pass."""
        source = iter(records)
        while chunk := list(islice(source, AT_ONCE)):
            self.take(chunk)
            yield from chunk

    def counts(self) -> dict[str, int]:
        """The counts of a summary."""
        return {
            "records": self.records,
            "events": self.kinds.total(),
            "orders": self.kinds[OrderIntended],
            "denied": self.kinds[OrderDenied],
            "fills": len(self.fills),
        }

    def _take_rare(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, PositionDeposited):
                self.deposits.append(event)
            elif isinstance(event, InstrumentListed):
                self.instruments[event.instrument.id] = event.instrument
            elif isinstance(event, StrategyFailed):
                self.failed.append(event)


def gather(records: Iterable[Record[Event]]) -> Gathered:
    """What a whole log has."""
    found = Gathered()
    deque(found.passing(records), maxlen=0)
    return found


_RARE = frozenset({PositionDeposited, InstrumentListed, StrategyFailed})
