"""The stream: what happens, as it happens, over a websocket, each message at its position of the log.

A client sends `{"type": "auth", "token": ...}`, unless it came with an `Authorization` header, and
`{"type": "subscribe", "channels": [...]}`. Then it gets every event behind the position that the answer
`{"type": "subscribed", "position": ...}` names, in the order of the log, and of one position in the order of CHANNELS.

It goes on after a disconnect with `resume_from` and `resume_channel`: the position and the channel of the last message
it had. Then nothing is missing and nothing comes twice. Without `resume_channel` all of that position counts as had: so
with the position of a read's `as_of`, of a heartbeat, or of any message to a client with one channel.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from anyio import CancelScope, CapacityLimiter, create_task_group, fail_after, sleep, to_thread
from fastapi import APIRouter, FastAPI, WebSocket
from msgspec import Meta, Struct
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api.dependencies import TokenCheck, TokensHere, ViewsHere
from api.stream_messages import CHANNELS, Channel, Entry, Place, Replay, end_of
from api.stream_tail import KEPT_RECORDS, Tail
from domain.errors import StoreError
from domain.values import LARGEST
from infrastructure.row_views import Views, log_end

MESSAGE_MAX = 8_192
"""Characters of a client's message."""
SESSIONS_MAX = 2_000
MISTAKES_MAX = 20
REPLAYS_MAX = 2
"""Clients for which the log is read at the same time."""
_STEP = 200
_BEARER = "Bearer "

NORMAL, TOO_LARGE, TOO_MANY_MISTAKES, BROKEN, TRY_AGAIN, UNAUTHORIZED = 1000, 1009, 1008, 1011, 1013, 4401


class StreamSettings(Struct, frozen=True):
    """In seconds: how often a heartbeat comes, how long a message, a goodbye and a client's token may take.

    `kept` are the records that the tail keeps at least.
    """

    heartbeat: float = 30.0
    send: float = 10.0
    close: float = 20.0
    auth: float = 10.0
    kept: int = KEPT_RECORDS


class Auth(Struct, tag_field="type", tag="auth"):
    """An access token; a new one may be sent before the old one expires."""

    token: Annotated[str, Meta(max_length=4_096)]


class Subscribe(Struct, tag_field="type", tag="subscribe"):
    """What to send from now on, or from behind a place."""

    channels: Annotated[list[Channel], Meta(min_length=1, max_length=20)]
    resume_from: Annotated[int, Meta(ge=0, le=LARGEST)] | None = None
    resume_channel: Channel | None = None


_UNREADABLE = "the log cannot be read; try again later"
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Auth | Subscribe] = msgspec.json.Decoder(Auth | Subscribe)


Work = Callable[[Tail], Awaitable[None]]


