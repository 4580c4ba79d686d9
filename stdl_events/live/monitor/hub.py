"""What all viewers are shown, in the server's thread: the newest picture, and the predictions and counts so far."""

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from stdl_events.live.controls import Controls
from stdl_events.live.monitor.feed import PREDICTIONS, SUMMARIES, Feed
from stdl_events.live.monitor.pictures import Picture
from stdl_events.live.summary import LiveSummary

# At most 30 pictures a second, and less where they would take more than a part of one core from the model.
PICTURE_S = 1 / 30
LARGEST_SHARE = 0.25
# Of all predictions that a new viewer is told.
HISTORY_BYTES = 1 << 19


@dataclass
class Seen:
    """How far a viewer has been told."""

    picture: int = 0
    prediction: int = -1
    summary: int = 0
    others: str = ""
    missed: int = 0


class Hub:
    """The state of the page.

    Args:
        facts: see `facts.run_facts`.

    Attributes:
        viewers: number of open pages.
        slow_viewers: number of those that were closed because they did not read.
        ended: the run is over; viewers are told the rest.
    """

    def __init__(self, feed: Feed, picture: Picture, facts: dict[str, Any], controls: Controls) -> None:
        self.viewers = self.slow_viewers = 0
        self.ended = False
        self._feed, self._picture, self._controls = feed, picture, controls
        self._facts = json.dumps({"facts": facts})
        self._png, self._pictures = b"", 0
        self._predictions: deque[tuple[int, str]] = deque(maxlen=PREDICTIONS)
        self._summaries: deque[tuple[int, str]] = deque(maxlen=SUMMARIES)
        self._told = self._ready = 0
        self._others = ""
        self._drawn_s = time.monotonic()
        self._changed = asyncio.Condition()
        self._wanted = asyncio.Event()

    def enter(self) -> Seen:
        """A viewer comes."""
        self.viewers += 1
        self._feed.watched = True
        self._wanted.set()
        return Seen()

    def leave(self) -> None:
        """A viewer goes."""
        self.viewers -= 1
        if not self.viewers:
            self._feed.watched = False
            self._wanted.clear()

    async def run(self) -> None:
        """Take what the run has handed over, at most 30 times a second, and only while a viewer waits for it."""
        while not self.ended:
            await self._wanted.wait()
            began_s = time.monotonic()
            if self._ready:
                await self.update()
            took_s = time.monotonic() - began_s  # longer on a busy machine, where pictures become fewer
            await asyncio.sleep(max(PICTURE_S - took_s, took_s * (1 / LARGEST_SHARE - 1)))

    async def update(self) -> None:
        """Take what is there, and wake the viewers."""
        news = self._feed.take()
        self._predictions.extend((number, prediction.to_json()) for number, prediction in news.predictions)
        excess = sum(len(line) for _, line in self._predictions) - HISTORY_BYTES
        while excess > 0 and len(self._predictions) > 1:
            excess -= len(self._predictions.popleft()[1])
        for summary in news.summaries:
            self._told += 1
            self._summaries.append((self._told, self._status(summary)))
        now_s = time.monotonic()
        if news.chunks or not self._picture.is_dark or not self._pictures:
            self._picture.add(news.chunks, now_s - self._drawn_s)
            self._png = self._picture.png()
            self._pictures += 1
        self._drawn_s = now_s
        others = {"controls": self._controls_state(), "viewers": self.viewers, "ended": self.ended}
        self._others = json.dumps(others)
        async with self._changed:
            self._changed.notify_all()

    async def next(self, seen: Seen) -> list[str | bytes]:
        """Return what is new for a viewer, waiting for it; an empty list is the end."""
        while not (messages := self._new(seen)):
            if self.ended:
                return []
            self._ready += 1
            try:
                async with self._changed:
                    await self._changed.wait()
            finally:
                self._ready -= 1
        return messages

    @property
    def greeting(self) -> str:
        """The first message to a viewer."""
        return self._facts

    def _new(self, seen: Seen) -> list[str | bytes]:
        predictions = [line for number, line in self._predictions if number > seen.prediction]
        summaries = [line for number, line in self._summaries if number > seen.summary]
        parts = []
        if predictions:
            numbers = [number for number, _ in self._predictions if number > seen.prediction]
            if seen.prediction >= 0:  # what came before the viewer did was not missed
                seen.missed += numbers[-1] - seen.prediction - len(numbers)
            seen.prediction = numbers[-1]
            parts += [f'"predictions":[{",".join(predictions)}]', f'"missed":{seen.missed}']
        if summaries:
            seen.summary = self._summaries[-1][0]
            parts.append(f'"summaries":[{",".join(summaries)}]')
        if self._others != seen.others:
            seen.others = self._others
            parts.append(self._others[1:-1])
        messages: list[str | bytes] = ["{" + ",".join(parts) + "}"] if parts else []
        if self._pictures > seen.picture:
            seen.picture = self._pictures
            messages.append(self._png)
        return messages

    def _status(self, summary: LiveSummary) -> str:
        document = {
            "seconds": round(summary.seconds, 3), "events": summary.events, "frames": summary.frames,
            "clips": summary.clips, "losses": summary.losses, "decisions": summary.decisions,
            "latency_us": summary.latency_us, "step_us": summary.step_us, "interrupted": summary.interrupted,
            "page": {"events in no picture": self._feed.skipped_events, "viewers that did not read": self.slow_viewers},
        }  # fmt: skip
        return json.dumps(document)

    def _controls_state(self) -> dict[str, Any]:
        recording = self._controls.recording and self._controls.recording.state
        return {
            "paused": self._controls.paused,
            "thresholds": self._controls.thresholds.model_dump(),
            "decides_early": self._controls.decides_early,
            "recording": recording and {"file": recording.file, "events": recording.events},
            "records": self._controls.recording is not None,
        }
