"""The error tree: an exception means that nothing was recorded, unless it says that this is not known."""


class TruetapeError(Exception):
    """Anything Truetape refuses or cannot do, said in words for the person who asked."""


class InputError(TruetapeError):
    """Input from outside is not what it must be; names the file, row or key and what is allowed."""


class AmountError(InputError):
    """A number cannot be an exact amount: off its grid, not finite, or too large for 64 bits."""


class ConflictError(TruetapeError):
    """A stream has moved on since the writer last read it; nothing was appended."""


class FencedError(TruetapeError):
    """Another writer has taken the run over; this one may append nothing any more."""


class StoreError(TruetapeError):
    """The event store cannot be used as it is; the message says how to mend it."""


class InDoubtError(StoreError):
    """The database was lost during an append and does not answer: the one error that leaves open what was recorded."""


class MissingError(TruetapeError):
    """Something named (a run, a tape, a record) is not there."""


class VenueError(TruetapeError):
    """A venue does not give what it was asked for; the message names both, and what is kept of it so far."""


class DamagedError(TruetapeError):
    """The log is not what a checkpoint says that it was; names the first event that differs."""
