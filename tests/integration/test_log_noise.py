"""What the log leaves out, what it counts, its other form, and that a full disk costs only lines."""

from __future__ import annotations

import json
import re
import socket

import pytest

from harness.client import Client
from harness.daemon import LOG_LINE, Service, run_command
from harness.peers import closed_port, hold, greet
from harness.waiting import wait_for


def ping(daemon, name: str | None = None, count: int = 1) -> None:
    """So many tunnels, one after another."""
    for _ in range(count):
        with daemon.connect(name) as client:
            client.ping()


def lines_with(daemon, words: str) -> list[str]:
    """The lines that hold the words."""
    return [line for line in daemon.log().splitlines() if words in line]


# Probes


def test_port_that_is_only_probed_says_nothing(launch, to_redis):
    daemon = launch(to_redis(), globals={"debug": 5})
    for _ in range(20):
        daemon.connect().close()
    ping(daemon)
    daemon.wait_for_log("Connection closed")
    daemon.stop()
    assert len(lines_with(daemon, "[redis] accepted")) == 1
    assert len(lines_with(daemon, "[redis] connected")) == 1
    assert len(lines_with(daemon, "closed:")) == 1
    assert not lines_with(daemon, "no tunnel")


def test_probe_that_stays_until_the_server_is_reached_says_nothing(launch, serve):
    peer = serve(hold)
    daemon = launch(Service("quiet", connect=peer.address, plain="yes"), globals={"debug": 5})
    with daemon.connect():
        peer.wait_for_connections(1)
    assert peer.next_note() == "eof"
    daemon.stop()
    assert not lines_with(daemon, "[quiet] accepted") and not lines_with(daemon, "Connection")


def test_first_byte_brings_the_beginning(launch, serve):
    peer = serve(hold)
    daemon = launch(Service("late", connect=peer.address, plain="yes"), globals={"debug": 5})
    with daemon.connect() as client:
        peer.wait_for_connections(1)
        client.send(b"x")
        daemon.wait_for_log(r"LOG5\[(\d+)\]: Service \[late\] accepted[^\n]*\n"
                            r"[^\n]*LOG5\[\1\]: Service \[late\] connected")
    daemon.wait_for_log("closed: 1 byte")


def test_server_that_speaks_first_is_told_at_the_end(launch, serve):
    peer = serve(greet)
    daemon = launch(Service("greeted", connect=peer.address, plain="yes"), globals={"debug": 5})
    with daemon.connect() as client:
        client.read_line()
    daemon.wait_for_log(r"\[greeted\] accepted[^\n]*\n[^\n]*connected[^\n]*\n[^\n]*closed: 0 byte")


def test_probe_is_told_at_debug_level(launch, to_redis):
    daemon = launch(to_redis(), globals={"debug": 7})
    daemon.connect().close()
    daemon.wait_for_log(r"LOG5[^\n]*\[redis\] accepted")
    daemon.wait_for_log(r"LOG7[^\n]*(the client left|closed: 0 byte)")


# quiet


def test_quiet_connections_leaves_failures(launch, to_redis):
    refused = Service("refused", connect=f"127.0.0.1:{closed_port()}", plain="yes")
    refused.options["quiet"] = "connections"
    daemon = launch(to_redis(quiet="connections"), to_redis("loud"), refused)
    ping(daemon, "redis")
    with daemon.connect("refused") as client:
        client.expect_close()
    ping(daemon, "loud")
    daemon.wait_for_log(r"\[loud\] connected")
    daemon.wait_for_log("Connection closed")
    daemon.stop()
    assert lines_with(daemon, "[refused]: no tunnel for")
    for words in ("[redis] accepted", "[redis] connected", "service [redis]", "[refused] accepted"):
        assert not lines_with(daemon, words)


def test_quiet_probes_counts_at_debug_level_too(launch, to_redis):
    daemon = launch(to_redis(quiet="probes"), to_redis("loud"))
    daemon.connect("redis").close()
    ping(daemon, "redis")
    daemon.wait_for_log("Connection closed")
    daemon.stop()
    assert len(lines_with(daemon, "[redis] accepted")) == 1
    assert not lines_with(daemon, "the client left") and not lines_with(daemon, "closed: 0 byte")


@pytest.mark.parametrize("value, status", [("probes, connections", 0), ("none", 0), ("noise", 1),
                                           ("probes,", 1), (",", 1)])
def test_quiet_takes_its_words_only(tmp_path, value, status):
    path = tmp_path / "quiet.conf"
    path.write_text(f"[a]\nclient = yes\naccept = 1\nconnect = localhost:2\nquiet = {value}\n")
    checked = run_command("check", str(path))
    assert checked.returncode == status
    assert status == 0 or "none, connections or probes" in checked.stderr


# Failures that repeat


def fail(daemon, count: int) -> None:
    """So many clients of a service that has no server."""
    for _ in range(count):
        with daemon.connect() as client:
            client.expect_close()


