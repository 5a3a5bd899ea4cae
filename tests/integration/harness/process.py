"""Looking into a running process: its descriptors, memory, processor time and socket options."""

from __future__ import annotations

import ctypes
import os
import socket
import stat

from harness.waiting import wait_until_still

_libc = ctypes.CDLL(None, use_errno=True)
_PIDFD_OPEN = 434
_PIDFD_GETFD = 438
_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Makes daemons orphaned by their parent's exit our children, so that we can wait for them."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descriptor_count(pid: int) -> int:
    """How many descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled_descriptor_count(pid: int) -> int:
    """The same once it has stopped changing: ports listen a little before a start is over."""
    return wait_until_still(lambda: descriptor_count(pid), still_s=0.15)


def status_field(pid: int, name: str) -> str:
    """A field of /proc/PID/status, such as `VmRSS` or `Uid`."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
    raise KeyError(name)


def resident_kib(pid: int) -> int:
    """Resident memory, KiB."""
    return int(status_field(pid, "VmRSS").split()[0])


def anonymous_kib(pid: int) -> int:
    """What of it is memory of its own, heap and stacks, KiB."""
    return int(status_field(pid, "RssAnon").split()[0])


def cpu_seconds(pid: int) -> float:
    """User and system time used so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool:
    """Whether the process still runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def _duplicate(pidfd: int, descriptor: int) -> int:
    """A copy, here, of another process's descriptor."""
    copy = _libc.syscall(_PIDFD_GETFD, pidfd, descriptor, 0)
    if copy < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return copy


def tcp_sockets(pid: int) -> list[socket.socket]:
    """Copies of the TCP sockets of the process, for getsockopt(), getsockname() and the like."""
    pidfd = _libc.syscall(_PIDFD_OPEN, pid, 0)
    if pidfd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    sockets = []
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not stat.S_ISSOCK(os.stat(f"/proc/{pid}/fd/{name}").st_mode):
                    continue
                copy = socket.socket(fileno=_duplicate(pidfd, int(name)))
            except FileNotFoundError:
                continue
            is_ip = copy.family in (socket.AF_INET, socket.AF_INET6)
            if is_ip and copy.type == socket.SOCK_STREAM:
                sockets.append(copy)
            else:
                copy.close()
    finally:
        os.close(pidfd)
    return sockets
