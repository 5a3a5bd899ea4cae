"""Fixtures: certificates and servers for the session, daemons and peers for each test."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Iterator

import pytest

from harness.certificates import Certificates
from harness.control import Control, SocketPlace
from harness.daemon import Bastion, Daemon, Service, binary_path
from harness.name_server import NameServer
from harness.namespace import Namespace
from harness.peers import Peer
from harness.process import become_subreaper
from harness.redis_server import RedisServer
from harness.ssh_keys import Agent, UserKeys
from harness.sshd import ALL_HOST_KEY_TYPES, Sshd, login_user
from harness.supervisor import Supervisor
from harness.waiting import is_sanitised, wait_for

TIMEOUT_S = 60
HEAVY_TIMEOUT_S = 180
REPLICA_PASSWORD = "correct-horse"

LOGS = pytest.StashKey[list]()
SERVERS = pytest.StashKey[list]()
STACK = os.environ.get("CACHETUNNEL_STACK", "direct")


def pytest_configure(config: pytest.Config) -> None:
    """Prepares this process: descriptors for thousands of clients, and waiting for daemons."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    become_subreaper()
    if STACK not in ("direct", "bastion"):
        raise pytest.UsageError("CACHETUNNEL_STACK may be direct or bastion")
    if os.path.exists(binary_path()) and is_sanitised(binary_path()):
        os.environ.setdefault("CACHETUNNEL_TEST_DEADLINE_SCALE", "3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives every test a time limit, and passes over those that another stack makes no sense of."""
    scale = float(os.environ.get("CACHETUNNEL_TEST_DEADLINE_SCALE", "1"))
    is_sanitised_build = os.path.exists(binary_path()) and is_sanitised(binary_path())
    for item in items:
        direct_only = item.get_closest_marker("direct_only")
        if STACK != "direct" and direct_only:
            reason = f"not through a bastion: {direct_only.args[0]}"
            item.add_marker(pytest.mark.skip(reason=reason))
        plain_only = item.get_closest_marker("plain_only")
        if plain_only and is_sanitised_build:
            item.add_marker(pytest.mark.skip(reason=f"sanitized: {plain_only.args[0]}"))
        if item.get_closest_marker("timeout") is None:
            limit = HEAVY_TIMEOUT_S if item.get_closest_marker("heavy") else TIMEOUT_S
            item.add_marker(pytest.mark.timeout(limit * scale))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Shows the daemons' logs with a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for number, daemon in enumerate(item.stash.get(LOGS, [])):
            text = daemon.log()
            if len(text) > 20000:
                text = text[:8000] + "\n[…]\n" + text[-12000:]
            report.sections.append((f"configuration {number}", daemon.config_file.read_text()))
            report.sections.append((f"log of daemon {number}", text))
        for number, server in enumerate(item.stash.get(SERVERS, [])):
            report.sections.append((f"log of sshd {number}", server.log()[-8000:]))


@pytest.fixture(scope="session", autouse=True)
def binary() -> str:
    """The binary under test, which must have been built."""
    path = binary_path()
    if not os.path.exists(path):
        pytest.exit(f"{path} does not exist: run make first, or set CACHETUNNEL_BINARY", 3)
    return path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority and good and bad certificates."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def redis_tls(tmp_path_factory, certificates) -> Iterator[RedisServer]:
    """A TLS redis-server, which is also the replica's primary. Tests use keys of their own."""
    server = RedisServer(tmp_path_factory.mktemp("primary"), certificates, certificates.localhost)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_replica(tmp_path_factory, certificates, redis_tls) -> Iterator[RedisServer]:
    """A TLS replica of redis_tls."""
    options = ("--tls-replication", "yes", "--replicaof", "localhost", str(redis_tls.port))
    directory = tmp_path_factory.mktemp("replica")
    server = RedisServer(directory, certificates, certificates.localhost, options=options)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_mutual(tmp_path_factory, certificates) -> Iterator[RedisServer]:
    """A TLS redis-server that insists on a client certificate."""
    server = RedisServer(
        tmp_path_factory.mktemp("mutual"),
        certificates,
        certificates.localhost,
        options=("--tls-auth-clients", "yes"),
    )
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_plain(tmp_path_factory, certificates) -> Iterator[RedisServer]:
    """A redis-server without TLS."""
    server = RedisServer(tmp_path_factory.mktemp("plain"), certificates)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory) -> UserKeys:
    """Keys of users, which every sshd here knows."""
    return UserKeys(tmp_path_factory.mktemp("ssh-keys"))


@pytest.fixture(scope="session")
def sshd(tmp_path_factory, ssh_keys) -> Iterator[Sshd]:
    """An sshd as it comes, for tests that do it no harm."""
    server = Sshd(tmp_path_factory.mktemp("sshd"), ssh_keys, ALL_HOST_KEY_TYPES)
    yield server
    server.kill()


@pytest.fixture(scope="session", autouse=True)
def stack(request: pytest.FixtureRequest) -> Iterator[None]:
    """With CACHETUNNEL_STACK=bastion, every service goes through an sshd."""
    if STACK == "bastion":
        sshd = request.getfixturevalue("sshd")
        # One login at the start, so that tests that count descriptors and the like see no other.
        Daemon.stack = bastion_through(sshd, "stack", eager="yes", sessions=1)
    yield
    Daemon.stack = None


