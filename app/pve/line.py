"""What all callers of one endpoint share: the pool, how many may call at once, and when it is left alone.

A node that hangs must not use up what the others need, so nodes have shares and breakers of their own.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from app.pve import failures
from app.pve.endpoint import Endpoint
from app.pve.transport import Adapter


@dataclass(frozen=True)
class Limits:
    """`calls` at once per endpoint, half of them per node behind it. After `failures` failures in a row it is left
    alone for `rest` seconds, twice as long each time, at most `longest_rest`; then one call may try."""

    calls: int = 24
    failures: int = 5
    rest: float = 1.0
    longest_rest: float = 15.0


class Breaker:
    """Refuses calls while what they need has failed too often in a row. Thread-safe."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._resting_until = 0.0

    def admit(self) -> None:
        """Raises PveUnreachable with `retry_after`. When the rest is over one caller passes, the others wait for it."""
        with self._lock:
            now = self._clock()
            if now < self._resting_until:
                raise failures.resting(self._resting_until - now)
            if self._failures >= self._limits.failures:
                self._resting_until = now + self._rest()

    def answered(self) -> None:
        with self._lock:
            self._failures, self._resting_until = 0, 0.0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self._limits.failures:
                self._resting_until = self._clock() + self._rest()

    def _rest(self) -> float:
        doublings = min(self._failures - self._limits.failures, 10)
        return float(min(self._limits.longest_rest, self._limits.rest * 2**doublings))


class Line:
    """One endpoint's pool, slots and breakers. Thread-safe."""

    def __init__(self, endpoint: Endpoint, limits: Limits, *, pool_size: int) -> None:
        self.endpoint = endpoint
        self.adapter = Adapter(endpoint, pool_size)
        self._lock = threading.Lock()
        self._whole = Breaker(limits)
        self._slots = threading.BoundedSemaphore(limits.calls)
        self._nodes: dict[str, Breaker] = defaultdict(lambda: Breaker(limits))
        self._shares: dict[str, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(max(1, limits.calls // 2))
        )

    @contextmanager
    def slot(self, node: str | None) -> Iterator[None]:
        """A place for one call; waits at most the endpoint's time-out. Raises PveUnreachable; nothing was sent then."""
        self._whole.admit()
        semaphores = [self._slots]
        if node is not None:
            with self._lock:
                breaker, share = self._nodes[node], self._shares[node]
            breaker.admit()
            semaphores.insert(0, share)
        with ExitStack() as held:
            for semaphore in semaphores:
                if not semaphore.acquire(timeout=self.endpoint.timeout):
                    raise failures.unreachable("Too many calls to the cluster are waiting for their answers.")
                held.callback(semaphore.release)
            yield

    def answered(self, node: str | None) -> None:
        self._whole.answered()
        if node is not None:
            self._of(node).answered()

    def failed(self, node: str | None, *, connecting: bool) -> None:
        """A connection that cannot be made is the endpoint's failure, silence that of the node that was asked for."""
        (self._whole if connecting or node is None else self._of(node)).failed()

    def _of(self, node: str) -> Breaker:
        with self._lock:
            return self._nodes[node]

    def close(self) -> None:
        self.adapter.close()
