"""The page's server: foreign pages are refused, the token is asked for, and no script runs that is not its own."""

import io
import re
import socket
import sys
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi", reason="needs the extra `monitor`")
httpx = pytest.importorskip("httpx", reason="needs the extra `dev`")

from monitored import MonitoredRun  # noqa: E402
from websockets.exceptions import InvalidStatus  # noqa: E402

from stdl_events.errors import MissingExtraError, UserError  # noqa: E402
from stdl_events.live.monitor import Monitor, sink  # noqa: E402
from stdl_events.live.monitor.address import DEFAULT_PORT, Address  # noqa: E402


@pytest.fixture(scope="module")
def loopback(tmp_path_factory):
    with MonitoredRun(tmp_path_factory.mktemp("run")) as run:
        yield run


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A run whose page other machines reach; this one calls it by loopback."""
    with MonitoredRun(tmp_path_factory.mktemp("run"), "0.0.0.0:0") as run:
        run.url = f"http://127.0.0.1:{urlsplit(run.url).port}/"
        yield run


def status_of_socket(run, **headers):
    try:
        run.connect(**headers).close()
    except InvalidStatus as error:
        return error.response.status_code
    return 101


def test_every_script_and_style_has_the_nonce_of_its_answer(loopback):
    answers = [httpx.get(loopback.url) for _ in range(2)]
    nonces = [
        re.search(r"script-src 'nonce-([\w-]{22})'", answer.headers["content-security-policy"]) for answer in answers
    ]
    assert nonces[0][1] != nonces[1][1]
    for answer, nonce in zip(answers, nonces, strict=True):
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        tags = re.findall(r"<(?:script|style|link|iframe|img|object)\b[^>]*>", answer.text)
        assert tags == [f'<style nonce="{nonce[1]}">', f'<script nonce="{nonce[1]}">']
        html = re.sub(r"<(script|style)\b.*?</\1>", "", answer.text, flags=re.DOTALL)
        assert re.findall(r"\s(?:on\w+|style)=", html) == []
        assert "http:" not in answer.text.replace("http://www.w3.org", "")  # nothing is loaded from elsewhere


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"Host": "localhost:9000"}, 200),  # a tunnel
        ({"Host": "evil.example"}, 403),
        ({"Host": "192.168.1.7:8765"}, 403),
        ({"Host": "127.0.0.1@evil.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another program of this machine
    ],
)
def test_foreign_pages_are_refused(loopback, headers, expected):
    assert httpx.get(loopback.url, headers=headers).status_code == expected


def test_foreign_pages_get_no_socket(loopback):
    assert status_of_socket(loopback) == 101
    assert status_of_socket(loopback, Origin="http://evil.example") == 403
    assert status_of_socket(loopback, Origin=None) == 403
    assert status_of_socket(loopback, Origin=loopback.url.rstrip("/").replace("127.0.0.1", "localhost")) == 403


def test_there_is_one_page(loopback):
    for path in ("docs", "openapi.json", "../m.onnx", "live"):
        assert httpx.get(loopback.url + path).status_code == 404
    assert httpx.post(loopback.url).status_code == 405


def test_other_machines_need_the_token(public):
    assert len(public.token) >= 43
    assert public.messages.getvalue().count(public.token) == 1
    bare, wrong = httpx.get(public.url), httpx.get(public.url, params={"token": "é" + public.token[1:]})
    assert [bare.status_code, wrong.status_code] == [401, 401]
    assert "set-cookie" not in wrong.headers
    assert status_of_socket(public) == 401
    assert status_of_socket(public, Cookie="stdl_events=1; =;") == 401
    assert httpx.get(public.url, headers={"Authorization": f"Bearer {public.token}"}).status_code == 200
    assert httpx.get(public.url, params={"token": public.token}, headers={"Host": "evil.example"}).status_code == 403


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_have(public):
    answer = httpx.get(public.url, params={"token": public.token})
    assert answer.status_code == 200
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert httpx.get(public.url, headers={"Cookie": cookie}).status_code == 200
    assert status_of_socket(public, Cookie=cookie) == 101
    assert public.token not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8765", ("127.0.0.1", 8765, True)),
        ("9000", ("127.0.0.1", 9000, True)),
        ("localhost", ("localhost", None, True)),
        ("[::1]:80", ("::1", 80, True)),
        ("0.0.0.0:8765", ("0.0.0.0", 8765, False)),
        ("jetson.local:1", ("jetson.local", 1, False)),
    ],
)
def test_addresses(text, expected):
    address = Address.parse(text)
    assert (address.host, address.port, address.is_loopback) == expected


@pytest.mark.parametrize("text", ["", ":", "a:b", "1:2:3", "127.0.0.1:70000", "http://127.0.0.1:1", "a b:1"])
def test_what_is_no_address(text):
    with pytest.raises(UserError, match=r"--monitor: got .* expected HOST:PORT"):
        Address.parse(text)


def test_names_of_a_server_that_others_reach():
    address = Address.parse("0.0.0.0:1")
    assert address.is_host("192.168.1.7")
    assert address.is_host(socket.gethostname().lower())
    assert not address.is_host("evil.example")
    assert Address.parse("[::1]:5").url(5) == "http://[::1]:5/"


def test_a_taken_port(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="address already in use; expected an address of this machine, and a free"):
            Address("127.0.0.1", port).listen()
    with pytest.raises(UserError, match=r"--monitor 192\.0\.2\.1:8765: got"):
        Address("192.0.2.1").listen()
    first, second = Address().listen(), Address().listen()  # the default one, or free ones
    assert first.getsockname()[1] != second.getsockname()[1] != DEFAULT_PORT
    first.close()
    second.close()


def test_without_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "stdl_events.live.monitor.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stdl-events\[monitor\]'"):
        Monitor(Address(), messages=io.StringIO())
    assert sink.RECORDING_NAME.endswith(".aedat4")
