"""Makes docs/ from the results: figures as JSON, tables, and two pictures.

    python3 -m bench.publish [FILE]      build/bench/results.json by default
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.__main__ import DEFAULT_FILE
from bench.charts import caption, draw_loads, draw_summary
from bench.loads import LOADS
from bench.peers import ROOT
from bench.results import Results
from bench.table import render

DOCS = ROOT / "docs"
INTRODUCTION = """# Benchmark

Made by `make bench` and `make bench-docs`; [bench/README.md](../bench/README.md) says how. All
figures of all rounds are in [benchmark.json](benchmark.json).

{caption}; {system}, kernel {kernel}, {versions}.

What is compared is what stands in one line or picture: it was measured in one run, in turn.
Figures of other runs or machines are not comparable with these.

![four figures](benchmark.svg)

![all loads, relative to the best of the others](benchmark-loads.svg)

In parentheses are limits, which are no peers: a client that speaks TLS itself, and HAProxy passing
plain TCP to a plain Redis. "own CPU" is what the tunnel's processes took, user and system, for
one request, connection or delivery.
"""


def introduce(results: Results) -> str:
    """What stands before the tables."""
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return INTRODUCTION.format(
        caption=caption(results), system=machine["system"], kernel=machine["kernel"],
        versions=versions,
    )


def main() -> None:
    """Into docs/."""
    results = Results.read(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FILE)
    loads = [load.name for load in LOADS if results.rounds(load.name)]
    if not loads:
        sys.exit("publish: there are no results yet: make bench")
    results.content["loads"] = {load: results.entry(load) for load in loads}
    DOCS.mkdir(exist_ok=True)
    results.write(DOCS / "benchmark.json")
    (DOCS / "benchmark.md").write_text(introduce(results) + "\n" + render(results, loads) + "\n")
    (DOCS / "benchmark.svg").write_text(draw_summary(results))
    (DOCS / "benchmark-loads.svg").write_text(draw_loads(results))


if __name__ == "__main__":
    main()
