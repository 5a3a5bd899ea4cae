"""Where the daemon listens and where it connects to: addresses, names, sockets, order."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import struct

import pytest

from harness.client import Client
from harness.daemon import Service, run_command
from harness.peers import Conversation, closed_port, good_tls, greet, hold, send_then_close
from harness.ports import free_port
from harness.process import tcp_sockets
from harness.waiting import wait_for

HELLO = b"hello\r\n"


def unix_client(path: str) -> Client:
    """A raw connection to a unix socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(15)
    connection.connect(path)
    return Client(connection)


def test_several_accepts_lead_to_the_same_service(launch, to_redis):
    ports = [free_port(), free_port()]
    launch(to_redis(accept=[f"127.0.0.1:{port}" for port in ports]))
    for port in ports:
        with Client(socket.create_connection(("127.0.0.1", port), 15)) as client:
            client.ping()


def test_bare_port_accepts_on_loopback_only(launch, to_redis, as_root):
    daemon = launch(to_redis(accept=str(free_port())))
    addresses = {
        item.getsockname()[0]
        for item in tcp_sockets(daemon.pid)
        if item.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    }
    assert addresses and addresses <= {"127.0.0.1", "::1"}
    with daemon.connect() as client:
        client.ping()


def test_name_may_be_accepted_on(launch, to_redis):
    with launch(to_redis(accept=f"localhost:{free_port()}")).connect() as client:
        client.ping()


def test_ipv6_accept_and_connect(launch, serve, certificates):
    peer = serve(greet, tls=good_tls(certificates), address=("::1", 0))
    port = free_port(host="::1")
    launch(
        Service(
            "six",
            accept=f"::1:{port}",
            connect=f"::1:{peer.port}",
            CAfile=certificates.ca_file,
        )
    )
    with Client(socket.create_connection(("::1", port), 15)) as client:
        assert client.read(len(HELLO)) == HELLO


def test_unix_socket_accepts(launch, to_redis, tmp_path):
    path = str(tmp_path / "redis.sock")
    daemon = launch(to_redis(accept=path))
    with unix_client(path) as client:
        client.ping()
    daemon.wait_for_log("connection closed")
    daemon.stop()
    assert not os.path.exists(path), "the socket's file is left behind"


def test_unix_socket_left_by_a_crash_is_replaced(launch, to_redis, tmp_path):
    path = str(tmp_path / "redis.sock")
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(path)
    launch(to_redis(accept=path))

    def answers() -> bool:
        try:
            with unix_client(path) as client:
                client.ping()
                return True
        except (ConnectionRefusedError, FileNotFoundError):
            # Nobody listens on the old one, and between it and the new one there is none.
            return False

    wait_for(answers, "the new socket answers")


@pytest.fixture
def deserted(launch, to_redis, tmp_path):
    """A daemon that listens at a unix socket whose file somebody has removed, and its path."""
    path = str(tmp_path / "redis.sock")
    daemon = launch(to_redis(accept=path))
    with unix_client(path) as client:
        client.ping()
    os.unlink(path)
    return daemon, path


def test_unix_socket_that_somebody_removed_is_back_after_a_reload(deserted):
    daemon, path = deserted
    daemon.reload()
    with unix_client(path) as client:
        client.ping()
    daemon.stop()
    assert not os.path.exists(path), "the socket's file is left behind"


def test_unix_socket_of_somebody_else_is_not_removed(deserted):
    daemon, path = deserted
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        daemon.stop()
        assert os.path.exists(path)


def test_client_of_a_unix_endpoint_is_held_until_that_is_there(launch, redis_plain, tmp_path):
    path = tmp_path / "late.sock"
    daemon = launch(Service("late", connect=str(path), plain="yes", TIMEOUThold=60))
    with daemon.connect() as client:
        daemon.wait_for_log("the client is held")
        path.symlink_to(redis_plain.unix_path)
        client.ping()


def test_unix_socket_in_use_is_not_taken_away(launch, to_redis, tmp_path):
    path = str(tmp_path / "redis.sock")
    launch(to_redis(accept=path))
    second = tmp_path / "second.conf"
    second.write_text(
        f"foreground = yes\nsyslog = no\n[redis]\nclient = yes\naccept = {path}\n"
        "connect = localhost:1\n"
    )
    result = run_command("-f", str(second))
    assert result.returncode == 1
    assert path in result.stderr
    with unix_client(path) as client:
        client.ping()


