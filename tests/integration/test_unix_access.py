"""Who may come to a unix socket: mode, owner, allowUser, and whoever sits there already."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
import sys

import pytest

from harness.daemon import Daemon, run_command
from harness.waiting import wait_for

NOBODY = pwd.getpwnam("nobody").pw_uid

# Connects as another user and asks for a reply; prints what came, or what went wrong.
ASK = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
try:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(15)
    client.connect(sys.argv[1])
    client.sendall(b"PING\\r\\n")
    print(os.getpid(), client.recv(100))
except OSError as error:
    print(os.getpid(), type(error).__name__)
"""


def ask_as(user: int, path: str) -> tuple[int, str]:
    """The process id of a client that ran as this user, and what it got."""
    command = [sys.executable, "-c", ASK, path, str(user)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    pid, _, answer = result.stdout.strip().partition(" ")
    return int(pid), answer


@pytest.fixture
def open_socket(open_directory) -> str:
    """A path that every user can reach."""
    return str(open_directory / "redis.sock")


def mode_of(path: str) -> int:
    """The permission bits of the file."""
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("mode", ["0600", "0660", "666"])
def test_socket_has_the_mode_of_the_section(launch, to_redis, tmp_path, mode):
    path = str(tmp_path / "redis.sock")
    launch(to_redis(accept=path, socketMode=mode))
    wait_for(lambda: mode_of(path) == int(mode, 8), "the socket has its mode")


def test_mode_lets_others_in_or_keeps_them_out(launch, to_redis, open_directory, as_root):
    narrow, wide = str(open_directory / "narrow"), str(open_directory / "wide")
    launch(
        to_redis(name="narrow", accept=narrow, socketMode="0600"),
        to_redis(name="wide", accept=wide, socketMode="0666"),
    )
    assert ask_as(NOBODY, narrow)[1] == "PermissionError"
    assert ask_as(NOBODY, wide)[1] == r"b'+PONG\r\n'"


def test_listed_user_is_served_and_others_are_named(launch, to_redis, open_socket, as_root):
    daemon = launch(to_redis(accept=open_socket, socketMode="0666", allowUser=["nobody", "4711"]))
    assert ask_as(NOBODY, open_socket)[1] == r"b'+PONG\r\n'"
    assert ask_as(4711, open_socket)[1] == r"b'+PONG\r\n'"
    for stranger in (4712, 0):
        pid, answer = ask_as(stranger, open_socket)
        assert answer in ("b''", "ConnectionResetError", "BrokenPipeError")
        daemon.wait_for_log(rf"turned away: user {stranger} \(process {pid}\) is not among")


def test_refusals_that_repeat_are_counted(launch, to_redis, open_socket, as_root):
    service = to_redis(accept=open_socket, socketMode="0666", allowUser="nobody")
    daemon = launch(service, globals={"debug": 5})
    first, _ = ask_as(4712, open_socket)
    daemon.wait_for_log(rf"user 4712 \(process {first}\) is not among")
    for _ in range(2):
        ask_as(4712, open_socket)
    daemon.stop()
    lines = [line for line in daemon.log().splitlines() if "turned away" in line]
    assert len(lines) == 2
    assert "user 4712 is not among allowUser (and 2 more times in " in lines[1]


def test_whoever_runs_it_may_be_listed(launch, to_redis, tmp_path):
    path = str(tmp_path / "redis.sock")
    daemon = launch(to_redis(accept=path, allowUser=os.geteuid()))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15)
        client.connect(path)
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
    assert "turned away" not in daemon.log()


def test_socket_in_use_is_refused_with_the_process(launch, to_redis, tmp_path):
    path = str(tmp_path / "redis.sock")
    first: Daemon = launch(to_redis(accept=path))
    second = tmp_path / "second.conf"
    second.write_text(
        f"foreground = yes\nsyslog = no\n[redis]\nclient = yes\naccept = {path}\n"
        "connect = localhost:1\n"
    )
    result = run_command("-f", str(second))
    assert result.returncode == 1
    assert f"cannot listen on {path}: process {first.pid} listens there" in result.stderr
