"""Every byte arrives, in order, both ways, at any size and pace, in bounded memory."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading

import pytest

from harness.client import Client
from harness.daemon import Service, binary_path
from harness.peers import Conversation, answer_after_end, echo, good_tls, random_bytes
from harness.process import resident_kib
from harness.waiting import is_sanitised, wait_for, wait_until_still

pytestmark = pytest.mark.core

SMALL_SIZES = [1, 2, 4095, 4096, 4097, 16383, 16384, 16385, 32768, 65535, 65536, 65537, 1 << 20]
BIG = 64 << 20
SERVER_SIDE_HASH = "return redis.sha1hex(redis.call('GET', KEYS[1]))"


def round_trip(daemon, size: int) -> None:
    """Stores a value through the tunnel, lets the server hash it, and reads it back."""
    value = random_bytes(size)
    expected = hashlib.sha1(value).hexdigest()
    with daemon.redis("redis", socket_timeout=120) as client:
        key = f"data:{size}"
        client.set(key, value)
        assert client.eval(SERVER_SIDE_HASH, 1, key).decode() == expected
        assert hashlib.sha1(client.get(key)).hexdigest() == expected
        client.delete(key)


@pytest.mark.parametrize("size", SMALL_SIZES)
def test_value_is_the_same_on_both_sides(launch, to_redis, size):
    round_trip(launch(to_redis()), size)


def test_value_of_64_mb_is_the_same_on_both_sides(launch, to_redis):
    round_trip(launch(to_redis()), BIG)


@pytest.mark.heavy
def test_value_of_256_mb_is_the_same_on_both_sides(launch, to_redis):
    round_trip(launch(to_redis()), 256 << 20)


def test_value_crosses_a_plain_service_unchanged(launch, redis_plain):
    service = Service("redis", connect=redis_plain.address, plain="yes")
    daemon = launch(service)
    for size in (1, 16385, 1 << 20, 16 << 20):
        round_trip(daemon, size)


def test_both_directions_flow_at_once(launch, serve, certificates):
    peer = serve(echo, tls=good_tls(certificates))
    daemon = launch(Service("echo", connect=peer.address, CAfile=certificates.ca_file))
    data = random_bytes(16 << 20)
    with daemon.connect() as client:
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        returned = client.read(len(data))
        sender.join()
    assert hashlib.sha256(returned).digest() == hashlib.sha256(data).digest()


def test_single_byte_segments_arrive_in_order(launch, serve, certificates):
    peer = serve(echo, tls=good_tls(certificates))
    daemon = launch(Service("echo", connect=peer.address, CAfile=certificates.ca_file))
    data = random_bytes(2000)
    with daemon.connect() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(data)):
            client.send(data[position : position + 1])
        assert client.read(len(data)) == data


def test_writes_of_odd_sizes_are_put_together_again(launch, serve, certificates):
    peer = serve(echo, tls=good_tls(certificates))
    daemon = launch(Service("echo", connect=peer.address, CAfile=certificates.ca_file))
    sizes = [1, 7, 16384, 16385, 3, 40000, 16383, 1, 1, 65537, 11] * 5
    data = random_bytes(sum(sizes))

    def send_in_pieces() -> None:
        start = 0
        for size in sizes:
            client.send(data[start : start + size])
            start += size

    with daemon.connect() as client:
        sender = threading.Thread(target=send_in_pieces)
        sender.start()
        assert client.read(len(data)) == data
        sender.join()


def test_many_large_values_cross_at_the_same_time(launch, to_redis):
    daemon = launch(to_redis())
    values = {f"data:parallel:{number}": random_bytes((4 << 20) + number) for number in range(8)}
    results: dict[str, bytes] = {}

    def store_and_load(key: str) -> None:
        with daemon.redis() as client:
            client.set(key, values[key])
            results[key] = client.get(key)
            client.delete(key)

    threads = [threading.Thread(target=store_and_load, args=(key,)) for key in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == values


def needs_honest_memory() -> None:
    """Sanitizers keep freed memory, so growth says nothing there."""
    if is_sanitised(binary_path()):
        pytest.skip("a sanitizer's own memory hides the daemon's")


class Progress:
    """Counts bytes that a thread could hand over."""

    def __init__(self) -> None:
        self.sent = 0

    def send(self, connection, data: bytes) -> None:
        """Sends piece by piece, counting."""
        view = memoryview(data)
        while view:
            count = connection.send(view[: 1 << 16])
            self.sent += count
            view = view[count:]


def test_client_that_does_not_read_costs_little_memory(launch, serve, certificates):
    needs_honest_memory()
    progress = Progress()
    data = random_bytes(BIG)

    def flood(talk: Conversation) -> None:
        talk.read(1)
        progress.send(talk.socket, data)

    peer = serve(flood, tls=good_tls(certificates))
    daemon = launch(Service("flood", connect=peer.address, CAfile=certificates.ca_file))
    with daemon.connect() as client:
        daemon.wait_for_log(r"connected")
        before = resident_kib(daemon.pid)
        client.send(b"!")
        wait_for(lambda: progress.sent, "the server begins to send")
        assert wait_until_still(lambda: progress.sent) < BIG, "nothing slowed the server down"
        growth = resident_kib(daemon.pid) - before
        assert growth < 4096, f"{growth} KiB more while the client does not read"
        received = client.read(len(data))
    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


def test_server_that_does_not_read_costs_little_memory(launch, serve, certificates):
    needs_honest_memory()
    go_on = threading.Event()
    data = random_bytes(BIG)

    def dawdle(talk: Conversation) -> None:
        go_on.wait(30)
        talk.note(hashlib.sha256(talk.read(len(data))).digest())

    peer = serve(dawdle, tls=good_tls(certificates))
    daemon = launch(Service("slow", connect=peer.address, CAfile=certificates.ca_file))
    progress = Progress()
    with daemon.connect() as client:
        daemon.wait_for_log(r"connected")
        before = resident_kib(daemon.pid)
        sender = threading.Thread(target=progress.send, args=(client.socket, data))
        sender.start()
        wait_for(lambda: progress.sent, "the client begins to send")
        assert wait_until_still(lambda: progress.sent) < BIG, "nothing slowed the client down"
        growth = resident_kib(daemon.pid) - before
        go_on.set()
        sender.join()
        assert peer.next_note() == hashlib.sha256(data).digest()
    assert growth < 4096, f"{growth} KiB more while the server does not read"


def test_slow_reader_gets_everything_from_redis(launch, to_redis, redis_tls):
    value = random_bytes(2 << 20)
    with redis_tls.direct() as direct:
        direct.set("data:slow-reader", value)
    daemon = launch(to_redis())
    with daemon.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.send(b"GET data:slow-reader\r\n")
        assert client.read_line() == b"$%d\r\n" % len(value)
        received = bytearray()
        while len(received) < len(value):
            received += client.socket.recv(1500)
    assert bytes(received[: len(value)]) == value


def test_slow_reader_does_not_hold_up_its_neighbours(launch, to_redis, redis_tls):
    with redis_tls.direct() as direct:
        direct.set("data:neighbour", random_bytes(BIG))
    daemon = launch(to_redis(), globals={} if "stunnel" in binary_path() else {"workers": 1})
    with daemon.connect() as sleeper, daemon.connect() as neighbour:
        sleeper.send(b"GET data:neighbour\r\n")
        sleeper.read(1 << 16)
        for _ in range(200):
            neighbour.ping()
    with redis_tls.direct() as direct:
        direct.delete("data:neighbour")


def test_data_sent_before_the_server_is_connected_is_not_lost(launch, to_redis):
    daemon = launch(to_redis())
    for _ in range(20):
        with daemon.connect() as client:
            client.ask(b"ECHO early\r\n", b"$5\r\nearly\r\n")


def half_closing(client: Client) -> tuple[bytes, str]:
    """Finishes our direction and reads what still comes."""
    client.finish_writing()
    return client.drain()


def test_replies_arrive_after_the_client_has_finished_writing(launch, serve, certificates):
    answer = random_bytes(3 << 20)
    peer = serve(answer_after_end(answer), tls=good_tls(certificates))
    daemon = launch(Service("late", connect=peer.address, CAfile=certificates.ca_file))
    request = random_bytes(1 << 20)
    with daemon.connect() as client:
        client.send(request)
        received, ending = half_closing(client)
    assert peer.next_note() == len(request)
    assert received == answer
    assert ending == "eof"


def test_redis_answers_commands_sent_together_with_the_end(launch, to_redis):
    daemon = launch(to_redis())
    with daemon.connect() as client:
        client.send(b"PING\r\nECHO bye\r\n")
        assert half_closing(client) == (b"+PONG\r\n$3\r\nbye\r\n", "eof")


def test_replies_arrive_after_the_client_of_a_plain_service_has_finished(launch, serve):
    peer = serve(answer_after_end(b"late answer"))
    daemon = launch(Service("late", connect=peer.address, plain="yes"))
    with daemon.connect() as client:
        client.send(b"question")
        assert half_closing(client) == (b"late answer", "eof")
    assert peer.next_note() == len(b"question")


def coalesce(tls: ssl.SSLContext, data: bytes):
    """A handler that sends the end of its handshake and the data in one piece."""

    def handler(talk: Conversation) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = tls.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                talk.socket.sendall(outgoing.read())
                incoming.write(talk.socket.recv(1 << 16))
        session.write(data)
        talk.socket.sendall(outgoing.read())
        talk.wait_for_close()

    return handler


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("size", [7, 40000])
def test_data_that_comes_with_the_end_of_the_handshake_is_not_held_back(
    launch, serve, certificates, version, size
):
    data = random_bytes(size)
    peer = serve(coalesce(good_tls(certificates), data))
    daemon = launch(
        Service(
            "early", connect=peer.address, CAfile=certificates.ca_file, sslVersion=version
        )
    )
    with daemon.connect() as client:
        assert client.read(size) == data