def refused_service() -> Service:
    """Its endpoint refuses."""
    return Service("refused", connect=f"127.0.0.1:{closed_port()}", plain="yes")


def counted(daemon) -> tuple[int, int]:
    """How many failures are written, and how many are told by numbers."""
    written = len(re.findall(r"\[refused\]: no tunnel for", daemon.log()))
    told = re.findall(r"\[refused\]: no tunnel: [^\n]*\(and (\d+) more times in \d+ s\)",
                      daemon.log())
    return written, sum(map(int, told))


def test_failure_that_repeats_is_counted_and_none_is_lost(launch):
    daemon = launch(refused_service(), globals={"debug": 5, "workers": 2})
    fail(daemon, 60)
    daemon.stop()
    assert counted(daemon) == (1, 59)


def test_count_is_told_when_its_time_is_over(launch):
    daemon = launch(refused_service(), globals={"debug": 5, "logRepeat": 1})
    fail(daemon, 5)
    daemon.wait_for_log(r"and \d+ more times in \d+ s")
    fail(daemon, 3)
    daemon.stop()
    assert sum(counted(daemon)) == 8


@pytest.mark.parametrize("options", [{"debug": 7}, {"debug": 5, "logRepeat": 0}])
def test_every_failure_is_written_where_that_is_wanted(launch, options):
    daemon = launch(refused_service(), globals=options)
    fail(daemon, 10)
    daemon.stop()
    assert counted(daemon) == (10, 0)


# JSON


def objects(text: str) -> list[dict]:
    """The lines after the start, each of which must be one object."""
    return [json.loads(line) for line in text.splitlines() if not line.startswith("[")]


def test_json_has_the_same_names_in_every_line(launch, to_redis, redis_tls, tmp_path):
    output = tmp_path / "output.json"
    name = 'a "b" \\ c'
    daemon = launch(
        to_redis(name), refused_service(), globals={"logFormat": "json", "output": output}
    )
    with daemon.connect(name) as client:
        client.ping()
        port = client.socket.getsockname()[1]
    with daemon.connect("refused") as client:
        client.expect_close()
    wait_for(lambda: '"message":"Connection closed' in output.read_text(), "the closing line")
    daemon.stop()
    found = objects(output.read_text())
    assert found == objects(daemon.log())
    for item in found:
        assert {"time", "level", "id", "message"} <= set(item)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item["time"])
    closed = next(item for item in found if item["message"].startswith("Connection closed"))
    assert closed["level"] == "notice" and closed["service"] == name
    assert closed["peer"] == f"127.0.0.1:{port}" and closed["endpoint"] == redis_tls.address
    assert (closed["bytes_to_server"], closed["bytes_to_client"]) == (6, 7)
    assert closed["security"] == "TLSv1.3"
    assert closed["connect_ms"] > 0 and closed["open_s"] >= 0
    failed = next(item for item in found if item["level"] == "error")
    assert failed["service"] == "refused" and "refused" in failed["message"]
    ids = {item["id"] for item in found if item.get("service") == name}
    assert len(ids) == 1


def test_json_counts_repetitions(launch):
    daemon = launch(refused_service(), globals={"debug": 5, "logFormat": "json"})
    fail(daemon, 20)
    daemon.stop()
    told = [item for item in objects(daemon.log()) if "repeated" in item]
    assert [item["repeated"] for item in told] == [19]
    assert told[0]["service"] == "refused"


# A full disk


@pytest.mark.direct_only("its log cannot tell of the login")
def test_full_disk_costs_lines_and_nothing_else(launch, namespace, redis_plain, tmp_path):
    place = namespace()
    directory = tmp_path / "small"
    directory.mkdir()
    made = place.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory))
    assert made.returncode == 0, made.stderr
    output = directory / "output.log"
    service = Service("local", connect=redis_plain.unix_path, plain="yes")
    daemon = launch(service, prefix=place.prefix, globals={"output": output})

    def serve_some(count: int) -> None:
        for _ in range(count):
            with place.connect(daemon.port()) as connection:
                Client(connection).ping()

    def is_full() -> bool:
        serve_some(20)
        return "0" == place.run("stat", "-f", "-c", "%f", str(directory)).stdout.strip()

    wait_for(is_full, "the disk is full", 40)
    serve_some(50)
    assert place.run("truncate", "-s", "0", str(output)).returncode == 0

    def said() -> str:
        return place.run("cat", str(output)).stdout

    def has_gone_on() -> bool:
        serve_some(1)
        return re.search(r"LOG4\[log\]: \d+ line\(s\) lost: the file could not be written", said())

    wait_for(has_gone_on, "the log goes on")
    serve_some(1)
    daemon.stop()
    for line in said().splitlines():
        assert not line or LOG_LINE.match(line), line


def test_open_socket_that_sends_nothing_is_served_all_the_same(launch, to_redis):
    daemon = launch(to_redis(), globals={"debug": 5})
    with socket.create_connection(("127.0.0.1", daemon.port())) as connection:
        ping(daemon)
        connection.settimeout(15)
        Client(connection).ping()
