"""Redis clients notice nothing of the tunnel."""

from __future__ import annotations

import threading

import pytest

from harness.daemon import Service
from harness.redis_server import RedisServer
from harness.waiting import wait_for

pytestmark = pytest.mark.core


def test_commands_of_all_kinds_work(launch, to_redis):
    with launch(to_redis()).redis() as client:
        client.delete("kinds:list", "kinds:hash", "kinds:set")
        client.rpush("kinds:list", *range(100))
        client.hset("kinds:hash", mapping={f"f{n}": n for n in range(100)})
        client.sadd("kinds:set", *range(100))
        assert client.lrange("kinds:list", 0, -1) == [b"%d" % n for n in range(100)]
        assert len(client.hgetall("kinds:hash")) == 100
        assert client.scard("kinds:set") == 100


def test_value_with_every_byte_is_kept(launch, to_redis):
    value = bytes(range(256)) * 3 + b"\r\n\0\r\n"
    with launch(to_redis()).redis() as client:
        client.set("bytes", value)
        assert client.get("bytes") == value


def test_pipeline_of_10000_commands_is_answered_in_order(launch, to_redis):
    with launch(to_redis()).redis() as client:
        with client.pipeline(transaction=False) as pipeline:
            for number in range(10000):
                pipeline.echo(str(number))
            assert pipeline.execute() == [b"%d" % n for n in range(10000)]


def test_transaction_is_atomic(launch, to_redis):
    with launch(to_redis()).redis() as client:
        client.delete("transaction")
        with client.pipeline(transaction=True) as pipeline:
            for _ in range(100):
                pipeline.incr("transaction")
            assert pipeline.execute()[-1] == 100


def test_published_messages_reach_every_subscriber(launch, to_redis):
    daemon = launch(to_redis())
    with daemon.redis() as publisher:
        listeners = [daemon.redis().pubsub(ignore_subscribe_messages=True) for _ in range(5)]
        for listener in listeners:
            listener.subscribe("news")
        wait_for(lambda: publisher.pubsub_numsub("news")[0][1] == 5, "all have subscribed")
        for number in range(200):
            publisher.publish("news", number)
        for listener in listeners:
            received = []
            while len(received) < 200:
                message = listener.get_message(timeout=10)
                if message:
                    received.append(int(message["data"]))
            assert received == list(range(200))
            listener.close()


def test_blocked_pop_gets_what_another_client_pushes(launch, to_redis):
    daemon = launch(to_redis())
    result = []

    def pop() -> None:
        with daemon.redis(socket_timeout=30) as client:
            result.append(client.blpop("blocked:list", 20))

    thread = threading.Thread(target=pop)
    thread.start()
    with daemon.redis() as client:
        wait_for(lambda: client.info("clients")["blocked_clients"] >= 1, "the pop blocks")
        client.rpush("blocked:list", "job")
    thread.join()
    assert result == [(b"blocked:list", b"job")]


def test_monitor_shows_commands_of_others(launch, to_redis):
    daemon = launch(to_redis())
    with daemon.connect() as watcher, daemon.redis() as client:
        watcher.ask(b"MONITOR\r\n", b"+OK\r\n")
        client.set("monitored", "1")
        line = b""
        while b"monitored" not in line:
            line = watcher.read_line()
        assert b'"SET" "monitored" "1"' in line


def test_resp3_works(launch, to_redis):
    with launch(to_redis()).connect() as client:
        client.send(b"HELLO 3\r\n")
        assert client.read_line() == b"%7\r\n"


def test_replica_serves_what_the_primary_was_told(launch, to_redis, redis_replica):
    daemon = launch(to_redis("primary"), to_redis("replica", connect=redis_replica.address))
    with daemon.redis("primary") as primary, daemon.redis("replica") as replica:
        wait_for(
            lambda: replica.info("replication").get("master_link_status") == "up",
            "the replica follows",
        )
        primary.set("replicated", "yes")
        wait_for(lambda: replica.get("replicated") == b"yes", "the replica has the key")


def test_protocol_error_is_read_although_the_client_still_writes(launch, to_redis):
    with launch(to_redis()).connect() as client:
        flood = threading.Thread(target=send_quietly, args=(client, b"x" * (1 << 20)))
        client.send(b"*99999999999\r\n")
        flood.start()
        data, _ = client.drain()
        flood.join()
    assert data.startswith(b"-ERR Protocol error: invalid multibulk length")


def send_quietly(client, data: bytes) -> None:
    """Sends to a server that may hang up meanwhile."""
    try:
        client.send(data)
    except OSError:
        pass


def test_quit_ends_the_connection_after_the_answer(launch, to_redis):
    with launch(to_redis()).connect() as client:
        client.send(b"QUIT\r\n")
        assert client.drain() == (b"+OK\r\n", "eof")


def test_client_kill_ends_the_connection(launch, to_redis):
    daemon = launch(to_redis())
    with daemon.connect() as client, daemon.redis() as killer:
        client.send(b"CLIENT ID\r\n")
        number = int(client.read_line()[1:])
        killer.client_kill_filter(_id=number)
        assert client.expect_close() in ("eof", "reset")


def test_commands_work_through_a_plain_service(launch, redis_plain):
    daemon = launch(Service("plain", connect=redis_plain.address, plain="yes"))
    with daemon.redis() as client:
        assert client.ping()
        client.set("plain", "yes")
        assert client.get("plain") == b"yes"


def test_password_authenticates_inline(launch, tmp_path, certificates):
    server = RedisServer(
        tmp_path / "guarded", certificates, certificates.localhost, password="open-sesame"
    )
    try:
        daemon = launch(
            Service("guarded", connect=server.address, CAfile=certificates.ca_file)
        )
        with daemon.connect() as client:
            client.send(b"get key\r\n")
            assert client.read_line().startswith(b"-NOAUTH")
            client.ask(b"auth open-sesame\r\n", b"+OK\r\n")
            client.ask(b"set key value\r\n", b"+OK\r\n")
            client.ask(b"get key\r\n", b"$5\r\nvalue\r\n")
        assert "open-sesame" not in daemon.log()
    finally:
        server.stop()
