"""A primary that moves, as ElastiCache's do: clients that only reconnect follow it through us."""

from __future__ import annotations

import contextlib
import re
import select
import signal
import threading
from typing import Callable, Iterator

import pytest
import redis

from harness.client import Client
from harness.daemon import Daemon, Service, binary_path
from harness.name_server import AAAA, A
from harness.peers import (
    FullBacklog,
    closed_port,
    echo,
    good_tls,
    greet,
    reset_after_first_bytes,
    tls_context,
)
from harness.process import resident_kib, settled_descriptor_count
from harness.redis_server import RedisServer
from harness.replication_group import PRIMARY, REPLICA, ReplicationGroup
from harness.waiting import deadline_scale, is_sanitised, wait_for

pytestmark = pytest.mark.direct_only("names are looked up beyond a bastion")


@pytest.fixture
def group(tmp_path, certificates, name_server) -> Iterator[ReplicationGroup]:
    """A primary and two replicas."""
    made = ReplicationGroup(tmp_path / "group", certificates, name_server)
    yield made
    made.stop()


@pytest.fixture
def launch_group(launch, group, certificates) -> Callable[..., Daemon]:
    """Starts a daemon with services to the primary's and to the reader's name."""

    def start(workers: int = 1, **options) -> Daemon:
        common = {"CAfile": certificates.ca_file, "TIMEOUThold": 30, **options}
        return launch(
            Service("primary", connect=f"{PRIMARY}:{group.port}", role="primary", **common),
            Service("replica", connect=f"{REPLICA}:{group.port}", role="replica", **common),
            globals={"resolver": group.names.address, "errors": "resp", "workers": workers},
        )

    return start


class Writer:
    """Writes one key after another and keeps those that the primary and a replica have."""

    def __init__(self, client: redis.Redis):
        self.client = client
        self.acknowledged: list[int] = []
        self.errors: list[str] = []
        self.failure: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            try:
                self.client.set(f"key:{number}", number)
                if self.client.wait(1, 200) >= 1:
                    self.acknowledged.append(number)
            except redis.RedisError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            except BaseException as error:  # pylint: disable=broad-except
                self.failure = error
                return

    def wait_for_progress(self, count: int = 20) -> None:
        """Waits for so many more acknowledged writes."""
        aim = len(self.acknowledged) + count
        wait_for(lambda: len(self.acknowledged) >= aim or self.failure, "writes go through", 40)
        assert self.failure is None, self.failure

    def stop(self) -> None:
        """Ends the writing."""
        self._stopping.set()
        self._thread.join(30 * deadline_scale())
        assert not self._thread.is_alive()


@pytest.fixture
def write() -> Iterator[Callable[[redis.Redis], Writer]]:
    """Starts writers."""
    writers: list[Writer] = []

    def start(client: redis.Redis) -> Writer:
        writers.append(Writer(client))
        return writers[-1]

    yield start
    for writer in writers:
        writer.stop()


def expect_all_there(writer: Writer, primary: RedisServer) -> None:
    """Every acknowledged write is on the new primary."""
    writer.stop()
    with primary.direct() as client:
        for number in writer.acknowledged:
            assert client.get(f"key:{number}") == b"%d" % number


def test_writer_follows_a_demoted_primary(launch_group, group, write):
    daemon = launch_group()
    old, new = group.nodes[0], group.nodes[1]
    writer = write(daemon.redis("primary"))
    writer.wait_for_progress()
    group.hand_over(old, new)
    group.set_primary(new)
    group.wait_for_replicas(new, 2)
    writer.wait_for_progress()
    expect_all_there(writer, new)
    daemon.wait_for_log(r"\[primary\]: master\.[^\n]* has moved away from 127\.0\.2\.1:")


def test_writer_follows_when_the_primary_is_killed(launch_group, group, write):
    daemon = launch_group()
    writer = write(daemon.redis("primary"))
    writer.wait_for_progress()
    group.nodes[0].stop()
    new = group.promote_best(*group.nodes[1:])
    group.set_primary(new)
    writer.wait_for_progress()
    expect_all_there(writer, new)


