"""How often is too often: counters in this process, over sliding windows."""

import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from api.problems import ProblemError, retry_after

LOGIN = RateLimitItemPerMinute(10, namespace="login")
"""Per address and name."""
LOGIN_ADDRESS = RateLimitItemPerMinute(60, namespace="address")
"""Per address, whatever the names; also for refresh tokens."""
REQUESTS = RateLimitItemPerMinute(600, namespace="requests")
"""Per user."""
WEBHOOK_PER_MINUTE = 600
"""Per webhook, unless the server is told otherwise; TradingView itself stops an alert after 15 in three minutes."""
UNAUTHORIZED = RateLimitItemPerMinute(60, namespace="unauthorized")
"""Deliveries that nobody may make, per address; and rows written of them, from all together."""


class Limits:
    """The counters of one process. Several processes each count for themselves."""

    def __init__(self, webhook_per_minute: int = WEBHOOK_PER_MINUTE) -> None:
        self.webhook = RateLimitItemPerMinute(webhook_per_minute, namespace="webhook")
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def allows(self, limit: RateLimitItem, *keys: str) -> bool:
        """Count one more; whether it is within the limit."""
        return self._limiter.hit(limit, *keys)

    def check(self, limit: RateLimitItem, *keys: str) -> None:
        """Count one more; raises ProblemError 429, which says when to come back, where it is too many."""
        if not self._limiter.hit(limit, *keys):
            seconds = self._limiter.get_window_stats(limit, *keys).reset_time - time.time()
            detail = f"at most {limit.amount} in {limit.get_expiry()} seconds"
            raise ProblemError(429, "RATE_LIMITED", detail, headers=retry_after(seconds))
