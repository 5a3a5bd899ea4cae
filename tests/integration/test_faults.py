"""Whatever the other side does, the client hears of it at once and the log says what happened."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from harness.client import reset
from harness.daemon import Service
from harness.peers import (
    Conversation,
    FullBacklog,
    close_after_first_bytes,
    closed_port,
    good_tls,
    greet,
    hold,
    random_bytes,
    refuse_with_error,
    reset_after_first_bytes,
    reset_at_once,
    send_garbage,
    send_then_close,
    send_then_reset,
)
from harness.process import cpu_seconds, descriptor_count, settled_descriptor_count
from harness.waiting import wait_for

pytestmark = pytest.mark.core

HELLO = b"hello\r\n"


@pytest.fixture
def tunnel_to(launch, certificates, to_redis):
    """A daemon with a service `tls` to the peer, and `redis` beside it, which must not suffer."""

    def start(peer, globals=None, **options):
        authority = None if options.get("plain") == "yes" else certificates.ca_file
        service = Service("tls", **{"connect": peer.address, "CAfile": authority, **options})
        return launch(service, to_redis("redis"), globals=globals)

    return start


def expect_close(daemon, *words: str) -> None:
    """The client is closed without a byte, an error has one of the words, and life goes on."""
    with daemon.connect("tls") as client:
        client.expect_close()
    line = daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*Service \[tls\][^\n]*").group(0).lower()
    assert any(word in line for word in words), line
    with daemon.connect("redis") as client:
        client.ping()


@pytest.mark.direct_only("SSH channels know no reset")
def test_server_that_resets_at_once_is_reported(tunnel_to, serve):
    expect_close(tunnel_to(serve(reset_at_once)), "reset")


@pytest.mark.direct_only("SSH channels know no reset")
def test_server_that_resets_during_the_handshake_is_reported(tunnel_to, serve):
    expect_close(tunnel_to(serve(reset_after_first_bytes)), "reset")


def test_server_that_closes_during_the_handshake_is_reported(tunnel_to, serve):
    expect_close(tunnel_to(serve(close_after_first_bytes)), "closed", "eof", "end of file")


def test_server_that_closes_at_once_is_reported(tunnel_to, serve):
    expect_close(tunnel_to(serve(send_then_close(b""))), "closed", "eof", "reset")


def test_garbage_in_place_of_tls_is_reported(tunnel_to, serve):
    expect_close(tunnel_to(serve(send_garbage)), "tls", "version", "packet", "record")


def test_truncated_server_hello_is_reported(tunnel_to, serve):
    expect_close(
        tunnel_to(serve(send_then_close(b"\x16\x03\x03\x00\x7a\x02\x00"))),
        "closed",
        "eof",
        "reset",
    )


def test_plaintext_redis_behind_connect_is_recognised(tunnel_to, redis_plain):
    # It takes a ClientHello for the begin of a command and waits for the rest.
    expect_close(tunnel_to(redis_plain, TIMEOUTbusy=1), "plain = yes")


def test_plaintext_answer_to_the_handshake_is_recognised(tunnel_to, serve):
    def complain(talk: Conversation) -> None:
        talk.socket.recv(1 << 16)
        talk.socket.sendall(b"-ERR unknown command\r\n")
        talk.wait_for_close()

    expect_close(tunnel_to(serve(complain)), "plain = yes")


@pytest.mark.direct_only("the bastion says it in its own words")
def test_refused_connection_is_reported(tunnel_to, serve):
    peer = serve(greet)
    expect_close(tunnel_to(peer, connect=f"localhost:{closed_port()}"), "refused")


def test_silent_server_keeps_only_its_own_client_waiting(tunnel_to, serve):
    daemon = tunnel_to(serve(hold))
    with daemon.connect("tls"), daemon.connect("redis") as other:
        for _ in range(10):
            other.ping()


def test_client_that_leaves_a_silent_handshake_frees_everything(tunnel_to, serve):
    peer = serve(hold)
    daemon = tunnel_to(peer)
    before = settled_descriptor_count(daemon.pid)
    for number in range(1, 6):
        with daemon.connect("tls"):
            peer.wait_for_connections(number)
        assert peer.next_note() in ("eof", "reset")
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")


def test_client_that_resets_during_the_handshake_frees_everything(tunnel_to, serve):
    peer = serve(hold)
    daemon = tunnel_to(peer)
    before = settled_descriptor_count(daemon.pid)
    for number in range(1, 6):
        client = daemon.connect("tls")
        peer.wait_for_connections(number)
        client.reset()
        assert peer.next_note() in ("eof", "reset")
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")


@pytest.mark.direct_only("the bastion connects")
def test_client_that_leaves_while_connecting_frees_everything(tunnel_to, serve):
    backlog = FullBacklog()
    try:
        daemon = tunnel_to(serve(greet), connect=f"127.0.0.1:{backlog.port}")
        before = settled_descriptor_count(daemon.pid)
        for number in range(1, 4):
            client = daemon.connect("tls")
            daemon.wait_for_log(r"\[tls\] accepted connection", count=number)
            client.reset()
        wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    finally:
        backlog.close()


def test_clients_that_reset_at_once_leave_nothing_behind(tunnel_to, serve, certificates):
    daemon = tunnel_to(serve(hold, tls=good_tls(certificates)))
    before = settled_descriptor_count(daemon.pid)
    for _ in range(200):
        daemon.connect("tls").reset()
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    with daemon.connect("redis") as client:
        client.ping()


def test_clients_that_leave_just_as_the_endpoint_refuses_are_harmless(tunnel_to, serve):
    daemon = tunnel_to(serve(greet), connect=f"127.0.0.1:{closed_port()}")
    before = settled_descriptor_count(daemon.pid)
    for _ in range(30):
        clients = [daemon.connect("tls") for _ in range(10)]
        for number, client in enumerate(clients):
            if number % 2:
                client.reset()
            else:
                client.close()
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    with daemon.connect("redis") as client:
        client.ping()


def test_server_close_delivers_everything_then_the_end(tunnel_to, serve, certificates):
    data = random_bytes(3 << 20)
    daemon = tunnel_to(serve(send_then_close(data), tls=good_tls(certificates)))
    with daemon.connect("tls") as client:
        received, ending = client.drain()
    assert received == data
    assert ending == "eof"
    daemon.wait_for_log(rf"connection closed: 0 byte\(s\) sent to TLS, {len(data)} byte\(s\) sent")


def test_server_close_with_close_notify_is_the_same(tunnel_to, serve, certificates):
    def say_goodbye(talk: Conversation) -> None:
        talk.socket.sendall(b"bye")
        talk.socket.unwrap()

    daemon = tunnel_to(serve(say_goodbye, tls=good_tls(certificates)))
    with daemon.connect("tls") as client:
        assert client.drain() == (b"bye", "eof")


@pytest.mark.direct_only("SSH channels know no reset")
@pytest.mark.parametrize("plain", ["no", "yes"])
def test_server_reset_reaches_the_client_as_a_reset(tunnel_to, serve, certificates, plain):
    go_on = threading.Event()
    tls = good_tls(certificates) if plain == "no" else None
    daemon = tunnel_to(serve(send_then_reset(HELLO, go_on), tls=tls), plain=plain)
    with daemon.connect("tls") as client:
        assert client.read(len(HELLO)) == HELLO
        go_on.set()
        assert client.drain() == (b"", "reset")
    sent_to = "server" if tls is None else "TLS"
    daemon.wait_for_log(
        rf"connection reset: 0 byte\(s\) sent to {sent_to}, 7 byte\(s\) sent to socket"
    )


def test_server_reset_is_an_ordinary_end_with_reset_no(tunnel_to, serve, certificates):
    go_on = threading.Event()
    peer = serve(send_then_reset(HELLO, go_on), tls=good_tls(certificates))
    daemon = tunnel_to(peer, reset="no")
    with daemon.connect("tls") as client:
        assert client.read(len(HELLO)) == HELLO
        go_on.set()
        assert client.drain() == (b"", "eof")


@pytest.mark.direct_only("SSH channels know no reset")
@pytest.mark.parametrize("plain", ["no", "yes"])
def test_client_reset_reaches_the_server_as_a_reset(tunnel_to, serve, certificates, plain):
    def hello_and_hold(talk: Conversation) -> None:
        talk.socket.sendall(HELLO)
        hold(talk)

    tls = good_tls(certificates) if plain == "no" else None
    peer = serve(hello_and_hold, tls=tls)
    daemon = tunnel_to(peer, plain=plain)
    client = daemon.connect("tls")
    assert client.read(len(HELLO)) == HELLO
    client.reset()
    assert peer.next_note() == "reset"
    daemon.wait_for_log(r"connection reset: ")


def test_client_close_ends_the_server_side(tunnel_to, serve, certificates):
    peer = serve(hold, tls=good_tls(certificates))
    daemon = tunnel_to(peer)
    with daemon.connect("tls") as client:
        client.send(b"last words")
    assert peer.next_note() == "eof"
    daemon.wait_for_log(r"connection closed: 10 byte\(s\) sent to TLS, 0 byte\(s\) sent to socket")


@pytest.mark.parametrize("plain", ["no", "yes"])
def test_error_is_read_although_the_client_still_writes(tunnel_to, serve, certificates, plain):
    message = b"-ERR max number of clients reached\r\n"
    tls = good_tls(certificates) if plain == "no" else None
    daemon = tunnel_to(serve(refuse_with_error(message), tls=tls), plain=plain)
    for _ in range(20):
        with daemon.connect("tls") as client:
            writer = threading.Thread(target=write_until_it_fails, args=(client.socket,))
            writer.start()
            data, _ = client.drain()
            writer.join()
        assert data == message


def write_until_it_fails(connection: socket.socket) -> None:
    """A client that talks without listening."""
    block = b"x" * 65536
    try:
        for _ in range(256):
            connection.sendall(block)
    except OSError:
        pass


def test_server_reset_while_the_client_writes_ends_the_tunnel(tunnel_to, serve, certificates):
    daemon = tunnel_to(serve(reset_after_first_bytes, tls=good_tls(certificates)))
    with daemon.connect("tls") as client:
        write_until_it_fails(client.socket)
        client.expect_close()
    daemon.wait_for_log("connection (closed|reset): ")


def test_client_reset_while_the_server_writes_ends_the_tunnel(tunnel_to, serve, certificates):
    def flood(talk: Conversation) -> None:
        try:
            write_until_it_fails(talk.socket)
            talk.socket.sendall(random_bytes(1 << 26))
        finally:
            talk.note("ended")

    peer = serve(flood, tls=good_tls(certificates))
    daemon = tunnel_to(peer)
    before = settled_descriptor_count(daemon.pid)
    client = daemon.connect("tls")
    client.read(1 << 20)
    client.reset()
    assert peer.next_note() == "ended"
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")


def test_corrupted_tls_record_ends_the_tunnel(tunnel_to, serve, certificates):
    def corrupt(talk: Conversation) -> None:
        talk.socket.sendall(HELLO)
        talk.read(1)
        raw = socket.socket(fileno=talk.socket.detach())
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            raw.settimeout(20)
            while raw.recv(4096):
                pass

    daemon = tunnel_to(serve(corrupt, tls=good_tls(certificates)))
    with daemon.connect("tls") as client:
        assert client.read(len(HELLO)) == HELLO
        client.send(b"!")
        client.expect_close()
    daemon.wait_for_log(r"decryption|bad record|mac")


def test_tls_client_on_the_plaintext_port_is_told(tunnel_to, serve, certificates):
    daemon = tunnel_to(serve(hold, tls=good_tls(certificates)))
    context = ssl.create_default_context()
    with daemon.connect("tls") as client, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(client.socket, server_hostname="localhost")
    line = daemon.wait_for_log(r"LOG[34]\[[^]]*\]:[^\n]*\[tls\][^\n]*").group(0)
    assert "TLS" in line


def test_closed_tunnels_leave_the_processor_alone(tunnel_to, serve, certificates):
    peer = serve(send_then_close(HELLO), tls=good_tls(certificates))
    daemon = tunnel_to(peer)
    with daemon.connect("tls") as client:
        assert client.drain() == (HELLO, "eof")
        # The client has not closed: a daemon that keeps asking the socket would spin here.
        before = cpu_seconds(daemon.pid)
        threading.Event().wait(0.5)
        assert cpu_seconds(daemon.pid) - before < 0.2


def test_one_fault_after_another_leaves_no_descriptors(tunnel_to, serve):
    def misbehave(talk: Conversation) -> None:
        kind = talk.peer.accepted % 5
        if kind == 0:
            talk.reset()
        elif kind == 1:
            reset_after_first_bytes(talk)
        elif kind == 2:
            talk.socket.recv(1 << 16)
            talk.socket.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake failure
        elif kind == 3:
            talk.socket.recv(1 << 16)
            talk.socket.sendall(b"\x16\x03\x03\x40\x00" + bytes(100))

    daemon = tunnel_to(serve(misbehave))
    before = settled_descriptor_count(daemon.pid)
    for _ in range(100):
        with daemon.connect("tls") as client:
            client.expect_close()
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    with daemon.connect("redis") as client:
        client.ping()


def test_stop_ends_open_tunnels(tunnel_to, serve, certificates):
    daemon = tunnel_to(serve(greet, tls=good_tls(certificates)))
    with daemon.connect("tls") as client, daemon.connect("redis") as idle:
        client.read(len(HELLO))
        idle.ping()
        daemon.stop()
        assert client.expect_close() in ("eof", "reset")
        assert idle.expect_close() in ("eof", "reset")


def test_stop_during_a_handshake_is_clean(tunnel_to, serve):
    peer = serve(hold)
    daemon = tunnel_to(peer)
    with daemon.connect("tls") as client:
        peer.wait_for_connections(1)
        daemon.stop()
        client.expect_close()


def test_stop_during_a_transfer_is_clean(tunnel_to, serve, certificates):
    def flood(talk: Conversation) -> None:
        while True:
            talk.socket.sendall(bytes(1 << 16))

    peer = serve(flood, tls=good_tls(certificates))
    daemon = tunnel_to(peer, globals={"TIMEOUTdrain": 1})
    with daemon.connect("tls") as client:
        client.read(1 << 20)
        daemon.stop()


def test_probe_that_connects_and_leaves_is_harmless(tunnel_to, serve, certificates):
    daemon = tunnel_to(serve(greet, tls=good_tls(certificates)))
    for _ in range(50):
        probe = socket.create_connection(("127.0.0.1", daemon.port("tls")), 10)
        probe.close()
    for _ in range(50):
        reset(socket.create_connection(("127.0.0.1", daemon.port("tls")), 10))
    with daemon.connect("tls") as client:
        assert client.read(len(HELLO)) == HELLO
