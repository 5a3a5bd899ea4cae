"""Several endpoints: which one gets a tunnel, which one is down, and how it comes back."""

from __future__ import annotations

import pytest

from harness.client import Client
from harness.daemon import Daemon, Service
from harness.peers import (
    Conversation,
    close_after_first_bytes,
    good_tls,
    reset_after_first_bytes,
)
from harness.ports import free_port
from harness.waiting import wait_for

GLOBALS = {"workers": 1}


def say(number: int):
    """A server that answers each request with its number."""

    def handler(talk: Conversation) -> None:
        while talk.socket.recv(1 << 16):
            talk.socket.sendall(b":%d\r\n" % number)

    return handler


def ask(client: Client) -> int:
    """Which server answers."""
    client.send(b"PING\r\n")
    return int(client.read_line()[1:])


def visit(daemon: Daemon) -> int:
    """Which server a new client meets."""
    with daemon.connect() as client:
        return ask(client)


class Servers:
    """TLS servers at fixed addresses, which come and go."""

    def __init__(self, serve, certificates, count: int):
        self._serve = serve
        self._certificates = certificates
        self.addresses = [("127.0.0.1", free_port()) for _ in range(count)]

    def start(self, index: int, handler=None, is_secure: bool = True):
        """Starts one, which says its number unless told otherwise."""
        tls = good_tls(self._certificates) if is_secure else None
        return self._serve(handler or say(index), tls=tls, address=self.addresses[index])

    @property
    def names(self) -> list[str]:
        """What to write after `connect =`."""
        return [f"localhost:{port}" for _, port in self.addresses]


@pytest.fixture
def servers(serve, certificates):
    """Two that have not been started."""
    return Servers(serve, certificates, 2)


@pytest.fixture
def launch_to(launch, certificates):
    """Starts a daemon with a service to these servers."""

    def start(servers: Servers, **options) -> Daemon:
        return launch(
            Service(
                "many", connect=servers.names, CAfile=certificates.ca_file, errors="resp", **options
            ),
            globals=GLOBALS,
        )

    return start


def down(servers: Servers, index: int) -> str:
    """What the log says when this one goes down."""
    return rf"LOG4[^\n]*\[many\]: endpoint {servers.names[index]} is down: "


def back(servers: Servers, index: int) -> str:
    """What the log says when it returns."""
    return rf"LOG5[^\n]*\[many\]: endpoint {servers.names[index]} is back after "


def test_least_goes_where_the_fewest_tunnels_are(launch_to, serve, certificates):
    servers = Servers(serve, certificates, 3)
    for index in range(3):
        servers.start(index)
    daemon = launch_to(servers, failover="least")
    clients = [daemon.connect() for _ in range(9)]
    met = [ask(client) for client in clients]
    assert sorted(met) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    leaving = [client for client, server in zip(clients, met) if server == 1][:2]
    for count, client in enumerate(leaving, 1):
        client.close()
        daemon.wait_for_log("connection closed", count=count)
    late = [daemon.connect() for _ in range(2)]
    assert [ask(client) for client in late] == [1, 1]
    for client in clients + late:
        client.close()


@pytest.mark.core
def test_prio_returns_to_the_first_endpoint_without_anybody_asking(launch_to, servers):
    """One client finds out that it is down; a check of ours finds out that it is back."""
    servers.start(1)
    daemon = launch_to(servers)
    assert visit(daemon) == 1
    daemon.wait_for_log(down(servers, 0) + rf"[^\n]*; new tunnels go to {servers.names[1]}; it is")
    assert visit(daemon) == 1
    servers.start(0)
    daemon.wait_for_log(back(servers, 0) + r"[0-9.]+ s: it takes connections")
    assert visit(daemon) == 0
    assert daemon.log().count("is down") == daemon.log().count("is back") == 1


def test_open_tunnels_stay_when_the_first_endpoint_returns(launch_to, servers):
    servers.start(1)
    daemon = launch_to(servers)
    with daemon.connect() as client:
        assert ask(client) == 1
        servers.start(0)
        daemon.wait_for_log(back(servers, 0))
        assert visit(daemon) == 0
        assert ask(client) == 1


def test_endpoint_that_breaks_handshakes_is_down_until_one_succeeds(launch_to, servers):
    """It takes TCP connections all the time, which proves nothing."""
    broken = servers.start(0, close_after_first_bytes, is_secure=False)
    servers.start(1)
    daemon = launch_to(servers, TIMEOUThold=5)
    assert visit(daemon) == 1  # held, and then connected to the other one
    daemon.wait_for_log(down(servers, 0))
    broken.wait_for_connections(3)  # a client's, and checks
    assert "is back" not in daemon.log()
    broken.close()
    servers.start(0)
    daemon.wait_for_log(back(servers, 0))
    assert visit(daemon) == 0


def test_handshake_that_hangs_goes_on_to_the_next_endpoint(launch_to, servers):
    """Its kernel takes connections, and nobody answers: a process that is stopped."""
    hung = servers.start(0, lambda talk: talk.wait_for_close(), is_secure=False)
    servers.start(1)
    daemon = launch_to(servers, TIMEOUThold=0, TIMEOUTbusy=1)
    assert visit(daemon) == 1
    daemon.wait_for_log(down(servers, 0) + r"[^\n]*TLS handshake timed out")
    assert hung.accepted >= 1


def test_endpoint_that_drops_tunnels_at_once_is_left(launch_to, servers):
    """It speaks TLS perfectly, and resets whoever asks something."""
    servers.start(0, reset_after_first_bytes)
    servers.start(1)
    daemon = launch_to(servers)
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        client.expect_close()
    daemon.wait_for_log(down(servers, 0) + r"[^\n]*it broke a tunnel after")
    assert visit(daemon) == 1


def test_warm_connections_follow_the_first_endpoint(launch_to, servers):
    spare = servers.start(1)
    daemon = launch_to(servers, warm=1)
    spare.next_handshake()
    servers.start(0)
    daemon.wait_for_log(back(servers, 0))
    assert visit(daemon) == 0


@pytest.mark.direct_only("it names its own bastion")
def test_endpoints_are_checked_through_the_bastion(launch, through, sshd, servers, certificates):
    servers.start(1)
    daemon = launch(
        Service("many", connect=servers.names, CAfile=certificates.ca_file, bastion="hop"),
        bastions=(through(sshd),),
        globals=GLOBALS,
    )
    assert visit(daemon) == 1
    daemon.wait_for_log(down(servers, 0))
    servers.start(0)
    daemon.wait_for_log(back(servers, 0) + r"[0-9.]+ s: it takes connections")
    assert visit(daemon) == 0


def test_clients_are_held_while_all_are_down_and_go_where_one_returns(launch_to, servers):
    daemon = launch_to(servers, TIMEOUThold=30)
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        for index in range(2):
            daemon.wait_for_log(down(servers, index))
        servers.start(1)
        assert int(client.read_line()[1:]) == 1
    wait_for(lambda: visit(daemon) == 1, "the one that is up gets the tunnels")
