"""AWS's published stunnel example for ElastiCache works unchanged, as its readers would try it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.client import Client
from harness.daemon import DetachedDaemon, binary_path
from harness.redis_server import RedisServer
from harness.waiting import wait_for

EXAMPLE = """\
fips = no
setuid = root
setgid = root
pid = /var/run/stunnel.pid
debug = 7
delay = yes
options = NO_SSLv2
options = NO_SSLv3
[redis-cli]
   client = yes
   accept = 127.0.0.1:6379
   connect = primary.ssltest.wif01h.use1.cache.amazonaws.com:6379
[redis-cli-replica]
   client = yes
   accept = 127.0.0.1:6380
   connect = ssltest-02.ssltest.wif01h.use1.cache.amazonaws.com:6379
"""
DOMAIN = "ssltest.wif01h.use1.cache.amazonaws.com"
HOSTS = f"127.0.1.1 primary.{DOMAIN}\n127.0.1.2 ssltest-02.{DOMAIN}\n"
PASSWORD = "a-token-of-sixteen-characters"
CONFIG_PATH = "/etc/stunnel/redis-cli.conf"
PID_FILE = "/var/run/stunnel.pid"


class Example:
    """The example's machine: its names, its two caches, and the daemon started by hand."""

    def __init__(self, place, environment: dict[str, str]):
        self.place = place
        (place.directory / "stunnel" / "redis-cli.conf").write_text(EXAMPLE)
        self.environment = environment
        self.daemon: DetachedDaemon | None = None

    def start(self) -> subprocess.CompletedProcess:
        """`cachetunnel /etc/stunnel/redis-cli.conf`."""
        result = self.place.run(binary_path(), CONFIG_PATH, env=self.environment)
        pid = self.place.run("cat", PID_FILE).stdout
        if pid:
            copy = self.place.directory / "pid"
            copy.write_text(pid)
            self.daemon = DetachedDaemon(copy)
        return result

    def redis_cli(self, port: int, *arguments: str) -> str:
        """What redis-cli prints."""
        command = ["redis-cli", "-p", str(port), "-a", PASSWORD, "--no-auth-warning", *arguments]
        return self.place.run(*command).stdout.strip()


@pytest.fixture
def machine(namespace, certificates, tmp_path):
    """Makes the example's machine, with the caches' certificates as given."""
    servers: list[RedisServer] = []
    examples: list[Example] = []

    def cache(place, name: str, host: str, identity, *options: str) -> None:
        servers.append(
            RedisServer(
                Path(tmp_path / name),
                certificates,
                identity,
                host=host,
                port=6379,
                password=PASSWORD,
                prefix=place.prefix,
                probe=False,
                options=options,
            )
        )

    def make(identity=None, resolver: str = "", hosts: str = HOSTS) -> Example:
        place = namespace(hosts=hosts, resolver=resolver)
        identity = identity or certificates.aws
        cache(place, "primary", "127.0.1.1", identity)
        replicate = ("--replicaof", "127.0.1.1", "6379", "--tls-replication", "yes")
        cache(place, "replica", "127.0.1.2", identity, *replicate)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        environment["SSL_CERT_FILE"] = certificates.ca_file
        examples.append(Example(place, environment))
        return examples[-1]

    yield make
    for example in examples:
        if example.daemon:
            example.daemon.kill()
    for server in servers:
        server.stop()


def test_example_daemonises_once_both_ports_listen(machine):
    example = machine()
    result = example.start()
    assert result.returncode == 0, result.stderr
    listeners = example.place.run("ss", "-ltnp").stdout
    for port in (6379, 6380):
        pattern = rf"127\.0\.0\.1:{port} .*cachetunnel.*pid={example.daemon.pid},"
        assert re.search(pattern, listeners), listeners


def test_redis_cli_writes_through_the_primary_and_reads_through_the_replica(machine):
    example = machine()
    assert example.start().returncode == 0
    assert example.redis_cli(6379, "set", "greeting", "hello") == "OK"
    assert example.redis_cli(6379, "get", "greeting") == "hello"
    wait_for(lambda: example.redis_cli(6380, "get", "greeting") == "hello", "replication", 20)


def test_inline_session_as_with_telnet(machine):
    example = machine()
    assert example.start().returncode == 0
    with Client(example.place.connect(6379)) as client:
        client.send(b"get foo\r\n")
        assert client.read_line().startswith(b"-NOAUTH")
        client.ask(f"auth {PASSWORD}\r\n".encode(), b"+OK\r\n")
        client.ask(b"set foo bar\r\n", b"+OK\r\n")
        client.ask(b"get foo\r\n", b"$3\r\nbar\r\n")
        client.send(b"quit\r\n")
        assert client.drain() == (b"+OK\r\n", "eof")


def test_terminating_the_example_removes_its_pid_file(machine):
    example = machine()
    assert example.start().returncode == 0
    assert example.place.run("cat", PID_FILE).stdout.strip() == str(example.daemon.pid)
    assert example.daemon.stop() == 0
    assert example.place.run("test", "-e", PID_FILE).returncode == 1
    assert "cachetunnel" not in example.place.run("ss", "-ltnp").stdout


def test_example_verifies_the_name_although_it_does_not_ask_for_it(machine, certificates):
    example = machine(identity=certificates.localhost)
    assert example.start().returncode == 0
    with Client(example.place.connect(6379)) as client:
        assert client.drain()[0].startswith(b"-ERR cachetunnel: ")


def test_example_can_be_started_again_after_it_was_stopped(machine):
    example = machine()
    for _ in range(3):
        assert example.start().returncode == 0
        assert example.redis_cli(6379, "ping") == "PONG"
        assert example.daemon.stop() == 0


def test_starting_the_example_twice_is_refused_and_leaves_the_first_alone(machine):
    example = machine()
    assert example.start().returncode == 0
    first = example.daemon
    again = example.start()
    assert again.returncode == 1
    assert "127.0.0.1:6379" in again.stderr
    assert example.daemon.pid == first.pid
    assert example.redis_cli(6379, "ping") == "PONG"


def test_example_passes_the_check(machine):
    example = machine()
    result = example.place.run(binary_path(), "check", CONFIG_PATH, env=example.environment)
    assert result.returncode == 0, result.stdout + result.stderr


def test_names_may_come_from_a_name_server(machine):
    example = machine(resolver="nameserver 127.0.0.1\n", hosts="")
    server = subprocess.Popen(
        [
            *example.place.prefix,
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"),
            *("--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root"),
            *("--pid-file=/run/dnsmasq.pid", "--log-facility=-"),
            f"--address=/primary.{DOMAIN}/127.0.1.1",
            f"--address=/ssltest-02.{DOMAIN}/127.0.1.2",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert example.start().returncode == 0
        wait_for(lambda: example.redis_cli(6379, "ping") == "PONG", "the primary answers")
        assert example.redis_cli(6380, "ping") == "PONG"
    finally:
        server.kill()
        server.wait()
