"""Addresses of MQTT brokers: mqtt://[USER@]HOST[:PORT]/TOPIC[?qos=0|1|2][&ca=FILE], and mqtts:// with TLS.

The password, and the user too if one likes, come from the environment, so that no list of processes shows them.
"""

import os
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from stdl_events.errors import UserError

PASSWORD, USER = "STDL_EVENTS_MQTT_PASSWORD", "STDL_EVENTS_MQTT_USER"
PORTS = {"mqtt": 1883, "mqtts": 8883}
SETTINGS = ("qos", "ca")


@dataclass(frozen=True)
class MqttAddress:
    """A broker and a topic.

    Attributes:
        name: of the sink, without user and settings.
        ca: a file of certificates that are trusted instead of the system's; None for these.
    """

    name: str
    host: str
    port: int
    topic: str
    qos: int = 0
    tls: bool = False
    ca: str | None = None
    user: str | None = None
    password: str | None = None


def parse_mqtt(scheme: str, where: str) -> MqttAddress:
    """Parse what follows `scheme` and a colon.

    Raises:
        UserError: it has another form, or holds a password.
    """
    example = f"{scheme}://HOST:{PORTS[scheme]}/TOPIC"
    try:
        parts = urlsplit(f"{scheme}://{where.removeprefix('//')}")
        host, port = parts.hostname, parts.port or PORTS[scheme]
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _wrong(scheme, "no host and port", example) from None
    if parts.password is not None:
        raise UserError(
            f"sink {scheme}", got="a password in the address, which others can read in the list of processes",
            expected=f"the password in the environment variable {PASSWORD}", todo="move it there",
        )  # fmt: skip
    topic = unquote(parts.path.strip("/"))
    name = f"{scheme}://{parts.netloc.rpartition('@')[2]}/{topic}"
    if not host or not topic:
        raise _wrong(name, "no topic" if host else "no host", example)
    if set(topic) & set("+#\0"):
        raise _wrong(name, f"the topic {topic!r}", "a topic without + and #")
    if unknown := sorted(set(given) - set(SETTINGS)):
        raise _wrong(name, f"the setting {unknown[0]}", f"{example}?qos=1&ca=FILE")
    if "ca" in given and scheme != "mqtts":
        raise _wrong(name, "ca=FILE without encryption", f"mqtts://HOST:{PORTS['mqtts']}/TOPIC?ca=FILE")
    if (qos := given.get("qos", "0")) not in ("0", "1", "2"):
        raise _wrong(name, f"qos={qos}", "qos=0, 1 or 2")
    user = unquote(parts.username) if parts.username else os.environ.get(USER)
    return MqttAddress(
        name, host, port, topic, int(qos), scheme == "mqtts", given.get("ca"), user, os.environ.get(PASSWORD)
    )


def _wrong(name: str, got: str, expected: str) -> UserError:
    return UserError(f"sink {name}", got=got, expected=expected, todo="correct it")
