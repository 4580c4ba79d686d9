"""The sinks `mqtt` and `mqtts`: predictions and the state of a run to an MQTT broker; the only door to paho-mqtt.

TOPIC gets each prediction, as in `--json-lines`. TOPIC/status gets, retained, {"state": "online"} at each connection,
{"state": "running", "summary": {...}} once a second, and {"state": "ended", "summary": {...}}; the broker itself sets
{"state": "lost"} there when this program dies.
"""

import json
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, TypeAlias

from stdl_events.errors import UserError
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks.extras import missing_extra
from stdl_events.live.sinks.lines import say, say_overloaded
from stdl_events.live.sinks.mqtt_address import MqttAddress, parse_mqtt
from stdl_events.live.summary import LiveSummary

WAITING_MESSAGES = 1_000
CLOSE_S = 1.0
# Messages of QoS 1 and 2 that the broker has not acknowledged.
UNACKNOWLEDGED = 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_CONNECT_S, _KEEPALIVE_S, _LOOK_S = 3.0, 15, 1.0

Message: TypeAlias = tuple[str, str, bool]


def open_mqtt(where: str) -> "MqttSink":
    """Open the sink `mqtt`; see `parse_mqtt` for the address.

    Raises:
        UserError: the address is wrong.
        MissingExtraError: paho-mqtt is not installed.
    """
    return MqttSink(parse_mqtt("mqtt", where))


def open_mqtts(where: str) -> "MqttSink":
    """Open the sink `mqtts`, which encrypts; see `open_mqtt`."""
    return MqttSink(parse_mqtt("mqtts", where))


class MqttSink:
    """A `StatusSink` whose messages a thread of its own sends, and which connects again when the broker was lost.

    Nothing waits for the broker: of more than `WAITING_MESSAGES` the oldest is dropped and counted.
    """

    def __init__(self, address: MqttAddress, messages: TextIO | None = None) -> None:
        self.name = address.name
        self._topic, self._status_topic = address.topic, f"{address.topic}/status"
        self._link = _Link(address, (self._status_topic, _state("online"), _state("lost")), messages)
        self._messages = messages

    def predicted(self, prediction: Prediction) -> None:
        self._link.put((self._topic, prediction.to_json(), False))

    def overloaded(self, dropped_frames: int) -> None:
        say_overloaded(dropped_frames, self._messages)

    def status(self, summary: LiveSummary) -> None:
        self._link.put((self._status_topic, _state("running", summary), True))

    def ended(self, summary: LiveSummary) -> None:
        self._link.put((self._status_topic, _state("ended", summary), True))
        lost = self._link.close()
        if lost:
            say(f"{self.name}: {lost} messages were not sent", self._messages)


def _state(state: str, summary: LiveSummary | None = None) -> str:
    return json.dumps({"state": state, **(json.loads(summary.to_json()) if summary else {})})


class _Link:
    """The connection and its thread, which alone uses the client of paho-mqtt."""

    def __init__(self, address: MqttAddress, birth: tuple[str, str, str], messages: TextIO | None) -> None:
        self._address, self._messages = address, messages
        self._status_topic, self._online, lost = birth
        self._client = _client(address, self._on_connect, self._on_publish)
        self._client.will_set(self._status_topic, lost, qos=1, retain=True)
        self._waiting: deque[Message] = deque()
        self._lock = threading.Lock()
        self._wakes, self._wake = socket.socketpair()
        self._wakes.setblocking(False)
        self._wake.setblocking(False)
        self._dropped = self._unacknowledged = 0
        self._closing, self._online_now, self._said = threading.Event(), False, False
        self._thread = threading.Thread(target=self._run, name="stdl-events mqtt", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Add a message, without waiting."""
        with self._lock:
            if len(self._waiting) >= WAITING_MESSAGES:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(message)
        self._rouse()

    def close(self) -> int:
        """Send what is waiting, for at most `CLOSE_S`, and return the number of messages that were not sent."""
        self._closing.set()
        self._rouse()
        self._thread.join(CLOSE_S)
        with self._lock:
            return self._dropped + len(self._waiting) + self._unacknowledged

    def _rouse(self) -> None:
        with suppress(OSError):  # the thread is behind already, or has ended
            self._wake.send(b"x")

    def _run(self) -> None:
        with self._wake, self._wakes:
            self._connect_again_and_again()

    def _connect_again_and_again(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                self._client.connect(self._address.host, self._address.port, keepalive=_KEEPALIVE_S)
                self._serve()
            except (OSError, ValueError) as error:
                self._say_lost(getattr(error, "strerror", None) or str(error) or type(error).__name__)
            pause_s = _FIRST_PAUSE_S if self._online_now else min(2 * pause_s, _LONGEST_PAUSE_S)
            self._online_now = False
            if self._closing.wait(pause_s):
                return

    def _serve(self) -> None:
        """Send messages until the connection is lost, or all are sent and the sink is closed."""
        while (connection := self._client.socket()) is not None:
            if self._online_now and not self._client.want_write():
                self._send_waiting()
                if self._closing.is_set() and self._is_done():
                    self._client.disconnect()
                    return
            writes = [connection] if self._client.want_write() else []
            decrypted = self._address.tls and connection.pending()  # which `select` does not see
            ready, free, _ = select.select([connection, self._wakes], writes, [], 0 if decrypted else _LOOK_S)
            if self._wakes in ready:
                with suppress(BlockingIOError):
                    self._wakes.recv(4096)
            if (connection in ready or decrypted) and self._client.loop_read():
                break
            if free and self._client.loop_write():
                break
            self._client.loop_misc()
        self._say_lost("the connection is lost")

    def _is_done(self) -> bool:
        return not (self._waiting or self._unacknowledged or self._client.want_write())

    def _send_waiting(self) -> None:
        while not self._client.want_write() and self._unacknowledged < UNACKNOWLEDGED:
            with self._lock:
                if not self._waiting:
                    return
                topic, payload, retain = self._waiting.popleft()
                self._unacknowledged += 1
            self._client.publish(topic, payload, qos=self._address.qos, retain=retain)

    def _on_connect(self, client: Any, data: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            self._say_lost(str(reason).lower())
            client.disconnect()
            return
        if self._address.qos == 0:  # what was not written to the connection before is gone
            with self._lock:
                self._dropped, self._unacknowledged = self._dropped + self._unacknowledged, 0
        self._online_now, self._said = True, False
        with self._lock:
            self._unacknowledged += 1
        client.publish(self._status_topic, self._online, qos=self._address.qos, retain=True)

    def _on_publish(self, *_: object) -> None:
        with self._lock:
            self._unacknowledged -= 1

    def _say_lost(self, why: str) -> None:
        if not self._said and not self._closing.is_set():
            self._said = True
            say(f"{self._address.name}: {why.lower()}: it is tried again", self._messages)


def _client(address: MqttAddress, on_connect: Callable[..., None], on_publish: Callable[..., None]) -> Any:
    try:
        from paho.mqtt import client as paho
    except ImportError:
        raise missing_extra(f"sink {address.name}", "paho-mqtt", "mqtt") from None
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.connect_timeout = _CONNECT_S
    client.on_connect, client.on_publish = on_connect, on_publish
    if address.user is not None:
        client.username_pw_set(address.user, address.password)
    if address.tls:
        try:
            client.tls_set(ca_certs=address.ca)
        except OSError as error:
            raise UserError(
                f"sink {address.name}", got=f"{error.strerror or error} ({address.ca})".lower(),
                expected="a file of certificates", todo="correct ca=FILE",
            ) from None  # fmt: skip
    return client
