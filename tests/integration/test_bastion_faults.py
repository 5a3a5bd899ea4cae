"""Whatever happens to a bastion: clients hear of it at once, the log says why, and life goes on."""

from __future__ import annotations

import contextlib
import hashlib
import re
import select
import shutil
import signal
import socket
import threading
import time

import pytest

from harness.client import Client
from harness.daemon import Service, binary_path, repetitions
from harness.peers import (
    Conversation,
    FullBacklog,
    answer_after_end,
    closed_port,
    good_tls,
    greet,
    hold,
    random_bytes,
    send_garbage,
    send_in_drips,
    send_then_close,
)
from harness.process import (
    anonymous_kib,
    descriptor_count,
    resident_kib,
    settled_descriptor_count,
    tcp_sockets,
)
from harness.waiting import deadline_scale, is_sanitised, wait_for, wait_until_still

REFUSED = r"LOG3\[[^]]*\]:[^\n]*bastion 'hop'[^\n]*"
HELLO = b"hello\r\n"
LOAD = 20


def expect_refusal(daemon, *words: str, service: str | None = None) -> str:
    """The client is closed without a byte, and an error line has all of the words."""
    with daemon.connect(service) as client:
        client.expect_close()
    line = daemon.wait_for_log(REFUSED).group(0)
    for word in words:
        assert word in line, line
    return line


def expect_ping(daemon, service: str | None = None) -> None:
    """A client gets through."""
    with daemon.connect(service) as client:
        client.ping()


def comes_through(daemon, service: str | None = None) -> bool:
    """Whether a client gets an answer; without one it must be closed."""
    with daemon.connect(service) as client:
        try:
            client.ping()
        except (AssertionError, ConnectionResetError):
            return False
    return True


def logins_of(server) -> int:
    """How many logins the server has seen, once it has logged them."""
    return server.login_count()


@pytest.fixture
def load(request):
    """Clients that ping without end; load(daemon) returns a function that waits for their ends."""

    def start(daemon, count: int = LOAD, timeout: float = 10):
        clients = [daemon.connect(timeout=timeout) for _ in range(count)]
        turns = [0] * count
        ends: list[str] = []

        def work(number: int) -> None:
            client = clients[number]
            try:
                while True:
                    client.ping()
                    turns[number] += 1
            except TimeoutError:
                ends.append("held open")
            except (AssertionError, OSError):
                ends.append("closed")

        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        wait_for(lambda: min(turns) > 3, "all clients are served")

        def finish() -> list[str]:
            for thread in threads:
                thread.join()
            return ends

        request.addfinalizer(lambda: [client.close() for client in clients])
        return finish

    return start


# What answers is no bastion


def test_refused_port_is_named(tunnel, through, sshd):
    port = closed_port()
    expect_refusal(tunnel(through(sshd, port=port)), "refused", str(port))


def test_address_that_does_not_answer_is_given_up(tunnel, through, sshd):
    backlog = FullBacklog()
    try:
        daemon = tunnel(through(sshd, port=backlog.port, TIMEOUTconnect=1))
        expect_refusal(daemon, "TIMEOUTconnect", str(backlog.port))
    finally:
        backlog.close()


def test_name_that_does_not_exist_is_named(tunnel, through, sshd):
    daemon = tunnel(through(sshd, host="no-such-bastion.invalid", TIMEOUTconnect=5))
    expect_refusal(daemon, "no-such-bastion.invalid")


def test_silent_server_is_given_up(tunnel, through, sshd, serve):
    daemon = tunnel(through(sshd, port=serve(hold).port, TIMEOUTbanner=1))
    expect_refusal(daemon, "TIMEOUTbanner")


@pytest.mark.parametrize("drip", [b".", b"SSH"])
def test_server_that_sends_bytes_one_by_one_is_given_up(tunnel, through, sshd, serve, drip):
    def handler(talk: Conversation) -> None:
        talk.socket.sendall(drip)
        send_in_drips(200, 0.1)(talk)

    daemon = tunnel(through(sshd, port=serve(handler).port, TIMEOUTbanner=1))
    expect_refusal(daemon, "TIMEOUTbanner")


def test_http_server_is_recognised_as_none(tunnel, through, sshd, serve):
    def handler(talk: Conversation) -> None:
        talk.socket.recv(1)
        talk.socket.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    daemon = tunnel(through(sshd, port=serve(handler).port, TIMEOUTbanner=2))
    expect_refusal(daemon, "no SSH server", "HTTP/1.1 400 Bad Request")


def test_port_of_a_plain_cache_is_recognised(tunnel, through, sshd, redis_plain):
    daemon = tunnel(through(sshd, port=redis_plain.port, TIMEOUTbanner=1))
    expect_refusal(daemon, "that is Redis", "SSH's port is mostly 22")


def test_port_of_a_cache_with_tls_is_hinted_at(tunnel, through, sshd, redis_tls):
    """Redis closes without a word when what comes is no TLS."""
    daemon = tunnel(through(sshd, port=redis_tls.port))
    expect_refusal(daemon, "before a word was said", "TLS", "SSH's port is mostly 22")


def test_tls_server_is_recognised_as_none(tunnel, through, sshd, serve):
    """Others send an alert first."""
    peer = serve(send_then_close(b"\x15\x03\x01\x00\x02\x02\x46"))
    expect_refusal(tunnel(through(sshd, port=peer.port)), "that is TLS", "SSH's port is mostly 22")


