"""What is logged, where, and that no reader or disk can hold up a tunnel."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import socket

import pytest

from harness.client import Client
from harness.daemon import LOG_LINE, Service
from harness.peers import greet, tls_context
from harness.process import is_alive
from harness.waiting import wait_for

F_SETPIPE_SZ = 1031


def ping(daemon, name: str | None = None, count: int = 1) -> None:
    """So many tunnels, one after another."""
    for _ in range(count):
        with daemon.connect(name) as client:
            client.ping()


def test_every_line_has_the_format_of_stunnel(launch, to_redis):
    daemon = launch(to_redis())
    ping(daemon)
    daemon.wait_for_log("connection closed")
    daemon.stop()
    for line in daemon.log().splitlines():
        assert LOG_LINE.match(line) or re.match(r"^\[[*!:. ]\] ", line), line


@pytest.mark.direct_only("the words differ")
def test_connection_is_told_from_accept_to_close(launch, to_redis, redis_tls):
    daemon = launch(to_redis())
    with daemon.connect() as client:
        client_port = client.socket.getsockname()[1]
        client.ping()
    port = redis_tls.port
    accepted = daemon.wait_for_log(
        rf"LOG5\[(\d+)\]: Service \[redis\] accepted connection from 127\.0\.0\.1:{client_port}"
    )
    number = accepted.group(1)
    daemon.wait_for_log(
        rf"LOG5\[{number}\]: Service \[redis\] connected to localhost:{port} "
        rf"\(127\.0\.0\.1:{port}\), TLSv1\.3 \w+, (new|resumed) session, [\d.]+ ms"
    )
    daemon.wait_for_log(
        rf"LOG5\[{number}\]: Connection closed: 6 byte\(s\) sent to TLS, "
        rf"7 byte\(s\) sent to socket; service \[redis\], 127\.0\.0\.1:{client_port} "
        rf"to localhost:{port}"
    )


def test_level_hides_what_is_less_important(launch, to_redis):
    daemon = launch(to_redis(), globals={"debug": 4})
    ping(daemon)
    daemon.stop()
    assert "accepted connection" not in daemon.log()


@pytest.mark.parametrize("level", ["5", "notice", "daemon.notice", "local3.5", "NOTICE"])
def test_level_may_have_a_name_and_a_facility(launch, to_redis, level):
    daemon = launch(to_redis(), globals={"debug": level})
    ping(daemon)
    daemon.wait_for_log("connection closed")
    daemon.stop()
    matches = filter(None, map(LOG_LINE.match, daemon.log().splitlines()))
    levels = {int(match["level"]) for match in matches}
    assert 5 in levels and max(levels) == 5


def test_service_may_have_a_level_of_its_own(launch, to_redis):
    daemon = launch(to_redis("loud", debug=7), to_redis("quiet", debug=3), globals={"debug": 5})
    ping(daemon, "quiet")
    ping(daemon, "loud")
    daemon.wait_for_log(r"\[loud\] accepted connection")
    daemon.wait_for_log("connection closed")
    assert "[quiet] accepted" not in daemon.log()


@pytest.mark.direct_only("its log cannot tell of the login")
def test_quiet_foreground_logs_only_to_the_file(launch, to_redis, tmp_path):
    output = tmp_path / "output.log"
    daemon = launch(
        to_redis(),
        globals={"foreground": "quiet", "output": output},
        arguments=[str(tmp_path / "daemon-0" / "cachetunnel.conf")],
    )
    ping(daemon)
    wait_for(lambda: "Connection closed" in output.read_text(), "the file has the line")
    assert "accepted connection" not in daemon.log()


def test_output_file_gets_the_same_lines(launch, to_redis, tmp_path):
    output = tmp_path / "output.log"
    daemon = launch(to_redis(), globals={"output": output})
    ping(daemon)
    wait_for(lambda: "Connection closed" in output.read_text(), "the file has the line")
    for line in output.read_text().splitlines():
        assert LOG_LINE.match(line), line


def test_output_file_may_be_the_standard_output(launch, to_redis):
    daemon = launch(to_redis(), globals={"output": "/dev/stdout", "foreground": "quiet"})
    ping(daemon)
    daemon.wait_for_log("connection closed")


@pytest.mark.parametrize("mode, kept", [("append", True), ("overwrite", False), (None, True)])
def test_output_file_is_appended_to_or_emptied(launch, to_redis, tmp_path, mode, kept):
    output = tmp_path / "output.log"
    output.write_text("from an earlier run\n")
    daemon = launch(to_redis(), globals={"output": output, "log": mode})
    ping(daemon)
    wait_for(lambda: "Connection closed" in output.read_text(), "the file has the line")
    assert output.read_text().startswith("from an earlier run\n") == kept


def test_full_disk_does_not_stop_tunnels(launch, to_redis):
    daemon = launch(to_redis(), globals={"output": "/dev/full"})
    ping(daemon, count=50)


def test_log_file_that_may_not_grow_does_not_stop_tunnels(launch, to_redis, tmp_path):
    limit = 20000
    daemon = launch(
        to_redis(),
        globals={"output": tmp_path / "output.log"},
        limits={resource.RLIMIT_FSIZE: (limit, limit)},
    )
    for _ in range(50):
        with daemon.connect() as client:
            client.ping()
    wait_for(lambda: (tmp_path / "output.log").stat().st_size == limit, "the file is full")
    daemon.stop()


@pytest.mark.direct_only("its log cannot tell of the login")
def test_log_reader_that_never_reads_does_not_stop_tunnels(launch, to_redis):
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
        daemon = launch(to_redis(), stderr=writing)
        ping(daemon, count=300)
        daemon.stop()
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.direct_only("its log cannot tell of the login")
def test_log_reader_that_went_away_does_not_stop_tunnels(launch, to_redis):
    reading, writing = os.pipe()
    daemon = launch(to_redis(), stderr=writing)
    os.close(writing)
    os.close(reading)
    ping(daemon, count=50)
    assert is_alive(daemon.pid)


def ids(daemon) -> list[str]:
    """The ids of the lines that say that a connection was accepted."""
    return re.findall(r"LOG5\[([^]]*)\]: Service \[redis\] accepted", daemon.log())


@pytest.mark.parametrize(
    "kind, pattern",
    [
        ("sequential", r"\d+"),
        ("unique", r"[A-Za-z0-9+/_-]{22}"),
        ("thread", r"\d+"),
        ("process", r"\d+"),
    ],
)
def test_log_id_is_of_the_kind_asked_for(launch, to_redis, kind, pattern):
    daemon = launch(to_redis(logId=kind))
    ping(daemon, count=3)
    daemon.wait_for_log("connection closed", count=3)
    seen = ids(daemon)
    assert len(seen) == 3 and all(re.fullmatch(pattern, item) for item in seen), seen
    if kind in ("sequential", "unique"):
        assert len(set(seen)) == 3
    if kind == "process":
        assert set(seen) == {str(daemon.pid)}


def test_sequential_ids_count_upwards(launch, to_redis):
    daemon = launch(to_redis())
    ping(daemon, count=4)
    daemon.wait_for_log("connection closed", count=4)
    numbers = [int(item) for item in ids(daemon)]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_bytes_from_outside_cannot_forge_lines(launch, serve, certificates):
    peer = serve(greet, tls=tls_context(certificates.hostile_subject))
    daemon = launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file))
    with daemon.connect() as client:
        client.expect_close()
    daemon.wait_for_log(r"LOG3")
    daemon.stop()
    assert not re.search(r"(?m)^2026\.01\.01 00:00:00 LOG0", daemon.log())
    assert "\x1b" not in daemon.log() and "\r" not in daemon.log()


def test_data_and_passwords_are_never_logged(launch, to_redis):
    daemon = launch(to_redis())
    with daemon.connect() as client:
        client.send(b"AUTH user s3cr3t-passw0rd\r\n")
        client.read_line()
        client.send(b"SET key pr1vate-value\r\n")
        client.read_line()
    daemon.wait_for_log("connection closed")
    assert "s3cr3t" not in daemon.log() and "pr1vate" not in daemon.log()


def log_socket(directory) -> socket.socket:
    """A place for syslog messages, in a namespace's private /dev."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(directory / "dev" / "log"))
    receiver.settimeout(15)
    return receiver