def test_writer_follows_when_the_primary_falls_silent(launch_group, group, write):
    """Its client never gives up by itself: only the name tells that the primary has moved."""
    daemon = launch_group(TIMEOUTmove=1)
    writer = write(daemon.redis("primary", socket_timeout=None))
    writer.wait_for_progress()
    group.nodes[0].process.send_signal(signal.SIGSTOP)
    new = group.promote_best(*group.nodes[1:])
    group.set_primary(new)
    writer.wait_for_progress()
    expect_all_there(writer, new)
    daemon.wait_for_log("its name leads there no longer")
    daemon.wait_for_log(r"Connection reset[^\n]*owed a reply for the time that TIMEOUTmove gives")


@pytest.mark.heavy
def test_writer_follows_a_name_that_is_late(launch_group, group, write):
    """For ten seconds the name still leads to the old primary, which refuses writes."""
    daemon = launch_group(TIMEOUThold=2)
    old, new = group.nodes[0], group.nodes[1]
    writer = write(daemon.redis("primary"))
    writer.wait_for_progress()
    group.hand_over(old, new)
    timer = threading.Timer(10, group.set_primary, (new,))
    timer.start()
    daemon.wait_for_log("still leads to a server that refuses writes")
    timer.join()
    writer.wait_for_progress()
    expect_all_there(writer, new)


def test_all_that_wait_for_a_late_name_get_to_the_server_at_last(launch_group, group):
    """A server that refuses writes is better than none, for those who only read."""
    daemon = launch_group(TIMEOUThold=2)
    with daemon.connect("primary") as writer:
        writer.ping()
        group.hand_over(group.nodes[0], group.nodes[1])
        writer.send(b"SET a b\r\n")
        writer.drain()
    clients = [daemon.connect("primary")]
    daemon.wait_for_log("the client is held")
    clients += [daemon.connect("primary") for _ in range(3)]
    for client in clients:
        with client:
            client.ping()


def test_reader_is_not_cut_when_its_name_rotates(launch_group, group):
    daemon = launch_group(dnsWatch=1)
    first, second = group.nodes[1:]
    clients = []
    for number in range(8):
        group.set_replicas(*((first, second) if number % 2 else (second, first)), ttl=0)
        clients.append(daemon.connect("replica"))
        clients[-1].ping()
    group.set_replicas(first, ttl=0)
    clients.append(daemon.connect("replica"))
    clients[-1].ping()
    asked = group.names.count(REPLICA)
    # A tunnel to the primary shows when a watched name would have been looked at often enough.
    with daemon.connect("primary") as clock:
        clock.ping()
        seen = group.names.count(PRIMARY, A)
        wait_for(lambda: group.names.count(PRIMARY, A) > seen + 3, "a watched name is looked at")
    for client in clients:
        client.ping()
        client.close()
    assert "moved away" not in daemon.log()
    assert group.names.count(REPLICA) == asked, "nobody watches a reader's name"


def test_idle_client_hears_of_a_move(launch_group, group):
    daemon = launch_group()
    with daemon.connect("primary") as client:
        client.ping()
        group.set_primary(group.nodes[1])
        assert client.expect_close() == "eof"
    daemon.wait_for_log("connection closed[^\n]*no reply was outstanding")


def test_answer_that_flaps_once_moves_nobody(launch_group, group):
    """Only an address that is missing twice in a row has moved."""
    daemon = launch_group()
    with daemon.connect("primary") as client:
        client.ping()
        seen = group.names.count(PRIMARY, A)
        group.names.slip(PRIMARY, group.nodes[1].host)
        wait_for(lambda: group.names.count(PRIMARY, A) > seen + 4, "the name is looked at", 30)
        client.ping()


@pytest.mark.parametrize("trouble", ["drops", "fails_for"])
def test_half_an_answer_moves_nobody(launch, name_server, serve, trouble):
    """The other family's answer is late or fails: that says nothing about addresses of that family."""
    server = serve(greet, address=("::1", 0))
    name_server.set(PRIMARY, "::1", "127.0.0.1")
    daemon = launch(
        Service("primary", connect=f"{PRIMARY}:{server.port}", role="primary", plain="yes"),
        globals={"resolver": name_server.address, "workers": 1},
    )
    with daemon.connect() as client:
        assert client.read(7) == b"hello\r\n"
        setattr(name_server.conduct, trouble, {AAAA})
        seen = name_server.count(PRIMARY, A)
        wait_for(lambda: name_server.count(PRIMARY, A) > seen + 4, "the name is looked at", 30)
        setattr(name_server.conduct, trouble, set())
        name_server.set(PRIMARY, "127.0.0.1")  # now it is gone for good
        client.expect_close()
    assert daemon.log().count("has moved away") == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_refused_write_is_passed_on_before_the_end(launch_group, group, workers):
    """And all who use that server have to leave it, in whichever worker they are."""
    daemon = launch_group(workers, dnsWatch=0)
    with daemon.connect("primary") as client, daemon.connect("primary") as idle:
        client.ping()
        idle.ping()
        group.hand_over(group.nodes[0], group.nodes[1])
        client.send(b"SET a b\r\n")
        data, ending = client.drain()
        assert data.startswith(b"-READONLY") and data.endswith(b"\r\n")
        assert ending == "eof"
        assert idle.expect_close() == "eof"


