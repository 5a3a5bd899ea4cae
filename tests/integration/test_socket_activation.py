"""Sockets that a service manager has opened, instead of what `accept` says."""

from __future__ import annotations

import shutil
import socket

import pytest

from harness.client import Client
from harness.ports import free_port, listening_ports

KEPT = ("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "HOME", "NOTIFY_SOCKET")


@pytest.fixture
def activate(launch):
    """Starts the daemon through systemd-socket-activate, with sockets of these names."""
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip("systemd-socket-activate is missing")

    def start(names: str, *services, ports: int = 1, **options):
        opened = [free_port() for _ in range(ports)]
        prefix = [program, *(f"--listen=127.0.0.1:{port}" for port in opened)]
        prefix += [f"--setenv={name}" for name in KEPT]
        prefix += [f"--fdname={names}"] if names else []
        daemon = launch(
            *services,
            prefix=tuple(prefix),
            ready=lambda daemon: set(opened) <= listening_ports(daemon.pid),
            **options,
        )
        return daemon, opened

    return start


def ping(port: int) -> None:
    """A client gets through on this port; the first one makes the daemon start."""
    with Client(socket.create_connection(("127.0.0.1", port), 15)) as client:
        client.ping()


def test_socket_goes_to_the_service_of_its_name(activate, to_redis):
    services = to_redis("first", connect="localhost:1"), to_redis("second")
    daemon, (port,) = activate("second", *services)
    ping(port)
    daemon.wait_for_log(r"Service \[second\] accepted connection")
    assert daemon.port("second") not in listening_ports(daemon.pid)
    assert daemon.port("first") in listening_ports(daemon.pid)


def test_sockets_without_a_name_of_ours_go_in_order(activate, to_redis):
    daemon, ports = activate("", to_redis("first"), to_redis("second"), ports=2)
    for port, name in zip(ports, ("first", "second")):
        ping(port)
        daemon.wait_for_log(rf"Service \[{name}\] accepted connection")


def test_several_sockets_of_one_name_are_all_accepted_on(activate, to_redis):
    _, ports = activate("redis:redis", to_redis(), ports=2)
    for port in ports:
        ping(port)


def test_sockets_stay_across_reloads_whatever_their_place(activate, to_redis):
    daemon, (port,) = activate("", to_redis("first"))
    ping(port)
    daemon.reload(to_redis("another"), *daemon.services)
    ping(port)
    with daemon.connect("another") as client:
        client.ping()
    daemon.reload(daemon.services[0])
    daemon.reload(daemon.services[0], to_redis("first"))
    ping(port)


def test_children_get_no_sockets(activate, to_redis, sshd, through, tmp_path):
    seen = tmp_path / "environment"
    command = f"env >{seen}; exec nc %h %p"
    hop = through(sshd, proxyCommand=command)
    _, (port,) = activate("redis", to_redis(bastion=hop.name), bastions=(hop,))
    ping(port)
    assert "LISTEN_" not in seen.read_text()


def refused(launch, to_redis, script: str, names: str) -> str:
    """What is said of sockets that cannot be used."""
    variables = f"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={names}"
    with pytest.raises(AssertionError) as failure:
        launch(to_redis(), prefix=("sh", "-c", f'{variables} exec "$0" "$@" {script}'))
    return str(failure.value)


def test_socket_that_nobody_wants_is_an_error(activate, to_redis):
    daemon, (port, _) = activate("redis:stranger", to_redis(), ports=2, expect_status=1)
    with socket.create_connection(("127.0.0.1", port), 15):
        daemon.wait_for_end()
    assert "socket named 'stranger'" in daemon.log()


def test_more_sockets_than_services_is_an_error(activate, to_redis):
    daemon, (port, _) = activate("", to_redis(), ports=2, expect_status=1)
    with socket.create_connection(("127.0.0.1", port), 15):
        daemon.wait_for_end()
    assert "2 socket(s), which is more than there are services" in daemon.log()


def test_what_is_no_listening_socket_is_an_error(launch, to_redis):
    assert "no listening socket" in refused(launch, to_redis, "3</dev/null", "redis")


def test_sockets_for_another_process_are_not_ours(launch, to_redis):
    daemon = launch(to_redis(), env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    with daemon.connect() as client:
        client.ping()
