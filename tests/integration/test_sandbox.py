"""What the daemon gives up after the start, and that a reload still works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness.daemon import Daemon, binary_path, run_command
from harness.ports import free_port
from harness.waiting import is_sanitised, wait_for

pytestmark = pytest.mark.skipif(
    is_sanitised(binary_path()), reason="builds with sanitizers have no sandbox"
)

SANDBOX = {"sandbox": "yes"}


def status_field(pid: int, name: str) -> str:
    """A field of the process's status."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return line.split(":", 1)[1].strip()
    raise KeyError(name)


def has_filter() -> bool:
    """Whether the build has libseccomp."""
    version = subprocess.run([binary_path(), "--version"], capture_output=True, check=True)
    return b"without libseccomp" not in version.stdout


def has_landlock(daemon: Daemon) -> bool:
    """Whether the kernel lets the daemon confine itself to files."""
    return "Landlock" in daemon.wait_for_log(r"Sandbox: ([^;\n]*)").group(1)


@pytest.mark.core
def test_privileges_are_given_up(launch, to_redis):
    daemon = launch(to_redis(), globals=SANDBOX)
    daemon.wait_for_log("Sandbox: .*no new privileges")
    assert status_field(daemon.pid, "NoNewPrivs") == "1"
    if has_filter():
        assert status_field(daemon.pid, "Seccomp") == "2"
    for task in Path(f"/proc/{daemon.pid}/task").iterdir():
        assert status_field(int(task.name), "NoNewPrivs") == "1", "a thread is left out"
    with daemon.connect() as client:
        client.ping()


def test_sandbox_is_on_by_itself(launch, to_redis):
    daemon = launch(to_redis())
    daemon.wait_for_log("Sandbox: .*no new privileges")
    assert status_field(daemon.pid, "NoNewPrivs") == "1"


def test_status_tells_what_is_in_force(controlled, to_redis):
    daemon, control = controlled(to_redis(), globals=SANDBOX)
    logged = daemon.wait_for_log(r"Sandbox: ([^;\n]*)").group(1)
    assert "no new privileges" in logged
    assert control.status()["confinement"] == logged


def test_sandbox_can_be_switched_off(launch, to_redis):
    daemon = launch(to_redis(), globals={"sandbox": "no"})
    daemon.wait_for_log(r"Sandbox: off")
    assert status_field(daemon.pid, "NoNewPrivs") == status_field(os.getpid(), "NoNewPrivs")
    assert status_field(daemon.pid, "Seccomp") == status_field(os.getpid(), "Seccomp")


def reload(daemon: Daemon) -> None:
    """Asks for it; whoever calls looks how it went."""
    daemon.process.send_signal(signal.SIGHUP)


def test_reload_reads_a_certificate_that_was_replaced(launch, to_redis, certificates, tmp_path):
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority = folder / "ca.pem"
    shutil.copy(certificates.ca_file, authority)
    daemon = launch(to_redis(CAfile=authority), globals=SANDBOX)
    with daemon.connect() as client:
        client.ping()
    renewed = folder / "renewed.pem"
    shutil.copy(certificates.ca_file, renewed)
    os.replace(renewed, authority)
    reload(daemon)
    daemon.wait_for_log(r"Reloaded .*1 service")
    with daemon.connect() as client:
        client.ping()


