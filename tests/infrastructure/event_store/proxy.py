"""A door to Postgres that can be slammed in the middle of an append, as a network does it."""

import selectors
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from infrastructure.event_store.codec import TOPIC

SOCKET = ".s.PGSQL.5432"
COMMIT = b"COMMIT\0"
"""With its end, for `BEGIN ISOLATION LEVEL READ COMMITTED` is none."""
APPEND = TOPIC.encode()
"""What every append says of its records. By itself it is its own transaction."""
Fault = Literal["commit_lost", "answer_lost"]


class SlammingDoor:
    """Forwards connections to the server behind `folder`; `arm` makes it lose the next append or the answer to it."""

    def __init__(self, folder: str) -> None:
        self._server = str(Path(folder) / SOCKET)
        self._room = tempfile.TemporaryDirectory(prefix="truetape-")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._room.name) / SOCKET))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._fault: Fault | None = None
        self._at = APPEND
        self._meanwhile: Callable[[], object] = bool
        self.slammed = 0

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(self._room.name, safe='')}&port=5432"

    def arm(self, fault: Fault, meanwhile: Callable[[], object] = bool, at: bytes = APPEND) -> None:
        """Lose the next append (or COMMIT), or its answer; `meanwhile` runs before the client notices."""
        self._meanwhile, self._at, self._fault = meanwhile, at, fault

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()
        self._room.cleanup()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the door is closed for good
            self._start(self._forward, client)

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as selector:
            server.connect(self._server)
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source = client if key.fileobj is client else server
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client and self._fault and self._at in data:
                        self._slam(server, data)
                        return
                    key.data.sendall(data)

    def _slam(self, server: socket.socket, asked: bytes) -> None:
        fault, self._fault = self._fault, None
        if fault == "answer_lost":
            server.sendall(asked)
            assert server.recv(65536)
        server.close()
        self.slammed += 1
        self._meanwhile()
