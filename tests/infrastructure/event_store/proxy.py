"""Doors to Postgres that can be slammed in the middle of an append, as a network does it."""

import contextlib
import random
import selectors
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from infrastructure.event_store.codec import TOPIC

SOCKET = ".s.PGSQL.5432"
COMMIT = b"COMMIT\0"
"""With its end, for `BEGIN ISOLATION LEVEL READ COMMITTED` is none."""
APPEND = TOPIC.encode()
"""What every append says of its records. By itself it is its own transaction."""
CHUNK = 65536
LEAST_CUT, MOST_CUT = 400, 60_000
"""Bytes that a connection carries in one direction before it is cut: from its opening to some hundred appends."""
LATE_SECONDS = 0.2
Fault = Literal["commit_lost", "answer_lost", "late"]


class Door:
    """Forwards connections to the server behind `folder`, from a socket file or, with `tcp`, from a local port."""

    def __init__(self, folder: str, *, tcp: bool = False) -> None:
        self._server = str(Path(folder) / SOCKET)
        self._room = tempfile.TemporaryDirectory(prefix="truetape-")
        self._listener = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        self._listener.bind(("127.0.0.1", 0) if tcp else str(Path(self._room.name) / SOCKET))
        self._listener.listen(100)
        self._host: str = "127.0.0.1" if tcp else self._room.name
        self._port: int = self._listener.getsockname()[1] if tcp else 5432
        self._threads: list[threading.Thread] = []
        self._is_open = True
        self.shut = False
        """Whether nobody gets in, and whoever is in gets out."""

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(self._host, safe='')}&port={self._port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
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
            if self.shut:
                client.close()
                continue
            self._threads = [each for each in self._threads if each.is_alive()]
            self._start(self._forward, client)

    def _forward(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),  # either side may go away at any moment; the other one then hears of it
            client,
            socket.socket(socket.AF_UNIX) as server,
            selectors.DefaultSelector() as selector,
        ):
            server.connect(self._server)
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while self._is_open and not self.shut:  # looked at before each message and every now and then
                for key, _ in selector.select(0.1)[:1]:
                    source = client if key.fileobj is client else server
                    data = source.recv(CHUNK)
                    if not data or not self._carry(client, server, data, to_server=source is client):
                        return

    def _carry(self, client: socket.socket, server: socket.socket, data: bytes, *, to_server: bool) -> bool:
        """Hand data on; False where the connection ends here."""
        (server if to_server else client).sendall(data)
        return True


class SlammingDoor(Door):
    """`arm` makes it lose the next append, or the answer to it, or carry it only when `deliver` is called."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._fault: Fault | None = None
        self._at = APPEND
        self._meanwhile: Callable[[], object] = bool
        self._held: tuple[socket.socket, bytes] | None = None
        self.slammed = 0

    def arm(self, fault: Fault, meanwhile: Callable[[], object] = bool, at: bytes = APPEND) -> None:
        """Lose the next append (or COMMIT), or its answer; `meanwhile` runs before the client notices."""
        self._meanwhile, self._at, self._fault = meanwhile, at, fault

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        if self._held is not None:
            self._held[0].close()

    def deliver(self) -> None:
        """Hand the append that is late to the server, and wait until it has been carried out."""
        assert self._held is not None
        server, asked = self._held
        with server:
            server.sendall(asked)
            assert server.recv(CHUNK)

    def _carry(self, client: socket.socket, server: socket.socket, data: bytes, *, to_server: bool) -> bool:
        if not (to_server and self._fault and self._at in data):
            return super()._carry(client, server, data, to_server=to_server)
        fault, self._fault = self._fault, None
        if fault == "answer_lost":
            server.sendall(data)
            assert server.recv(CHUNK)
        if fault == "late":
            self._held = server.dup(), data
        else:
            server.close()
        self.slammed += 1
        self._meanwhile()
        return False


class CuttingDoor(Door):
    """A TCP proxy that, while `cutting`, ends each connection after a random number of bytes in a random direction.

    What is cut off may be the middle of a message, of a row, of the handshake. The server still gets what had gone before,
    and sometimes what was on its way as well, later.
    """

    def __init__(self, folder: str, seed: int) -> None:
        super().__init__(folder, tcp=True)
        self._chance = random.Random(seed)
        self._left: dict[socket.socket, tuple[bool, int]] = {}
        self.cutting = False
        self.cuts = 0

    def _carry(self, client: socket.socket, server: socket.socket, data: bytes, *, to_server: bool) -> bool:
        if self.cutting:
            at_server, left = self._left.pop(client) if client in self._left else self._drawn()
            if at_server == to_server:
                if left < len(data):
                    self.cuts += 1
                    self._cut(client, server, data, left, to_server=to_server)
                    return False
                left -= len(data)
            self._left[client] = at_server, left
        return super()._carry(client, server, data, to_server=to_server)

    def _drawn(self) -> tuple[bool, int]:
        """Small and large cuts alike: the number of its digits is what is even."""
        low, high = LEAST_CUT.bit_length(), MOST_CUT.bit_length()
        return self._chance.random() < 0.5, self._chance.randrange(1 << self._chance.randrange(low, high))

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes, left: int, *, to_server: bool) -> None:
        """Hand on what is left; or, of what goes to the server, the whole, but late: when the client has begun anew.

        Half of them end with a reset, which throws away what the client has not read yet; half end in order.
        """
        if self._chance.random() < 0.5:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if to_server and self._chance.random() < 0.5:
            client.close()
            time.sleep(self._chance.random() * LATE_SECONDS)
            server.sendall(data)
            server.settimeout(LATE_SECONDS)  # half a message has no answer
            server.recv(CHUNK)
        else:
            super()._carry(client, server, data[:left], to_server=to_server)
