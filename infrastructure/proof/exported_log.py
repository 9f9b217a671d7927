"""What was exported of a log, as the check of the log reads it."""

from infrastructure.proof.checkpoint import Checkpoint
from infrastructure.proof.checkpoint_folder import block_name, run_name
from infrastructure.proof.checkpoints import Checkpoints


class ExportedLog:
    """The exported index, runs and earlier checkpoints in the folder of a log."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def index(self, block: int) -> bytes | None:
        return self._checkpoints.folder.read(block_name(block))

    def run(self, number: int) -> bytes | None:
        return self._checkpoints.folder.read(run_name(number))

    def earlier(self, size: int) -> list[Checkpoint]:
        found = (each for each in self._checkpoints.folder.sizes() if each < size)
        return [self._checkpoints.exported(each).checkpoint for each in found]