def bastion_through(sshd: Sshd, name: str = "hop", **options) -> Bastion:
    """A section for the sshd with all that a login needs; an option may be None to leave it out."""
    known_hosts = sshd.directory / "known_hosts"
    if not known_hosts.exists():
        sshd.write_known_hosts(known_hosts)
    defaults = {
        "host": sshd.host,
        "port": sshd.port,
        "user": login_user(),
        "identityFile": sshd.keys["ed25519"].path,
        "knownHosts": known_hosts,
    }
    return Bastion(name, **{**defaults, **options})


@pytest.fixture
def through() -> Callable[..., Bastion]:
    """Makes bastion sections: through(sshd, name, option=value, …)."""
    return bastion_through


@pytest.fixture
def make_sshd(request, tmp_path, ssh_keys) -> Iterator[Callable[..., Sshd]]:
    """Starts private sshds, for tests that configure, stop or kill them."""
    servers = request.node.stash.setdefault(SERVERS, [])

    def start(**options) -> Sshd:
        servers.append(Sshd(tmp_path / f"sshd-{len(servers)}", ssh_keys, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def make_agent(tmp_path) -> Iterator[Callable[..., Agent]]:
    """Starts ssh agents that hold the given keys."""
    agents: list[Agent] = []

    def start(*pairs, **options) -> Agent:
        agents.append(Agent(tmp_path / f"agent-{len(agents)}", *pairs, **options))
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop()


@pytest.fixture
def tunnel(launch, to_redis) -> Callable[..., Daemon]:
    """Starts a daemon with one service, `redis`, through the first of the bastions."""

    def start(*bastions: Bastion, service: dict | None = None, **options) -> Daemon:
        redis = to_redis("redis", bastion=bastions[0].name, **(service or {}))
        return launch(redis, bastions=bastions, **options)

    return start


@pytest.fixture
def launch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons; each is stopped after the test, which checks how it ends."""
    daemons = request.node.stash.setdefault(LOGS, [])

    def start(*services: Service, **options) -> Daemon:
        directory = options.pop("directory", tmp_path / f"daemon-{len(daemons)}")
        daemon = Daemon(directory, list(services), **options)
        daemons.append(daemon)
        return daemon.start()

    yield start
    errors = []
    for daemon in daemons:
        try:
            daemon.stop()
        except AssertionError as error:
            errors.append(str(error))
        # It complains of what a program does wrong, never of what peers do.
        errors += [line for line in daemon.log().splitlines() if " libevent: " in line]
    assert not errors, "\n".join(errors)


@pytest.fixture
def supervisor(tmp_path) -> Iterator[Supervisor]:
    """What a service manager would be; skips the test where the daemon cannot tell it anything."""
    linked = subprocess.run(["ldd", binary_path()], capture_output=True, text=True, check=False)
    if "libsystemd" not in linked.stdout:
        pytest.skip("built without libsystemd")
    made = Supervisor(tmp_path / "notify.sock")
    yield made
    made.close()


@pytest.fixture
def socket_place() -> Iterator[SocketPlace]:
    """Where a control socket can be."""
    place = SocketPlace()
    yield place
    place.remove()


@pytest.fixture
def controlled(launch, socket_place) -> Callable[..., tuple[Daemon, Control]]:
    """Starts a daemon with a control socket; returns both."""

    def start(*services: Service, globals: dict | None = None, **options):
        settings = {"control": socket_place.path, **(globals or {})}
        daemon = launch(*services, globals=settings, **options)
        return daemon, Control(socket_place.path)

    return start


@pytest.fixture
def serve() -> Iterator[Callable[..., Peer]]:
    """Starts peers: Python servers, good or hostile."""
    peers: list[Peer] = []

    def start(*arguments, **options) -> Peer:
        peers.append(Peer(*arguments, **options))
        return peers[-1]

    yield start
    for peer in peers:
        peer.close()


@pytest.fixture
def make_name_server() -> Iterator[Callable[..., NameServer]]:
    """Starts name servers."""
    servers: list[NameServer] = []

    def start(*arguments) -> NameServer:
        servers.append(NameServer(*arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def name_server(make_name_server) -> NameServer:
    """A name server on loopback, which knows no name yet."""
    return make_name_server()


@pytest.fixture
def to_redis(redis_tls: RedisServer, certificates: Certificates) -> Callable[..., Service]:
    """Makes a service to the TLS redis-server, verified by the private authority."""

    def make(name: str = "redis", **options) -> Service:
        return Service(
            name, **{"connect": redis_tls.address, "CAfile": certificates.ca_file, **options}
        )

    return make


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Callable[..., Namespace]]:
    """Makes private namespaces; skips the test where they are not permitted."""
    made: list[Namespace] = []

    def make(**options) -> Namespace:
        made.append(Namespace(tmp_path / f"namespace-{len(made)}", **options))
        return made[-1]

    yield make
    for item in made:
        item.close()


@pytest.fixture
def dnsmasq(tmp_path):
    """Starts a name server inside a namespace."""
    running = []

    def start(place, *options: str) -> None:
        command = [
            *place.prefix,
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"),
            *("--no-resolv", "--no-hosts"),
            *("--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--log-facility=-"),
            f"--pid-file={tmp_path}/dnsmasq.pid",
            *options,
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(process)

        def bound() -> bool:
            assert process.poll() is None, "dnsmasq does not start"
            with open(f"/proc/{process.pid}/net/udp", encoding="ascii") as table:
                return "0100007F:0035" in table.read()

        wait_for(bound, "dnsmasq listens")

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter and write, for daemons that drop privileges."""
    with tempfile.TemporaryDirectory(prefix="cachetunnel-test-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


@pytest.fixture
def as_root() -> None:
    """For tests that change users or roots."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
