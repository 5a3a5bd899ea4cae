"""Life as a daemon: starting, detaching, privileges, signals, and stopping."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import subprocess

import pytest

from harness.client import Client
from harness.daemon import DetachedDaemon, Service, binary_path, run_command
from harness.ports import free_port, listening_ports
from harness.process import is_alive, status_field
from harness.waiting import deadline_scale, wait_for


@pytest.fixture
def detach(tmp_path, redis_tls, certificates):
    """Starts a daemon that leaves its parent; returns the parent's result and the daemon."""
    made = []

    def start(**options) -> tuple[subprocess.CompletedProcess, DetachedDaemon, int]:
        for _ in range(5):
            port = free_port()
            pid_file = tmp_path / "daemon.pid"
            lines = [f"pid = {pid_file}", "syslog = no", f"output = {tmp_path}/output.log"]
            lines += [f"{name} = {value}" for name, value in options.items()]
            lines += ["[redis]", "client = yes", f"accept = 127.0.0.1:{port}"]
            lines += [f"connect = {redis_tls.address}", f"CAfile = {certificates.ca_file}"]
            config = tmp_path / "detached.conf"
            config.write_text("\n".join(lines) + "\n")
            result = run_command(str(config))
            if result.returncode == 0 or "in use" not in result.stderr:
                break
        assert result.returncode == 0, result.stderr
        made.append(DetachedDaemon(pid_file))
        return result, made[-1], port

    yield start
    for daemon in made:
        daemon.kill()


def test_parent_returns_only_when_the_port_listens(detach):
    for _ in range(3):
        _, daemon, port = detach()
        with Client(socket.create_connection(("127.0.0.1", port), 10)) as client:
            client.ping()
        assert daemon.stop() == 0


def test_pid_file_exists_as_long_as_the_daemon(detach):
    _, daemon, _ = detach()
    assert is_alive(daemon.pid)
    assert daemon.pid_file.stat().st_mode & 0o777 == 0o644
    assert daemon.stop() == 0
    assert not daemon.pid_file.exists()


def test_old_pid_file_is_replaced(detach, tmp_path):
    (tmp_path / "daemon.pid").write_text("999999\n")
    _, daemon, _ = detach()
    assert daemon.pid != 999999
    assert is_alive(daemon.pid)


def test_daemon_lets_go_of_terminal_and_directory(detach):
    _, daemon, _ = detach()
    assert os.getsid(daemon.pid) != os.getsid(0)
    assert os.readlink(f"/proc/{daemon.pid}/cwd") == "/"
    for descriptor in (0, 1, 2):
        assert os.readlink(f"/proc/{daemon.pid}/fd/{descriptor}") == "/dev/null"


def test_foreground_option_is_overridden_by_the_command_line(launch, to_redis):
    daemon = launch(to_redis(), globals={"foreground": "no", "output": "/dev/stderr"})
    with daemon.connect() as client:
        client.ping()
    assert is_alive(daemon.pid)


def test_foreground_leaves_a_pid_file_too(launch, to_redis, tmp_path):
    pid_file = tmp_path / "foreground.pid"
    daemon = launch(to_redis(), globals={"pid": pid_file})
    wait_for(lambda: pid_file.exists() and pid_file.read_text(), "the pid file")
    assert int(pid_file.read_text()) == daemon.pid
    daemon.stop()
    assert not pid_file.exists()


@pytest.mark.core
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_requested_stop_is_status_0(launch, to_redis, number):
    daemon = launch(to_redis())
    with daemon.connect() as client:
        client.ping()
    daemon.stop(number)


def test_stop_right_after_the_start_is_clean(launch, to_redis):
    for _ in range(5):
        launch(to_redis()).stop()


def test_broken_pipes_do_not_end_the_daemon(launch, to_redis):
    daemon = launch(to_redis())
    daemon.process.send_signal(signal.SIGPIPE)
    with daemon.connect() as client:
        client.ping()


def config_for(port: int, *more: str) -> str:
    """A small configuration without certificates."""
    lines = ["syslog = no", *more, "[redis]", "client = yes"]
    return "\n".join([*lines, f"accept = 127.0.0.1:{port}", "connect = localhost:1"]) + "\n"


@pytest.mark.parametrize("arguments", [["-f"], []], ids=["foreground", "detached"])
def test_port_in_use_is_status_1_and_named(tmp_path, arguments):
    config = tmp_path / "busy.conf"
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        config.write_text(config_for(port))
        result = run_command(*arguments, str(config))
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr
    assert "in use" in result.stderr


def test_address_that_is_not_ours_is_status_1(tmp_path):
    config = tmp_path / "foreign.conf"
    config.write_text(config_for(free_port()).replace("127.0.0.1", "192.0.2.1"))
    result = run_command("-f", str(config))
    assert result.returncode == 1
    assert "192.0.2.1" in result.stderr


