"""A source that ends for a test, although its sender may go on."""

import time
from collections.abc import Callable

# After the sender has ended, all of it lies in the socket; a machine under load may need long to take it.
PATIENCE_S = 20.0


class Until:
    """A source up to the moment at which `count` events have arrived, or its sender has been gone for long.

    Attributes:
        events: chunks so far.
    """

    overload = "complete"

    def __init__(self, source, count: int, is_gone: Callable[[], bool] = lambda: False) -> None:
        self.source, self.count, self.is_gone, self.events = source, count, is_gone, []
        self.sensor_size = source.sensor_size

    @property
    def counts(self):
        return self.source.counts

    @property
    def t_now_us(self):
        return self.source.t_now_us

    def chunks(self):
        arrived, gone_s = 0, None
        for events in self.source.chunks():
            self.events.append(events)
            arrived += len(events)
            yield events
            if arrived >= self.count:
                return
            if not len(events) and self.is_gone():
                gone_s = gone_s or time.monotonic()
                if time.monotonic() > gone_s + PATIENCE_S:
                    return
