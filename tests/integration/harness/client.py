"""A raw connection to the daemon, for tests that look at bytes and at how connections end."""

from __future__ import annotations

import socket
import struct


class Client:
    """A socket with the few verbs that tests need."""

    def __init__(self, connection: socket.socket):
        self.socket = connection

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Sends all of it."""
        self.socket.sendall(data)

    def read(self, size: int) -> bytes:
        """Reads exactly so many bytes."""
        chunks = bytearray()
        while len(chunks) < size:
            chunk = self.socket.recv(min(size - len(chunks), 1 << 18))
            if not chunk:
                raise AssertionError(f"closed after {bytes(chunks)!r}, {size} bytes expected")
            chunks += chunk
        return bytes(chunks)

    def read_line(self) -> bytes:
        """Reads up to and with the next line end."""
        line = bytearray()
        while not line.endswith(b"\r\n"):
            line += self.read(1)
        return bytes(line)

    def ask(self, command: bytes, answer: bytes) -> None:
        """Sends and compares the answer."""
        self.send(command)
        assert self.read(len(answer)) == answer

    def ping(self) -> None:
        """One round trip to a Redis server."""
        self.ask(b"PING\r\n", b"+PONG\r\n")

    def drain(self) -> tuple[bytes, str]:
        """Reads to the end. Returns the bytes, and whether it was an `eof` or a `reset`."""
        chunks = bytearray()
        while True:
            try:
                chunk = self.socket.recv(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                return bytes(chunks), "reset"
            if not chunk:
                return bytes(chunks), "eof"
            chunks += chunk

    def expect_close(self) -> str:
        """Reads to the end, which must come without any data; returns how it came."""
        data, ending = self.drain()
        assert data == b"", f"unexpected data: {data[:200]!r}"
        return ending

    def finish_writing(self) -> None:
        """Ends our direction only."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with a reset instead of an orderly end."""
        reset(self.socket)

    def close(self) -> None:
        """Closes in the ordinary way."""
        self.socket.close()


def reset(connection: socket.socket) -> None:
    """Closes a TCP connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