def test_file_that_is_no_socket_is_not_replaced(tmp_path):
    path = tmp_path / "precious.txt"
    path.write_text("precious")
    config = tmp_path / "file.conf"
    config.write_text(
        f"foreground = yes\nsyslog = no\n[redis]\nclient = yes\naccept = {path}\n"
        "connect = localhost:1\n"
    )
    assert run_command("-f", str(config)).returncode == 1
    assert path.read_text() == "precious"


def test_unix_socket_belongs_to_the_user_of_the_section(launch, to_redis, tmp_path, as_root):
    path = str(tmp_path / "redis.sock")
    launch(to_redis(accept=path, setuid="nobody", setgid="nogroup"))
    nobody = pwd.getpwnam("nobody")
    wait_for(lambda: os.stat(path).st_uid == nobody.pw_uid, "the socket changes hands")
    assert os.stat(path).st_gid == nobody.pw_gid
    assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_plain_unix_endpoint_is_connected_to(launch, redis_plain):
    with launch(Service("unix", connect=redis_plain.unix_path, plain="yes")).connect() as client:
        client.ping()


@pytest.mark.direct_only("the bastion says it in its own words")
def test_unix_endpoint_that_is_not_there_is_named(launch, tmp_path):
    path = tmp_path / "nobody.sock"
    daemon = launch(Service("unix", connect=str(path), plain="yes"))
    with daemon.connect() as client:
        client.expect_close()
    daemon.wait_for_log(f"cannot connect to {path}: No such file or directory")


def test_tls_unix_endpoint_is_connected_to(launch, serve, certificates, tmp_path):
    path = str(tmp_path / "tls.sock")
    serve(greet, tls=good_tls(certificates), address=path)
    service = Service("unix", connect=path, CAfile=certificates.ca_file, checkHost="localhost")
    with launch(service).connect() as client:
        assert client.read(len(HELLO)) == HELLO


@pytest.mark.direct_only("the bastion says it in its own words")
def test_next_endpoint_is_tried_when_one_refuses(launch, redis_tls, to_redis):
    daemon = launch(to_redis(connect=[f"localhost:{closed_port()}", redis_tls.address]))
    for _ in range(3):
        with daemon.connect() as client:
            client.ping()
    daemon.wait_for_log("refused")


@pytest.mark.direct_only("the bastion says it in its own words")
def test_all_endpoints_refusing_is_one_clear_error(launch, to_redis):
    ports = [closed_port(), closed_port()]
    daemon = launch(to_redis(connect=[f"127.0.0.1:{port}" for port in ports]))
    with daemon.connect() as client:
        client.expect_close()
    daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*refused")
    for port in ports:
        daemon.wait_for_log(rf"{port}[^\n]*refused")


def named_servers(serve, certificates, count: int) -> list:
    """Servers that say their number and close."""
    return [
        serve(send_then_close(b"%d" % number), tls=good_tls(certificates))
        for number in range(count)
    ]


def visit(daemon, count: int) -> list[int]:
    """Which servers so many clients meet, one after another."""
    met = []
    for _ in range(count):
        with daemon.connect() as client:
            met.append(int(client.drain()[0]))
    return met


def test_first_endpoint_is_preferred_by_default(launch, serve, certificates):
    peers = named_servers(serve, certificates, 2)
    daemon = launch(
        Service("prio", connect=[p.address for p in peers], CAfile=certificates.ca_file)
    )
    assert visit(daemon, 6) == [0] * 6


def test_rr_takes_endpoints_in_turn(launch, serve, certificates):
    peers = named_servers(serve, certificates, 3)
    daemon = launch(
        Service(
            "rr",
            connect=[p.address for p in peers],
            CAfile=certificates.ca_file,
            failover="rr",
        ),
        globals={"workers": 1},
    )
    met = visit(daemon, 9)
    assert sorted(met) == sorted([0, 1, 2] * 3)
    assert met[:3] == met[3:6] == met[6:]


def test_rr_skips_an_endpoint_that_refuses(launch, serve, certificates):
    peers = named_servers(serve, certificates, 2)
    daemon = launch(
        Service(
            "rr",
            connect=[peers[0].address, f"localhost:{closed_port()}", peers[1].address],
            CAfile=certificates.ca_file,
            failover="rr",
        )
    )
    assert set(visit(daemon, 6)) == {0, 1}


