"""The page's server: FastAPI and uvicorn in a thread of their own. The one door to both, imported on use."""

import asyncio
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from stdl_events.live.controls import Controls
from stdl_events.live.monitor.address import Address
from stdl_events.live.monitor.commands import LONGEST_COMMAND, obey
from stdl_events.live.monitor.hub import Hub, Seen
from stdl_events.live.monitor.page import page
from stdl_events.live.monitor.security import Guard, content_policy

MOST_VIEWERS = 32
# A viewer that has not read for so long is closed; its page opens again when it can.
SEND_S = 5.0
# For the last messages and for the end of all connections, after a run.
END_S = 0.4
_TOO_MANY = 1013


def make_app(hub: Hub, controls: Controls, abort: Callable[[Any], None] = lambda client: None) -> FastAPI:
    """Return the application, without its `Guard`.

    Args:
        abort: closes the connection of a client at once, with what was not sent.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def show() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        return HTMLResponse(page(nonce), headers={"content-security-policy": content_policy(nonce)})

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        if hub.viewers >= MOST_VIEWERS:
            await websocket.close(_TOO_MANY, f"{MOST_VIEWERS} pages are open already")
            return
        if not await _serve(websocket, hub, controls):
            abort(websocket.client)

    @app.exception_handler(404)
    def missing(request: Any, error: Any) -> PlainTextResponse:
        return PlainTextResponse("there is one page, at /\n", status_code=404)

    return app


async def _serve(websocket: WebSocket, hub: Hub, controls: Controls) -> bool:
    """Serve a viewer until it goes or the run has ended; return False if it does not read."""
    tasks = [asyncio.create_task(_send(websocket, hub, hub.enter())), asyncio.create_task(_obey(websocket, controls))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.leave()
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    reads = not any(isinstance(outcome, TimeoutError) for outcome in outcomes)
    hub.slow_viewers += not reads
    return reads


async def _send(websocket: WebSocket, hub: Hub, seen: Seen) -> None:
    """Send what is new until the run has ended.

    Raises:
        TimeoutError: the viewer does not read.
    """
    messages: list[str | bytes] = [hub.greeting]
    while messages:
        for message in messages:
            async with asyncio.timeout(SEND_S):
                await (websocket.send_text(message) if isinstance(message, str) else websocket.send_bytes(message))
        messages = await hub.next(seen)
    async with asyncio.timeout(SEND_S):
        await websocket.close(1001, "the run has ended")


async def _obey(websocket: WebSocket, controls: Controls) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            problem = await obey(controls, await websocket.receive_text())
            if problem is not None:
                async with asyncio.timeout(SEND_S):
                    await websocket.send_json({"problem": problem})


class Server:
    """The server of one run's page.

    Args:
        listening: a socket that listens; it is closed at the end.
        token: see `Guard`.
    """

    def __init__(
        self, listening: socket.socket, address: Address, token: str | None, hub: Hub, controls: Controls
    ) -> None:
        self._listening, self._hub = listening, hub
        port = listening.getsockname()[1]
        app = Guard(make_app(hub, controls, self._abort), address, port, token)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, log_level="critical", lifespan="off", http="h11",
            ws="websockets-sansio", ws_max_size=LONGEST_COMMAND, ws_per_message_deflate=False,
            limit_concurrency=4 * MOST_VIEWERS, timeout_keep_alive=5, timeout_graceful_shutdown=1,
            server_header=False, proxy_headers=False,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stdl-events monitor", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        self._ready.wait()

    def end(self) -> None:
        """Tell the viewers the rest, and end the server, within a second."""
        assert self._loop is not None, "the server was started"
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(2 * END_S + 0.2)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
        updating = asyncio.create_task(self._hub.run())
        self._ready.set()
        await self._ending.wait()
        updating.cancel()
        self._hub.ended = True
        await self._hub.update()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                while self._hub.viewers or self._closing:
                    await asyncio.sleep(0.01)
        self._server.should_exit = self._server.force_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await serving

    @property
    def _closing(self) -> bool:
        """True while a viewer has not answered that the connection is closed: until then it may not have read all."""
        return any(getattr(its, "handshake_complete", False) for its in self._server.server_state.connections)

    def _abort(self, client: Any) -> None:
        """Close a connection at once, with what was not sent."""
        for connection in list(self._server.server_state.connections):
            if getattr(connection, "client", None) == client:
                connection.transport.abort()
