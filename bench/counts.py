"""Counts what does not depend on the machine's mood, and holds it to what is committed.

    python3 -m bench.counts            compares with bench/counts.json; status 1 if more than 5% above
    python3 -m bench.counts --update   writes that file anew

System calls are counted by strace, instructions and allocations by callgrind, each for a daemon
with one worker and one client that asks one thing after another. Each count is the difference of a
long and a short run, so that start and end cancel. Memory is what many idle connections take more
than few, and what they take more once each of them has asked again and again. Where a tool is
missing or not allowed, that is said, and nothing fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

from bench.costs import family, memory_kib
from bench.lab import Lab, LabError, free_port, run
from bench.machine import first_match
from bench.peers import binary, cachetunnel_file, find

FILE = Path(__file__).with_name("counts.json")
TOLERANCE = 0.05
SLACK = 0.1  # what start and end differ by, shared among all that is counted; 0 needs some
GET = b"*2\r\n$3\r\nGET\r\n$5\r\nsmall\r\n"
VALUE = b"$3\r\nxxx\r\n"
ALLOCATORS = {"malloc", "calloc", "realloc"}


# --- What is asked --------------------------------------------------------------------------------


def ask(client: socket.socket) -> None:
    """One request and its answer."""
    client.sendall(GET)
    answer = b""
    while len(answer) < len(VALUE):
        piece = client.recv(len(VALUE) - len(answer))
        if not piece:
            raise LabError("the daemon closed the connection")
        answer += piece


def connect(port: int) -> socket.socket:
    """A client, as any is."""
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def ask_often(port: int, count: int) -> None:
    """Requests over one connection."""
    with connect(port) as client:
        for _ in range(count):
            ask(client)


def connect_often(port: int, count: int) -> None:
    """One request over each of many connections, each ended before the next."""
    for _ in range(count):
        with connect(port) as client:
            ask(client)
            client.shutdown(socket.SHUT_WR)
            client.recv(1)


# What one of them is, who makes them, and how many in the short and in the long run.
WORK: tuple[tuple[str, Callable[[int, int], None], int, int], ...] = (
    ("request", ask_often, 100, 600),
    ("connection", connect_often, 20, 60),
)


# --- How it is counted ----------------------------------------------------------------------------


@contextlib.contextmanager
def daemon(lab: Lab, tool: list[str]) -> Iterator[int]:
    """The daemon under a tool that writes when it ends; gives its port."""
    port = free_port()
    # The sandbox forbids what valgrind lives on: memory that is written and run.
    config = cachetunnel_file(lab, port, workers=1, sandbox="no")
    with lab.running("counted", [*tool, binary(), config], port) as process:
        yield port
        # strace blocks signals while it writes to a file, so the daemon is told itself; it is the
        # tool's child, or the tool has become it.
        os.kill(family(process)[-1], signal.SIGTERM)
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)


def count_system_calls(lab: Lab, work: Callable[[int, int], None], count: int) -> dict[str, int]:
    """All system calls by all threads."""
    out = lab.directory / "strace.out"
    with daemon(lab, ["strace", "-f", "-c", "-U", "calls,name", "-o", str(out)]) as port:
        work(port, count)
    total = re.search(r"^\s*(\d+)\s+total$", out.read_text(), re.MULTILINE)
    if total is None:
        raise LabError(f"strace says something unexpected:\n{out.read_text()}")
    return {"system calls": int(total.group(1))}


def count_instructions(lab: Lab, work: Callable[[int, int], None], count: int) -> dict[str, int]:
    """Instructions, and calls of what allocates, from what callgrind writes."""
    out = lab.directory / "callgrind.out"
    tool = ["valgrind", "--tool=callgrind", "--log-file=/dev/null", f"--callgrind-out-file={out}"]
    with daemon(lab, tool) as port:
        work(port, count)
    return read_callgrind(out.read_text())


def read_callgrind(text: str) -> dict[str, int]:
    """Names stand in full once, with a number that stands for them from then on. A line "calls="
    is about the last "cfn=" before it."""
    names: dict[str, str] = {}
    called = ""
    allocations = 0
    for line in text.splitlines():
        if line.startswith(("fn=", "cfn=")):
            number, _, name = line.partition("=")[2].partition(" ")
            if name:
                names[number] = name
            called = names[number]
        elif line.startswith("calls=") and called in ALLOCATORS:
            allocations += int(line[len("calls="):].split()[0])
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    if total is None:
        raise LabError("callgrind has written no total")
    return {"instructions": int(total.group(1)), "allocations": allocations}


FEW_CONNECTIONS, MANY_CONNECTIONS = 100, 400
ROUNDS = 20


def count_memory(lab: Lab) -> dict[str, float]:
    """KiB for each idle connection. (Not as PSS: that changes when others come and go who use the
    same libraries.)"""
    port = free_port()
    config = cachetunnel_file(lab, port, workers=1)
    with lab.running("counted", [binary(), config], port) as process, contextlib.ExitStack() as all_:
        clients: list[socket.socket] = []

        def memory_with(count: int) -> int:
            while len(clients) < count:
                clients.append(all_.enter_context(connect(port)))
                ask(clients[-1])
            return memory_kib(process, "Anonymous")

        few, many = memory_with(FEW_CONNECTIONS), memory_with(MANY_CONNECTIONS)
        for client in clients * ROUNDS:
            ask(client)
        later = memory_with(MANY_CONNECTIONS)
    return {
        "KiB per idle connection": (many - few) / (MANY_CONNECTIONS - FEW_CONNECTIONS),
        "KiB per idle connection, later": max(0.0, (later - many) / MANY_CONNECTIONS),
    }


COUNTERS = (
    ("strace", ["strace", "-o", "/dev/null", "true"], count_system_calls),
    ("valgrind", ["valgrind", "--tool=none", "--log-file=/dev/null", "true"], count_instructions),
)


def can_run(command: list[str]) -> bool:
    """Whether a tool is there, and may do what it does."""
    if find(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def count_all(lab: Lab) -> dict[str, float]:
    """{"instructions per request": …, …}"""
    counts = {name: round(value, 2) for name, value in count_memory(lab).items()}
    for tool, probe, counter in COUNTERS:
        if not can_run(probe):
            print(f"note: {tool} is missing or not allowed here, so what it counts was not checked")
            continue
        for what, work, few, many in WORK:
            short, long = counter(lab, work, few), counter(lab, work, many)
            for name, value in long.items():
                counts[f"{name} per {what}"] = max(
                    0.0, round((value - short[name]) / (many - few), 2)
                )
    return counts


# --- What is held ---------------------------------------------------------------------------------


def surroundings() -> dict[str, str]:
    """What instructions and allocations depend on besides our own sources. (OpenSSL and libc choose
    their code by the processor.)"""
    return {
        "processor": first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "openssl": run("openssl", "version").split()[1],
        "libc": run("getconf", "GNU_LIBC_VERSION").strip(),
    }


def compare(counts: dict[str, float], held: dict) -> bool:
    """Prints each count beside what it may be; false when one is too high."""
    is_same_place = held["surroundings"] == surroundings()
    all_hold = True
    passed = failed = 0
    for name, value in counts.items():
        limit = held["counts"][name]
        is_held = is_same_place or name.startswith("system calls")
        holds = value <= limit * (1 + TOLERANCE) + SLACK
        word = "ok" if holds else ("TOO MANY" if is_held else "not compared")
        print(f"{name:32} {value:12,.2f}   committed {limit:12,.2f}   {word}")
        passed += holds or not is_held
        failed += is_held and not holds
        all_hold = all_hold and (holds or not is_held)
        if holds and value < limit * (1 - TOLERANCE):
            print(f"note: {name} fell; python3 -m bench.counts --update keeps it there")
    if not is_same_place:
        print("note: another processor, OpenSSL or libc than the counts were committed with:"
              " only system calls are held")
    print(f"{passed} passed, {failed} failed")
    return all_hold


def main() -> int:
    """What grew beyond the tolerance is a failure."""
    try:
        with Lab() as lab:
            counts = count_all(lab)
    except LabError as error:
        print(f"counts: {error}", file=sys.stderr)
        return 1
    if "--update" in sys.argv[1:]:
        held = {"surroundings": surroundings(), "counts": counts}
        FILE.write_text(json.dumps(held, indent=1) + "\n")
        print(FILE.read_text(), end="")
        return 0
    return 0 if compare(counts, json.loads(FILE.read_text())) else 1


if __name__ == "__main__":
    sys.exit(main())
