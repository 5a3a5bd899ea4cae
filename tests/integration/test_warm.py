"""Connections that are ready before a client comes."""

from __future__ import annotations

import re
import signal
from datetime import datetime, timedelta

import pytest

from harness.client import Client
from harness.daemon import Service
from harness.peers import Conversation, good_tls, send_then_close
from harness.ports import free_port
from harness.waiting import wait_for

GLOBALS = {"workers": 1}


def number_answers(talk: Conversation) -> None:
    """Answers each line with a number that only this connection has, and notes it."""
    number = talk.source[1]
    talk.note(number)
    while talk.socket.recv(1 << 16):
        talk.socket.sendall(b":%d\r\n" % number)


@pytest.fixture
def numbered(serve, certificates):
    """A TLS server whose answers tell on which connection they came."""
    return serve(number_answers, tls=good_tls(certificates))


@pytest.fixture
def launch_warm(launch, numbered, certificates):
    """Starts a daemon with warm connections to that server, and waits for them."""

    def start(count: int = 1, **options):
        service = Service(
            "warm", connect=numbered.address, CAfile=certificates.ca_file, warm=count, **options
        )
        daemon = launch(service, globals=GLOBALS)
        numbered.wait_for_connections(count)
        for _ in range(count):
            numbered.next_handshake()
        return daemon

    return start


def ask(client: Client) -> int:
    """On which connection the client's question arrives."""
    client.send(b"PING\r\n")
    return int(client.read_line()[1:])


def test_client_gets_a_connection_that_was_there_before_it(launch_warm, numbered):
    """So its first question is all that goes to the server: no round trip before it."""
    daemon = launch_warm()
    first = numbered.next_note()
    with daemon.connect() as client:
        assert ask(client) == first
    daemon.wait_for_log(r"\[warm\] connected to [^\n]*, warm, ")


def test_each_is_used_once_and_replaced(launch_warm, numbered):
    daemon = launch_warm()
    met = []
    for number in range(1, 6):
        numbered.wait_for_connections(number)
        with daemon.connect() as client:
            met.append(ask(client))
    assert len(set(met)) == 5


def test_more_clients_than_warm_connections_are_served(launch_warm, numbered):
    daemon = launch_warm(2)
    clients = [daemon.connect() for _ in range(10)]
    assert len({ask(client) for client in clients}) == 10
    for client in clients:
        client.close()


def test_connection_that_the_server_closes_is_replaced(launch, to_redis, redis_tls):
    with redis_tls.direct() as direct:
        ours = {client["id"] for client in direct.client_list()}
        daemon = launch(to_redis(warm=2), globals=GLOBALS)

        def others() -> set:
            return {client["id"] for client in direct.client_list()} - ours

        wait_for(lambda: len(others()) == 2, "two warm connections")
        first = others()
        for number in first:
            direct.execute_command("CLIENT", "KILL", "ID", number)
        wait_for(lambda: len(others() - first) == 2, "two others take their place")
        with daemon.connect() as client:
            client.ping()


def test_server_that_speaks_first_is_not_kept(launch, serve, certificates):
    """Whatever a client gets must be as good as new."""

    def speak(talk: Conversation) -> None:
        talk.socket.sendall(b"-ERR max number of clients reached\r\n")
        talk.wait_for_close()

    peer = serve(speak, tls=good_tls(certificates))
    daemon = launch(
        Service("warm", connect=peer.address, CAfile=certificates.ca_file, warm=1),
        globals=GLOBALS,
    )
    daemon.wait_for_log("a warm connection to [^\n]* is dropped")


@pytest.mark.direct_only("names are looked up beyond a bastion")
def test_failure_is_tried_again(launch, serve, certificates, name_server):
    """The server is not there at first."""
    name, port = "late.cache.test", free_port()
    daemon = launch(
        Service("warm", connect=f"{name}:{port}", plain="yes", warm=1),
        globals={**GLOBALS, "resolver": name_server.address},
    )
    daemon.wait_for_log(r"\[warm\]: no warm connection: ")
    name_server.set(name, "127.0.0.1")
    daemon.wait_for_log(r"\[warm\]: no warm connection: [^\n]*refused")
    peer = serve(number_answers, address=("127.0.0.1", port))
    peer.wait_for_connections(1)


def test_reload_drops_them(launch_warm, numbered):
    daemon = launch_warm()
    daemon.config_file.write_text(daemon.config_file.read_text() + "debug = 6\n")
    daemon.process.send_signal(signal.SIGHUP)
    numbered.wait_for_connections(2)
    first, second = numbered.next_note(), numbered.next_note()
    with daemon.connect() as client:
        assert ask(client) == second != first


def test_server_that_closes_them_is_left_alone_for_longer_each_time(launch, serve):
    """As one with too many clients does: each connection would be followed by the next at once."""
    peer = serve(send_then_close(b"-ERR max number of clients reached\r\n"))
    daemon = launch(Service("warm", connect=peer.address, plain="yes", warm=1), globals=GLOBALS)
    daemon.wait_for_log("a warm connection to [^\n]* is dropped", count=4)
    # The pauses before these are at least 0.37, 0.75 and 1.5 s.
    stamps = re.findall(r"(\S+ \S+) LOG7\S+ Service \[warm\]: a warm[^\n]*dropped", daemon.log())
    times = [datetime.strptime(stamp, "%Y.%m.%d %H:%M:%S") for stamp in stamps[:4]]
    assert times[3] - times[0] >= timedelta(seconds=2)


@pytest.mark.direct_only("names are looked up beyond a bastion")
@pytest.mark.parametrize("role", ["primary", "any"])
def test_warm_connections_follow_the_name(launch, serve, name_server, role):
    name = "moving.cache.test"
    old = serve(number_answers, address=("127.0.1.1", 0))
    new = serve(number_answers, address=("127.0.1.2", old.port))
    name_server.set(name, "127.0.1.1")
    launch(
        Service("warm", connect=f"{name}:{old.port}", plain="yes", warm=1, role=role),
        globals={**GLOBALS, "resolver": name_server.address},
    )
    old.wait_for_connections(1)
    name_server.set(name, "127.0.1.2")
    new.wait_for_connections(1)