def test_lines_before_the_version_are_no_other_protocol(tunnel, through, sshd, serve):
    said = b"Authorised users only.\r\nSSH-2.0-OpenSSH_9.2\r\n"
    daemon = tunnel(through(sshd, port=serve(send_then_close(said)).port))
    line = expect_refusal(daemon, "during the SSH handshake")
    assert "no SSH server" not in line, line


def test_server_that_goes_on_in_another_protocol_is_quoted(tunnel, through, sshd, serve):
    def handler(talk: Conversation) -> None:
        talk.socket.sendall(b"220 mail.example.com ESMTP\r\n")
        talk.wait_for_close()

    daemon = tunnel(through(sshd, port=serve(handler).port, TIMEOUTbanner=1))
    expect_refusal(daemon, "TIMEOUTbanner", "220 mail.example.com ESMTP", "is the port right?")


def test_garbage_is_reported(tunnel, through, sshd, serve):
    daemon = tunnel(through(sshd, port=serve(send_garbage).port, TIMEOUTbanner=1, TIMEOUTkex=1))
    expect_refusal(daemon, "nothing that looks like SSH came", "but '...'")


def test_endless_lines_before_the_version_are_given_up(tunnel, through, sshd, serve):
    def handler(talk: Conversation) -> None:
        while True:
            talk.socket.sendall(b"please wait a little\r\n" * 100)

    daemon = tunnel(through(sshd, port=serve(handler).port, TIMEOUTbanner=1))
    expect_refusal(daemon, "TIMEOUTbanner", "'please wait a little'")
    if not is_sanitised(binary_path()):
        assert resident_kib(daemon.pid) < 40000


@pytest.mark.parametrize(
    "said, word",
    [
        (b"", "before a word was said"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "during the SSH handshake"),
        (b"SSH-2.0-x\r\n\0\0\0\x14", "during the SSH handshake"),
        (b"SSH-1.5-old\r\n", "'SSH-1.5-old', and only SSH 2 is spoken here"),
    ],
)
def test_server_that_closes_at_once_is_reported(tunnel, through, sshd, serve, said, word):
    daemon = tunnel(through(sshd, port=serve(send_then_close(said)).port))
    expect_refusal(daemon, word)


def test_key_that_may_not_forward_is_named(tunnel, through, make_sshd):
    """As root's key on EC2."""
    server = make_sshd()
    keys = server.directory / "authorized_keys"
    keys.write_text(
        "".join(f"no-port-forwarding {line}\n" for line in keys.read_text().splitlines())
    )
    expect_refusal(tunnel(through(server)), "no-port-forwarding", "ec2-user")


def test_server_that_stops_in_the_key_exchange_is_given_up(tunnel, through, sshd, serve):
    def handler(talk: Conversation) -> None:
        talk.socket.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        talk.wait_for_close()

    daemon = tunnel(through(sshd, port=serve(handler).port, TIMEOUTkex=1))
    expect_refusal(daemon, "TIMEOUTkex")


@pytest.mark.parametrize(
    "what, offer",
    [
        ("cipher", {"Ciphers": "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com"}),
        ("MAC", {"MACs": "umac-64-etm@openssh.com,umac-128@openssh.com"}),
        ("key exchange", {"KexAlgorithms": "sntrup761x25519-sha512@openssh.com"}),
    ],
)
def test_no_common_algorithm_is_explained(tunnel, through, make_sshd, what, offer):
    daemon = tunnel(through(make_sshd(**offer)))
    if comes_through(daemon):
        pytest.skip("this libssh2 has them too")
    line = daemon.wait_for_log(r"no common algorithm[^\n]*").group(0)
    assert f"offers no {what} that libssh2" in line, line
    assert next(iter(offer.values())).split(",", maxsplit=1)[0] in line, line


def test_agent_that_does_not_answer_is_given_up(tunnel, through, sshd, serve, tmp_path):
    path = str(tmp_path / "agent.sock")
    serve(hold, address=path)
    daemon = tunnel(through(sshd, identityFile=None, identityAgent=path, TIMEOUTlogin=1))
    expect_refusal(daemon, "TIMEOUTlogin")


def test_too_many_unfinished_logins_are_named_and_got_over(tunnel, through, make_sshd):
    server = make_sshd(MaxStartups="1")
    daemon = tunnel(through(server))
    with socket.create_connection((server.host, server.port), 10) as occupant:
        assert occupant.recv(4) == b"SSH-"
        line = expect_refusal(daemon)
        assert "said 'Exceeded MaxStartups': more logins are under way" in line, line
    wait_for(lambda: comes_through(daemon), "the next client gets through")


def test_address_that_is_shut_out_for_a_while_is_told_why(tunnel, through, sshd, serve):
    """As OpenSSH 9.8 and later do after logins that failed."""
    peer = serve(send_then_close(b"Not allowed at this time\r\n"))
    daemon = tunnel(through(sshd, port=peer.port))
    line = expect_refusal(daemon, "shuts this address out for a while")
    pause = float(re.search(r"next attempt in ([\d.]+) s", line).group(1))
    assert pause > 3, line  # whoever insists is shut out for longer


def test_sessions_that_the_server_turns_away_do_no_harm(tunnel, through, make_sshd):
    daemon = tunnel(through(make_sshd(MaxStartups="1"), sessions=8))
    clients = [daemon.connect() for _ in range(60)]
    for client in clients:
        client.ping()
        client.close()


@pytest.mark.parametrize("limit", ["0", "1"])
def test_limit_of_shells_does_not_limit_tunnels(tunnel, through, make_sshd, limit):
    daemon = tunnel(through(make_sshd(MaxSessions=limit), sessions=1))
    clients = [daemon.connect() for _ in range(20)]
    for client in clients:
        client.ping()
    for client in clients:
        client.close()


