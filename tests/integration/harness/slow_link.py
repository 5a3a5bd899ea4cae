"""A way to a server that takes time: carries its standard input and output to HOST PORT, and holds
every piece back for so many milliseconds, each way.

Usage: slow_link.py HOST PORT MILLISECONDS
"""

from __future__ import annotations

import collections
import os
import select
import socket
import sys
import time


def carry(server: socket.socket, each_way_s: float) -> None:
    """Until one side ends."""
    held: collections.deque[tuple[float, int, bytes]] = collections.deque()
    to = {0: server.fileno(), server.fileno(): 1}
    while True:
        rest = max(0.0, held[0][0] - time.monotonic()) if held else None
        for source in select.select(list(to), [], [], rest)[0]:
            piece = os.read(source, 1 << 16)
            if not piece:
                return
            held.append((time.monotonic() + each_way_s, to[source], piece))
        while held and held[0][0] <= time.monotonic():
            _, target, piece = held.popleft()
            while piece:
                piece = piece[os.write(target, piece):]


if __name__ == "__main__":
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        carry(connection, int(sys.argv[3]) / 1000)
