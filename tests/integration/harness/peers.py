"""Servers that behave as no server should, and a few that behave but let us look closely."""

from __future__ import annotations

import os
import queue
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Callable

from harness.certificates import Certificates, Identity
from harness.client import reset
from harness.waiting import deadline_scale, wait_for

Handler = Callable[["Conversation"], None]


def tls_context(identity: Identity) -> ssl.SSLContext:
    """A server's TLS context that asks nothing of its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert_file, identity.key_file)
    return context


@dataclass
class Handshake:
    """What a server learnt from one TLS handshake."""

    version: str
    cipher: str
    resumed: bool
    server_name: str | None
    client_certificate: dict | None


class Conversation:
    """One accepted connection, as its handler sees it."""

    def __init__(self, connection, source, peer: "Peer"):
        self.socket = connection
        self.source = source
        self.peer = peer

    def wait_for_close(self) -> str:
        """Reads until the other side ends, and says how; also keeps the connection open for it."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        try:
            while True:
                # Asked of the socket itself, because Python's TLS calls a reset an end-of-file.
                if not self._holds_bytes():
                    for _, events in poller.poll(30000 * deadline_scale()):
                        if events & select.POLLERR:
                            return "reset"
                if not self.socket.recv(1 << 16):
                    return "eof"
        except ConnectionResetError:
            return "reset"

    def _holds_bytes(self) -> bool:
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def read(self, size: int) -> bytes:
        """Reads exactly so many bytes, or fewer at the end."""
        data = bytearray()
        while len(data) < size:
            chunk = self.socket.recv(min(size - len(data), 1 << 18))
            if not chunk:
                break
            data += chunk
        return bytes(data)

    def reset(self) -> None:
        """Resets the TCP connection, below TLS if there is any."""
        if isinstance(self.socket, ssl.SSLSocket):
            reset(socket.socket(fileno=self.socket.detach()))
        else:
            reset(self.socket)

    def note(self, item) -> None:
        """Hands something to the test, which takes it with Peer.next_note()."""
        self.peer.notes.put(item)


class Peer:
    """A listening server with one thread per connection, each running `handler`."""

    def __init__(
        self,
        handler: Handler,
        tls: ssl.SSLContext | None = None,
        address: str | tuple = ("127.0.0.1", 0),
        backlog: int = 1024,
    ):
        family = socket.AF_INET
        if isinstance(address, str):
            family = socket.AF_UNIX
        elif ":" in address[0]:
            family = socket.AF_INET6
        self.handler = handler
        self.tls = tls
        self.server_names: dict[int, str | None] = {}
        if tls:
            tls.sni_callback = self._on_server_name
        self.notes: queue.Queue = queue.Queue()
        self.handshakes: queue.Queue = queue.Queue()
        self.accepted = 0
        self.errors: list[BaseException] = []
        self._connections: list[socket.socket] = []
        self._closing = False
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        self.listener.listen(backlog)
        name = self.listener.getsockname()
        self.port = name[1] if isinstance(name, tuple) else 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """What to write after `connect =`."""
        return f"localhost:{self.port}"

    def _on_server_name(self, connection, name, _context) -> None:
        self.server_names[id(connection)] = name

    def _accept(self) -> None:
        while True:
            try:
                connection, source = self.listener.accept()
            except OSError:
                return
            if self._closing:
                connection.close()
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection, source), daemon=True).start()

    def _serve(self, connection: socket.socket, source) -> None:
        connection.settimeout(30 * deadline_scale())
        if connection.family != socket.AF_UNIX:
            # As Redis does. Without it a last message may wait, and be lost with the connection.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                connection = self._shake_hands(connection)
            self._connections.append(connection)
            with connection:
                self.handler(Conversation(connection, source, self))
        except (OSError, ValueError):
            pass  # the other side left, or the test did: tests look at the daemon's end
        except BaseException as error:  # pylint: disable=broad-except
            self.errors.append(error)

    def _shake_hands(self, connection: socket.socket) -> ssl.SSLSocket:
        secure = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        secure.do_handshake()
        self.handshakes.put(
            Handshake(
                secure.version(),
                secure.cipher()[0],
                secure.session_reused,
                self.server_names.get(id(secure)),
                secure.getpeercert() if self.tls.verify_mode != ssl.CERT_NONE else None,
            )
        )
        return secure

    def next_handshake(self, timeout: float = 10) -> Handshake:
        """The next completed handshake."""
        return self.handshakes.get(timeout=timeout * deadline_scale())

    def next_note(self, timeout: float = 20):
        """The next thing that a handler noted."""
        return self.notes.get(timeout=timeout * deadline_scale())

    def wait_for_connections(self, count: int) -> None:
        """Waits until so many connections have been accepted."""
        wait_for(lambda: self.accepted >= count, f"{count} connections at the server")

    def close(self) -> None:
        """Stops listening and ends every conversation."""
        self._closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self._thread.join(5)
        for connection in self._connections:
            try:
                # Below TLS: its own shutdown would pull the rug from under a thread in recv().
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except (OSError, ValueError):
                pass
        assert not self.errors, self.errors


