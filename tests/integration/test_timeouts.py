"""Every TIMEOUT option fires, in time, and is named in the log."""

from __future__ import annotations

import threading
import time

import pytest

from harness.daemon import Service
from harness.peers import (
    Conversation,
    FullBacklog,
    good_tls,
    greet,
    hold,
    send_in_drips,
    send_then_close,
)
from harness.waiting import deadline_scale

pytestmark = pytest.mark.core

HELLO = b"hello\r\n"


@pytest.fixture
def backlog():
    """An endpoint where connecting takes for ever."""
    made = FullBacklog()
    yield made
    made.close()


def timed_close(client) -> float:
    """Waits until the client is closed without data; returns how long that took."""
    start = time.monotonic()
    client.expect_close()
    return time.monotonic() - start


def assert_about_a_second(seconds: float) -> None:
    """Timers of a second may be late on a busy machine, but never early."""
    assert 0.8 < seconds < 4 * deadline_scale()


@pytest.mark.direct_only("TIMEOUTopen of the bastion counts")
def test_connect_timeout_fires(launch, backlog):
    daemon = launch(
        Service("slow", connect=f"127.0.0.1:{backlog.port}", plain="yes", TIMEOUTconnect=1)
    )
    with daemon.connect() as client:
        assert_about_a_second(timed_close(client))
    daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*\[slow\][^\n]*TIMEOUTconnect")


@pytest.mark.direct_only("TIMEOUTopen of the bastion counts")
def test_connect_timeout_leads_to_the_next_endpoint(launch, backlog, redis_tls, certificates):
    daemon = launch(
        Service(
            "slow",
            connect=[f"127.0.0.1:{backlog.port}", redis_tls.address],
            CAfile=certificates.ca_file,
            TIMEOUTconnect=1,
        )
    )
    with daemon.connect() as client:
        client.ping()
    daemon.wait_for_log(rf"127\.0\.0\.1:{backlog.port}[^\n]*TIMEOUTconnect")


def test_handshake_timeout_fires(launch, serve):
    peer = serve(hold)
    daemon = launch(Service("slow", connect=peer.address, TIMEOUTbusy=1))
    with daemon.connect() as client:
        assert_about_a_second(timed_close(client))
    daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*\[slow\][^\n]*TIMEOUTbusy")
    assert peer.next_note() in ("eof", "reset")


def test_handshake_timeout_fires_although_bytes_trickle_in(launch, serve):
    def trickle(talk: Conversation) -> None:
        talk.socket.sendall(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb")
        send_in_drips(40, 0.2)(talk)

    daemon = launch(Service("slow", connect=serve(trickle).address, TIMEOUTbusy=1))
    with daemon.connect() as client:
        assert_about_a_second(timed_close(client))


def test_idle_timeout_fires(launch, serve, certificates):
    peer = serve(greet, tls=good_tls(certificates))
    daemon = launch(
        Service("idle", connect=peer.address, CAfile=certificates.ca_file, TIMEOUTidle=1)
    )
    with daemon.connect() as client:
        assert client.read(len(HELLO)) == HELLO
        assert_about_a_second(timed_close(client))
    daemon.wait_for_log(r"\[idle\][^\n]*TIMEOUTidle")


def test_idle_timeout_is_put_off_by_traffic(launch, serve, certificates):
    peer = serve(send_in_drips(8, 0.4), tls=good_tls(certificates))
    daemon = launch(
        Service("idle", connect=peer.address, CAfile=certificates.ca_file, TIMEOUTidle=2)
    )
    with daemon.connect() as client:
        assert client.read(8) == b"." * 8
        client.expect_close()
    daemon.wait_for_log(r"\[idle\][^\n]*TIMEOUTidle")


def test_quiet_connections_last_by_default(launch, serve, certificates):
    peer = serve(greet, tls=good_tls(certificates))
    daemon = launch(
        Service("quiet", connect=peer.address, CAfile=certificates.ca_file),
        Service("idle", connect=peer.address, CAfile=certificates.ca_file, TIMEOUTidle=2),
    )
    with daemon.connect("quiet") as quiet, daemon.connect("idle") as idle:
        assert quiet.read(len(HELLO)) == HELLO
        assert idle.read(len(HELLO)) == HELLO
        idle.expect_close()
        quiet.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            quiet.socket.recv(1)


def test_close_timeout_ends_a_tunnel_whose_server_never_closes(launch, serve, certificates):
    def ignore_the_end(talk: Conversation) -> None:
        talk.socket.sendall(HELLO)
        talk.wait_for_close()
        talk.note("client ended")
        talk.peer.test_is_over.wait(30)

    peer = serve(ignore_the_end, tls=good_tls(certificates))
    peer.test_is_over = threading.Event()
    daemon = launch(
        Service("stuck", connect=peer.address, CAfile=certificates.ca_file, TIMEOUTclose=1)
    )
    try:
        with daemon.connect() as client:
            assert client.read(len(HELLO)) == HELLO
            client.finish_writing()
            assert peer.next_note() == "client ended"
            assert_about_a_second(timed_close(client))
        daemon.wait_for_log(r"connection (closed|reset): [^\n]*TIMEOUTclose")
    finally:
        peer.test_is_over.set()


def test_close_timeout_ends_a_tunnel_whose_client_never_closes(launch, serve, certificates):
    peer = serve(send_then_close(HELLO), tls=good_tls(certificates))
    daemon = launch(
        Service("stuck", connect=peer.address, CAfile=certificates.ca_file, TIMEOUTclose=1)
    )
    with daemon.connect() as client:
        assert client.drain() == (HELLO, "eof")
        daemon.wait_for_log(r"connection (closed|reset): 0 byte")


def test_close_timeout_of_zero_does_not_wait(launch, serve, certificates):
    peer = serve(send_then_close(HELLO), tls=good_tls(certificates))
    daemon = launch(
        Service("prompt", connect=peer.address, CAfile=certificates.ca_file, TIMEOUTclose=0)
    )
    with daemon.connect() as client:
        assert client.drain() == (HELLO, "eof")
        daemon.wait_for_log(r"connection closed: 0 byte", timeout=3)


def test_close_timeout_does_not_cut_a_late_answer_short(launch, serve, certificates):
    def drip_after_end(talk: Conversation) -> None:
        talk.wait_for_close()
        send_in_drips(6, 0.4)(talk)

    peer = serve(drip_after_end, tls=good_tls(certificates))
    daemon = launch(
        Service("late", connect=peer.address, CAfile=certificates.ca_file, TIMEOUTclose=2)
    )
    with daemon.connect() as client:
        client.send(b"question")
        client.finish_writing()
        data, _ = client.drain()
    assert data == b"......"