@pytest.mark.parametrize("workers", [1, 3])
def test_refused_write_is_heard_by_those_from_before_a_reload(launch_group, group, workers):
    """Tunnels that began in an older setup are at the same server."""
    daemon = launch_group(workers, dnsWatch=0)
    older = [daemon.connect("primary") for _ in range(4)]
    for client in older:
        client.ping()
    daemon.config_file.write_text(daemon.config_file.read_text() + "TIMEOUTidle = 1000\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log("reloaded")
    with daemon.connect("primary") as client:
        client.ping()
        group.hand_over(group.nodes[0], group.nodes[1])
        client.send(b"SET a b\r\n")
        assert client.drain()[0].startswith(b"-READONLY")
    for client in older:
        assert client.expect_close() == "eof"


def test_data_that_looks_like_a_refusal_is_data(launch_group):
    daemon = launch_group(dnsWatch=0)
    with daemon.connect("primary") as client:
        client.ask(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$13\r\n-READONLY x\r\n\r\n", b"+OK\r\n")
        for _ in range(3):
            client.ask(b"GET a\r\n", b"$13\r\n-READONLY x\r\n\r\n")
    daemon.wait_for_log(r"\[primary\][^\n]*the client closed")


def test_outstanding_reply_is_waited_for(launch_group, group):
    """A client in the middle of a blocking command is not cut before TIMEOUTmove."""
    daemon = launch_group(TIMEOUTmove=60)
    with daemon.connect("primary") as client:
        client.ping()
        client.send(b"BLPOP list 0\r\n")
        group.set_primary(group.nodes[1])
        daemon.wait_for_log("closing as soon as no reply is outstanding")
        with group.nodes[0].direct() as direct:
            direct.rpush("list", "x")
        data, ending = client.drain()
        assert data == b"*2\r\n$4\r\nlist\r\n$1\r\nx\r\n"
        assert ending == "eof"


# Clients that wait


def held_service(port: int, certificates, **options) -> Service:
    """A service to a server that is not there yet."""
    return Service("held", connect=f"localhost:{port}", CAfile=certificates.ca_file, **options)


def test_clients_are_held_through_an_outage(launch, tmp_path, certificates):
    """All of them arrive while there is no server, and all of them succeed."""
    first = RedisServer(tmp_path / "first", certificates, certificates.localhost)
    first.stop()
    daemon = launch(held_service(first.port, certificates, TIMEOUThold=60))
    clients = [daemon.connect(timeout=60) for _ in range(200)]
    for client in clients:
        client.send(b"PING\r\n")
    daemon.wait_for_log("accepted connection", count=200)
    daemon.wait_for_log("the client is held for up to 60 s")
    second = RedisServer(
        tmp_path / "second", certificates, certificates.localhost, port=first.port
    )
    for client in clients:
        assert client.read(7) == b"+PONG\r\n"
        client.close()
    second.stop()


def test_client_that_was_held_in_vain_is_told_why(launch, certificates):
    port = closed_port()
    daemon = launch(held_service(port, certificates, TIMEOUThold=1, errors="resp"))
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        data, ending = client.drain()
    assert data.startswith(b"-ERR cachetunnel: held for 1 s (TIMEOUThold)")
    assert b"refused" in data and data.endswith(b"\r\n") and data.count(b"\n") == 1
    assert ending == "eof"
    daemon.wait_for_log("connection refused[^\n]*held for up to 1 s")
    daemon.wait_for_log(r"LOG3[^\n]*\[held\]: no tunnel for [^\n]*held for 1 s")


def test_all_that_were_held_are_told_why(launch, certificates):
    """Those that came while others were looking have not dialled themselves."""
    daemon = launch(held_service(closed_port(), certificates, TIMEOUThold=2, errors="resp"))
    clients = [daemon.connect()]
    daemon.wait_for_log("the client is held")
    clients += [daemon.connect() for _ in range(4)]
    for client in clients:
        with client:
            client.send(b"PING\r\n")
            data, _ = client.drain()
        assert data.startswith(b"-ERR cachetunnel: held for 2 s") and b"refused" in data


def test_held_client_may_say_more_than_is_kept(launch, tmp_path, certificates):
    """What it says beyond a piece waits in the kernel, and all of it arrives."""
    first = RedisServer(tmp_path / "first", certificates, certificates.localhost)
    first.stop()
    daemon = launch(held_service(first.port, certificates, TIMEOUThold=60))
    with daemon.connect() as client:
        daemon.wait_for_log("the client is held")
        value = bytes(range(256)) * 256
        sender = threading.Thread(
            target=client.send,
            args=(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n%s\r\n" % (len(value), value),),
        )
        sender.start()
        second = RedisServer(
            tmp_path / "second", certificates, certificates.localhost, port=first.port
        )
        assert client.read(5) == b"+OK\r\n"
        sender.join()
        client.ask(b"STRLEN a\r\n", b":%d\r\n" % len(value))
    second.stop()


@pytest.mark.parametrize("hold", [0, 1])
def test_client_library_reads_the_reason(launch, certificates, hold):
    """Also when that is known before it has asked: it takes such an answer for a broken connection."""
    daemon = launch(held_service(closed_port(), certificates, TIMEOUThold=hold, errors="resp"))
    client = daemon.redis()
    with pytest.raises(redis.ResponseError, match="cachetunnel: .* refused"):
        client.ping()


def test_refusal_waits_for_the_question(launch, certificates):
    """And is read by a client that says much, and goes on saying it."""
    daemon = launch(held_service(closed_port(), certificates, errors="resp"))
    with daemon.connect() as client:
        daemon.wait_for_log("no tunnel for")
        daemon.wait_for_log("tunnel: dialling -> refusing")
        assert not select.select([client.socket], [], [], 0)[0]
        client.send(b"PING\r\n" * 20000)
        assert client.read_line().startswith(b"-ERR cachetunnel: ")
        client.send(b"PING\r\n" * 20000)
        assert client.expect_close() == "eof"
    daemon.wait_for_log("tunnel: refusing -> ended")


def test_client_that_never_asks_is_refused_all_the_same(launch, certificates):
    daemon = launch(held_service(closed_port(), certificates, errors="resp"))
    with daemon.connect() as client:
        data, ending = client.drain()
        assert data.startswith(b"-ERR cachetunnel: ") and ending == "eof"
        # It hangs up no sooner than we do.
        daemon.wait_for_log("tunnel: refusing -> ended")


def test_client_that_leaves_while_it_is_refused_is_let_go(launch, certificates):
    daemon = launch(held_service(closed_port(), certificates, errors="resp"))
    with daemon.connect():
        daemon.wait_for_log("tunnel: dialling -> refusing")
    daemon.wait_for_log("tunnel: refusing -> ended")


def test_stop_does_not_wait_for_those_who_are_refused(launch, certificates):
    daemon = launch(held_service(closed_port(), certificates, errors="resp"))
    with daemon.connect() as client:
        daemon.wait_for_log("tunnel: dialling -> refusing")
        daemon.stop()
        client.drain()


def test_close_alone_may_be_the_answer(launch, certificates):
    daemon = launch(held_service(closed_port(), certificates, TIMEOUThold=1, errors="close"))
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        client.expect_close()


def test_wrong_certificate_is_not_waited_out(launch, serve, certificates):
    peer = serve(greet, tls=good_tls(certificates))
    daemon = launch(
        held_service(
            peer.port, certificates, TIMEOUThold=300, errors="resp", checkHost="elsewhere.test"
        )
    )
    with daemon.connect() as client:
        data, _ = client.drain()
    assert data.startswith(b"-ERR cachetunnel: ") and b"elsewhere.test" in data


def test_held_client_may_leave(launch, certificates):
    daemon = launch(held_service(closed_port(), certificates, TIMEOUThold=300))
    with daemon.connect():
        daemon.wait_for_log("the client is held")
    daemon.wait_for_log("the client left before the server had answered")


def test_daemon_stops_while_clients_are_held(launch, certificates):
    daemon = launch(held_service(closed_port(), certificates, TIMEOUThold=300))
    with daemon.connect() as client:
        daemon.wait_for_log("the client is held")
        daemon.stop()
        client.drain()


def test_stuck_dial_is_given_up_when_another_comes_through(launch, name_server, serve, certificates):
    """The first client's dial hangs at a server that is gone; the name moves, others get through."""
    name = "moving.cache.test"
    hung = serve(lambda talk: talk.wait_for_close())
    serve(greet, tls=tls_context(certificates.wildcard), address=("127.0.1.1", hung.port))
    name_server.set(name, "127.0.0.1", ttl=0)
    daemon = launch(
        Service(
            "held",
            connect=f"{name}:{hung.port}",
            CAfile=certificates.ca_file,
            TIMEOUThold=60,
            TIMEOUTbusy=300,
        ),
        globals={"resolver": name_server.address, "workers": 1},
    )
    first = daemon.connect()
    hung.wait_for_connections(1)
    name_server.set(name, "127.0.1.1", ttl=0)

    def is_released() -> bool:
        """Another client gets through; once it has overtaken the first by enough, that does too."""
        with daemon.connect() as other:
            assert other.read(7) == b"hello\r\n"
        return bool(select.select([first.socket], [], [], 0)[0])

    wait_for(is_released, "the first client comes through as well")
    assert first.read(7) == b"hello\r\n"
    first.close()


# Replicas


def servers_met(daemon, count: int, name: str = "replica") -> list[str]:
    """Opens so many tunnels one after another; which servers they lead to."""
    clients = [daemon.connect(name) for _ in range(count)]
    for client in clients:
        client.ping()
    daemon.wait_for_log(rf"\[{name}\] connected", count=count)
    met = re.findall(rf"\[{name}\] connected to \S+ \((127\.0\.2\.\d)", daemon.log())
    for client in clients:
        client.close()
    return met


def test_replicas_share_the_tunnels(launch_group, group):
    group.set_replicas(*group.nodes, ttl=60)
    met = servers_met(launch_group(), 9)
    assert sorted(met) == sorted([node.host for node in group.nodes] * 3)


def test_replica_that_is_gone_is_left_out(launch_group, group):
    group.set_replicas(*group.nodes, ttl=60)
    group.nodes[2].stop()
    daemon = launch_group()
    assert set(servers_met(daemon, 6)) == {group.nodes[0].host, group.nodes[1].host}


def test_replica_that_breaks_tunnels_is_left_out(launch, name_server, serve):
    """It accepts everybody, and has the fewest tunnels because none of them lasts."""
    broken = serve(reset_after_first_bytes, address=("127.0.1.1", 0))
    good = serve(echo, address=("127.0.1.2", broken.port))
    name_server.set(REPLICA, "127.0.1.1", "127.0.1.2", ttl=60)
    daemon = launch(
        Service("replica", connect=f"{REPLICA}:{broken.port}", role="replica", plain="yes"),
        globals={"resolver": name_server.address, "workers": 1},
    )
    for _ in range(40):
        with daemon.connect() as client, contextlib.suppress(ConnectionResetError):
            client.send(b"PING\r\n")
            client.socket.recv(64)
    # It is tried again, after pauses that grow: six times in the first twenty seconds at most.
    assert 1 <= broken.accepted <= 6
    assert good.accepted >= 34


@pytest.fixture
def launch_with_fallback(launch, group, certificates) -> Callable[[], Daemon]:
    """Starts a daemon whose readers may fall back on the primary, and are not held."""

    def start() -> Daemon:
        common = {"CAfile": certificates.ca_file}
        return launch(
            Service("primary", connect=f"{PRIMARY}:{group.port}", role="primary", **common),
            Service(
                "replica",
                connect=f"{REPLICA}:{group.port}",
                role="replica",
                fallback="primary",
                **common,
            ),
            globals={"resolver": group.names.address, "workers": 1},
        )

    return start


def test_primary_stands_in_for_the_last_replica(launch_with_fallback, group):
    group.set_replicas(group.nodes[1], ttl=60)
    group.nodes[1].stop()
    daemon = launch_with_fallback()
    with daemon.connect("replica") as client:
        client.ask(b"SET a b\r\n", b"+OK\r\n")
        daemon.wait_for_log(r"\[replica\]: [^\n]*refused[^\n]*falling back to \[primary\]")
        # It is a tunnel to a primary now, and follows it.
        group.set_primary(group.nodes[2])
        client.expect_close()


def test_primary_stands_in_at_once_while_all_replicas_are_known_to_fail(
    launch, serve, name_server
):
    """They drop everything: the first client finds that out, and the next one need not."""
    primary = serve(echo, address=("127.0.1.1", 0))
    holes = [FullBacklog((f"127.0.1.{last}", primary.port)) for last in (2, 3)]
    name_server.set(REPLICA, "127.0.1.2", "127.0.1.3", ttl=60)
    daemon = launch(
        Service("primary", connect=f"127.0.1.1:{primary.port}", plain="yes"),
        Service(
            "replica",
            connect=f"{REPLICA}:{primary.port}",
            role="replica",
            fallback="primary",
            plain="yes",
            TIMEOUTconnect=2,
        ),
        globals={"resolver": name_server.address, "workers": 1},
    )
    for _ in range(2):
        with daemon.connect("replica") as client:
            client.ask(b"PING\r\n", b"PING\r\n")
    daemon.wait_for_log(r"every address of [^\n]* has failed lately; falling back to \[primary\]")
    for hole in holes:
        hole.close()


def test_primary_stands_in_when_the_replicas_have_left_the_name(launch_with_fallback, group):
    """A reader's name without a record: there is nothing to wait for."""
    group.names.remove(REPLICA)
    daemon = launch_with_fallback()
    with daemon.connect("replica") as client:
        client.ask(b"SET a b\r\n", b"+OK\r\n")
    daemon.wait_for_log(r"\[replica\]: [^\n]*no such name[^\n]*falling back to \[primary\]")


def test_without_a_fallback_there_is_none(launch_group, group):
    group.set_replicas(group.nodes[1], ttl=60)
    group.nodes[1].stop()
    daemon = launch_group(TIMEOUThold=0)
    with daemon.connect("replica") as client:
        assert client.drain()[0].startswith(b"-ERR cachetunnel: ")


# Servers that fall silent


def test_server_that_vanishes_is_given_up(launch, namespace, certificates, tmp_path):
    """The network drops everything, as when a node is lost: an idle client hears of it."""
    place = namespace()
    place.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    server = RedisServer(
        tmp_path / "server",
        certificates,
        host="0.0.0.0",
        port=7000,
        prefix=place.prefix,
        probe=False,
        options=("--protected-mode", "no"),
    )
    daemon = launch(
        Service("dead", connect="192.0.2.1:7000", plain="yes", TIMEOUTdead=3), prefix=place.prefix
    )
    idle = Client(place.connect(daemon.port(), timeout=60))
    idle.ping()
    # From here on what is sent there is lost, without any word.
    assert place.run("ip", "address", "del", "192.0.2.1/32", "dev", "lo").returncode == 0
    daemon.wait_for_log(r"the server('s connection failed| reset)", timeout=30)
    idle.drain()
    idle.close()
    server.stop()


@pytest.mark.heavy
def test_failovers_leave_nothing_behind(launch, name_server, serve):
    """Thousands of moves, there and back, with a client that follows each: memory stays flat."""

    def refuse(talk) -> None:
        while talk.socket.recv(1 << 16):
            talk.socket.sendall(b"-READONLY You can't write against a read only replica.\r\n")

    first = serve(refuse, address=("127.0.1.1", 0))
    serve(refuse, address=("127.0.1.2", first.port))
    name = "master.cache.test"
    name_server.set(name, "127.0.1.1")
    daemon = launch(
        Service("moving", connect=f"{name}:{first.port}", plain="yes", role="primary"),
        globals={"resolver": name_server.address, "workers": 1, "debug": 3},
    )

    def fail_over(count: int) -> None:
        for number in range(count):
            name_server.set(name, f"127.0.1.{number % 2 + 1}")
            with daemon.connect() as client:
                client.send(b"SET a b\r\n")
                data, ending = client.drain()
                assert data.startswith(b"-READONLY") and ending == "eof"

    fail_over(1000)
    descriptors = settled_descriptor_count(daemon.pid)
    memory = resident_kib(daemon.pid)
    fail_over(9000)
    assert settled_descriptor_count(daemon.pid) <= descriptors
    if not is_sanitised(binary_path()):
        assert resident_kib(daemon.pid) < memory + 512