# Handlers


def echo(talk: Conversation) -> None:
    """Sends back whatever comes, until the client ends."""
    while data := talk.socket.recv(1 << 16):
        talk.socket.sendall(data)


def greet(talk: Conversation) -> None:
    """Says hello and waits for the client to end: proof that a tunnel came through."""
    talk.socket.sendall(b"hello\r\n")
    talk.wait_for_close()


def hold(talk: Conversation) -> None:
    """Never says anything; notes how the other side ended."""
    talk.note(talk.wait_for_close())


def reset_at_once(talk: Conversation) -> None:
    """Resets the connection as soon as it is accepted."""
    talk.reset()


def reset_after_first_bytes(talk: Conversation) -> None:
    """Waits for something, a ClientHello for instance, and resets."""
    talk.socket.recv(1)
    talk.reset()


def close_after_first_bytes(talk: Conversation) -> None:
    """Waits for something and closes."""
    talk.socket.recv(1 << 16)


def send_garbage(talk: Conversation) -> None:
    """Answers whatever comes with bytes that are no protocol at all."""
    talk.socket.recv(1 << 16)
    talk.socket.sendall(bytes(range(7, 250)) * 4)
    talk.wait_for_close()


def send_then_close(data: bytes) -> Handler:
    """Sends the data and closes."""

    def handler(talk: Conversation) -> None:
        talk.socket.sendall(data)

    return handler


def send_then_reset(data: bytes, when: threading.Event | None = None) -> Handler:
    """Sends the data and resets, after the test has said so."""

    def handler(talk: Conversation) -> None:
        talk.socket.sendall(data)
        if when:
            when.wait(20)
        talk.reset()

    return handler


def refuse_with_error(message: bytes) -> Handler:
    """Reads a little, sends an error and closes with the client's bytes unread, as Redis does."""

    def handler(talk: Conversation) -> None:
        talk.socket.recv(1)
        talk.socket.sendall(message)

    return handler


def answer_after_end(answer: bytes) -> Handler:
    """Reads until the client has finished, and only then answers."""

    def handler(talk: Conversation) -> None:
        received = 0
        while data := talk.socket.recv(1 << 16):
            received += len(data)
        talk.note(received)
        talk.socket.sendall(answer)

    return handler


def send_in_drips(count: int, interval_s: float) -> Handler:
    """Sends one byte at a time at a steady pace."""

    def handler(talk: Conversation) -> None:
        for _ in range(count):
            talk.socket.sendall(b".")
            time.sleep(interval_s)
        talk.wait_for_close()

    return handler


class FullBacklog:
    """A listener that never accepts and whose queue is full: connecting to it just hangs."""

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.listener = socket.socket()
        self.listener.bind(address)
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.listener.getsockname())
            self._fillers.append(filler)

    def close(self) -> None:
        """Lets go."""
        for filler in self._fillers:
            filler.close()
        self.listener.close()


def closed_port() -> int:
    """A port that refuses: bound, so that nobody else takes it, and not listening."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    _HELD.append(holder)
    return holder.getsockname()[1]


_HELD: list[socket.socket] = []


def good_tls(certificates: Certificates) -> ssl.SSLContext:
    """The context of a server that the daemon has every reason to trust."""
    return tls_context(certificates.localhost)


def random_bytes(size: int) -> bytes:
    """Bytes that do not compress and differ each time, and that no daemon takes for a TLS client's:
    those begin with 22."""
    block = os.urandom(min(size, 1 << 20))
    block = block.replace(b"\x16", b"!", 1) if block[:1] == b"\x16" else block
    return (block * (size // len(block) + 1))[:size] if block else b""
