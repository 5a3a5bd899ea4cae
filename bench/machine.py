"""Where and what was measured, for whoever reads the figures later."""

from __future__ import annotations

import datetime
import platform
import re
from pathlib import Path

from bench.lab import LabError, run
from bench.peers import PEERS, ROOT


def first_match(path: str, pattern: str) -> str:
    """The first group of the pattern in a file, or that it is not known."""
    try:
        match = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return "unknown"
    return match.group(1).strip() if match else "unknown"


def commit() -> str:
    """Of the sources; with a plus sign where files differ from it."""
    try:
        name = run("git", "rev-parse", "--short=12", "HEAD", cwd=ROOT).strip()
        changed = run("git", "status", "--porcelain", "--", "src", "include", "Makefile", cwd=ROOT)
    except (LabError, OSError):
        return "unknown"
    return name + ("+" if changed.strip() else "")


def today() -> str:
    """The date, as figures are to carry it."""
    return datetime.date.today().isoformat()


def describe() -> dict[str, object]:
    """The machine and all versions."""
    versions = {peer.name: peer.version() for peer in PEERS if peer.set_up and not peer.is_limit}
    versions["redis-server"] = run("redis-server", "--version").split("v=")[1].split()[0]
    versions["openssl"] = run("openssl", "version").split()[1]
    return {
        "processor": first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "processors": len(re.findall(r"^processor\s*:", Path("/proc/cpuinfo").read_text(), re.M)),
        "memory_gib": round(int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)")) / 2**20, 1),
        "kernel": platform.release(),
        "system": first_match("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "versions": versions,
    }