# What the bastion will not do, or cannot


def test_forbidden_forwarding_is_explained(tunnel, through, make_sshd):
    expect_refusal(tunnel(through(make_sshd(AllowTcpForwarding="no"))), "AllowTcpForwarding no")


def test_endpoint_that_is_not_permitted_is_explained(tunnel, through, make_sshd, redis_tls):
    daemon = tunnel(through(make_sshd(PermitOpen="localhost:1")))
    expect_refusal(daemon, "PermitOpen", redis_tls.address)


def test_endpoint_that_refuses_is_explained(tunnel, through, sshd):
    address = f"localhost:{closed_port()}"
    daemon = tunnel(through(sshd), service={"connect": address})
    expect_refusal(daemon, "cannot reach", address)


def test_endpoint_name_that_the_bastion_does_not_know_is_explained(tunnel, through, sshd):
    daemon = tunnel(through(sshd), service={"connect": "no-such-cache.invalid:6379"})
    expect_refusal(daemon, "cannot reach", "no-such-cache.invalid:6379", "name is wrong")


def test_next_endpoint_is_tried_through_the_bastion(tunnel, through, sshd, redis_tls):
    addresses = [f"localhost:{closed_port()}", redis_tls.address]
    expect_ping(tunnel(through(sshd), service={"connect": addresses}))


def test_certificate_is_verified_through_the_bastion(
    launch, through, sshd, serve, certificates
):
    peer = serve(greet, tls=good_tls(certificates))
    stranger = certificates.stranger.ca_file
    daemon = launch(
        Service("redis", connect=peer.address, CAfile=stranger, bastion="hop"),
        bastions=(through(sshd),),
    )
    with daemon.connect() as client:
        client.expect_close()
    daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*certificate")


@pytest.fixture
def black_hole():
    """An endpoint that never answers."""
    backlog = FullBacklog()
    yield backlog
    backlog.close()


def beside_black_hole(launch, to_redis, black_hole, bastion):
    """A daemon with a healthy service, `redis`, and one into the black hole, `hole`."""
    return launch(
        to_redis("redis", bastion=bastion.name),
        to_redis("hole", connect=f"127.0.0.1:{black_hole.port}", bastion=bastion.name),
        bastions=(bastion,),
        globals={"workers": 1},
    )


def test_server_that_lets_us_in_and_ends_the_session_is_not_stormed(
    launch, to_redis, through, make_sshd, black_hole
):
    """It takes every login, and every session ends before it has served anybody."""
    server = make_sshd()
    bastion = through(server, TIMEOUTopen=300)
    daemon = beside_black_hole(launch, to_redis, black_hole, bastion)
    logins = 0
    with daemon.connect("hole") as client:

        def is_told() -> bool:
            return bool(select.select([client.socket], [], [], 0)[0])

        while not is_told():
            wait_for(
                lambda: is_told() or daemon.log().count("logged in to") > logins, "a login", 20
            )
            logins = daemon.log().count("logged in to")
            server.kill_sessions()
            assert logins < 8
        client.expect_close()
    daemon.wait_for_log(r"LOG3[^\n]*let us in, and ended the session at once")


def test_endpoint_that_never_answers_is_given_up(launch, to_redis, through, sshd, black_hole):
    daemon = beside_black_hole(launch, to_redis, black_hole, through(sshd, TIMEOUTopen=1))
    line = expect_refusal(daemon, "TIMEOUTopen", service="hole")
    assert f"127.0.0.1:{black_hole.port}" in line


def test_many_for_an_endpoint_that_never_answers_leave_a_session_to_others(
    launch, to_redis, through, sshd, black_hole
):
    """They come at once, before anybody can know, and would occupy every session."""
    bastion = through(sshd, TIMEOUTopen=300, sessions=3)
    daemon = beside_black_hole(launch, to_redis, black_hole, bastion)
    clients = [daemon.connect("hole") for _ in range(10)]
    daemon.wait_for_log(r"\[hole\] accepted", count=10)
    daemon.wait_for_log("session logging in -> ready", count=2)
    for _ in range(5):
        expect_ping(daemon, "redis")
    for client in clients:
        client.close()


def test_endpoint_that_never_answers_does_not_delay_others(
    launch, to_redis, through, sshd, black_hole
):
    daemon = beside_black_hole(launch, to_redis, black_hole, through(sshd, TIMEOUTopen=8))
    expect_ping(daemon, "redis")
    started = time.monotonic()
    with daemon.connect("hole"):
        daemon.wait_for_log(r"\[hole\] accepted")
        for _ in range(20):
            expect_ping(daemon, "redis")
    assert time.monotonic() - started < 3 * deadline_scale()


def test_clients_who_keep_trying_an_endpoint_that_never_answers_delay_nobody_for_long(
    launch, to_redis, through, sshd, black_hole
):
    daemon = beside_black_hole(launch, to_redis, black_hole, through(sshd, TIMEOUTopen=1))
    waiting = [daemon.connect("hole") for _ in range(8)]
    daemon.wait_for_log(r"\[hole\] accepted", count=8)
    started = time.monotonic()
    expect_ping(daemon, "redis")
    assert time.monotonic() - started < 4 * deadline_scale()
    for client in waiting:
        client.expect_close()
        client.close()
    expect_ping(daemon, "redis")


