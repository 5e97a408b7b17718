"""Discord's rate limits: one bucket for each route and its major parameter, and one for everything together."""

import hashlib
import time
from dataclasses import dataclass, field

from multidict import CIMultiDict


@dataclass(frozen=True)
class Limit:
    """So many requests in so many seconds."""

    requests: int
    per_s: float


GLOBAL = Limit(50, 1.0)
DEFAULT = Limit(50, 5.0)
LIMITS = {
    "create_message": Limit(5, 5.0),
    "edit_message": Limit(5, 5.0),
    "delete_message": Limit(5, 1.0),
    "add_reaction": Limit(1, 0.25),
    "remove_own_reaction": Limit(1, 0.25),
    "execute_webhook": Limit(5, 2.0),
    "get_original_response": Limit(5, 2.0),
    "edit_original_response": Limit(5, 2.0),
    "edit_followup": Limit(5, 2.0),
}
"""By endpoint; the figures that clients are seen to get from Discord."""

UNLIMITED = frozenset({"interaction_callback", "gateway_bot"})


@dataclass
class _Bucket:
    limit: Limit
    resets_at: float = 0.0
    used: int = 0

    def take(self, now: float) -> bool:
        if now >= self.resets_at:
            self.resets_at, self.used = now + self.limit.per_s, 0
        self.used += 1
        return self.used <= self.limit.requests


@dataclass(frozen=True)
class Allowance:
    """Whether a request may pass, and the headers that say so."""

    headers: CIMultiDict[str]
    retry_after: float | None = None
    is_global: bool = False


@dataclass
class RateLimits:
    """All buckets of one application. `limits` may be changed by a test."""

    limits: dict[str, Limit] = field(default_factory=lambda: dict(LIMITS))
    overall: Limit = GLOBAL
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)

    def take(self, endpoint: str, major: str) -> Allowance:
        """Count one request. `major` is the channel, guild or webhook that Discord counts apart."""
        if endpoint in UNLIMITED:
            return Allowance(CIMultiDict())
        now = time.monotonic()
        everything = self._bucket("*", "", self.overall)
        # Webhooks, and so replies to interactions, are outside the global limit.
        if not major.startswith("webhook") and not everything.take(now):
            return Allowance(CIMultiDict(), max(everything.resets_at - now, 0.001), is_global=True)
        bucket = self._bucket(endpoint, major, self.limits.get(endpoint, DEFAULT))
        allowed = bucket.take(now)
        wait = max(bucket.resets_at - now, 0.001)
        return Allowance(_headers(endpoint, bucket, wait), None if allowed else wait)

    def _bucket(self, endpoint: str, major: str, limit: Limit) -> _Bucket:
        bucket = self._buckets.setdefault((endpoint, major), _Bucket(limit))
        bucket.limit = limit
        return bucket


def _headers(endpoint: str, bucket: _Bucket, wait: float) -> CIMultiDict[str]:
    return CIMultiDict(
        {
            "X-RateLimit-Bucket": hashlib.sha256(endpoint.encode()).hexdigest()[:32],
            "X-RateLimit-Limit": str(bucket.limit.requests),
            "X-RateLimit-Remaining": str(max(bucket.limit.requests - bucket.used, 0)),
            "X-RateLimit-Reset": f"{time.time() + wait:.3f}",
            "X-RateLimit-Reset-After": f"{wait:.3f}",
        }
    )
