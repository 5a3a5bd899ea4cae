"""What status and metrics tell of endpoints, of addresses in use, of moves, and of who waits."""

from __future__ import annotations

import signal

import pytest

from harness.daemon import Service
from harness.peers import Conversation, closed_port, echo, good_tls, greet, hold
from harness.waiting import wait_for

NAME = "master.moving.test"
GLOBALS = {"workers": 1}

pytestmark = pytest.mark.direct_only("addresses beyond a bastion are not known")


def refuse_writes(talk: Conversation) -> None:
    """A server that is the primary no longer."""
    while talk.socket.recv(1 << 16):
        talk.socket.sendall(b"-READONLY You can't write against a read only replica.\r\n")


def test_endpoints_tell_which_is_down_and_why(controlled, serve, certificates):
    peer = serve(greet, tls=good_tls(certificates))
    first = f"localhost:{closed_port()}"
    service = Service("redis", connect=[first, peer.address], CAfile=certificates.ca_file)
    daemon, control = controlled(service, globals=GLOBALS)
    with daemon.connect() as client:
        client.read(7)
        found = control.service()
        assert [(e["address"], e["state"], e["tunnels"]) for e in found["endpoints"]] == [
            (first, "down", 0),
            (peer.address, "up", 1),
        ]
        assert "refused" in found["endpoints"][0]["reason"] and found["endpoints"][0]["since"]
        assert found["endpoints"][1]["reason"] is None
        assert found["addresses"] == [{"address": f"127.0.0.1:{peer.port}", "tunnels": 1}]
    for address, value in ((first, 0), (peer.address, 1)):
        assert (
            control.metric("cachetunnel_endpoint_up", service="redis", endpoint=address) == value
        )
    wait_for(lambda: control.service()["addresses"] == [], "nobody is there any more")


@pytest.mark.core
def test_last_move_is_told(controlled, serve, name_server):
    old = serve(refuse_writes)
    new = serve(greet, address=("127.0.1.1", old.port))
    name_server.set(NAME, "127.0.0.1", ttl=0)
    service = Service("redis", connect=f"{NAME}:{old.port}", plain="yes", role="primary")
    daemon, control = controlled(service, globals={"resolver": name_server.address, **GLOBALS})
    assert control.service()["last_move"] is None
    with daemon.connect() as client:
        client.send(b"SET a b\r\n")
        assert client.read_line().startswith(b"-READONLY")
        client.expect_close()
    move = control.service()["last_move"]
    assert (move["from"], move["to"]) == (f"127.0.0.1:{old.port}", None)
    name_server.set(NAME, "127.0.1.1", ttl=0)
    with daemon.connect() as client:
        client.read(7)
    move = control.service()["last_move"]
    assert (move["from"], move["to"]) == (f"127.0.0.1:{old.port}", f"127.0.1.1:{new.port}")
    assert move["at"]
    assert control.metric("cachetunnel_moves_total", service="redis") == 1
    assert control.metric("cachetunnel_last_move_timestamp_seconds", service="redis") > 1.7e9


def test_who_waits_is_counted(controlled, serve, certificates):
    peer = serve(hold, tls=good_tls(certificates))
    daemon, control = controlled(
        Service("warm", connect=peer.address, CAfile=certificates.ca_file, warm=2),
        Service("held", connect=f"localhost:{closed_port()}", plain="yes", TIMEOUThold=300),
        globals=GLOBALS,
    )
    wait_for(lambda: control.service("warm")["warm"] == 2, "two are ready")
    clients = [daemon.connect("held") for _ in range(3)]
    wait_for(lambda: control.service("held")["held"] == 3, "all clients are held")
    assert control.metric("cachetunnel_warm_connections", service="warm") == 2
    # One of those who are held dials now and then, for all.
    wait_for(
        lambda: control.metric("cachetunnel_clients_held", service="held") == 3, "so is it counted"
    )
    for client in clients:
        client.close()
    wait_for(lambda: control.service("held")["held"] == 0, "nobody is held any more")


def test_who_waits_since_before_a_reload_is_counted(controlled, serve):
    """The daemon is told something new while clients wait, and others are connected."""
    peer = serve(greet)
    daemon, control = controlled(
        Service("held", connect=f"localhost:{closed_port()}", plain="yes", TIMEOUThold=300),
        Service("open", connect=peer.address, plain="yes"),
        globals=GLOBALS,
    )
    held = [daemon.connect("held") for _ in range(3)]
    with daemon.connect("open") as client:
        client.read(7)
        wait_for(lambda: control.service("held")["held"] >= 2, "clients are held")
        daemon.config_file.write_text(daemon.config_file.read_text() + "debug = 6\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        wait_for(lambda: control.service("held")["held"] >= 2, "they are still held")
        assert control.service("open")["endpoints"][0]["tunnels"] == 1
    for client in held:
        client.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_move_counts_once(controlled, serve, name_server, workers):
    """However many workers see their tunnels leave."""
    peer = serve(echo)
    name_server.set(NAME, "127.0.0.1", ttl=0)
    service = Service("redis", connect=f"{NAME}:{peer.port}", plain="yes", role="primary")
    daemon, control = controlled(
        service, globals={"resolver": name_server.address, "workers": workers}
    )
    clients = [daemon.connect() for _ in range(6)]
    for client in clients:
        client.ask(b"PING\r\n", b"PING\r\n")
    name_server.set(NAME, "127.0.1.1", ttl=0)
    for client in clients:
        client.drain()
    assert control.metric("cachetunnel_moves_total", service="redis") == 1
