"""What a process and its children have cost so far, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Costs:
    """CPU time, by those that have ended already too."""

    user_s: float = 0.0
    system_s: float = 0.0

    def since(self, earlier: "Costs") -> "Costs":
        """What was added."""
        return Costs(self.user_s - earlier.user_s, self.system_s - earlier.system_s)


def family(process: int) -> list[int]:
    """The process and all below it."""
    family = [process]
    for member in family:
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                family += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue  # it has just ended
    return family


def cpu(process: int) -> Costs:
    """CPU time of the process, its threads and its children; 0 is nobody."""
    user = system = 0
    for member in family(process) if process else []:
        try:
            # The name in parentheses may contain blanks. Then: utime, stime, cutime, cstime.
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
    return Costs(user * TICK_S, system * TICK_S)


def memory_kib(process: int, kind: str = "Pss") -> int:
    """Memory of the family: its own pages, and its share of those that it shares (PSS); or another
    line of smaps_rollup."""
    total = 0
    for member in family(process) if process else []:
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                total += int(line.split()[1])
    return total
