"""A private network and file system view, for tests that need other names or fixed ports.

Inside, only loopback exists; /etc/hosts and /etc/resolv.conf are the test's, /run and
/etc/stunnel are empty, and /dev has a place for a log socket.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

_SET_UP = """
set -e
dir=$1
mount --make-rprivate /
ip link set lo up
mount --bind "$dir/hosts" /etc/hosts
mount --bind "$dir/resolv.conf" /etc/resolv.conf
mount --bind "$dir/nsswitch.conf" /etc/nsswitch.conf
mount -t tmpfs tmpfs /run
mkdir -p /etc/stunnel
mount --bind "$dir/stunnel" /etc/stunnel
for name in null zero full random urandom; do
    : >"$dir/dev/$name"
    mount --bind "/dev/$name" "$dir/dev/$name"
done
mount --rbind "$dir/dev" /dev
echo ready
read -r _ || true
"""


class Namespace:
    """Private mount and network namespaces, alive as long as this object is open."""

    def __init__(self, directory: Path, hosts: str = "", resolver: str = ""):
        if os.geteuid() != 0:
            pytest.skip("private namespaces need root")
        self.directory = directory
        directory.mkdir(parents=True)
        (directory / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n" + hosts)
        (directory / "resolv.conf").write_text(resolver)
        (directory / "nsswitch.conf").write_text("hosts: files dns\npasswd: files\ngroup: files\n")
        (directory / "stunnel").mkdir()
        (directory / "dev").mkdir()
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "sh", "-c", _SET_UP, "sh", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if self._holder.stdout.readline() != b"ready\n":
            reason = self._holder.communicate()[1].decode(errors="replace").strip()
            pytest.skip(f"private namespaces are not permitted here: {reason}")

    @property
    def prefix(self) -> tuple[str, ...]:
        """Goes before a command to run it inside."""
        return ("nsenter", f"--target={self._holder.pid}", "--root", "--mount", "--net")

    def run(self, *command: str, **options) -> subprocess.CompletedProcess:
        """Runs a command inside, to its end."""
        options.setdefault("timeout", 30)
        return subprocess.run(
            [*self.prefix, *command], capture_output=True, text=True, check=False, **options
        )

    def socket(self, *arguments) -> socket.socket:
        """A socket that lives in the namespace though we do not."""
        made: list[socket.socket] = []

        def make() -> None:
            # Only this thread enters; the socket stays where it was made.
            with open(f"/proc/{self._holder.pid}/ns/net", encoding="ascii") as net:
                if _libc.setns(net.fileno(), _CLONE_NEWNET) == 0:
                    made.append(socket.socket(*arguments))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        assert made, "cannot enter the namespace"
        return made[0]

    def connect(self, port: int, host: str = "127.0.0.1", timeout: float = 15) -> socket.socket:
        """A TCP connection made inside."""
        connection = self.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        connection.connect((host, port))
        return connection

    def close(self) -> None:
        """Ends the namespaces once the last process in them has."""
        self._holder.stdin.close()
        self._holder.stdout.close()
        self._holder.stderr.close()
        self._holder.wait()
