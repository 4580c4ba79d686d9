"""MQTT, with a broker of another project: what a subscriber sees, and a broker that is away, dies or does not read."""

import asyncio
import io
import json
import shutil
import socket
import subprocess
import threading
from dataclasses import replace

import pytest

from stdl_events.errors import UserError
from stdl_events.live import StatusSink
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks import mqtt, open_sink
from stdl_events.live.sinks.mqtt import MqttSink
from stdl_events.live.sinks.mqtt_address import MqttAddress, parse_mqtt
from stdl_events.live.summary import LiveSummary

amqtt_broker = pytest.importorskip("amqtt.broker", reason="the broker amqtt is not installed")
amqtt_client = pytest.importorskip("amqtt.client", reason="the broker amqtt is not installed")

PATIENCE_S = 60
SUMMARY = replace(LiveSummary.before_the_start(2.0), clips=3, interrupted=False)


def prediction(clip=0):
    return Prediction(1_000, "walk", {"walk": 0.75, "run": 0.25}, 500, clip, 3, True, "walk", "recognised")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Broker:
    """amqtt in a thread of its own, and a subscriber to everything below `gate`."""

    def __init__(self, port, certificate=None):
        self.port, self._certificate = port, certificate
        self.messages = []
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._start())

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _start(self):
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}}
        if self._certificate is not None:
            self.tls_port = free_port()
            key, certificate = self._certificate
            tls = {"ssl": True, "certfile": str(certificate), "keyfile": str(key)}
            listeners["encrypted"] = {"type": "tcp", "bind": f"127.0.0.1:{self.tls_port}"} | tls
        self._broker = amqtt_broker.Broker({"listeners": listeners, "plugins": plugins})
        await self._broker.start()
        self._subscriber = await self._subscribed()
        self._reading = asyncio.ensure_future(self._read(self._subscriber))

    async def _subscribed(self):
        client = amqtt_client.MQTTClient()
        await client.connect(f"mqtt://127.0.0.1:{self.port}/")
        await client.subscribe([("gate/#", 1)])
        return client

    async def _read(self, client):
        while True:
            message = await client.deliver_message()
            with self._changed:
                self.messages.append((message.topic, json.loads(message.data)))
                self._changed.notify_all()

    def wait_for(self, state):
        """Wait for a message of this state; return all so far."""
        with self._changed:
            found = self._changed.wait_for(lambda: state in [m.get("state") for _, m in self.messages], PATIENCE_S)
            assert found, self.messages
            return list(self.messages)

    def retained(self):
        """Return what a new subscriber is told first."""

        async def ask():
            client = await self._subscribed()
            message = await client.deliver_message(timeout_duration=PATIENCE_S)
            await client.disconnect()
            return json.loads(message.data)

        return self._run(ask())

    def stop(self):
        async def end():
            self._reading.cancel()
            await self._subscriber.disconnect()
            await self._broker.shutdown()

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


@pytest.mark.parametrize("qos", [0, 1])
def test_a_subscriber_sees_predictions_states_and_the_summary(qos):
    broker, messages = Broker(free_port()), io.StringIO()
    try:
        sink = MqttSink(parse_mqtt("mqtt", f"127.0.0.1:{broker.port}/gate/a?qos={qos}"), messages)
        assert isinstance(sink, StatusSink)
        broker.wait_for("online")
        sink.predicted(prediction())
        sink.status(replace(SUMMARY, clips=1))
        assert broker.wait_for("running")[-1][1]["summary"]["clips"] == 1
        sink.predicted(prediction(clip=1))
        sink.ended(SUMMARY)
        seen = broker.wait_for("ended")
        told = [json.loads(prediction(clip).to_json()) for clip in (0, 1)]
        assert [message for topic, message in seen if topic == "gate/a"] == told
        states = [message for topic, message in seen if topic == "gate/a/status"]
        assert [message["state"] for message in states] == ["online", "running", "ended"]
        assert states[-1]["summary"] == json.loads(SUMMARY.to_json())["summary"]
        assert broker.retained() == states[-1]
        assert messages.getvalue() == ""
    finally:
        broker.stop()


@pytest.fixture
def certificate(tmp_path):
    """A key and a certificate of it for this machine, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, made = tmp_path / "key.pem", tmp_path / "made.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
    ]
    command += ["2", "-subj", "/CN=gate", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", made]
    subprocess.run(command, check=True, capture_output=True)
    return key, made


# paho-mqtt leaves the socket of a handshake that failed to the collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_an_encrypted_connection_and_one_that_is_not_trusted(certificate):
    broker, messages = Broker(free_port(), certificate), io.StringIO()
    try:
        address = f"127.0.0.1:{broker.tls_port}/gate"
        sink = MqttSink(parse_mqtt("mqtts", f"{address}?qos=1&ca={certificate[1]}"), messages)
        broker.wait_for("online")
        for clip in range(50):
            sink.predicted(prediction(clip))
        sink.ended(SUMMARY)
        seen = broker.wait_for("ended")
        assert [message["clip"] for topic, message in seen if topic == "gate"] == list(range(50))
        assert messages.getvalue() == ""
        strange = MqttSink(parse_mqtt("mqtts", address), messages)
        strange.ended(SUMMARY)
        assert "1 messages were not sent" in messages.getvalue()
    finally:
        broker.stop()


class Messages(io.StringIO):
    """What a sink says; `lost` is set once it says that the connection is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if "the connection is lost: it is tried again" in self.getvalue():
            self.lost.set()
        return written