def syslog_service(certificates) -> Service:
    """A service that refuses clients for lack of a server: it logs all the same."""
    return Service("redis", connect="localhost:1", CAfile=certificates.ca_file)


def receive_until(receiver: socket.socket, words: str) -> str:
    """Reads messages until one has the words."""
    while True:
        message = receiver.recv(4096).decode(errors="replace")
        if words in message:
            return message


@pytest.mark.parametrize("ident, facility, number", [(None, "daemon", 3), ("cache", "local2", 18)])
def test_syslog_gets_lines_with_facility_and_ident(
    launch, certificates, namespace, ident, facility, number
):
    place = namespace()
    with log_socket(place.directory) as receiver:
        daemon = launch(
            syslog_service(certificates),
            globals={"syslog": "yes", "debug": f"{facility}.7", "service": ident},
            prefix=place.prefix,
        )
        with place.connect(daemon.port()) as client:
            Client(client).expect_close()
        message = receive_until(receiver, "accepted connection")
        assert message.startswith(f"<{number * 8 + 5}>")
        assert f"{ident or 'cachetunnel'}" in message or "stunnel" in message
        assert re.search(r"LOG5\[\d+\]: Service \[redis\] accepted connection", message)


@pytest.mark.direct_only("its log cannot tell of the login")
def test_syslog_is_silent_when_switched_off(launch, certificates, namespace):
    place = namespace()
    with log_socket(place.directory) as receiver:
        daemon = launch(syslog_service(certificates), prefix=place.prefix)
        with place.connect(daemon.port()) as client:
            Client(client).expect_close()
        daemon.stop()
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(1)


@pytest.mark.direct_only("the bastion is outside of its network")
def test_syslog_that_is_not_there_does_not_stop_tunnels(
    launch, certificates, namespace
):
    place = namespace()
    daemon = launch(
        syslog_service(certificates), globals={"syslog": "yes"}, prefix=place.prefix
    )
    for _ in range(20):
        with place.connect(daemon.port()) as client:
            Client(client).expect_close()
