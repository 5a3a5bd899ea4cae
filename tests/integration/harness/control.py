"""HTTP to the daemon: over its control socket, or over loopback."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.waiting import deadline_scale


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Answer:
    """A reply, read to its end."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self):
        """The body, which must be JSON."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.text)


class Control:
    """Where to ask: the path of a unix socket, or a port on loopback."""

    def __init__(self, where: str | int):
        self.where = where

    def open(self, timeout: float = 20) -> http.client.HTTPConnection:
        """A connection for one request."""
        timeout *= deadline_scale()
        if isinstance(self.where, int):
            return http.client.HTTPConnection("127.0.0.1", self.where, timeout=timeout)
        return _UnixConnection(self.where, timeout)

    def ask(self, path: str, method: str = "GET", headers: dict | None = None) -> Answer:
        """One request."""
        connection = self.open()
        try:
            connection.request(method, path, headers=headers or {})
            reply = connection.getresponse()
            body = reply.read().decode("utf-8")
            names = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, names, body)
        finally:
            connection.close()

    def status(self) -> dict:
        """/status"""
        answer = self.ask("/status")
        assert answer.status == 200, answer
        return answer.json()

    def service(self, name: str = "redis") -> dict:
        """One service's part of it."""
        return next(item for item in self.status()["services"] if item["name"] == name)

    def layer(self, layer: str, name: str = "redis") -> dict:
        """One layer of the service."""
        return next(item for item in self.service(name)["layers"] if item["layer"] == layer)

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics; 0 if there is none."""
        for line in self.ask("/metrics").text.splitlines():
            match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if match and dict(re.findall(r'(\w+)="([^"]*)"', match[1] or "")) == labels:
                return float(match[2])
        return 0


class SocketPlace:
    """A folder for a socket, with a path short enough for one."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ct-"))
        self.path = str(self.folder / "control.sock")

    def remove(self) -> None:
        """Cleans up."""
        shutil.rmtree(self.folder, ignore_errors=True)