def test_clients_who_leave_an_endpoint_that_never_answers_free_everything(
    launch, to_redis, through, sshd, black_hole
):
    daemon = beside_black_hole(launch, to_redis, black_hole, through(sshd, sessions=1))
    expect_ping(daemon, "redis")
    before = settled_descriptor_count(daemon.pid)
    for number in range(1, 4):
        client = daemon.connect("hole")
        daemon.wait_for_log(r"\[hole\] accepted", count=number)
        client.reset()
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    expect_ping(daemon, "redis")  # and the session that waits for the endpoint is replaced


def test_endpoint_that_never_answers_is_no_silence_of_the_bastion(
    launch, to_redis, through, sshd, black_hole
):
    bastion = through(sshd, sessions=1, TIMEOUTopen=3, aliveInterval="50ms", aliveCount=2)
    daemon = beside_black_hole(launch, to_redis, black_hole, bastion)
    with daemon.connect("redis") as idle, daemon.connect("hole") as client:
        idle.ping()
        client.expect_close()  # after sixty questions that could not be asked
        idle.ping()


def test_endpoint_that_never_answers_takes_no_session_more_than_configured(
    launch, to_redis, through, make_sshd, black_hole
):
    """A session that waits for it and has tunnels stays, and counts: one remains for others."""
    server = make_sshd()
    daemon = launch(
        to_redis("redis", bastion="hop"),
        to_redis("hole", connect=f"127.0.0.1:{black_hole.port}", bastion="hop", TIMEOUThold=0),
        bastions=(through(server, sessions=2, TIMEOUTopen=1),),
        globals={"workers": 1},
    )
    with contextlib.ExitStack() as kept:
        for turn in range(1, 4):
            client = kept.enter_context(daemon.connect("redis"))
            client.ping()
            with daemon.connect("hole") as hopeless:
                hopeless.expect_close()
            daemon.wait_for_log(
                "no session to spare for it" if turn > 1 else "TIMEOUTopen", count=max(turn - 1, 1)
            )
        assert logins_of(server) == 2


# The bastion dies


def test_killed_bastion_closes_its_clients_at_once_and_serves_again(
    tunnel, through, make_sshd, load
):
    server = make_sshd()
    daemon = tunnel(through(server))
    finish = load(daemon)
    server.kill()
    assert finish() == ["closed"] * LOAD
    daemon.wait_for_log("session is lost")
    assert not comes_through(daemon)
    server.start()
    wait_for(lambda: comes_through(daemon), "the next client gets through", 20)


def test_client_in_a_handshake_waits_for_the_next_session(
    launch, through, make_sshd, serve, certificates
):
    """The bastion is lost before the endpoint has answered; nothing was said yet, so it begins anew."""
    hung = serve(hold)
    server = make_sshd()
    daemon = launch(
        Service(
            "redis",
            connect=f"localhost:{hung.port}",
            CAfile=certificates.ca_file,
            bastion="hop",
            TIMEOUThold=60,
            TIMEOUTbusy=300,
        ),
        bastions=(through(server),),
        globals={"workers": 1},
    )
    with daemon.connect() as client:
        hung.wait_for_connections(1)
        server.kill()
        daemon.wait_for_log("the client is held")
        hung.close()
        serve(greet, tls=good_tls(certificates), address=("127.0.0.1", hung.port))
        server.start()
        assert client.read(len(HELLO)) == HELLO


BULK = 32 << 20  # more than all buffers on the way hold


def test_value_under_way_is_cut_but_not_changed_when_the_bastion_dies(
    tunnel, through, make_sshd
):
    server = make_sshd()
    daemon = tunnel(through(server))
    value = random_bytes(BULK)
    expected = b"$%d\r\n%s\r\n" % (BULK, value)
    with daemon.redis(socket_timeout=60) as client:
        client.set("bulk", value)
    with daemon.connect(timeout=60) as reader, daemon.connect(timeout=60) as writer:
        reader.send(b"GET bulk\r\n")
        writer.send(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$%d\r\n" % BULK)
        writer.send(value[: BULK // 4])
        received = reader.read(1 << 20)
        server.kill()
        received += reader.drain()[0]
        assert writer.drain()[0] == b""
    assert len(received) < len(expected) and expected.startswith(received)
    server.start()
    wait_for(lambda: comes_through(daemon), "the next client gets through", 20)
    with daemon.redis(socket_timeout=60) as client:
        assert client.get("bulk") == value
        assert client.exists("half") == 0
        client.delete("bulk")


def test_value_under_way_arrives_whole_when_the_bastion_hangs_for_a_while(
    tunnel, through, make_sshd
):
    server = make_sshd()
    daemon = tunnel(through(server))
    value = random_bytes(BULK)
    with daemon.redis(socket_timeout=60) as client:
        client.set("bulk", value)
    with daemon.connect(timeout=60) as reader:
        reader.send(b"GET bulk\r\n")
        received = reader.read(1 << 20)
        for _ in range(3):
            server.suspend()
            server.resume()
            received += reader.read(1 << 20)
        received += reader.read(len(b"$%d\r\n\r\n" % BULK) + BULK - len(received))
    assert received == b"$%d\r\n%s\r\n" % (BULK, value)
    with daemon.redis() as client:
        client.delete("bulk")


def test_restarts_under_load_end_in_service_for_all(tunnel, through, make_sshd):
    """Clients who come back again and again get right answers or are closed, never held for long;
    and nothing is left of the sessions that died with channels in every state."""
    server = make_sshd()
    bastion = through(server, eager="yes", TIMEOUTsurplus=1)
    daemon = tunnel(bastion, globals={"workers": 1}, service={"TIMEOUThold": 0})
    expect_ping(daemon)
    before = settled_descriptor_count(daemon.pid)
    served = [0] * LOAD
    is_over = threading.Event()
    wrong: list[str] = []

    def work(number: int) -> None:
        while not is_over.is_set():
            try:
                with daemon.connect(timeout=20) as client:
                    for _ in range(5):
                        client.ping()
                        served[number] += 1
            except TimeoutError:
                wrong.append("held open")
                return
            except (AssertionError, OSError):
                continue  # closed, or told why

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(LOAD)]
    for thread in threads:
        thread.start()

    def wait_until_all_are_served() -> None:
        counts = list(served)
        wait_for(
            lambda: wrong or all(now > then for now, then in zip(served, counts)),
            "every client is served again",
            30,
        )

    for _ in range(3):
        wait_until_all_are_served()
        server.kill()
        server.start()
    wait_until_all_are_served()
    is_over.set()
    for thread in threads:
        thread.join()
    assert not wrong
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed", 20)


def test_client_after_a_restart_needs_one_attempt(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server))
    expect_ping(daemon)
    server.kill()
    server.start()
    daemon.wait_for_log("session is lost")
    expect_ping(daemon)


@pytest.fixture
def saboteur(serve):
    """Passes bytes to and from an sshd; sabotage() makes it change the next one that comes back."""

    def make(server):
        is_due = threading.Event()

        def pass_on(source: socket.socket, target: socket.socket, is_changed: bool) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 16):
                    if is_changed and is_due.is_set():
                        is_due.clear()
                        data = data[:-1] + bytes([data[-1] ^ 1])
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        def handler(talk: Conversation) -> None:
            with socket.create_connection((server.host, server.port)) as sshd:
                back = threading.Thread(target=pass_on, args=(sshd, talk.socket, True))
                back.start()
                pass_on(talk.socket, sshd, False)
                back.join()

        peer = serve(handler)
        peer.sabotage = is_due.set
        return peer

    return make


