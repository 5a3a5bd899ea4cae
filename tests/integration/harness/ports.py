"""Free ports on loopback. Another process may take one before it is used: starters retry."""

from __future__ import annotations

import os
import socket
from typing import Iterable


def free_port(taken: Iterable[int] = (), host: str = "127.0.0.1") -> int:
    """A port that nobody listened on a moment ago, and none of those already handed out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
        if port not in taken:
            return port


def _socket_inodes(pid: int) -> set[str]:
    """The sockets that the process has open."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[len("socket:[") : -1])
    return inodes


def listening_ports(pid: int | None = None) -> set[int]:
    """The TCP ports that the process listens on; without one, that anybody here does.

    Read from /proc rather than found by connecting, because a connection would be a tunnel. Whose
    they are matters: between our choosing a port and the process's binding it, somebody else may
    have it for a moment.
    """
    ports = set()
    try:
        own = _socket_inodes(pid) if pid is not None else None
    except OSError:  # it has gone, or may not be looked into
        own = None
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid or 'self'}/net/{table}", encoding="ascii") as rows:
                next(rows)
                for row in rows:
                    fields = row.split()
                    if fields[3] != "0A":  # listeners come first
                        break
                    if own is None or fields[9] in own:
                        ports.add(int(fields[1].rsplit(":", 1)[1], 16))
        except OSError:
            continue
    return ports
