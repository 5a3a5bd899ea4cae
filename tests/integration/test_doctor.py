"""The doctor: each verdict against a fault that provokes it, and what it says to people."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import ssl
import subprocess
from dataclasses import dataclass

import pytest

from harness.certificates import DAY
from harness.daemon import Bastion, Daemon, Service, binary_path, clean_environment
from harness.peers import (
    FullBacklog,
    close_after_first_bytes,
    closed_port,
    hold,
    send_garbage,
    send_then_close,
    tls_context,
)
from harness.redis_server import RedisServer
from harness.waiting import deadline_scale, wait_for

pytestmark = pytest.mark.direct_only("the doctor needs no daemon, and makes its own way")

FILE, USAGE, LISTENER, NAME, BASTION, HOST_KEY, LOGIN, CHANNEL, TCP, TLS, REDIS = range(1, 12)


@dataclass
class Diagnosis:
    """What one run found."""

    status: int
    document: dict

    def findings(self, service: int = 0) -> list[dict]:
        """Everything about one service, in order."""
        found = self.document["services"][service]
        return found["findings"] + [
            item for endpoint in found["endpoints"] for item in endpoint["findings"]
        ]

    def steps(self, service: int = 0) -> list[str]:
        """The names of all steps that were taken."""
        return [item["step"] for item in self.findings(service)]

    def finding(self, step: str, service: int = 0) -> dict:
        """The only finding of that step."""
        found = [item for item in self.findings(service) if item["step"] == step]
        assert len(found) == 1, self.document
        return found[0]

    def failure(self, layer: int) -> dict:
        """The only failure, which must be of this layer, and be the exit status."""
        found = [item for item in self.findings() if item["verdict"] == "failed"]
        assert [item["layer"] for item in found] == [layer], self.document
        assert self.status == layer == self.document["status"]
        return found[0]

    def is_well(self) -> bool:
        """Whether nothing failed."""
        return self.status == 0 and not any(
            item["verdict"] == "failed" for item in self.findings()
        )


class Doctor:
    """Runs `cachetunnel doctor` on services."""

    def __init__(self, directory):
        self.directory = directory

    def _render(self, services, bastions, text=None) -> Daemon:
        daemon = Daemon(self.directory / "doctor", list(services), bastions=bastions)
        daemon.config_file.write_text(text if text is not None else daemon.render())
        return daemon

    def run(self, daemon: Daemon, *arguments: str, prefix=(), stdout=subprocess.PIPE):
        """Runs it on the configuration of a daemon that need not run."""
        process = subprocess.run(
            [*prefix, binary_path(), "doctor", str(daemon.config_file), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=stdout == subprocess.PIPE,
            env=daemon.environment(),
            timeout=40 * deadline_scale(),
            check=False,
        )
        daemon.check_sanitizers()
        assert not process.stderr, process.stderr
        return process

    def __call__(self, *services: Service, bastions=(), prefix=(), names=(), text=None):
        """Renders a configuration and examines it."""
        daemon = self._render(services, bastions, text)
        process = self.run(daemon, "--json", *names, prefix=prefix)
        return Diagnosis(process.returncode, json.loads(process.stdout))

    def say(self, *services: Service, bastions=(), prefix=()) -> tuple[int, str]:
        """The same in words."""
        process = self.run(self._render(services, bastions), prefix=prefix)
        return process.returncode, process.stdout


@pytest.fixture
def doctor(tmp_path) -> Doctor:
    """Examines services."""
    return Doctor(tmp_path)


@pytest.fixture
def to_peer(certificates):
    """Makes a service to a peer, verified by the private authority."""

    def make(peer, **options) -> Service:
        return Service(
            "peer", **{"connect": peer.address, "CAfile": certificates.ca_file, **options}
        )

    return make


# A way that is good


def test_good_way_is_told_step_by_step(doctor, to_redis, redis_tls):
    found = doctor(to_redis())
    assert found.is_well()
    assert found.steps() == ["listener", "name", "TCP", "TLS", "PING", "server"]
    assert re.match("localhost is .*127.0.0.1", found.finding("name")["text"])
    assert f":{redis_tls.port} takes connections" in found.finding("TCP")["text"]
    for word in ("TLSv1.3", "'localhost'", "issued by 'private'", "days"):
        assert word in found.finding("TLS")["text"]
    assert found.finding("PING")["text"] == "PONG"
    assert re.match(r"Redis \d+\.\d.*cluster mode is off", found.finding("server")["text"])
    for item in found.findings():
        assert item["took_ms"] >= 0 and item["verdict"] == "ok"


def test_good_way_through_a_bastion_is_told_step_by_step(
    doctor, to_redis, through, sshd, ssh_keys
):
    found = doctor(to_redis(bastion="hop"), bastions=[through(sshd)])
    assert found.is_well(), found.document
    assert found.steps()[1:] == [
        *("bastion name", "bastion TCP", "host key", "login", "channel"),
        *("TLS", "PING", "server"),
    ]
    assert "ssh-ed25519 SHA256:" in found.finding("host key")["text"]
    assert "known_hosts:" in found.finding("host key")["text"]
    assert str(ssh_keys["ed25519"].path) in found.finding("login")["text"]


def test_chain_of_bastions_is_told_hop_by_hop(doctor, to_redis, through, sshd, make_sshd):
    second = through(make_sshd(), "second", via="hop")
    found = doctor(to_redis(bastion="second"), bastions=[through(sshd), second])
    assert found.is_well(), found.document
    texts = " ".join(item["text"] for item in found.findings() if item["step"] == "login")
    assert texts.index("'hop'") < texts.index("'second'")


def test_bastion_is_logged_in_to_once_for_all_services(doctor, to_redis, through, make_sshd):
    server = make_sshd()
    services = [to_redis(name, bastion="hop") for name in ("one", "two")]
    found = doctor(*services, bastions=[through(server)])
    assert found.is_well()
    assert server.login_count() == 1
    assert found.steps(1) == ["listener", "channel", "TLS", "PING", "server"]


def test_every_endpoint_is_examined(doctor, to_redis, redis_tls, redis_replica):
    found = doctor(to_redis(connect=[redis_tls.address, redis_replica.address]))
    endpoints = [item["endpoint"] for item in found.document["services"][0]["endpoints"]]
    assert endpoints == [redis_tls.address, redis_replica.address]
    assert found.steps().count("PING") == 2


def test_services_may_be_chosen_by_name(doctor, to_redis):
    found = doctor(to_redis("one"), to_redis("two"), to_redis("three"), names=["two", "three"])
    assert [item["service"] for item in found.document["services"]] == ["two", "three"]


def test_unix_sockets_are_fine_on_both_sides(doctor, redis_plain, tmp_path):
    service = Service(
        "local", accept=str(tmp_path / "in.sock"), connect=redis_plain.unix_path, plain="yes"
    )
    found = doctor(service)
    assert found.is_well()
    assert found.steps() == ["listener", "TCP", "PING", "server"]


# What servers say of themselves


def test_server_that_wants_a_password_is_good(doctor, tmp_path, certificates, to_peer):
    server = RedisServer(
        tmp_path / "locked", certificates, certificates.localhost, password="correct-horse"
    )
    try:
        found = doctor(to_peer(server))
    finally:
        server.stop()
    assert found.is_well()
    assert "NOAUTH" in found.finding("PING")["text"]
    assert "server" not in found.steps()


def test_server_that_does_not_allow_info_is_good(doctor, tmp_path, certificates, to_peer):
    server = RedisServer(
        tmp_path / "shy",
        certificates,
        certificates.localhost,
        options=("--rename-command", "INFO", "", "--rename-command", "CLUSTER", ""),
    )
    try:
        found = doctor(to_peer(server))
    finally:
        server.stop()
    assert found.is_well()
    assert "INFO is not allowed" in found.finding("server")["text"]
    assert "not known" in found.finding("server")["text"]


def test_cluster_mode_is_noted(doctor, tmp_path, certificates, to_peer):
    server = RedisServer(
        tmp_path / "cluster",
        certificates,
        certificates.localhost,
        options=("--cluster-enabled", "yes", "--tls-cluster", "yes"),
    )
    try:
        found = doctor(to_peer(server))
    finally:
        server.stop()
    assert found.is_well()
    assert found.finding("server")["verdict"] == "note"
    assert "cluster mode is on" in found.finding("server")["text"]


def test_server_that_is_full_is_a_failure(doctor, serve, certificates, to_peer):
    peer = serve(
        send_then_close(b"-ERR max number of clients reached\r\n"),
        tls_context(certificates.localhost),
    )
    failure = doctor(to_peer(peer)).failure(REDIS)
    assert "max number of clients" in failure["text"]
    assert "65,000" in failure["advice"]


@pytest.mark.parametrize("options, words", [({}, "at all"), ({"plain": "yes"}, "plain = yes")])
def test_what_answers_may_be_no_redis(doctor, serve, certificates, to_peer, options, words):
    context = None if options else tls_context(certificates.localhost)
    peer = serve(send_then_close(b"SMTP ready\r\n"), context)
    failure = doctor(to_peer(peer, **options)).failure(REDIS)
    assert "does not speak Redis" in failure["text"]
    assert words in failure["advice"]


def test_server_that_never_answers_is_given_up(doctor, serve, certificates, to_peer):
    peer = serve(hold, tls_context(certificates.localhost))
    failure = doctor(to_peer(peer, TIMEOUTbusy=1)).failure(REDIS)
    assert "TIMEOUTbusy" in failure["text"]


def test_server_that_closes_at_once_is_told(doctor, serve, certificates, to_peer):
    peer = serve(close_after_first_bytes, tls_context(certificates.localhost))
    failure = doctor(to_peer(peer)).failure(REDIS)
    assert "healthy target" in failure["advice"]


def test_plain_service_to_a_tls_server_is_told(doctor, redis_tls):
    failure = doctor(Service("plain", connect=redis_tls.address, plain="yes")).failure(REDIS)
    assert "take plain = yes out" in failure["advice"]


# TLS


@pytest.mark.parametrize(
    "identity, words",
    [
        ("expired", "believes that it is 20"),
        ("future", "believes that it is 20"),
        ("wrong_name", "checkHost = elsewhere.test"),
        ("wildcard", "checkHost = master.cache.test"),
        ("untrusted", "with CAfile"),
        ("self_signed", "with CAfile"),
    ],
)
def test_bad_certificate_is_told_with_what_to_do(
    doctor, serve, certificates, to_peer, identity, words
):
    peer = serve(hold, tls_context(getattr(certificates, identity)))
    failure = doctor(to_peer(peer)).failure(TLS)
    assert "certificate" in failure["text"]
    assert words in failure["advice"]


def test_certificate_that_expires_soon_is_noted(doctor, serve, certificates, to_peer):
    soon = certificates.authority.issue("soon", ends=3 * DAY)
    peer = serve(send_then_close(b"+PONG\r\n"), tls_context(soon))
    found = doctor(to_peer(peer))
    assert found.finding("TLS")["verdict"] == "note"
    assert re.search("good for [23] days", found.finding("TLS")["text"])


def test_verification_switched_off_is_noted(doctor, redis_tls):
    found = doctor(Service("open", connect=redis_tls.address, verifyChain="no"))
    assert found.is_well()
    assert "NOT VERIFIED" in found.finding("TLS")["text"]


def test_silence_in_tls_smells_of_a_plain_server(doctor, redis_plain, to_peer):
    failure = doctor(to_peer(redis_plain, TIMEOUTbusy=1)).failure(TLS)
    assert "plain = yes" in failure["advice"]


@pytest.mark.parametrize("handler", [send_garbage, close_after_first_bytes])
def test_server_without_tls_is_told(doctor, serve, to_peer, handler):
    failure = doctor(to_peer(serve(handler))).failure(TLS)
    assert "plain = yes" in failure["advice"]


def test_server_that_asks_for_a_client_certificate_is_told(doctor, redis_mutual, to_peer):
    failure = doctor(to_peer(redis_mutual)).failure(TLS)
    assert "cert and key" in failure["advice"]


def test_no_version_in_common_is_told(doctor, serve, certificates, to_peer):
    context = tls_context(certificates.localhost)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    failure = doctor(to_peer(serve(hold, context), sslVersionMin="TLSv1.3")).failure(TLS)
    assert "sslVersionMin" in failure["advice"]


# TCP and names


def test_refused_connection_is_told(doctor):
    failure = doctor(Service("closed", connect=f"127.0.0.1:{closed_port()}")).failure(TCP)
    assert "refused" in failure["text"]
    assert "6379" in failure["advice"]


def test_silence_at_tcp_smells_of_a_security_group(doctor):
    full = FullBacklog()
    try:
        failure = doctor(
            Service("full", connect=f"127.0.0.1:{full.port}", TIMEOUTconnect=1)
        ).failure(TCP)
    finally:
        full.close()
    assert "security group" in failure["advice"]
    assert "private" not in failure["advice"]


def drop_packets(place, network: str) -> None:
    """Packets to the network come back on loopback, where nobody has their address."""
    made = place.run(*f"ip route add {network} dev lo src 127.0.0.1".split())
    assert made.returncode == 0, made.stderr


def test_private_address_beyond_this_network_is_told(doctor, namespace):
    place = namespace(hosts="10.1.2.3 far.cache.test\n")
    drop_packets(place, "10.0.0.0/8")
    found = doctor(
        Service("far", connect="far.cache.test:6379", TIMEOUTconnect=1), prefix=place.prefix
    )
    assert "in no network of this machine" in found.finding("name")["text"]
    failure = found.failure(TCP)
    assert "security group" in failure["advice"]
    assert "only a bastion leads there" in failure["advice"]


def test_address_without_a_route_is_told(doctor, namespace):
    place = namespace(hosts="10.1.2.3 far.cache.test\n")
    found = doctor(Service("far", connect="far.cache.test:6379"), prefix=place.prefix)
    assert "no route to it" in found.finding("name")["text"]
    assert "VPN" in found.failure(TCP)["advice"]


@pytest.mark.parametrize(
    "name, words",
    [
        ("cache.internal.test", "through a bastion"),
        ("master.demo.abc123.use1.cache.amazonaws.com", "new names"),
    ],
)
def test_private_name_that_resolves_to_nothing_is_told(
    doctor, namespace, dnsmasq, name, words
):
    place = namespace(resolver="nameserver 127.0.0.1\n")
    dnsmasq(place, "--address=/#/")
    failure = doctor(Service("lost", connect=f"{name}:6379"), prefix=place.prefix).failure(NAME)
    assert name in failure["text"]
    assert words in failure["advice"]


def test_name_server_that_is_not_there_is_told(doctor, namespace):
    place = namespace(resolver="nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    service = Service("lost", connect="some.cache.test:6379", TIMEOUTconnect=5)
    failure = doctor(service, prefix=place.prefix).failure(NAME)
    assert "name servers" in failure["advice"]


# Bastions


def test_bastion_that_refuses_is_told(doctor, to_redis):
    bastion = Bastion("hop", host="127.0.0.1", port=closed_port(), hostKeyCheck="no")
    failure = doctor(to_redis(bastion="hop"), bastions=[bastion]).failure(BASTION)
    assert "no SSH server listens" in failure["advice"]


def test_warm_connections_of_another_service_are_none_of_its_business(doctor, to_redis):
    """The doctor tries ways; it keeps nothing ready, and so meets no other service's trouble."""
    bastion = Bastion("hop", host="127.0.0.1", port=closed_port(), hostKeyCheck="no")
    found = doctor(
        to_redis("well"), to_redis("ill", bastion="hop", warm=1), bastions=[bastion], names=["well"]
    )
    assert found.is_well() and len(found.document["services"]) == 1


