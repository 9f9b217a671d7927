"""Following the running server's stream from a terminal, over disconnects, without a gap or a repeat."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from api.remote import PREFIX, NoServerError, NotLoggedInError, Remote
from domain.errors import InputError

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

PAUSE_SECONDS = 0.25
PAUSE_SECONDS_MAX = 5.0
_UNAUTHORIZED = 4401

Place = tuple[int, str | None]
"""(position, channel) of the last message that was had; without a channel all of the position was."""


class Following:
    """One client of the stream: where it stands, and with which token."""

    def __init__(self, remote: Remote, channels: Sequence[str], start: int | None) -> None:
        self._remote = remote
        self._channels = channels
        self._place: Place | None = None if start is None else (max(0, start - 1), None)
        self._token = ""
        self._connected = False
        self._refused = False

    def messages(self) -> Iterator[dict[str, Any] | str]:
        """Every message from the place on, for ever; as text what happens to the connection."""
        pause = PAUSE_SECONDS
        while True:
            lost = ""
            try:
                for message in self._one_connection():
                    pause = PAUSE_SECONDS
                    yield message
            except NoServerError as error:
                if not self._connected:
                    raise
                lost = str(error)
            where = "" if self._place is None else f" behind position {self._place[0]}"
            if pause == PAUSE_SECONDS and not self._refused:
                yield f"{lost or 'the connection is gone'}; going on{where} when it is back".replace("\n", " ")
            time.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    def _one_connection(self) -> Iterator[dict[str, Any]]:
        """The messages of one connection, until it is gone; raises NoServerError where there is none."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake
        from websockets.sync.client import connect

        self._token = self._remote.token(stale=self._token if self._refused else None)
        address = f"ws{self._remote.url.removeprefix('http')}{PREFIX}/stream"
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            with connect(address, additional_headers=headers, proxy=None, max_size=None) as socket:
                self._subscribe(socket)
                for text in socket:
                    yield from self._read(socket, json.loads(text))
        except ConnectionClosed as closed:
            self._closed(closed.rcvd.code if closed.rcvd else None)
        except (OSError, InvalidHandshake) as error:
            raise NoServerError(f"{self._remote.url} does not stream: {error}") from None

    def _subscribe(self, socket: "ClientConnection") -> None:
        said: dict[str, Any] = {"type": "subscribe", "channels": list(self._channels)}
        if self._place is not None:
            position, channel = self._place
            said |= {"resume_from": position} | ({} if channel is None else {"resume_channel": channel})
        socket.send(json.dumps(said))

    def _read(self, socket: "ClientConnection", message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        match message["type"]:
            case "event":
                yield message
                self._place = (message["position"], message["channel"])
            case "subscribed":
                self._connected, self._refused = True, False
                self._place = self._place or (message["position"], None)
            case "heartbeat":
                self._place = (message["position"], None)
                self._renew(socket)
            case "error":
                raise InputError(f"{message['code']}: {message['detail']}")

    def _renew(self, socket: "ClientConnection") -> None:
        """The session outlives an access token: the next one is sent before the server asks."""
        token = self._remote.token()
        if token != self._token:
            self._token = token
            socket.send(json.dumps({"type": "auth", "token": token}))

    def _closed(self, code: int | None) -> None:
        if code != _UNAUTHORIZED:
            return
        if self._refused:
            raise NotLoggedInError(f"the login at {self._remote.url} has ended: truetape login")
        self._refused = True
