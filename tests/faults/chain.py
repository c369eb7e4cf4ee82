"""Ring, spool, forwarder and the real MQTT sink in this thread, against a broker: for rows about what comes back.

Time of the forwarder is the test's; the network's is real. `rig.step` is one round.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.delivery import ForwardLimits
from tests.parts.mqtt import gateway
from tests.parts.wait import wait_until
from tests.unit.forward_rig import Rig


class Chain(Rig):
    """forward_rig with a real sink. One sample is one message."""

    def __init__(self, folder: Path, sink: Any, limits: ForwardLimits) -> None:
        super().__init__(folder, slots=4096, rows_per_message=1, sink=sink)
        self.spool.close()
        self.limits = limits
        self.start()

    def give(self, count: int) -> None:
        """Publish samples, none of them the one that the encoder of the rig cannot say."""
        for n in range(count):
            self.publish(float(n % 100))

    def until(
        self, condition: Callable[[], object], what: str = "", seconds: float = 0.02, timeout: float = 20
    ) -> None:
        """Step until the condition holds. seconds: of the forwarder's time, for each round."""
        wait_until(
            lambda: self.step(seconds) or condition(),
            lambda: f"{what}; waiting {self.forwarder.waiting}; {self.sink.state()}; {self.forwarder.counters}",
            timeout,
        )

    def rejected(self) -> list[dict[str, Any]]:
        """Return the side file."""
        path = self.path / "spool" / "rejected" / "messages.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def chain(folder: Path, port: int, limits: ForwardLimits | None = None, **settings: Any) -> Iterator[Chain]:
    """Yield a chain whose sink is started."""
    with gateway(port, **settings) as sink:
        made = Chain(folder, sink, limits or ForwardLimits(ack_timeout_s=30, keep_s=0.2))
        try:
            yield made
        finally:
            made.spool.close()