def test_one_busy_port_keeps_the_whole_daemon_from_starting(tmp_path):
    config = tmp_path / "busy.conf"
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        other = free_port()
        text = config_for(other) + config_for(owner.getsockname()[1]).split("\n", 1)[1]
        config.write_text(text.replace("[redis]", "[second]", 2).replace("[second]", "[first]", 1))
        assert run_command(str(config)).returncode == 1
    assert other not in listening_ports()


@pytest.mark.parametrize(
    "option", ["pid = /nonexistent/daemon.pid", "output = /nonexistent/daemon.log"]
)
@pytest.mark.parametrize("arguments", [["-f"], []], ids=["foreground", "detached"])
def test_file_that_cannot_be_made_is_status_1(tmp_path, option, arguments):
    config = tmp_path / "bad.conf"
    config.write_text(config_for(free_port(), option))
    result = run_command(*arguments, str(config))
    assert result.returncode == 1
    assert "/nonexistent/" in result.stderr


@pytest.mark.direct_only("the user cannot read the tests' known hosts")
def test_privileges_are_dropped(launch, to_redis, open_directory, as_root):
    nobody = pwd.getpwnam("nobody")
    pid_file, output = open_directory / "daemon.pid", open_directory / "output.log"
    daemon = launch(
        to_redis(),
        globals={"setuid": "nobody", "setgid": "nogroup", "pid": pid_file, "output": output},
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert status_field(daemon.pid, "Uid").split() == [str(nobody.pw_uid)] * 4
    assert status_field(daemon.pid, "Gid").split() == [str(nobody.pw_gid)] * 4
    assert set(status_field(daemon.pid, "Groups").split()) <= {str(nobody.pw_gid)}
    assert int(status_field(daemon.pid, "CapEff"), 16) == 0
    with daemon.connect() as client:
        client.ping()
    wait_for(lambda: "connected to" in output.read_text(), "the log file has lines")
    assert output.stat().st_uid == nobody.pw_uid
    daemon.stop()
    assert not pid_file.exists()


@pytest.mark.direct_only("the user cannot read the tests' known hosts")
def test_ids_may_be_numbers(launch, to_redis, as_root):
    daemon = launch(
        to_redis(),
        globals={"setuid": 65534, "setgid": 65534},
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert status_field(daemon.pid, "Uid").split()[1] == "65534"


@pytest.mark.direct_only("the user cannot read the tests' known hosts")
def test_root_may_be_changed(launch, redis_tls, certificates, open_directory, as_root):
    daemon = launch(
        Service("redis", connect=f"127.0.0.1:{redis_tls.port}", CAfile=certificates.ca_file),
        globals={"chroot": open_directory, "setuid": 65534, "setgid": 65534, "output": "/log"},
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert os.readlink(f"/proc/{daemon.pid}/root") == str(open_directory)
    with daemon.connect() as client:
        client.ping()
    log = open_directory / "log"
    wait_for(lambda: log.exists() and "connected to" in log.read_text(), "the log in the root")


def test_daemon_stays_and_reports_when_it_is_supervised(launch, to_redis, tmp_path):
    linked = subprocess.run(
        ["ldd", binary_path()], capture_output=True, text=True, check=False
    ).stdout
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(path)
        supervisor.settimeout(15 * deadline_scale())
        daemon = launch(
            to_redis(),
            globals={"foreground": "no"},
            env={"NOTIFY_SOCKET": path},
            arguments=[str(tmp_path / "daemon-0" / "cachetunnel.conf")],
        )
        with daemon.connect() as client:
            client.ping()
        assert is_alive(daemon.pid)
        if "libsystemd" not in linked:
            pytest.skip("built without libsystemd: stays, and cannot report")
        message = supervisor.recv(4096)
        assert re.search(rb"(?m)^READY=1$", message)
        daemon.stop()
        assert re.search(rb"(?m)^STOPPING=1$", supervisor.recv(4096))


def test_ready_is_said_only_when_the_ports_listen(launch, to_redis, tmp_path):
    linked = subprocess.run(["ldd", binary_path()], capture_output=True, text=True, check=False)
    if "libsystemd" not in linked.stdout:
        pytest.skip("built without libsystemd")
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(path)
        supervisor.settimeout(15 * deadline_scale())

        def told(_daemon) -> bool:
            return b"READY=1" in supervisor.recv(4096)

        daemon = launch(to_redis(), env={"NOTIFY_SOCKET": path}, ready=told)
        assert daemon.port() in listening_ports()


def test_plain_service_is_named_at_the_start(launch, redis_plain):
    daemon = launch(Service("open", connect=redis_plain.address, plain="yes"))
    daemon.wait_for_log(r"open[^\n]*without TLS")


def test_option_without_effect_is_named_at_the_start(launch, to_redis):
    daemon = launch(to_redis(), globals={"compression": "deflate"})
    daemon.wait_for_log("compression")
