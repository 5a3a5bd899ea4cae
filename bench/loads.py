"""The loads: what is asked of every peer, and how its answer is read.

Loads that redis-benchmark has are its own. Others come from load.c, which leaves the making of
connections out of the figures of those that are about something else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
from typing import Callable, Iterator

from bench.costs import Costs, cpu, memory_kib
from bench.lab import Lab, LabError, run
from bench.peers import ROOT, Target

GENERATOR = ROOT / os.environ.get("BENCH_LOAD", "build/bench/load")
DEADLINE_S = 300


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One load at one peer, once. What a load has no figure for is None."""

    rate: float | None = None  # requests, connections or deliveries a second
    p50_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    user_us: float | None = None  # the peer's own CPU for one of them
    system_us: float | None = None
    memory_kib: float | None = None  # for one idle connection


@dataclasses.dataclass(frozen=True)
class Load:
    """What is asked, and how often: `count` in a full round, `quick` in a quick one (0: it is
    left out there)."""

    name: str
    title: str
    unit: str  # what is counted
    clients: int
    count: int
    quick: int
    measure: Callable[["Load", Lab, Target, int], Measurement | None]
    value_size: int = 3
    pipeline: int = 1
    rate: int = 0


def _per_request(costs: Costs, requests: int, target: Target) -> dict[str, float]:
    if target.process == 0:
        return {}
    return {
        "user_us": costs.user_s / requests * 1e6,
        "system_us": costs.system_s / requests * 1e6,
    }


# --- redis-benchmark ------------------------------------------------------------------------------


def _command(load: Load) -> str:
    return load.name.split("-", 1)[0]


def _redis_benchmark(load: Load, lab: Lab, target: Target, count: int, *more: str) -> str:
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(target.port), "-n", str(count),
               "-c", str(load.clients), "-P", str(load.pipeline), *more]
    if target.speaks_tls:
        command += ["--tls", "--cacert", str(lab.ca_file), "--sni", "localhost"]
    return run(*command)


def _read_redis_benchmark(said: str) -> dict[str, float]:
    """Its summary has p50 and p99; the distribution before it has p99.9, at the first line that
    covers as much."""
    rate = re.search(r"throughput summary: ([\d.]+)", said)
    summary = re.search(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s+((?:[\d.]+\s*){6})", said)
    shares = re.findall(r"([\d.]+)% <= ([\d.]+) milliseconds", said)
    if rate is None or summary is None:
        raise LabError(f"redis-benchmark says something unexpected:\n{said}")
    _, _, p50, _, p99, _ = (float(number) for number in summary.group(1).split())
    tail = [float(ms) for share, ms in shares if float(share) >= 99.9]
    return {"rate": float(rate.group(1)), "p50_ms": p50, "p99_ms": p99,
            "p999_ms": tail[0] if tail else p99}


def measure_values(load: Load, lab: Lab, target: Target, count: int) -> Measurement:
    """GET or SET of values of one size."""
    lab.put("key:__rand_int__", load.value_size)  # the key that it uses
    before = cpu(target.process)
    said = _redis_benchmark(load, lab, target, count, "-t", _command(load),
                            "-d", str(load.value_size))
    costs = cpu(target.process).since(before)
    return Measurement(**_read_redis_benchmark(said), **_per_request(costs, count, target))


# --- load.c ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _generator(
    load: Load, kind: str, lab: Lab, target: Target, count: int
) -> Iterator[subprocess.Popen]:
    """The generator, ready: its connections are made, and it waits to be told to begin."""
    secured = {"LOAD_CA": str(lab.ca_file)} if target.speaks_tls else {}
    process = subprocess.Popen(
        [str(GENERATOR), kind, str(target.port), str(load.clients), str(count), str(load.rate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **secured},
        text=True,
    )
    try:
        if process.stdout.readline() != "ready\n":
            raise LabError("the load generator could not begin; its words are above")
        yield process
    finally:
        process.stdin.close()
        process.wait(DEADLINE_S)


def _run_generator(load: Load, kind: str, lab: Lab, target: Target, count: int) -> Measurement:
    with _generator(load, kind, lab, target, count) as process:
        before = cpu(target.process)
        process.stdin.write("go\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise LabError("the load generator gave up; its words are above")
        costs = cpu(target.process).since(before)
    result = json.loads(line)
    return Measurement(
        rate=result["requests"] / result["seconds"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        p999_ms=result["p999_ms"],
        **_per_request(costs, result["requests"], target),
    )


def measure_requests(load: Load, lab: Lab, target: Target, count: int) -> Measurement:
    """GET, with the connections made before."""
    return _run_generator(load, "requests", lab, target, count)


def measure_connections(load: Load, lab: Lab, target: Target, count: int) -> Measurement:
    """A new connection for each PING."""
    return _run_generator(load, "connect", lab, target, count)


def measure_fanout(load: Load, lab: Lab, target: Target, count: int) -> Measurement:
    """One message to many subscribers; each delivery counts."""
    return _run_generator(load, "fanout", lab, target, count)


def measure_idle(load: Load, lab: Lab, target: Target, count: int) -> Measurement | None:
    """What a connection occupies that has said PING once."""
    if target.process == 0:
        return None
    before = memory_kib(target.process)
    many = dataclasses.replace(load, clients=count)
    with _generator(many, "idle", lab, target, 0):
        after = memory_kib(target.process)
    return Measurement(memory_kib=(after - before) / count)


KIB, MIB = 1024, 1024 * 1024

LOADS = (
    Load("get-1", "GET, 1 client", "requests", 1, 20_000, 0, measure_values),
    Load("get-50", "GET, 50 clients", "requests", 50, 100_000, 30_000, measure_values),
    Load("get-1000", "GET, 1,000 clients", "requests", 1000, 60_000, 20_000, measure_requests),
    Load("set-1", "SET, 1 client", "requests", 1, 20_000, 0, measure_values),
    Load("set-50", "SET, 50 clients", "requests", 50, 100_000, 0, measure_values),
    Load("get-50-p16", "GET, 50 clients, pipelines of 16", "requests", 50, 600_000, 200_000,
         measure_values, pipeline=16),
    Load("get-64k", "GET, 64 KiB, 10 clients", "requests", 10, 15_000, 5_000, measure_values,
         value_size=64 * KIB),
    Load("set-64k", "SET, 64 KiB, 10 clients", "requests", 10, 15_000, 5_000, measure_values,
         value_size=64 * KIB),
    # More than 400, so that the four first ones, which wait for a handshake, are not p99.
    Load("get-4m", "GET, 4 MiB, 4 clients", "requests", 4, 600, 80, measure_values,
         value_size=4 * MIB),
    Load("set-4m", "SET, 4 MiB, 4 clients", "requests", 4, 600, 0, measure_values,
         value_size=4 * MIB),
    Load("connect-1", "new connection + PING", "connections", 1, 1_500, 500,
         measure_connections),
    Load("connect-50", "new connection + PING, 50 at once", "connections", 50, 3_000, 1_000,
         measure_connections),
    Load("connect-paced", "new connection + PING, 50 a second", "connections", 50, 200, 0,
         measure_connections, rate=50),
    Load("fanout-200", "pub/sub, 200 subscribers", "deliveries", 200, 300, 100, measure_fanout),
    Load("idle-2000", "2,000 idle connections", "connections", 2000, 2000, 500, measure_idle),
)