def test_reload_that_needs_more_is_refused(launch, to_redis, certificates, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    authority = tmp_path / "elsewhere" / "ca.pem"
    shutil.copy(certificates.ca_file, authority)
    daemon = launch(to_redis(), globals=SANDBOX)
    if not has_landlock(daemon):
        pytest.skip("this kernel has no Landlock")
    text = daemon.config_file.read_text()
    daemon.config_file.write_text(text.replace(str(certificates.ca_file), str(authority)))
    reload(daemon)
    daemon.wait_for_log(r"'CAfile' needs '.*elsewhere', .* restart to use it")
    daemon.wait_for_log("Nothing was changed by the reload")
    daemon.config_file.write_text(text)
    reload(daemon)
    daemon.wait_for_log(r"Reloaded .*1 service")
    with daemon.connect() as client:
        client.ping()


def test_reload_that_brings_a_program_is_refused(launch, to_redis):
    daemon = launch(to_redis(), globals=SANDBOX)
    if not has_filter() and not has_landlock(daemon):
        pytest.skip("neither this kernel nor this build forbids programs")
    daemon.rewrite(*daemon.services, to_redis("aliased", bastion="alias"))
    reload(daemon)
    daemon.wait_for_log(r"'ssh -G alias'.* restart to use the alias")
    daemon.wait_for_log("Nothing was changed by the reload")
    daemon.services = daemon.services[:1]
    with daemon.connect() as client:
        client.ping()


def test_log_moves_within_its_folder(launch, to_redis, tmp_path, tmp_path_factory):
    folder = tmp_path / "log"
    folder.mkdir()
    daemon = launch(to_redis(), globals={**SANDBOX, "output": folder / "first.log"})
    daemon.globals["output"] = folder / "second.log"
    daemon.reload()
    with daemon.connect() as client:
        client.ping()
    wait_for(lambda: "connected to" in (folder / "second.log").read_text(), "it has lines")
    if not has_landlock(daemon):
        pytest.skip("this kernel has no Landlock")
    daemon.globals["output"] = tmp_path_factory.mktemp("elsewhere") / "third.log"
    daemon.reload(fails=True)
    daemon.wait_for_log(r"'output' needs '.*elsewhere.*', .* restart to use it")


def test_folder_that_was_replaced_is_told(launch, to_redis, certificates, tmp_path_factory):
    place = tmp_path_factory.mktemp("place")  # not where the configuration is, which can be read
    folder, before = place / "certificates", place / "before"
    folder.mkdir()
    shutil.copy(certificates.ca_file, folder / "ca.pem")
    daemon = launch(to_redis(CAfile=folder / "ca.pem"), globals=SANDBOX)
    if not has_landlock(daemon):
        pytest.skip("this kernel has no Landlock")
    folder.rename(before)
    shutil.copytree(before, folder)
    reload(daemon)
    daemon.wait_for_log(r"'CAfile' needs '.*certificates', .* replaced since, .* restart to use it")
    shutil.rmtree(folder)
    before.rename(folder)
    reload(daemon)
    daemon.wait_for_log(r"Reloaded .*1 service")
    with daemon.connect() as client:
        client.ping()


def test_log_is_opened_anew(launch, to_redis, tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    output = folder / "output.log"
    daemon = launch(to_redis(), globals={**SANDBOX, "output": output})
    output.rename(folder / "output.log.1")
    daemon.process.send_signal(signal.SIGUSR1)
    wait_for(output.exists, "the log file is made again")
    with daemon.connect() as client:
        client.ping()
    wait_for(lambda: "connected to" in output.read_text(), "the new file has lines")


def test_required_sandbox_serves(launch, to_redis):
    probe = launch(to_redis(), globals=SANDBOX)
    if not has_landlock(probe) or not has_filter():
        pytest.skip("this kernel or build does not have all of it")
    with launch(to_redis(), globals={"sandbox": "require"}).connect() as client:
        client.ping()


def test_what_is_required_and_cannot_be_is_told(tmp_path):
    config = tmp_path / "program.conf"
    config.write_text(
        "foreground = yes\nsyslog = no\nsandbox = require\n[bastion hop]\nhost = h\n"
        "proxyCommand = nc %h %p\n[redis]\nclient = yes\nbastion = hop\n"
        f"accept = 127.0.0.1:{free_port()}\nconnect = localhost:1\n"
    )
    result = run_command("-f", str(config))
    assert result.returncode == 1
    assert "bastion 'hop' runs a program; write sandbox = yes" in result.stderr