@pytest.mark.direct_only("the bastion connects")
def test_local_is_the_source_address(launch, serve):
    def tell_source(talk: Conversation) -> None:
        talk.note(talk.source[0])

    peer = serve(tell_source)
    daemon = launch(
        Service("local", connect=f"127.0.0.1:{peer.port}", plain="yes", local="127.0.0.9")
    )
    with daemon.connect() as client:
        client.expect_close()
    assert peer.next_note() == "127.0.0.9"


def sockets_by_role(daemon, peer_port: int) -> dict[str, socket.socket]:
    """Copies of the daemon's sockets: listening, to the client, to the server."""
    roles = {}
    for item in tcp_sockets(daemon.pid):
        if item.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            roles["a"] = item
        elif item.getpeername()[1] == peer_port:
            roles["r"] = item
        else:
            roles["l"] = item
    return roles


@pytest.fixture
def roles_with(launch, serve, as_root):
    """Starts a daemon with options and a tunnel; returns its sockets by role."""
    clients = []

    def start(*options: str) -> dict[str, socket.socket]:
        peer = serve(hold)
        daemon = launch(
            Service("s", connect=f"127.0.0.1:{peer.port}", plain="yes", socket=list(options))
        )
        clients.append(daemon.connect())
        peer.wait_for_connections(1)
        daemon.wait_for_log(r"\[s\] connected")
        try:
            return sockets_by_role(daemon, peer.port)
        except PermissionError as error:
            pytest.skip(f"cannot look into the daemon's sockets: {error}")

    yield start
    for client in clients:
        client.close()


TCP, SOCKET = socket.IPPROTO_TCP, socket.SOL_SOCKET


@pytest.mark.direct_only("the server's socket is the bastion's")
def test_keepalive_and_nodelay_are_on_by_default(roles_with):
    roles = roles_with()
    for role in "lr":
        assert roles[role].getsockopt(SOCKET, socket.SO_KEEPALIVE) == 1
        assert roles[role].getsockopt(TCP, socket.TCP_NODELAY) == 1
        assert roles[role].getsockopt(TCP, socket.TCP_KEEPIDLE) <= 600
        assert roles[role].getsockopt(TCP, socket.TCP_KEEPINTVL) <= 75
    assert roles["a"].getsockopt(SOCKET, socket.SO_REUSEADDR) == 1


def of_server(*case):
    """A case about the server's socket."""
    return pytest.param(*case, marks=pytest.mark.direct_only("that socket is the bastion's"))


@pytest.mark.parametrize(
    "option, role, level, name, value",
    [
        ("l:SO_KEEPALIVE=no", "l", SOCKET, socket.SO_KEEPALIVE, 0),
        of_server("r:SO_KEEPALIVE=0", "r", SOCKET, socket.SO_KEEPALIVE, 0),
        of_server("r:TCP_KEEPIDLE=33", "r", TCP, socket.TCP_KEEPIDLE, 33),
        of_server("r:TCP_KEEPINTVL=11", "r", TCP, socket.TCP_KEEPINTVL, 11),
        ("l:TCP_KEEPCNT=4", "l", TCP, socket.TCP_KEEPCNT, 4),
        of_server("r:TCP_NODELAY=no", "r", TCP, socket.TCP_NODELAY, 0),
        ("l:TCP_NODELAY=0", "l", TCP, socket.TCP_NODELAY, 0),
        of_server("r:IP_TOS=16", "r", socket.IPPROTO_IP, socket.IP_TOS, 16),
        of_server("r:IP_TTL=77", "r", socket.IPPROTO_IP, socket.IP_TTL, 77),
        ("l:SO_SNDBUF=40000", "l", SOCKET, socket.SO_SNDBUF, 80000),
        of_server("r:SO_RCVBUF=40000", "r", SOCKET, socket.SO_RCVBUF, 80000),
        ("a:SO_KEEPALIVE=yes", "a", SOCKET, socket.SO_KEEPALIVE, 1),
    ],
)
def test_socket_option_is_set_on_the_right_socket(roles_with, option, role, level, name, value):
    assert roles_with(option)[role].getsockopt(level, name) == value


def test_socket_option_may_be_a_linger_time(roles_with):
    item = roles_with("l:SO_LINGER=1:60")["l"]
    assert struct.unpack("ii", item.getsockopt(SOCKET, socket.SO_LINGER, 8)) == (1, 60)


