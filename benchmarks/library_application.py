"""The eventsourcing library as its documentation uses it: an aggregate's events, its mapper, one save for a hundred."""

from collections.abc import Mapping

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class Account(Aggregate):
    """Takes fills; each has the fields of ours, the amounts as integers, as ours are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cash = 0

    @event("Filled")
    def fill(  # noqa: PLR0913, PLR0917  (the library makes the event's fields of the parameters)
        self, order: int, bot: str, group: int, leg: int, role: str, instrument: str, side: str, price: int,
        quantity: int, cash: int, fee: int, fee_asset: str, trade: str, venue_at: int,
    ) -> None:  # fmt: skip
        self.cash -= cash


def application(environment: Mapping[str, str]) -> Application:
    return Application(env=dict(environment))


def save(application: Application, events: int, at_once: int) -> None:
    """Save so many events, `at_once` to a transaction."""
    account = Account(name="main")
    for number in range(events - 1):
        account.fill(
            number, "dca", 7, 1, "entry", "SIM:BTCUSDT", "buy", 9_000_000, 12_345, 1_111_050_000, 1_111_050, "USDT",
            f"t{number}", 1_700_000_000_000_000,
        )  # fmt: skip
        if (number + 2) % at_once == 0:
            application.save(account)
    application.save(account)
