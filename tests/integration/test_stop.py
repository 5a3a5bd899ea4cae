"""Stopping in order: requests in flight get their replies, and nobody else is waited for."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading

import pytest

from harness.daemon import Service
from harness.ports import listening_ports
from harness.waiting import wait_for


def ask_to_stop(daemon) -> None:
    """The first SIGTERM has been heeded when this returns."""
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for_log("Stopping: waiting for the replies")


def ended(daemon) -> None:
    """It ends by itself, with status 0, and not because the time is over."""
    daemon.wait_for_end()
    assert "TIMEOUTdrain = " not in daemon.log()


@pytest.mark.core
def test_reply_that_is_half_sent_is_sent_to_its_end(launch, to_redis):
    size = 64 << 20
    daemon = launch(to_redis())
    with daemon.redis() as setter:
        setter.execute_command("SETRANGE", "half-sent", size - 1, "x")
    with daemon.connect() as client:
        client.send(b"GETRANGE half-sent 0 -1\r\n")
        assert client.read_line() == b"$%d\r\n" % size
        client.read(size // 2)
        ask_to_stop(daemon)
        assert daemon.port() not in listening_ports(daemon.pid)
        client.read(size - size // 2)
        assert client.read(2) == b"\r\n"
        assert client.expect_close() == "eof"
    ended(daemon)


@pytest.mark.core
def test_quiet_tunnels_are_not_waited_for(launch, to_redis):
    daemon = launch(to_redis(), globals={"TIMEOUTdrain": 3600})
    with daemon.connect() as silent, daemon.connect() as done, daemon.connect() as subscriber:
        done.ping()
        subscriber.send(b"SUBSCRIBE nothing\r\n")
        subscriber.ask(b"", b"*3\r\n$9\r\nsubscribe\r\n$7\r\nnothing\r\n:1\r\n")
        daemon.process.send_signal(signal.SIGTERM)
        assert {c.expect_close() for c in (silent, done, subscriber)} == {"eof"}
    ended(daemon)


@pytest.mark.core
def test_reply_that_comes_later_is_waited_for(launch, to_redis, redis_tls):
    daemon = launch(to_redis(), globals={"TIMEOUTdrain": 3600})
    with daemon.connect() as client, redis_tls.direct() as other:
        client.send(b"BLPOP awaited 0\r\n")
        wait_for(lambda: other.info("clients")["blocked_clients"], "the client is blocked")
        ask_to_stop(daemon)
        with pytest.raises(ConnectionRefusedError):
            daemon.connect()
        other.rpush("awaited", "x")
        client.ask(b"", b"*2\r\n$7\r\nawaited\r\n$1\r\nx\r\n")
        assert client.expect_close() == "eof"
    ended(daemon)


def copy_bytes(source: socket.socket, destination: socket.socket) -> None:
    """Passes on all there is, and the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)


@pytest.mark.direct_only("the bastion would open the channel, and has no handshake to wait for")
def test_request_that_waits_for_a_connection_is_served(launch, redis_tls, certificates):
    """The server's handshake goes on only after the stop was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as gate:
        address = f"localhost:{gate.getsockname()[1]}"
        service = Service("redis", connect=address, CAfile=certificates.ca_file)
        daemon = launch(service, globals={"TIMEOUTdrain": 3600, "TIMEOUTbusy": 60})
        with daemon.connect() as client, daemon.connect() as silent:
            client.send(b"PING\r\n")
            daemon.wait_for_log("connecting -> securing", count=2)
            ask_to_stop(daemon)
            assert silent.expect_close() == "eof"
            for _ in range(2):
                way, _ = gate.accept()
                server = socket.create_connection(("127.0.0.1", redis_tls.port))
                for ends in (way, server), (server, way):
                    threading.Thread(target=copy_bytes, args=ends, daemon=True).start()
            client.ask(b"", b"+PONG\r\n")
            assert client.expect_close() == "eof"
        ended(daemon)


def test_time_is_limited(launch, to_redis):
    daemon = launch(to_redis(), globals={"TIMEOUTdrain": 1})
    with daemon.connect() as client:
        client.send(b"BLPOP nothing 0\r\n")
        daemon.wait_for_log("dialling -> relaying")
        daemon.process.send_signal(signal.SIGTERM)
        assert client.expect_close() in ("eof", "reset")
    daemon.wait_for_end()
    assert re.search(r"1 client\(s\) were not done within TIMEOUTdrain = 1 s", daemon.log())


def test_no_time_at_all(launch, to_redis):
    daemon = launch(to_redis(), globals={"TIMEOUTdrain": 0})
    with daemon.connect() as client:
        client.send(b"BLPOP nothing 0\r\n")
        daemon.wait_for_log("dialling -> relaying")
        daemon.process.send_signal(signal.SIGTERM)
        assert client.expect_close() in ("eof", "reset")
    daemon.wait_for_end()


@pytest.mark.core
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_second_signal_ends_at_once(launch, to_redis, number):
    daemon = launch(to_redis(), globals={"TIMEOUTdrain": 3600})
    with daemon.connect() as client:
        client.send(b"BLPOP nothing 0\r\n")
        daemon.wait_for_log("dialling -> relaying")
        ask_to_stop(daemon)
        daemon.process.send_signal(number)
        assert client.expect_close() in ("eof", "reset")
    daemon.wait_for_end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_other_signals_do_not_wait(launch, to_redis, number):
    daemon = launch(to_redis(), globals={"TIMEOUTdrain": 3600})
    with daemon.connect() as client:
        client.send(b"BLPOP nothing 0\r\n")
        daemon.wait_for_log("dialling -> relaying")
        daemon.process.send_signal(number)
        assert client.expect_close() in ("eof", "reset")
    daemon.wait_for_end()


def test_reload_is_refused_meanwhile(launch, to_redis):
    daemon = launch(to_redis(), globals={"TIMEOUTdrain": 3600})
    with daemon.connect() as client:
        client.send(b"BLPOP nothing 0\r\n")
        daemon.wait_for_log("dialling -> relaying")
        ask_to_stop(daemon)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_log("cannot reload: the daemon is about to end")
    ended(daemon)


def test_service_manager_is_told(launch, to_redis, supervisor):
    daemon = launch(to_redis(), env=supervisor.env)
    supervisor.wait_for("READY")
    with daemon.connect() as client:
        client.ping()
        daemon.process.send_signal(signal.SIGTERM)
        message = supervisor.wait_for("STOPPING")
    assert "1 client" in message["STATUS"]
    assert int(message["EXTEND_TIMEOUT_USEC"]) > 10e6


def test_open_tunnels_are_listed(launch, to_redis):
    daemon = launch(to_redis(), globals={"workers": 2})
    with daemon.connect() as first, daemon.connect() as second:
        first.ping()
        second.ping()
        daemon.process.send_signal(signal.SIGUSR2)
        daemon.wait_for_log(r"SIGUSR2; there are 2 client\(s\)")
        for client in first, second:
            port = client.socket.getsockname()[1]
            daemon.wait_for_log(
                rf"Open: service \[redis\], 127.0.0.1:{port} to localhost:\d+ .*, TLSv1.3, "
                r"for \d+\.\d s, 6 byte\(s\) to the server, 7 byte\(s\) to the client"
            )