def test_socket_option_may_name_a_device(roles_with):
    item = roles_with("a:SO_BINDTODEVICE=lo")["a"]
    assert item.getsockopt(SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"


# Names and routes, in a network of their own


def name_service(name: str, certificates, port: int = 6379, **options) -> Service:
    """A service to a name that only a namespace knows."""
    return Service("named", connect=f"{name}:{port}", CAfile=certificates.ca_file, **options)


def expect_refusal(place, daemon) -> str:
    """The client is closed; returns the error line."""
    with place.connect(daemon.port()) as client:
        Client(client).expect_close()
    return daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*\[named\][^\n]*").group(0)


@pytest.mark.direct_only("the bastion is outside of the namespace")
def test_name_that_does_not_exist_is_quoted(launch, namespace, dnsmasq, certificates):
    place = namespace(resolver="nameserver 127.0.0.1\n")
    dnsmasq(place, "--address=/#/")
    name = "missing.abc123.use1.cache.test"
    daemon = launch(name_service(name, certificates), prefix=place.prefix)
    assert name in expect_refusal(place, daemon)


@pytest.mark.direct_only("the bastion is outside of the namespace")
def test_name_server_that_is_not_there_is_reported(launch, namespace, certificates):
    place = namespace(resolver="nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    daemon = launch(name_service("some.cache.test", certificates), prefix=place.prefix)
    assert "some.cache.test" in expect_refusal(place, daemon)


@pytest.mark.direct_only("the bastion is outside of the namespace")
def test_silent_name_server_does_not_hold_up_other_services(launch, namespace, certificates):
    place = namespace(resolver="nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
    with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 53))
        silent.settimeout(15)
        daemon = launch(
            name_service("slow.cache.test", certificates, TIMEOUTconnect=2),
            Service("other", connect="127.0.0.1:1", plain="yes"),
            prefix=place.prefix,
            globals={"workers": 1},
        )
        with place.connect(daemon.port("named")) as waiting:
            silent.recv(512)
            with place.connect(daemon.port("other")) as client:
                Client(client).expect_close()
            assert "LOG3" not in "".join(
                line for line in daemon.log().splitlines() if "[named]" in line
            )
            waiting.settimeout(30)
            Client(waiting).expect_close()
        assert "slow.cache.test" in daemon.wait_for_log(r"LOG3[^\n]*\[named\][^\n]*").group(0)


@pytest.mark.direct_only("the bastion is outside of the namespace")
def test_name_is_resolved_for_every_connection(
    launch, namespace, dnsmasq, certificates, tmp_path
):
    hosts = tmp_path / "served-hosts"
    hosts.write_text("127.0.1.1 moving.cache.test\n")
    place = namespace(resolver="nameserver 127.0.0.1\n")
    dnsmasq(place, f"--hostsdir={make_directory(tmp_path / 'hosts.d', hosts)}", "--local-ttl=0")
    daemon = launch(
        name_service("moving.cache.test", certificates, port=7000),
        prefix=place.prefix,
    )
    assert "127.0.1.1" in expect_refusal(place, daemon)
    (tmp_path / "hosts.d" / "served-hosts").write_text("127.0.1.2 moving.cache.test\n")

    def follows() -> bool:
        with place.connect(daemon.port()) as client:
            Client(client).expect_close()
        return "127.0.1.2" in daemon.log()

    wait_for(follows, "the daemon follows the name")


def make_directory(path, *files) -> str:
    """A directory with copies of the files."""
    path.mkdir()
    for file in files:
        (path / file.name).write_bytes(file.read_bytes())
    return str(path)


@pytest.mark.direct_only("the bastion is outside of the namespace")
def test_every_address_of_a_name_is_tried(launch, namespace):
    place = namespace(hosts="127.0.1.1 two.cache.test\n127.0.1.2 two.cache.test\n")
    listener = place.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.1.2", 7000))
    listener.listen(8)
    listener.settimeout(15)
    with listener:
        daemon = launch(
            Service("named", connect="two.cache.test:7000", plain="yes"), prefix=place.prefix
        )
        with place.connect(daemon.port()) as client:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(HELLO)
                assert Client(client).read(len(HELLO)) == HELLO


@pytest.mark.parametrize("kind", ["unreachable", "no route"])
@pytest.mark.direct_only("the bastion is outside of the namespace")
def test_unreachable_network_is_reported(launch, namespace, kind):
    place = namespace()
    if kind == "unreachable":
        assert place.run("ip", "route", "add", "unreachable", "192.0.2.0/24").returncode == 0
    daemon = launch(
        Service("named", connect="192.0.2.1:6379", plain="yes"), prefix=place.prefix
    )
    assert "nreachable" in expect_refusal(place, daemon) or "o route" in daemon.log()
