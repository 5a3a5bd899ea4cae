"""Many clients, few descriptors, and no growth."""

from __future__ import annotations

import asyncio
import os
import resource

import pytest

from harness.daemon import Service, binary_path, repetitions
from harness.process import (
    cpu_seconds,
    descriptor_count,
    resident_kib,
    settled_descriptor_count,
)
from harness.waiting import deadline_scale, is_sanitised, wait_for


async def one_client(port: int, answered: asyncio.Semaphore, everyone: asyncio.Event) -> None:
    """Connects, asks, and stays until everyone has an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PING\r\n")
        assert await reader.readexactly(7) == b"+PONG\r\n"
        answered.release()
        await everyone.wait()
        writer.write(b"ECHO bye\r\n")
        assert await reader.readexactly(9) == b"$3\r\nbye\r\n"
    finally:
        writer.close()


def crowd(port: int, count: int, timeout: float) -> None:
    """So many clients at once, all of which are served while all are connected."""

    async def run() -> None:
        answered = asyncio.Semaphore(0)
        everyone = asyncio.Event()
        clients = [
            asyncio.ensure_future(one_client(port, answered, everyone)) for _ in range(count)
        ]

        async def let_go() -> None:
            for _ in range(count):
                await answered.acquire()
            everyone.set()

        # The first client that fails ends it, rather than the time limit.
        await asyncio.gather(let_go(), *clients)

    asyncio.run(asyncio.wait_for(run(), timeout * deadline_scale()))


@pytest.mark.core
def test_1000_clients_at_once_are_served(launch, to_redis):
    daemon = launch(to_redis())
    before = settled_descriptor_count(daemon.pid)
    crowd(daemon.port(), 1000, 40)
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")


@pytest.mark.heavy
def test_5000_connections_opened_at_once_are_served(launch, to_redis):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 12000:
        pytest.skip("needs 12000 descriptors: raise ulimit -n")
    # One redis-server cannot shake so many hands within the usual 10 s on a busy machine.
    daemon = launch(to_redis(TIMEOUTbusy=100))
    before = settled_descriptor_count(daemon.pid)
    crowd(daemon.port(), 5000, 120)
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed", 20)


def test_2000_connections_leave_no_descriptors_and_no_memory(launch, to_redis):
    daemon = launch(to_redis(), globals={"debug": 4})

    def ping_and_leave(count: int) -> None:
        for _ in range(count):
            with daemon.connect() as client:
                client.ping()

    ping_and_leave(repetitions(400))
    wait_for(lambda: descriptor_count(daemon.pid) < 40, "the warm-up's descriptors are closed")
    descriptors, memory = descriptor_count(daemon.pid), resident_kib(daemon.pid)
    ping_and_leave(repetitions(1600))
    wait_for(
        lambda: descriptor_count(daemon.pid) <= descriptors, "the descriptors are closed"
    )
    if not is_sanitised(binary_path()):
        growth = resident_kib(daemon.pid) - memory
        assert growth < 1536, f"{growth} KiB more after 1600 connections"


def lower_descriptor_limit(daemon, spare: int) -> tuple[int, int]:
    """Leaves the running daemon so few descriptors; returns the limits it had."""
    highest = max(int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd"))
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    return resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))


@pytest.mark.core
def test_out_of_descriptors_pauses_accepting_and_recovers(launch, to_redis):
    daemon = launch(to_redis())
    with daemon.connect() as first:
        first.ping()
        lower_descriptor_limit(daemon, 11)
        clients = [daemon.connect() for _ in range(40)]
        daemon.wait_for_log(r"LOG[1-4]\[[^]]*\]:[^\n]*(descriptors|too many open files)")
        first.ping()
        before = cpu_seconds(daemon.pid)
        with pytest.raises(AssertionError):  # nothing happens: that is what is measured
            wait_for(lambda: cpu_seconds(daemon.pid) - before > 0.3, "busy", 0.7)
        for client in clients:
            client.close()
        wait_for(lambda: gets_through(daemon), "new clients are served again")
        first.ping()
    warnings = daemon.log().lower().count("paus")
    assert warnings < 50, f"{warnings} warnings about a pause"


def test_low_descriptor_limit_at_start_is_survived(launch, to_redis):
    daemon = launch(to_redis(), limits={resource.RLIMIT_NOFILE: (64, 64)})
    clients = [daemon.connect() for _ in range(60)]
    daemon.wait_for_log(r"LOG[1-4]\[[^]]*\]:[^\n]*(descriptors|too many open files|maxClients)")
    for client in clients:
        client.close()

    wait_for(lambda: gets_through(daemon), "a new client is served")


def test_a_pause_is_over_when_there_is_room_though_nobody_waits(launch, to_redis):
    daemon = launch(to_redis(), limits={resource.RLIMIT_NOFILE: (64, 64)})
    with daemon.connect() as only_one:
        only_one.ping()
        daemon.wait_for_log("accepting is paused: there are as many clients as descriptors allow")
        assert "accepting again" not in daemon.log()
    daemon.wait_for_log("accepting again")


def expect_full(daemon, name: str | None = None) -> None:
    """One client more is closed at once."""
    with daemon.connect(name) as excess:
        excess.expect_close()


def test_excess_client_of_a_service_is_closed_at_once(launch, to_redis):
    daemon = launch(to_redis("small", maxClients=2), to_redis("large"))
    with daemon.connect("small") as one:
        one.ping()
        with daemon.connect("small") as two:
            two.ping()
            expect_full(daemon, "small")
            daemon.wait_for_log(r"LOG4\[[^]]*\]:[^\n]*small[^\n]*maxClients")
            with daemon.connect("large") as other:
                other.ping()
        wait_for(lambda: gets_through(daemon, "small"), "a place becomes free")
        one.ping()


def gets_through(daemon, name: str | None = None) -> bool:
    """Whether a new client is served."""
    with daemon.connect(name) as client:
        try:
            client.send(b"PING\r\n")
            return client.read_line() == b"+PONG\r\n"
        except (OSError, AssertionError):
            return False


def test_excess_client_of_the_daemon_is_closed_at_once(launch, to_redis):
    daemon = launch(to_redis("a"), to_redis("b"), globals={"maxClients": 2})
    with daemon.connect("a") as one, daemon.connect("b") as two:
        one.ping()
        two.ping()
        expect_full(daemon, "a")
        expect_full(daemon, "b")
        daemon.wait_for_log(r"LOG4\[[^]]*\]:[^\n]*maxClients")
    wait_for(lambda: gets_through(daemon, "b"), "a place becomes free")


@pytest.mark.core
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_serves_a_crowd(launch, to_redis, workers):
    daemon = launch(to_redis(), globals={"workers": workers})
    crowd(daemon.port(), 100, 30)


@pytest.mark.core
def test_clients_that_come_and_go_together_are_all_served(launch, to_redis):
    daemon = launch(to_redis())

    async def visitor() -> None:
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port())
            writer.write(b"PING\r\n")
            assert await reader.readexactly(7) == b"+PONG\r\n"
            writer.close()

    async def run() -> None:
        await asyncio.gather(*(visitor() for _ in range(25)))

    asyncio.run(asyncio.wait_for(run(), 40 * deadline_scale()))


def test_idle_tunnel_is_small(launch, to_redis):
    if is_sanitised(binary_path()):
        pytest.skip("a sanitizer's own memory hides the daemon's")
    daemon = launch(to_redis(), globals={"debug": 4})
    crowd(daemon.port(), 100, 30)
    before = resident_kib(daemon.pid)
    clients = [daemon.connect() for _ in range(300)]
    for client in clients:
        client.ping()
    each = (resident_kib(daemon.pid) - before) / len(clients)
    for client in clients:
        client.close()
    assert each < 60, f"{each:.0f} KiB per idle tunnel"


def test_100_services_run_side_by_side(launch, redis_tls, certificates):
    services = [
        Service(f"s{number}", connect=redis_tls.address, CAfile=certificates.ca_file)
        for number in range(100)
    ]
    daemon = launch(*services)
    with daemon.connect("s99") as client:
        client.ping()
