"""Measures: every load at every peer in turn, round after round, and shows a table.

    make bench                      all of it
    make bench QUICK=1              under three minutes
    python3 -m bench --only get-50 --rounds 5     some of it; results are added to the file
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import machine
from bench.lab import Lab, LabError
from bench.loads import LOADS, Load
from bench.peers import PEERS, ROOT, Peer
from bench.results import Results
from bench.table import render

DEFAULT_FILE = ROOT / "build" / "bench" / "results.json"
FULL_ROUNDS, QUICK_ROUNDS = 5, 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python3 -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer loads, and one short round")
    parser.add_argument("--only", action="append", metavar="LOAD", default=[],
                        help="one of: " + ", ".join(load.name for load in LOADS))
    parser.add_argument("--peer", action="append", metavar="PEER", default=[],
                        help="one of: " + ", ".join(peer.name for peer in PEERS))
    parser.add_argument("--rounds", type=int, help=f"{FULL_ROUNDS}, or {QUICK_ROUNDS} if quick")
    parser.add_argument("--file", type=Path, default=DEFAULT_FILE,
                        help="where results are added: build/bench/results.json")
    parser.add_argument("--fresh", action="store_true", help="forget what the file has")
    return parser.parse_args(arguments)


def choose(names: list[str], items: tuple, what: str) -> list:
    """Those named, or all."""
    unknown = set(names) - {item.name for item in items}
    if unknown:
        raise LabError(f"there is no {what} {', '.join(sorted(unknown))}")
    return [item for item in items if not names or item.name in names]


def measure(lab: Lab, load: Load, peer: Peer, count: int, results: Results) -> None:
    """One load at one peer, once."""
    with peer.running(lab) as target:
        measurement = load.measure(load, lab, target, count)
    if measurement is not None:
        results.add(load, peer.name, measurement)


def run_rounds(options: argparse.Namespace, results: Results) -> None:
    """Round after round, so that a change of the machine's mood meets everybody."""
    loads = choose(options.only, LOADS, "load")
    peers = choose(options.peer, PEERS, "peer")
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else FULL_ROUNDS)
    if options.quick and not options.only:
        loads = [load for load in loads if load.quick]
    commit, date = machine.commit(), machine.today()
    results.content["machine"] = machine.describe()
    with Lab() as lab:
        for round_number in range(1, rounds + 1):
            for load in loads:
                results.begin(load, date, commit)
                count = load.quick if options.quick and load.quick else load.count
                for peer in peers:
                    if load.clients > peer.max_clients or (
                        peer.only and load.name not in peer.only
                    ):
                        continue
                    show_progress(f"round {round_number} of {rounds}: {load.title}: {peer.title}")
                    measure(lab, load, peer, count, results)
            results.write(options.file)  # so that what was measured survives whatever comes
    show_progress("")


def show_progress(text: str) -> None:
    """One line that the next one overwrites; nothing where nobody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def main() -> int:
    """What is said when it goes wrong is said in one line."""
    options = parse(sys.argv[1:])
    results = Results() if options.fresh else Results.read(options.file)
    try:
        run_rounds(options, results)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    names = [load.name for load in choose(options.only, LOADS, "load")]
    print(render(results, [name for name in names if results.rounds(name)]))
    print(f"\nAll figures of all rounds: {options.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
