"""Which requests the page's server answers: none of a foreign page, and none without the token where there is one.

A page of another origin that is open in the same browser may send requests to this server, and by rebinding its own
name to this machine even read the answers. `Guard` therefore checks the Host and the Origin of every request before
anything else, also on loopback.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from stdl_events.live.monitor.address import Address

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_COOKIE = "stdl_events_{port}"
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def content_policy(nonce: str) -> str:
    """Return the Content-Security-Policy of the page: its own script and style, by their nonce, and nothing else."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class Guard:
    """ASGI middleware that refuses: 403 for a foreign Host or Origin, 401 without the token.

    The token comes as `?token=` in the page's address, which is answered with a cookie that scripts cannot read and
    other sites cannot send; or as `Authorization: Bearer`.

    Args:
        token: None asks for none.
    """

    def __init__(self, app: App, address: Address, port: int, token: str | None) -> None:
        self._app, self._address, self._token = app, address, token
        self._cookie = _COOKIE.format(port=port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(scope, receive, send, *refusal)
            return
        by_address = self._token is not None and self._is_token(_query_token(scope))

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                added = HEADERS | ({"set-cookie": self._set_cookie} if by_address else {})
                message["headers"] = [*message.get("headers", []), *_encoded(added)]
            await send(message)

        await self._app(scope, receive, with_headers)

    @property
    def _set_cookie(self) -> str:
        return f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"

    def _refusal(self, scope: Scope, headers: list[tuple[str, str]]) -> tuple[int, str] | None:
        """Return the status and the words of a refusal."""
        hosts = _values(headers, "host")
        if len(hosts) != 1 or not self._address.is_host(_name(hosts[0])):
            return 403, "this server has another name"
        origins = _values(headers, "origin")
        if origins != [f"http://{hosts[0]}"] and (origins or scope["type"] == "websocket"):
            return 403, "a page of another origin"
        if self._token is not None and not any(map(self._is_token, self._offered(scope, headers))):
            return 401, "the token is missing or wrong: use the address that the program printed"
        return None

    def _offered(self, scope: Scope, headers: list[tuple[str, str]]) -> list[str]:
        bearers = [value[7:] for value in _values(headers, "authorization") if value[:7].lower() == "bearer "]
        return [*_cookies(headers, self._cookie), *bearers, _query_token(scope)]

    def _is_token(self, offered: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(offered.encode("utf-8", "replace"), (self._token or "").encode())


def _values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in headers if key == name]


def _name(host: str) -> str:
    """Return the name in a Host header, without port and brackets; what is none is empty."""
    try:
        return urlsplit(f"//{host}").hostname or "" if not set(host) & set("/?#@\\") else ""
    except ValueError:
        return ""


def _cookies(headers: list[tuple[str, str]], name: str) -> list[str]:
    found = []
    for value in _values(headers, "cookie"):
        try:
            cookies = SimpleCookie(value)
        except CookieError:
            continue
        if name in cookies:
            found.append(cookies[name].value)
    return found


def _query_token(scope: Scope) -> str:
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return (query.get("token") or [""])[0]


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _answer(scope: Scope, receive: Receive, send: Send, status: int, words: str) -> None:
    prefix = "http"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": words})
            return
        prefix = "websocket.http"
    headers = _encoded(HEADERS | {"content-type": "text/plain; charset=utf-8"})
    await send({"type": f"{prefix}.response.start", "status": status, "headers": headers})
    await send({"type": f"{prefix}.response.body", "body": f"{words}\n".encode()})
