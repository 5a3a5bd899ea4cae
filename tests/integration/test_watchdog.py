"""systemd's watchdog hears that all is well while every worker answers, and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.daemon import binary_path
from harness.waiting import is_sanitised

SOURCE = Path(__file__).parent / "preload" / "hang.c"


def test_service_manager_hears_regularly(launch, to_redis, supervisor):
    launch(to_redis(), env={**supervisor.env, "WATCHDOG_USEC": "500000"})
    for _ in range(3):
        supervisor.wait_for("WATCHDOG")


def test_service_manager_that_does_not_ask_hears_nothing(launch, to_redis, supervisor):
    daemon = launch(
        to_redis(), env={**supervisor.env, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"}
    )
    assert "READY" in supervisor.receive()
    daemon.reload()
    assert "RELOADING" in supervisor.receive()


@pytest.mark.skipif(is_sanitised(binary_path()), reason="sanitizers want to be loaded first")
@pytest.mark.parametrize("workers", [1, 3])
def test_worker_that_hangs_silences_the_watchdog(launch, to_redis, supervisor, tmp_path, workers):
    library, hang = tmp_path / "hang.so", tmp_path / "hang"
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    daemon = launch(
        to_redis(),
        globals={"workers": workers},
        env={
            **supervisor.env,
            "WATCHDOG_USEC": "200000",
            "LD_PRELOAD": str(library),
            "HANG_WHILE": str(hang),
        },
    )
    supervisor.wait_for("WATCHDOG")
    hang.touch()
    daemon.wait_for_log(rf"1 of {workers} worker\(s\) have not answered yet", count=1)
    supervisor.pass_over()
    daemon.wait_for_log("have not answered yet", count=4)
    assert not supervisor.pass_over()
    hang.unlink()
    supervisor.wait_for("WATCHDOG")
    with daemon.connect() as client:
        client.ping()