def test_bastion_that_is_silent_is_told(doctor, to_redis):
    full = FullBacklog()
    bastion = Bastion("hop", host="127.0.0.1", port=full.port, TIMEOUTconnect=1)
    try:
        failure = doctor(to_redis(bastion="hop"), bastions=[bastion]).failure(BASTION)
    finally:
        full.close()
    assert "security group" in failure["advice"]


def test_what_is_no_ssh_server_is_told(doctor, to_redis, serve):
    peer = serve(send_then_close(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    bastion = Bastion("hop", host="127.0.0.1", port=peer.port)
    failure = doctor(to_redis(bastion="hop"), bastions=[bastion]).failure(HOST_KEY)
    assert "HTTP/1.1 400" in failure["text"]
    assert f"ssh -v -p {peer.port}" in failure["advice"]


def test_unknown_host_key_is_told(doctor, to_redis, through, sshd, tmp_path):
    nobody = tmp_path / "nobody_known"
    nobody.touch()
    bastion = through(sshd, knownHosts=nobody)
    failure = doctor(to_redis(bastion="hop"), bastions=[bastion]).failure(HOST_KEY)
    assert "ssh-keyscan" in failure["text"]


def test_refused_login_is_told(doctor, to_redis, through, sshd, ssh_keys):
    bastion = through(sshd, identityFile=ssh_keys["stranger"].path)
    failure = doctor(to_redis(bastion="hop"), bastions=[bastion]).failure(LOGIN)
    assert "refused" in failure["text"]
    assert "ec2-user" in failure["advice"]


def test_bastion_that_failed_is_not_asked_again(doctor, to_redis, through, make_sshd, ssh_keys):
    server = make_sshd()
    bastion = through(server, identityFile=ssh_keys["stranger"].path)
    services = [to_redis(name, bastion="hop") for name in ("one", "two")]
    found = doctor(*services, bastions=[bastion])
    assert found.status == LOGIN
    assert "failed above" in found.finding("bastion", 1)["text"]
    assert len(re.findall("connection from", server.log())) == 1


def test_forwarding_that_is_forbidden_is_told(doctor, to_redis, through, make_sshd):
    server = make_sshd(AllowTcpForwarding="no")
    failure = doctor(to_redis(bastion="hop"), bastions=[through(server)]).failure(CHANNEL)
    assert "AllowTcpForwarding yes" in failure["advice"]


def test_endpoint_that_the_bastion_cannot_reach_is_told(doctor, to_redis, through, sshd):
    service = to_redis(bastion="hop", connect=f"127.0.0.1:{closed_port()}")
    failure = doctor(service, bastions=[through(sshd)]).failure(CHANNEL)
    assert "nc -vz" in failure["advice"]


def test_endpoint_that_drops_what_the_bastion_sends_is_told(doctor, to_redis, through, sshd):
    full = FullBacklog()
    service = to_redis(bastion="hop", connect=f"127.0.0.1:{full.port}")
    try:
        failure = doctor(service, bastions=[through(sshd, TIMEOUTopen=1)]).failure(CHANNEL)
    finally:
        full.close()
    assert "security group" in failure["advice"]


def test_proxy_command_that_fails_is_told(doctor, to_redis):
    bastion = Bastion("hop", host="bastion.test", proxyCommand="echo no credentials >&2; exit 7")
    failure = doctor(to_redis(bastion="hop"), bastions=[bastion]).failure(BASTION)
    assert "7" in failure["text"]
    assert "by hand" in failure["advice"]


def test_host_key_that_is_not_checked_is_noted(doctor, to_redis, through, sshd, tmp_path):
    bastion = through(sshd, knownHosts=None, hostKeyCheck="no")
    found = doctor(to_redis(bastion="hop"), bastions=[bastion])
    notes = [item for item in found.findings() if item["verdict"] == "note"]
    assert any("not checked" in item["text"] for item in notes)


# Listeners


def test_port_that_a_running_cachetunnel_has_is_fine(doctor, launch, to_redis):
    daemon = launch(to_redis())
    process = doctor.run(daemon, "--json")
    found = Diagnosis(process.returncode, json.loads(process.stdout))
    assert found.is_well()
    assert f"a running cachetunnel has it (process {daemon.pid})" in found.finding("listener")["text"]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_port_that_somebody_else_has_is_a_failure(doctor, to_redis, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as holder:
        holder.bind((address, 0))
        holder.listen()
        port = holder.getsockname()[1]
        failure = doctor(to_redis(accept=f"127.0.0.1:{port}")).failure(LISTENER)
    assert f"process {os.getpid()}" in failure["text"]


def test_socket_file_that_somebody_else_has_is_a_failure(doctor, to_redis, tmp_path):
    path = str(tmp_path / "taken.sock")
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(path)
        holder.listen()
        failure = doctor(to_redis(accept=path)).failure(LISTENER)
    assert f"process {os.getpid()}" in failure["text"]


def test_socket_file_that_is_left_over_is_fine(doctor, to_redis, tmp_path):
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(path)
    found = doctor(to_redis(accept=path))
    assert "left over" in found.finding("listener")["text"]
    assert found.is_well() and os.path.exists(path)


def test_address_of_another_machine_is_a_failure(doctor, to_redis):
    failure = doctor(to_redis(accept="192.0.2.77:6379")).failure(LISTENER)
    assert "no address of this machine" in failure["text"]


# The file and the command line


def test_file_with_errors_is_status_1(doctor):
    found = doctor(text="[redis]\nclient = yes\nacept = 1\n")
    assert found.status == FILE and found.document["services"] == []
    assert any(":3:" in item["text"] for item in found.document["file"])


def test_service_that_is_not_there_is_status_1(doctor, to_redis):
    found = doctor(to_redis(), names=["nobody"])
    assert found.status == FILE
    assert "no service [nobody]" in found.document["file"][-1]["text"]


def test_unknown_flag_is_status_2(doctor, to_redis):
    daemon = doctor._render([to_redis()], ())
    process = subprocess.run(
        [binary_path(), "doctor", "--xml", str(daemon.config_file)],
        capture_output=True,
        env=clean_environment(),
        check=False,
    )
    assert process.returncode == USAGE


# Words for people


def test_words_are_plain_where_nobody_looks(doctor, to_redis):
    status, said = doctor.say(to_redis(), Service("closed", connect=f"127.0.0.1:{closed_port()}"))
    assert status == TCP
    assert "\033" not in said
    assert re.search(r"^  ok    PING +[\d.]+ ms  PONG$", said, re.MULTILINE)
    assert re.search(r"^  FAIL  TCP .*refused", said, re.MULTILINE)
    assert "1 of 2 service(s) failed; first at: TCP (exit status 9)" in said


def test_words_are_coloured_and_wrapped_on_a_terminal(doctor):
    daemon = doctor._render([Service("closed", connect=f"127.0.0.1:{closed_port()}")], ())
    master, slave = pty.openpty()
    try:
        process = doctor.run(daemon, stdout=slave)
        os.close(slave)
        said = b""
        try:
            while chunk := os.read(master, 65536):
                said += chunk
        except OSError:
            pass  # how Linux tells that the other end is closed
    finally:
        os.close(master)
    assert process.returncode == TCP
    assert b"\033[1;31mFAIL" in said
    plain = re.sub(rb"\033\[[\d;]*m", b"", said)
    long_lines = [line for line in plain.splitlines() if len(line) > 80]
    assert all(b" " not in line[31:] for line in long_lines), "only a long word may be too long"
    assert len(plain.splitlines()) > 10


def test_hostile_names_do_not_reach_the_terminal(doctor, serve, certificates):
    peer = serve(hold, tls_context(certificates.hostile_subject))
    status, said = doctor.say(
        Service("peer", connect=peer.address, CAfile=certificates.ca_file)
    )
    assert status == TLS
    assert "\033" not in said and "\nforged" not in said and "\r" not in said


def test_running_daemon_tells_what_only_it_knows(doctor, controlled, serve, certificates):
    peer = serve(hold, tls=tls_context(certificates.localhost))
    gone = f"localhost:{closed_port()}"
    daemon, control = controlled(
        Service("redis", connect=[gone, peer.address], CAfile=certificates.ca_file),
        Service("idle", connect=peer.address, CAfile=certificates.ca_file, warm=1),
        globals={"workers": 1},
    )
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        peer.next_handshake()
        wait_for(lambda: control.service("redis")["addresses"], "the tunnel is open")
        wait_for(lambda: control.service("idle")["warm"] == 1, "one is ready")
        found = json.loads(doctor.run(daemon, "--json").stdout)
    told = [
        item
        for service in found["services"]
        for item in service["findings"]
        if item["step"] == "daemon"
    ]
    assert [item["verdict"] for item in told] == ["note", "ok"]
    assert told[0]["text"].startswith(
        f"process {daemon.pid} has 1 tunnel(s) to 127.0.0.1:{peer.port} (1); 0 client(s) held"
    )
    assert f"{gone} is down: " in told[0]["text"]
    assert "has 0 tunnel(s); 0 client(s) held, 1 warm connection(s)" in told[1]["text"]
