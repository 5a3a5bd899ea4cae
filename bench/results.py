"""The results of all rounds, in a file of JSON that later rounds add to.

{"machine": {…}, "loads": {LOAD: {"title": …, "unit": …, "date": …, "commit": …,
                                  "peers": {PEER: [{"rate": …, …}, …one for each round]}}}}
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path

from bench.loads import Load, Measurement
from bench.peers import PEERS

FIGURES = [field.name for field in dataclasses.fields(Measurement)]
LIMITS = {peer.name for peer in PEERS if peer.is_limit}


class Results:
    """Rounds are added; medians are asked for."""

    def __init__(self, content: dict | None = None) -> None:
        self.content = content or {"machine": {}, "loads": {}}

    @classmethod
    def read(cls, path: Path) -> "Results":
        """From a file; nothing yet if there is none."""
        return cls(json.loads(path.read_text()) if path.exists() else None)

    def write(self, path: Path) -> None:
        """Into a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content, indent=1) + "\n")

    def begin(self, load: Load, date: str, commit: str) -> None:
        """Rounds of another commit are not medians' company: they are dropped."""
        entry = self.content["loads"].setdefault(load.name, {"commit": commit, "peers": {}})
        if entry["commit"] != commit:
            entry["peers"] = {}
        entry.update(title=load.title, unit=load.unit, date=date, commit=commit)

    def add(self, load: Load, peer: str, measurement: Measurement) -> None:
        """One round of one load at one peer."""
        figures = {name: value for name, value in dataclasses.asdict(measurement).items()
                   if value is not None}
        self.content["loads"][load.name]["peers"].setdefault(peer, []).append(figures)

    @property
    def machine(self) -> dict:
        """What machine.describe() said."""
        return self.content["machine"]

    def loads(self) -> list[str]:
        """The names of the loads there are results of."""
        return list(self.content["loads"])

    def entry(self, load: str) -> dict:
        """A load's title, unit, date and commit."""
        return self.content["loads"][load]

    def rounds(self, load: str) -> int:
        """How many rounds the medians are of."""
        peers = self.content["loads"].get(load, {}).get("peers", {})
        return max((len(rounds) for rounds in peers.values()), default=0)

    def median(self, load: str, peer: str, figure: str) -> float | None:
        """The median of a figure over all rounds; "cpu_us" is user and system together."""
        rounds = self.content["loads"].get(load, {}).get("peers", {}).get(peer, [])
        if figure == "cpu_us":
            values = [r["user_us"] + r["system_us"] for r in rounds if "user_us" in r]
        else:
            values = [r[figure] for r in rounds if figure in r]
        return statistics.median(values) if values else None

    def best_peer(self, load: str, figure: str) -> float | None:
        """The best of those that are neither cachetunnel nor a limit."""
        values = [
            self.median(load, peer.name, figure)
            for peer in PEERS
            if peer.name != "cachetunnel" and not peer.is_limit
        ]
        known = [value for value in values if value is not None]
        if not known:
            return None
        return max(known) if figure == "rate" else min(known)
