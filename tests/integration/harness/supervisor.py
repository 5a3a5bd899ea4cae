"""A stand-in for systemd's end of NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from harness.waiting import deadline_scale


class Supervisor:
    """Receives what a service tells its manager (sd_notify)."""

    def __init__(self, path: Path):
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(15 * deadline_scale())

    @property
    def env(self) -> dict[str, str]:
        """What the service's environment needs."""
        return {"NOTIFY_SOCKET": self.path}

    def receive(self) -> dict[str, str]:
        """The next message."""
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, name: str, value: str = "1") -> dict[str, str]:
        """The next message in which `name` has this value; what comes before is passed over."""
        while True:
            message = self.receive()
            if message.get(name) == value:
                return message

    def pass_over(self) -> int:
        """Takes what has come already; returns how many messages that were."""
        count = 0
        patience = self._socket.gettimeout()
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(4096):
                count += 1
        self._socket.settimeout(patience)
        return count

    def close(self) -> None:
        """Lets go of the socket."""
        self._socket.close()