def test_the_broker_says_that_a_run_died():
    broker, messages = Broker(free_port()), Messages()
    try:
        sink = MqttSink(parse_mqtt("mqtt", f"127.0.0.1:{broker.port}/gate"), messages)
        broker.wait_for("online")
        sink._link._client.socket().shutdown(socket.SHUT_RDWR)
        broker.wait_for("lost")
        seen = broker.wait_for("lost")
        assert messages.lost.wait(20)  # the broker may notice before the client's thread does
        sink.ended(SUMMARY)  # it connected again, or its last words are counted
        assert [message["state"] for _, message in seen][:2] == ["online", "lost"]
    finally:
        broker.stop()


def test_a_broker_that_is_away_costs_the_oldest_messages_and_comes_back(monkeypatch):
    monkeypatch.setattr(mqtt, "WAITING_MESSAGES", 5)
    monkeypatch.setattr(mqtt, "_LONGEST_PAUSE_S", 0.05)
    port, messages = free_port(), io.StringIO()
    sink = MqttSink(parse_mqtt("mqtt", f"127.0.0.1:{port}/gate?qos=1"), messages)
    for clip in range(8):
        sink.predicted(prediction(clip))
    broker = Broker(port)
    try:
        broker.wait_for("online")
        sink.ended(SUMMARY)
        seen = broker.wait_for("ended")
        assert [message["clip"] for topic, message in seen if topic == "gate"][-4:] == [4, 5, 6, 7]
        name = f"stdl-events: warning: mqtt://127.0.0.1:{port}/gate: "
        assert messages.getvalue().startswith(f"{name}connection refused: it is tried again\n{name}")
        lost = int(messages.getvalue().splitlines()[-1].removeprefix(name).split()[0])
        assert lost + len([1 for topic, _ in seen if topic == "gate"]) == 8
    finally:
        broker.stop()


def test_a_broker_that_does_not_read_makes_nothing_wait(monkeypatch):
    monkeypatch.setattr(mqtt, "WAITING_MESSAGES", 20)
    monkeypatch.setattr(mqtt, "CLOSE_S", 0.05)
    messages, large = io.StringIO(), "x" * 1_000_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = MqttSink(MqttAddress("mqtt://silent", *listener.getsockname(), "gate"), messages)
        with listener.accept()[0] as peer:
            peer.sendall(b"\x20\x02\x00\x00")  # CONNACK of MQTT 3.1.1, accepted
            for clip in range(60):
                sink.predicted(replace(prediction(clip), label=large))
            sink.ended(SUMMARY)
            lost = int(messages.getvalue().rpartition(": ")[2].split()[0])
            assert 40 <= lost <= 62
        sink._link._thread.join(PATIENCE_S)


def test_a_refused_user_is_said(monkeypatch):
    messages = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = MqttSink(MqttAddress("mqtt://strict", *listener.getsockname(), "gate", user="u", password="p"), messages)
        with listener.accept()[0] as peer:
            hello = peer.recv(1_000)
            assert hello.endswith(b"\x00\x01u\x00\x01p")
            peer.sendall(b"\x20\x02\x00\x05")
            assert peer.recv(1_000) in (b"", b"\xe0\x00")
        sink.ended(SUMMARY)
    assert "warning: mqtt://strict: not authorized: it is tried again" in messages.getvalue()


def test_user_and_password_come_from_the_environment(monkeypatch):
    assert parse_mqtt("mqtt", "//host/a/b") == MqttAddress("mqtt://host/a/b", "host", 1883, "a/b")
    monkeypatch.setenv("STDL_EVENTS_MQTT_PASSWORD", "secret")
    monkeypatch.setenv("STDL_EVENTS_MQTT_USER", "me")
    found = parse_mqtt("mqtts", "host:99/a%20b?qos=2&ca=x.pem")
    assert found == MqttAddress("mqtts://host:99/a b", "host", 99, "a b", 2, True, "x.pem", "me", "secret")
    found = parse_mqtt("mqtt", "//you@host/a")
    assert (found.user, found.password, found.name) == ("you", "secret", "mqtt://host/a")


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("host", "sink mqtt://host/: got no topic; expected mqtt://HOST:1883/TOPIC"),
        ("/topic", "got no host"),
        ("host:x/topic", "got no host and port"),
        ("host/a/+", "got the topic 'a/+'; expected a topic without + and #"),
        ("host/a?qos=3", "got qos=3; expected qos=0, 1 or 2"),
        ("host/a?ca=x.pem", "got ca=FILE without encryption; expected mqtts://HOST:8883/TOPIC?ca=FILE"),
        ("host/a?user=x", "got the setting user; expected mqtt://HOST:1883/TOPIC?qos=1&ca=FILE"),
        ("me:secret@host/a", "got a password in the address"),
    ],
)
def test_wrong_addresses_are_one_line(where, text):
    with pytest.raises(UserError) as caught:
        open_sink(f"mqtt://{where}")
    assert text in str(caught.value)
    assert "secret" not in str(caught.value)


def test_certificates_that_are_not_there_are_one_line():
    with pytest.raises(UserError, match=r"got no such file or directory \(no.pem\); expected a file of certificates"):
        open_sink("mqtts://host/a?ca=no.pem")
