"""Metrics in Prometheus's text form: what an operator watches. No names of people or accounts, and nothing secret."""

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from itertools import accumulate
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from api.problems import ProblemError, responses
from api.security import address_of, authenticate, bearer
from infrastructure.event_store.append_measures import BOUNDS, Measured
from infrastructure.event_store.database import Database
from infrastructure.projection_lag import Watch, watch

_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
"""Who sends one of these is a proxy, and asks for somebody else, who may be anywhere."""


class Moment:
    """What is told at one moment, as the client library collects it."""

    def __init__(self, found: Watch, measured: Measured, *, worker_alive: bool) -> None:
        self._found = found
        self._measured = measured
        self._worker_alive = worker_alive

    def collect(self) -> Iterable[Metric]:
        found = self._found
        yield _gauge("log_position", "Position of the log's last event", found.head)
        yield _gauge("sealed_segments", "Sealed segments of 4096 records", found.sealed)
        yield _gauge("inbox_waiting_rows", "Inbox rows that were accepted and not yet taken", found.waiting)
        yield _gauge("worker_alive", "1 while this process's worker takes the inbox", int(self._worker_alive))
        yield self._of_each("position", "Position up to which the rows have every event", lambda lag: lag.position)
        yield self._of_each("lag_events", "Events on the log that the rows do not have", lambda lag: lag.events)
        yield self._of_each("lag_seconds", "How long the next of these has waited", lambda lag: lag.seconds)
        yield self._of_each("stopped", "1 where an event cannot be folded", lambda lag: int(lag.reason is not None))
        yield from self._appends()

    def _of_each(self, name: str, text: str, value: Callable[..., float]) -> Metric:
        family = GaugeMetricFamily(f"truetape_projection_{name}", text, labels=["projection"])
        for lag in self._found.lags:
            family.add_metric([lag.projection], value(lag))
        return family

    def _appends(self) -> Iterable[Metric]:
        measured = self._measured
        text = "Appends of this process that are durable"
        yield CounterMetricFamily("truetape_appended_records", "Records of them", value=measured.records)
        yield CounterMetricFamily("truetape_refused_appends", "Appends that were not written", value=measured.refused)
        ends = [*map(str, BOUNDS), "+Inf"]
        family = HistogramMetricFamily("truetape_append_seconds", f"{text}: from submitting to durable")
        family.add_metric([], list(zip(ends, accumulate(measured.buckets), strict=True)), measured.seconds)
        yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"truetape_{name}", text, value=value)


async def _allowed(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Whoever asks from this very machine, or may read; raises ProblemError 401, 403 or 429."""
    if credentials is None and _is_here(request):
        return
    principal = await authenticate(request, credentials)
    if not principal.may("read"):
        raise ProblemError(403, "FORBIDDEN", f"role {principal.role} may not read")


def _is_here(request: Request) -> bool:
    try:
        return ip_address(address_of(request)).is_loopback and not any(name in request.headers for name in _FORWARDED)
    except ValueError:
        return False


def metrics_router(database: Database, worker_alive: Callable[[], bool]) -> APIRouter:
    router = APIRouter(tags=["health"], dependencies=[Depends(_allowed)])

    @router.get(
        "/metrics",
        summary="Metrics in Prometheus's text form, for this machine or with an access token",
        response_class=Response,
        responses=responses(),
    )
    async def metrics() -> Response:
        found = await to_thread.run_sync(watch, database)
        registry = CollectorRegistry()
        registry.register(Moment(found, database.recorder.sequencer.measures.read(), worker_alive=worker_alive()))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
