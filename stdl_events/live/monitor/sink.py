"""`Monitor`: the sink of a run that is shown in a browser."""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from stdl_events.errors import MissingExtraError
from stdl_events.events.sources.inbox import Overload
from stdl_events.events.stream import EventArray, EventSource
from stdl_events.live.controls import Controls
from stdl_events.live.monitor.address import Address
from stdl_events.live.monitor.facts import run_facts
from stdl_events.live.monitor.feed import Feed
from stdl_events.live.monitor.hub import Hub
from stdl_events.live.monitor.pictures import Picture
from stdl_events.live.recogniser import Prediction, Recogniser
from stdl_events.live.recording_switch import RecordingSwitch
from stdl_events.live.sinks.recorder import Recorder
from stdl_events.live.summary import LiveSummary

if TYPE_CHECKING:
    from stdl_events.live.monitor.server import Server

# Chosen here, and never by the page.
RECORDING_NAME = "live-%Y%m%d-%H%M%S.aedat4"


class Monitor:
    """Serves a page that shows a run and controls it: hand its `controls` to `run_live` too.

    An address that other machines reach has a token, which is part of the address that is printed once.

    Args:
        address: where the page is served.
        source_name: as the user knows the source.
        folder: of the recordings that the page starts.
        overload: what such a recording does if the disk is too slow.

    Attributes:
        controls: what the page changes.
        url: of the page, with its token; None before the run has started.

    Raises:
        MissingExtraError: FastAPI or uvicorn is not installed.
        UserError: the address is not of this machine, or its port is taken.
    """

    name = "monitor"

    def __init__(
        self,
        address: Address,
        source_name: str = "",
        *,
        folder: Path | str = ".",
        overload: Overload = "fresh",
        messages: TextIO | None = None,
    ) -> None:
        self._open_server = _server_class()
        self._address, self._source_name = address, source_name
        self._folder, self._overload, self._messages = Path(folder), overload, messages
        self._feed = Feed()
        self._server: Server | None = None
        self._sensor_size = (0, 0)
        self.controls = Controls(RecordingSwitch(self._recorder))
        self.url: str | None = None
        self._listening = address.listen()

    def started(self, recogniser: Recogniser, source: EventSource) -> None:
        self._sensor_size = source.sensor_size
        hub = Hub(
            self._feed, Picture(source.sensor_size), run_facts(self._source_name, source, recogniser), self.controls
        )
        token = None if self._address.is_loopback else secrets.token_urlsafe(32)
        self._server = self._open_server(self._listening, self._address, token, hub, self.controls)
        self._server.start()
        self.url = self._address.url(self._listening.getsockname()[1]) + (f"?token={token}" if token else "")
        print(f"stdl-events: monitor: {self.url}", file=self._messages or sys.stderr, flush=True)

    def received(self, events: EventArray) -> None:
        self._feed.add_chunk(events)

    def predicted(self, prediction: Prediction) -> None:
        self._feed.add_prediction(prediction)

    def overloaded(self, dropped_frames: int) -> None:
        """Dropped frames are in the summaries."""

    def status(self, summary: LiveSummary) -> None:
        self._feed.add_summary(summary)

    def ended(self, summary: LiveSummary) -> None:
        self._feed.add_summary(summary)
        if self._server is not None:
            self._server.end()
        self._listening.close()

    def _recorder(self) -> Recorder:
        path = self._folder / RECORDING_NAME
        return Recorder(path, self._sensor_size, overload=self._overload, messages=self._messages)


def _server_class() -> "type[Server]":
    try:
        from stdl_events.live.monitor.server import Server
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "monitor", got=f"no package {error.name}", expected="the extra `monitor`",
            todo="pip install 'stdl-events[monitor]'",
        ) from None  # fmt: skip
    return Server