@pytest.mark.parametrize("has_tunnel", [True, False])
def test_broken_session_ends_at_once(tunnel, through, make_sshd, saboteur, has_tunnel):
    """A byte that was changed on the way breaks the message's code; no more can come of it."""
    server = make_sshd(LogLevel="DEBUG1", ClientAliveInterval="1")
    way = saboteur(server)
    server.write_known_hosts(server.directory / "known_hosts", server.known_line("ed25519", "hop"))
    daemon = tunnel(through(server, port=way.port, hostKeyAlias="hop", eager="yes"))
    daemon.wait_for_log("bastion 'hop': logged in")
    with daemon.connect() if has_tunnel else contextlib.nullcontext() as client:
        if client is not None:
            client.ping()
        way.sabotage()
        if client is not None:
            client.send(b"PING\r\n")
            client.expect_close()
        daemon.wait_for_log(r"the session is lost: [^\n]*libssh2 error -4")
    expect_ping(daemon)


def test_killed_session_is_replaced(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server))
    for number in range(1, 6):
        with daemon.connect() as client:
            client.ping()
            server.kill_sessions()
            assert client.expect_close() in ("eof", "reset")
        daemon.wait_for_log("session is lost", count=number)
    expect_ping(daemon)


def test_new_clients_of_a_stopped_bastion_are_told(tunnel, through, make_sshd, load):
    server = make_sshd()
    daemon = tunnel(through(server, TIMEOUTopen=1, TIMEOUTbanner=1, TIMEOUTkex=1, TIMEOUTlogin=1))
    load(daemon, 5)
    server.suspend()
    for _ in range(3):
        with daemon.connect() as client:
            client.expect_close()
    daemon.wait_for_log("TIMEOUTopen|TIMEOUTbanner")
    server.resume()
    wait_for(lambda: comes_through(daemon), "the next client gets through", 20)


def test_stopped_bastion_is_given_up_when_it_gives_no_sign(tunnel, through, make_sshd, load):
    server = make_sshd()
    daemon = tunnel(through(server, aliveInterval=1, aliveCount=2))
    finish = load(daemon, 5)
    server.suspend()
    assert finish() == ["closed"] * 5
    daemon.wait_for_log("session is lost")


@pytest.mark.heavy
def test_stopped_bastion_is_given_up_although_a_client_waits_for_it(
    tunnel, through, make_sshd, load
):
    """Its open is in the way of the usual questions, until libssh2 gives it up after a minute."""
    server = make_sshd()
    bastion = through(server, aliveInterval=1, aliveCount=2, TIMEOUTopen=1, sessions=1)
    daemon = tunnel(bastion)
    finish = load(daemon, 5, timeout=30)
    server.suspend()
    with daemon.connect() as client:
        client.expect_close()
    assert finish() == ["closed"] * 5
    daemon.wait_for_log("session is lost")


def test_bastion_that_vanishes_is_given_up(
    launch, namespace, through, make_sshd, redis_plain
):
    """The network drops everything: nobody has to wait for the signs of life to be missed."""
    place = namespace()
    place.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    place.run("mkdir", "/run/sshd")
    server = make_sshd(prefix=place.prefix, host="192.0.2.1")
    daemon = launch(
        Service("redis", connect=redis_plain.unix_path, plain="yes", bastion="hop"),
        bastions=(through(server, TIMEOUTdead=3),),
        prefix=place.prefix,
    )
    idle = Client(place.connect(daemon.port(), timeout=60))
    idle.ping()
    # From here on what is sent there is lost, without any word.
    assert place.run("ip", "address", "del", "192.0.2.1/32", "dev", "lo").returncode == 0
    daemon.wait_for_log("the session is lost: [^\n]*timed out", timeout=30)
    idle.drain()
    idle.close()


