"""Free ports on loopback. Another process may take one before it is used: starters retry."""

from __future__ import annotations

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


def listening_ports(pid: int | str = "self") -> set[int]:
    """Every TCP port listened on in the network namespace of the process.

    Read from /proc rather than found by connecting, because a connection would be a tunnel.
    """
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as rows:
                next(rows)
                for row in rows:
                    fields = row.split()
                    if fields[3] != "0A":  # listeners come first
                        break
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
        except OSError:
            continue
    return ports
