"""What happens to the engine itself."""

from domain.message import Event


class EngineStarted(Event, frozen=True, array_like=True, tag="engine.started.v1"):
    """A run begins, or goes on after an upgrade, under this code; `rules` names the simulated venue's fill rules."""

    engine_version: str
    rules_hash: str
    rules: str