def test_stop_is_quick_while_the_bastion_hangs(tunnel, through, make_sshd, load):
    server = make_sshd()
    daemon = tunnel(through(server))
    finish = load(daemon, 5)
    server.suspend()
    started = time.monotonic()
    daemon.stop(signal.SIGINT)
    assert time.monotonic() - started < 3 * deadline_scale()
    assert finish() == ["closed"] * 5


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_stop_during_a_login_is_clean(tunnel, through, sshd, serve, said):
    def handler(talk: Conversation) -> None:
        talk.socket.sendall(said)
        talk.wait_for_close()

    peer = serve(handler)
    daemon = tunnel(through(sshd, port=peer.port))
    with daemon.connect() as client:
        peer.wait_for_connections(1)
        daemon.stop()
        client.expect_close()


def test_clients_who_leave_during_a_login_are_harmless(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server))
    for _ in range(100):
        daemon.connect().reset()
    expect_ping(daemon)


# Sessions


def test_services_of_one_bastion_share_one_login(launch, to_redis, through, make_sshd):
    server = make_sshd()
    names = [f"redis-{number}" for number in range(5)]
    daemon = launch(
        *(to_redis(name, bastion="hop") for name in names), bastions=(through(server),)
    )
    for name in names * 3:
        expect_ping(daemon, name)
    server.wait_for_log("accepted publickey")
    assert logins_of(server) == 1


def test_login_waits_for_the_first_client(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server))
    assert "connection from" not in server.log()
    expect_ping(daemon)
    server.wait_for_log("accepted publickey")


def test_eager_bastion_logs_in_at_start(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server, eager="yes"))
    daemon.wait_for_log("bastion 'hop': logged in")
    expect_ping(daemon)
    assert logins_of(server) == 1


def test_eager_bastion_is_tried_again_without_a_client(tunnel, through, make_sshd):
    server = make_sshd()
    server.kill()
    daemon = tunnel(through(server, eager="yes"))
    daemon.wait_for_log("refused")
    server.start()
    daemon.wait_for_log("bastion 'hop': logged in", timeout=20)


def test_eager_bastion_that_was_down_for_long_is_tried_again(tunnel, through, make_sshd):
    """By then the pauses are so long that no client would wait one out."""
    server = make_sshd()
    server.kill()
    daemon = tunnel(through(server, eager="yes"), globals={"logRepeat": 0})
    daemon.wait_for_log(r"next attempt in ([3-9]|\d\d)\.", timeout=20)
    server.start()
    daemon.wait_for_log("bastion 'hop': logged in", timeout=20)


def test_eager_session_is_made_anew_without_a_client(tunnel, through, make_sshd):
    """With pauses that grow, in case that the server ends each of them."""
    server = make_sshd()
    daemon = tunnel(through(server, eager="yes"))
    for number in range(1, 4):
        daemon.wait_for_log("bastion 'hop': logged in", count=number)
        server.kill_sessions()
        line = daemon.wait_for_log(r"the session is lost: [^\n]*in (\d+\.\d) s", count=number)
        assert float(line.group(1)) > 0.3 * 2 ** (number - 1)
    expect_ping(daemon)  # whoever comes does not wait that long


def test_sessions_are_no_more_than_configured(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server, sessions=2))
    clients = [daemon.connect() for _ in range(50)]
    for client in clients:
        client.ping()
    assert logins_of(server) <= 2
    for client in clients:
        client.close()


def test_surplus_sessions_go_when_nobody_needs_them(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server, sessions=3, TIMEOUTsurplus=1), globals={"workers": 1})
    with daemon.connect() as first:
        first.ping()
        clients = [daemon.connect() for _ in range(100)]
        for client in clients:
            client.ping()
        for client in clients:
            client.close()
        server.wait_for_log("accepted publickey", count=2)
        gone = "a session that nobody needs any more is closed"
        wait_for(
            lambda: daemon.log().count(gone) == logins_of(server) - 1,
            "all sessions but one are closed",
        )
        first.ping()
    expect_ping(daemon)


def test_idle_session_answers_the_servers_questions(tunnel, through, make_sshd):
    """Nobody reads a channel then, as there is none."""
    server = make_sshd(LogLevel="DEBUG1", ClientAliveInterval="1", ClientAliveCountMax="2")
    daemon = tunnel(through(server, eager="yes"))
    server.wait_for_log(r"got \d+/\d+ for keepalive", count=3)
    expect_ping(daemon)
    assert logins_of(server) == 1


def test_keepalives_leave_the_session_usable(tunnel, through, make_sshd):
    server = make_sshd(LogLevel="DEBUG1")
    daemon = tunnel(through(server, aliveInterval=1, aliveCount=1))
    with daemon.connect() as client:
        client.ping()
        server.wait_for_log(r"probe@cachetunnel", count=2)
        client.ping()
    expect_ping(daemon)
    assert logins_of(server) == 1


def test_keepalives_leave_no_memory_behind(tunnel, through, make_sshd):
    """libssh2 would keep each reply to a keepalive of its own."""
    server = make_sshd(LogLevel="DEBUG1")
    bastion = through(server, aliveInterval="2ms", aliveCount=100, eager="yes", sessions=1)
    daemon = tunnel(bastion, globals={"debug": 4, "workers": 1})

    def wait_for_probes(count: int) -> None:
        seen = r"server_input_channel_open: ctype probe@cachetunnel"
        server.wait_for_log(seen, count=count, timeout=30)

    wait_for_probes(300)
    before = anonymous_kib(daemon.pid)
    wait_for_probes(1500)
    growth = anonymous_kib(daemon.pid) - before
    expect_ping(daemon)
    assert logins_of(server) == 1
    if not is_sanitised(binary_path()):
        assert growth < 64, f"{growth} KiB more after 1200 keepalives"