class _EndError(Exception):
    """The session is over, for this reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Streaming:
    """What the sessions of one application share: the tail, made when the first one needs it."""

    def __init__(self) -> None:
        self.settings = StreamSettings()
        self.sessions = 0
        self.replays = CapacityLimiter(REPLAYS_MAX)
        self._starting = asyncio.Lock()
        self._tail: Tail | None = None

    async def tail(self, views: Views) -> Tail:
        async with self._starting:
            if self._tail is not None and self._tail.broken:
                await self._tail.stop()
                self._tail = None
            if self._tail is None:
                tail = Tail(views, self.settings.kept)
                await tail.start()
                self._tail = tail
            return self._tail

    async def stop(self) -> None:
        if self._tail is not None:
            await self._tail.stop()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.streaming = Streaming()
    try:
        yield
    finally:
        await app.state.streaming.stop()


router = APIRouter(lifespan=_lifespan)


@router.websocket("/stream")
async def stream(socket: WebSocket, views: ViewsHere, tokens: TokensHere) -> None:
    streaming: Streaming = socket.app.state.streaming
    await socket.accept()
    streaming.sessions += 1
    try:
        _admit(streaming)
        await _Session(socket, streaming, views, tokens).run()
    except _EndError as end:
        await _close(socket, end, streaming.settings.close)
    except WebSocketDisconnect:
        pass  # the client has gone
    finally:
        streaming.sessions -= 1


def _admit(streaming: Streaming) -> None:
    if streaming.sessions > SESSIONS_MAX:
        raise _EndError(TRY_AGAIN, "too many clients; try again later")


async def _close(socket: WebSocket, end: _EndError, seconds: float) -> None:
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    try:
        with fail_after(seconds):
            await socket.close(end.code, end.reason)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        pass  # it does not hear us, or has gone; the server closes what we leave


class _Session:
    """One client: what it has asked for, and the place of the last message it was sent."""

    def __init__(self, socket: WebSocket, streaming: Streaming, views: Views, tokens: TokenCheck) -> None:
        self._socket = socket
        self._streaming = streaming
        self._settings = streaming.settings
        self._replays = streaming.replays
        self._tokens = tokens
        self._sending = asyncio.Lock()
        self._views = views
        self._channels: frozenset[str] = frozenset()
        self._epoch = 0
        self._wake = asyncio.Event()
        self._place: Place = (0, 0)
        self._replay: Replay | None = None
        self._subscribed = asyncio.Event()
        self._token = ""
        self._mistakes = 0
        self._beat_due = False
        self._end: _EndError | WebSocketDisconnect | None = None

    async def run(self) -> None:
        """Serve the client until it goes; raises _EndError where we end it."""
        await self._authenticate()
        try:
            tail = await self._streaming.tail(self._views)
        except StoreError:
            raise _EndError(TRY_AGAIN, _UNREADABLE) from None
        tail.listeners.add(self._wake)
        try:
            async with create_task_group() as group:
                for work in (self._listen, self._tell, self._beat):
                    group.start_soon(self._until_the_end, work, tail, group.cancel_scope)
        finally:
            tail.listeners.discard(self._wake)
        if self._end is not None:
            raise self._end

    async def _until_the_end(self, work: Work, tail: Tail, scope: CancelScope) -> None:
        """When one part of a session ends, all of it does."""
        try:
            await work(tail)
        except (_EndError, WebSocketDisconnect) as end:
            self._end = self._end or end
            scope.cancel()

    # --- what the client says ---

    async def _authenticate(self) -> None:
        header = self._socket.headers.get("authorization", "")
        if header.startswith(_BEARER):
            await self._accept(header.removeprefix(_BEARER))
            return
        try:
            with fail_after(self._settings.auth):
                message = await self._receive()
        except TimeoutError:
            raise _EndError(UNAUTHORIZED, "no token came") from None
        if not isinstance(message, Auth):
            raise _EndError(UNAUTHORIZED, 'send {"type": "auth", "token": ...} first')
        await self._accept(message.token)

    async def _accept(self, token: str) -> None:
        await self._check(token)
        self._token = token
        await self._say({"type": "authenticated"})

    async def _check(self, token: str) -> None:
        if not await self._tokens(token):
            raise _EndError(UNAUTHORIZED, "the access token is not good, or not any more")

    async def _receive(self) -> Auth | Subscribe | None:
        """The next message, None for one that makes no sense, which was said."""
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", NORMAL))
        content = received.get("text") or received.get("bytes") or ""
        if len(content) > MESSAGE_MAX:
            raise _EndError(TOO_LARGE, f"a message has at most {MESSAGE_MAX} characters")
        try:
            return _DECODER.decode(content)
        except (msgspec.MsgspecError, UnicodeError) as error:
            await self._complain("MESSAGE_INVALID", str(error)[:200])
            return None

    async def _complain(self, code: str, detail: str) -> None:
        self._mistakes += 1
        if self._mistakes > MISTAKES_MAX:
            raise _EndError(TOO_MANY_MISTAKES, "too many messages that make no sense")
        await self._say({"type": "error", "code": code, "detail": detail})

    async def _listen(self, tail: Tail) -> None:
        while True:
            message = await self._receive()
            if isinstance(message, Auth):
                await self._accept(message.token)
            elif isinstance(message, Subscribe):
                await self._subscribe(message, tail)

    async def _subscribe(self, message: Subscribe, tail: Tail) -> None:
        """From here on other channels; and from another place, if one is named or there was none."""
        wanted = message.resume_from
        if wanted is not None and wanted > tail.position and wanted > await self._log_end():
            await self._complain("RESUME_AHEAD", f"position {wanted} is not on the log yet")
            return
        async with self._sending:
            self._epoch += 1
            self._channels = frozenset(message.channels)
            self._replay = None
            if wanted is not None:
                last = message.resume_channel
                self._place = (wanted, len(CHANNELS) if last is None else CHANNELS.index(last))
            elif not self._subscribed.is_set():
                self._place = end_of(tail.position)
            said = {"type": "subscribed", "channels": sorted(self._channels), "position": self._place[0]}
            await self._send(_ENCODER.encode(said).decode())
            self._subscribed.set()
            self._wake.set()

    async def _log_end(self) -> int:
        try:
            return await to_thread.run_sync(log_end, self._views.database)
        except StoreError:
            raise _EndError(TRY_AGAIN, _UNREADABLE) from None

    # --- what it is told ---

    async def _tell(self, tail: Tail) -> None:
        """Send every message behind the place, from the tail, or from the log where the tail begins later."""
        await self._subscribed.wait()
        while True:
            if tail.broken:
                raise _EndError(BROKEN, "the log cannot be told; try again later")
            self._wake.clear()
            epoch, end = self._epoch, tail.position
            entries = tail.after(self._place)
            if entries is None:
                await self._catch_up(tail)
            elif await self._pass_on(entries, epoch):
                self._place = max(self._place, end_of(end))
                if self._beat_due:
                    await self._heartbeat(self._place[0])
                await self._wake.wait()

    async def _catch_up(self, tail: Tail) -> None:
        """Send the next part of the log; where that has no more, what is left is in the tail."""
        epoch = self._epoch
        if tail.run is None:
            self._place = end_of(tail.floor)
            return
        if self._replay is None:
            portfolio = "portfolio" in self._channels
            self._replay = Replay(self._views.database, tail.run, self._place, portfolio=portfolio)
        try:
            entries = await to_thread.run_sync(self._replay.step, _STEP, limiter=self._replays)
        except StoreError:
            raise _EndError(TRY_AGAIN, _UNREADABLE) from None
        if await self._pass_on(entries, epoch) and len(entries) < _STEP:
            self._replay = None

    async def _pass_on(self, entries: Sequence[Entry], epoch: int) -> bool:
        """Send what was asked for of some entries; False where something else has been asked for meanwhile."""
        for entry in entries:
            for message in entry.messages:
                if message.channel in self._channels and message.place > self._place:
                    async with self._sending:
                        if epoch != self._epoch:
                            return False
                        await self._send(message.text)
                        self._place = message.place
            if epoch != self._epoch:
                return False
            self._place = max(self._place, end_of(entry.last))
            if self._beat_due:
                await self._heartbeat(entry.last)
        return epoch == self._epoch

    async def _beat(self, tail: Tail) -> None:
        """Now and then say that we are here and how far we are; and look whether the token is still good."""
        while True:
            await sleep(self._settings.heartbeat)
            await self._check(self._token)
            if self._subscribed.is_set():
                self._beat_due = True  # said between two records: the middle of a position cannot be resumed from
                self._wake.set()
            else:
                await self._heartbeat(tail.position)

    async def _heartbeat(self, position: int) -> None:
        self._beat_due = False
        await self._say({"type": "heartbeat", "position": position})

    async def _say(self, said: Any) -> None:
        async with self._sending:
            await self._send(_ENCODER.encode(said).decode())

    async def _send(self, text: str) -> None:
        try:
            with fail_after(self._settings.send):
                await self._socket.send_text(text)
        except TimeoutError:
            raise _EndError(TRY_AGAIN, "too slow; resume behind the last message you had") from None
