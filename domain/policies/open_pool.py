"""An account opens with its execution pool."""

from domain.account.events import AccountOpened
from domain.decider import Reactions
from domain.execution_pool.commands import OpenPool
from domain.message import Command


def open_pool(event: AccountOpened) -> tuple[Command, ...]:
    return (OpenPool(event.account),)


REACTIONS: Reactions = {AccountOpened: (open_pool,)}