# Data


def round_trip(daemon, size: int) -> None:
    """Stores a value through the tunnel, lets the server hash it, and reads it back."""
    value = random_bytes(size)
    expected = hashlib.sha1(value).hexdigest()
    with daemon.redis(socket_timeout=120) as client:
        key = f"bastion:{size}"
        client.set(key, value)
        remote = client.eval("return redis.sha1hex(redis.call('GET', KEYS[1]))", 1, key)
        assert remote.decode() == expected
        assert hashlib.sha1(client.get(key)).hexdigest() == expected
        client.delete(key)


@pytest.mark.parametrize("size", [1, 32700, 32768, 65537, 1 << 20, 16 << 20])
def test_value_is_the_same_on_both_sides(tunnel, through, sshd, size):
    round_trip(tunnel(through(sshd)), size)


def test_small_window_carries_large_values(tunnel, through, sshd):
    round_trip(tunnel(through(sshd, window=65536)), 16 << 20)


def test_rekeying_under_load_changes_no_byte(tunnel, through, make_sshd):
    server = make_sshd(RekeyLimit="1M", LogLevel="DEBUG1")
    daemon = tunnel(through(server))
    round_trip(daemon, 24 << 20)
    assert server.log().count("rekeying") > 20
    assert logins_of(server) == 1


@pytest.mark.heavy
@pytest.mark.plain_only("ciphers are slow then, and 16 MB take the same way")
def test_value_of_256_mb_is_the_same_on_both_sides(tunnel, through, sshd):
    round_trip(tunnel(through(sshd)), 256 << 20)


def test_many_large_values_cross_at_the_same_time(tunnel, through, make_sshd):
    server = make_sshd(RekeyLimit="4M", LogLevel="DEBUG1")
    daemon = tunnel(through(server))
    values = {f"bastion:many:{n}": random_bytes((4 << 20) + n) for n in range(8)}
    results = {}

    def work(key: str) -> None:
        with daemon.redis(socket_timeout=60) as client:
            client.set(key, values[key])
            results[key] = client.get(key)
            client.delete(key)

    threads = [threading.Thread(target=work, args=(key,)) for key in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == values
    assert server.log().count("rekeying") > 10


@pytest.mark.plain_only("memory is not measured there")
def test_clients_that_do_not_read_cost_a_window_each(tunnel, through, sshd, redis_tls):
    clients, window = 20, 256 << 10
    with redis_tls.direct() as direct:
        direct.set("bastion:unread", random_bytes(8 << 20))
    daemon = tunnel(through(sshd, sessions=1, window=window), globals={"workers": 1})
    sleepers = [daemon.connect() for _ in range(clients)]
    for sleeper in sleepers:
        sleeper.ping()
    before = resident_kib(daemon.pid)
    for sleeper in sleepers:
        sleeper.send(b"GET bastion:unread\r\n")
    wait_until_still(lambda: resident_kib(daemon.pid))
    growth = resident_kib(daemon.pid) - before
    expect_ping(daemon)
    for sleeper in sleepers:
        sleeper.close()
    with redis_tls.direct() as direct:
        direct.delete("bastion:unread")
    assert growth < clients * (window * 2 >> 10), f"{growth} KiB more"


def leads_to(item: socket.socket, port: int) -> bool:
    """Whether the socket is connected to the port."""
    try:
        return item.getpeername()[1] == port
    except OSError:
        return False  # it listens


def test_socket_to_the_bastion_sends_at_once_and_notices_silence(tunnel, through, sshd):
    daemon = tunnel(through(sshd, eager="yes"))
    daemon.wait_for_log("logged in to")
    to_bastion = [item for item in tcp_sockets(daemon.pid) if leads_to(item, sshd.port)]
    assert len(to_bastion) == 1
    assert to_bastion[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert to_bastion[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert to_bastion[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 0


@pytest.mark.plain_only("a sanitizer and strace both want to be the tracer")
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_words_of_the_bastion_are_acknowledged_at_once(tunnel, through, sshd, tmp_path):
    """Otherwise sshd, for whom Nagle's algorithm holds, waits up to 40 ms with the next ones. The
    kernel forgets the wish, so it is said again and again."""
    trace = tmp_path / "trace"
    strace = ("strace", "-D", "-f", "-e", "trace=setsockopt", "-o", str(trace))
    daemon = tunnel(through(sshd, eager="yes"), prefix=strace, globals={"sandbox": "no"})
    with daemon.connect() as client:
        client.ping()
        before = trace.read_text().count("TCP_QUICKACK, [1]")
        for _ in range(20):
            client.ping()
        wait_for(
            lambda: trace.read_text().count("TCP_QUICKACK, [1]") >= before + 20, "it is said again"
        )


@pytest.mark.parametrize("plain", ["no", "yes"])
def test_half_close_crosses_the_channel(launch, through, sshd, serve, certificates, plain):
    answer = random_bytes(3 << 20)
    peer = serve(
        answer_after_end(answer), tls=good_tls(certificates) if plain == "no" else None
    )
    authority = certificates.ca_file if plain == "no" else None
    daemon = launch(
        Service("late", connect=peer.address, CAfile=authority, plain=plain, bastion="hop"),
        bastions=(through(sshd),),
    )
    request = random_bytes(1 << 20)
    with daemon.connect() as client:
        client.send(request)
        client.finish_writing()
        assert client.drain() == (answer, "eof")
    assert peer.next_note() == len(request)


def test_plain_service_crosses_the_bastion(launch, through, sshd, redis_plain):
    daemon = launch(
        Service("redis", connect=redis_plain.address, plain="yes", bastion="hop"),
        bastions=(through(sshd),),
    )
    for _ in range(3):
        round_trip(daemon, 1 << 20)


def test_unix_socket_of_the_bastion_is_an_endpoint(launch, through, sshd, redis_plain):
    daemon = launch(
        Service("redis", connect=redis_plain.unix_path, plain="yes", bastion="hop"),
        bastions=(through(sshd),),
    )
    round_trip(daemon, 1 << 20)


def test_unix_socket_that_is_not_there_is_explained(launch, through, sshd, tmp_path):
    daemon = launch(
        Service("redis", connect=str(tmp_path / "nowhere"), plain="yes", bastion="hop"),
        bastions=(through(sshd),),
    )
    line = expect_refusal(daemon, "cannot reach", str(tmp_path / "nowhere"), "it is not there")
    assert "security group" not in line, line


def test_unix_socket_that_is_forbidden_is_explained(
    launch, through, make_sshd, redis_plain
):
    server = make_sshd(AllowStreamLocalForwarding="no")
    daemon = launch(
        Service("redis", connect=redis_plain.unix_path, plain="yes", bastion="hop"),
        bastions=(through(server),),
    )
    expect_refusal(daemon, redis_plain.unix_path, "AllowStreamLocalForwarding no")


def test_port_of_an_endpoint_may_be_a_name(launch, through, make_sshd):
    server = make_sshd(LogLevel="DEBUG1")
    daemon = launch(
        Service("web", connect="127.0.0.1:tcpmux", plain="yes", bastion="hop"),
        bastions=(through(server),),
    )
    expect_refusal(daemon, "cannot reach", "127.0.0.1:tcpmux")
    server.wait_for_log(r"target 127\.0\.0\.1 port 1\b")


def test_slow_reader_does_not_hold_up_its_neighbours(tunnel, through, sshd, redis_tls):
    with redis_tls.direct() as direct:
        direct.set("bastion:neighbour", random_bytes(32 << 20))
    daemon = tunnel(through(sshd, sessions=1))
    with daemon.connect() as sleeper, daemon.connect() as neighbour:
        neighbour.ping()
        sleeper.send(b"GET bastion:neighbour\r\n")
        sleeper.read(1 << 16)
        for _ in range(200):
            neighbour.ping()
    with redis_tls.direct() as direct:
        direct.delete("bastion:neighbour")


def test_subscriber_that_does_not_read_does_not_hold_up_others(tunnel, through, sshd):
    daemon = tunnel(through(sshd, sessions=1))
    with daemon.connect() as subscriber, daemon.redis() as publisher:
        subscriber.send(b"SUBSCRIBE flood\r\n")
        wait_for(lambda: publisher.pubsub_numsub("flood")[0][1] == 1, "it has subscribed")
        for _ in range(50):
            with publisher.pipeline(transaction=False) as pipeline:
                for _ in range(1000):
                    pipeline.publish("flood", "x" * 40)
                pipeline.execute()
        started = time.monotonic()
        for _ in range(200):
            publisher.ping()
        assert time.monotonic() - started < 3 * deadline_scale()


# Many


def churn(daemon, clients: int, turns: int) -> None:
    """So many clients at a time connect, ask and leave, again and again."""
    failures = []

    def work(number: int) -> None:
        try:
            for turn in range(turns):
                with daemon.connect(timeout=30) as client:
                    client.ping()
                    if (number + turn) % 3 == 0:
                        client.reset()
        except (AssertionError, OSError) as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]


def test_100_clients_opening_and_closing_are_all_served(tunnel, through, sshd):
    daemon = tunnel(through(sshd), globals={"debug": 5})
    expect_ping(daemon)
    churn(daemon, 100, repetitions(20))
    expect_ping(daemon)


def test_thousands_of_connections_leave_nothing_behind(tunnel, through, sshd):
    daemon = tunnel(through(sshd), globals={"debug": 4, "workers": 1})
    churn(daemon, 20, repetitions(25))
    before = settled_descriptor_count(daemon.pid)
    memory = resident_kib(daemon.pid)
    churn(daemon, 20, repetitions(75))
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    if not is_sanitised(binary_path()):
        growth = resident_kib(daemon.pid) - memory
        assert growth < 2048, f"{growth} KiB more after 1500 connections"


@pytest.mark.heavy
@pytest.mark.plain_only("it takes minutes; the test above makes thousands")
def test_10000_connections_leave_nothing_behind(tunnel, through, sshd):
    """100 at a time."""
    daemon = tunnel(through(sshd), globals={"debug": 4, "workers": 1})
    churn(daemon, 100, 20)
    before = settled_descriptor_count(daemon.pid)
    memory = resident_kib(daemon.pid)
    churn(daemon, 100, 100)
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    if not is_sanitised(binary_path()):
        growth = resident_kib(daemon.pid) - memory
        assert growth < 2048, f"{growth} KiB more after 10000 connections"


def test_sessions_lost_again_and_again_leave_nothing_behind(tunnel, through, make_sshd):
    server = make_sshd()
    daemon = tunnel(through(server, sessions=1), globals={"workers": 1})
    expect_ping(daemon)
    before = settled_descriptor_count(daemon.pid)
    for number in range(1, 31):
        server.kill_sessions()
        daemon.wait_for_log("session is lost", count=number)
        expect_ping(daemon)
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
