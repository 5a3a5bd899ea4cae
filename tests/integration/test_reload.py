"""Reload: another file is served by, and nobody who is connected or connects notices."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness.client import Client
from harness.daemon import Daemon, DetachedDaemon, Service, binary_path, clean_environment
from harness.ports import free_port, listening_ports
from harness.process import settled_descriptor_count
from harness.waiting import deadline_scale, wait_for


class Crowd:
    """Threads that connect, ask and close, over and over, until they are told to stop."""

    def __init__(self, port: int, threads: int = 4):
        self.port = port
        self.served = 0
        self.errors: list[str] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set() and not self.errors:
            try:
                address = ("127.0.0.1", self.port)
                with Client(socket.create_connection(address, 15 * deadline_scale())) as client:
                    client.ping()
                    client.ping()
                self.served += 1
            except (OSError, AssertionError) as error:
                self.errors.append(repr(error))

    def stop(self) -> None:
        """Ends it; nobody may have met an error."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors
        assert self.served > 0


@pytest.mark.core
def test_nobody_is_refused_or_broken_by_fifty_reloads_under_load(launch, to_redis):
    daemon = launch(to_redis(), globals={"debug": 5})
    reloads = 50 if deadline_scale() == 1 else 15
    command = ["redis-benchmark", "-p", str(daemon.port()), "-c", "10", "-l", "-q", "-t", "set,get"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as benchmark:
        crowd = Crowd(daemon.port())
        with daemon.connect() as client:
            client.ping()
            for _ in range(reloads):
                served = crowd.served
                daemon.reload()
                wait_for(lambda: crowd.served > served or crowd.errors, "somebody is served")
                client.ping()
        crowd.stop()
        assert not re.search(r"Connection reset|no tunnel", daemon.log())
        assert benchmark.poll() is None, benchmark.stderr.read()
        benchmark.terminate()
        assert "Error" not in benchmark.stderr.read()


@pytest.mark.core
def test_storm_of_reloads_ends_in_the_last_file(launch, to_redis, redis_plain):
    daemon = launch(to_redis())
    crowd = Crowd(daemon.port(), threads=2)
    last = Service("last", connect=redis_plain.address, plain="yes")
    for i in range(100):
        if i == 99:
            daemon.rewrite(*daemon.services, last)
        daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log(r"Reloaded .*: 2 service\(s\)", timeout=20)
    with daemon.connect("last") as client:
        client.ping()
    crowd.stop()


def test_listener_stays_the_same_socket(launch, to_redis):
    daemon = launch(to_redis())

    def inode() -> str:
        for line in open("/proc/net/tcp", encoding="ascii"):
            fields = line.split()
            if fields[1].endswith(f":{daemon.port():04X}") and fields[3] == "0A":
                return fields[9]
        raise AssertionError("nothing listens")

    before = inode()
    for _ in range(3):
        daemon.reload()
    assert inode() == before


def test_unix_listener_stays_and_is_removed_at_the_end(launch, to_redis, tmp_path):
    path = tmp_path / "redis.sock"
    daemon = launch(to_redis(accept=str(path)))
    before = path.stat().st_ino
    daemon.reload()
    daemon.reload()
    assert path.stat().st_ino == before
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        Client(connection).ping()
    daemon.stop()
    assert not path.exists()


def test_added_and_removed_services(launch, to_redis, redis_plain):
    daemon = launch(to_redis("first"))
    with daemon.connect() as client:
        client.ping()
        second = Service("second", connect=redis_plain.address, plain="yes")
        daemon.reload(*daemon.services, second)
        daemon.wait_for_log(r"Service \[second\] listens on")
        with daemon.connect("second") as other:
            other.ping()
        first_port = daemon.port("first")
        daemon.reload(second)
        daemon.wait_for_log(r"Service \[first\] is gone")
        assert first_port not in listening_ports(daemon.pid)
        client.ping()  # who was there stays
        with daemon.connect("second") as other:
            other.ping()


def test_moved_listener_and_endpoint(launch, to_redis, redis_plain):
    daemon = launch(to_redis())
    old_port = daemon.port()
    with daemon.connect() as before:
        before.ping()
        moved = Service("redis", f"127.0.0.1:{free_port()}", connect=redis_plain.address, plain="yes")
        daemon.reload(moved)
        assert old_port not in listening_ports(daemon.pid)
        with daemon.connect() as after:
            after.ping()
            daemon.wait_for_log(r"connected to .*, plain, ")
        before.ping()


@pytest.mark.core
def test_tunnels_finish_on_what_they_began_with(launch, to_redis):
    daemon = launch(to_redis())
    clients = [daemon.connect() for _ in range(3)]
    for client in clients:
        client.ping()
        daemon.reload()
    for client in clients:
        client.ping()
        client.close()
    daemon.wait_for_log("Connection closed", count=3)


def test_bad_file_changes_nothing_and_says_why(launch, to_redis):
    daemon = launch(to_redis())
    good = daemon.config_file.read_text()
    with daemon.connect() as before:
        before.ping()
        daemon.reload(text=good + "conect = elsewhere\n[half]\nclient = yes\n", fails=True)
        daemon.wait_for_log(r"cachetunnel.conf:\d+: .*conect.*connect")
        daemon.wait_for_log(r"cachetunnel.conf:\d+: .*'half'.* has no 'accept'")
        daemon.wait_for_log(r"Nothing was changed by the reload: .* has [2-9] error")
        before.ping()
        with daemon.connect() as after:
            after.ping()
    daemon.reload(text=good)


def test_file_that_is_gone_changes_nothing(launch, to_redis):
    daemon = launch(to_redis())
    daemon.config_file.unlink()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log("Nothing was changed by the reload")
    with daemon.connect() as client:
        client.ping()


def test_taken_port_changes_nothing(launch, to_redis):
    daemon = launch(to_redis())
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        taken = f"127.0.0.1:{owner.getsockname()[1]}"
        daemon.reload(to_redis("new"), to_redis("taken", accept=taken), fails=True)
    assert re.search(rf"cannot listen on {taken}.*in use", daemon.log())
    assert daemon.port("new") not in listening_ports(daemon.pid)
    daemon.services = daemon.services[:1]


def test_log_that_cannot_be_opened_changes_nothing(launch, to_redis):
    daemon = launch(to_redis())
    daemon.globals["output"] = "/nonexistent/daemon.log"
    daemon.reload(*daemon.services, to_redis("new"), fails=True)
    assert re.search(r"/nonexistent/daemon.log", daemon.log())
    assert daemon.port("new") not in listening_ports(daemon.pid)
    del daemon.globals["output"]


def test_authority_is_read_again(launch, redis_tls, certificates, tmp_path):
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(open(certificates.stranger.ca_file, "rb").read())
    daemon = launch(Service("redis", connect=redis_tls.address, CAfile=str(trusted)))
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        client.expect_close()
    trusted.write_bytes(open(certificates.ca_file, "rb").read())
    daemon.reload()
    with daemon.connect() as client:
        client.ping()
    trusted.write_text("no certificate\n")
    daemon.reload(fails=True)
    with daemon.connect() as client:
        client.ping()


def test_own_certificate_is_read_again(launch, redis_mutual, certificates, tmp_path):
    own, key = tmp_path / "own.crt", tmp_path / "own.key"

    def give(identity) -> None:
        own.write_bytes(open(identity.cert_file, "rb").read())
        key.write_bytes(open(identity.key_file, "rb").read())

    give(certificates.client)
    daemon = launch(
        Service("redis", connect=redis_mutual.address, CAfile=certificates.ca_file, cert=own, key=key)
    )
    with daemon.connect() as client:
        client.ping()
    give(certificates.untrusted)
    daemon.reload()
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        client.expect_close()
    give(certificates.other_client)
    daemon.reload()
    with daemon.connect() as client:
        client.ping()


def test_limit_counts_clients_from_before(launch, to_redis):
    daemon = launch(to_redis(maxClients=2))
    with daemon.connect() as first, daemon.connect() as second:
        first.ping()
        second.ping()
        daemon.reload()
        with daemon.connect() as third:
            assert third.expect_close() in ("eof", "reset")
        daemon.wait_for_log("turned away: the service has its maxClients = 2")
        daemon.reload(to_redis(accept=f"127.0.0.1:{daemon.port()}", maxClients=3))
        with daemon.connect() as third:
            third.ping()


def test_log_options_are_applied(launch, to_redis, tmp_path):
    output = tmp_path / "output.log"
    # With the sandbox, a log may not come to any folder.
    daemon = launch(to_redis(), globals={"sandbox": "no"})
    daemon.globals.update(output=output, debug=5)
    daemon.reload()
    with daemon.connect() as client:
        client.ping()
    daemon.wait_for_log("Connection closed")
    wait_for(lambda: "Connection closed" in output.read_text(), "the new file has lines")
    assert "dialling -> relaying" not in output.read_text()
    before = output.stat().st_ino
    daemon.reload()
    assert output.stat().st_ino == before
    assert "connected to" in output.read_text()
    del daemon.globals["output"]
    daemon.reload()
    size = output.stat().st_size
    with daemon.connect() as client:
        client.ping()
    daemon.wait_for_log("Connection closed", count=2)
    assert output.stat().st_size == size


def test_log_is_opened_anew(launch, to_redis, tmp_path):
    output, moved = tmp_path / "output.log", tmp_path / "output.log.1"
    daemon = launch(to_redis(), globals={"output": output})
    output.rename(moved)
    daemon.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: output.exists(), "the file is there again")
    with daemon.connect() as client:
        client.ping()
    wait_for(lambda: "Connection closed" in output.read_text(), "the new file has lines")
    assert "Connection closed" not in moved.read_text()


def test_without_a_log_file_there_is_none_to_open_anew(launch, to_redis):
    daemon = launch(to_redis())
    daemon.process.send_signal(signal.SIGUSR1)
    daemon.wait_for_log("Received SIGUSR1; there is no log file to open anew")


def test_log_that_cannot_be_opened_anew_goes_on_in_the_old_file(launch, to_redis, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    daemon = launch(to_redis(), globals={"output": folder / "output.log"})
    moved = folder.rename(tmp_path / "moved") / "output.log"
    daemon.process.send_signal(signal.SIGUSR1)
    daemon.wait_for_log("cannot open the log file .* again")
    with daemon.connect() as client:
        client.ping()
    wait_for(lambda: "Connection closed" in moved.read_text(), "the old file has lines")


def test_what_cannot_change_is_named(launch, to_redis):
    daemon = launch(to_redis(), globals={"workers": 1})
    daemon.globals.update(workers=2, pid="/nonexistent/daemon.pid")
    daemon.reload()
    log = daemon.log()
    assert re.search(r"cachetunnel.conf:\d+: 'workers' stays as it was at the start", log)
    assert re.search(r"cachetunnel.conf:\d+: 'pid' stays as it was at the start", log)
    assert "'foreground' stays" not in log
    with daemon.connect() as client:
        client.ping()


@pytest.fixture
def begin_slow_load(launch, to_redis, tmp_path):
    """Starts a daemon, and a reload that fails once somebody writes to the file that is returned:
    ssh's configuration is asked for by a program, which takes as long as it likes."""
    fifo, script = tmp_path / "fifo", tmp_path / "ssh"
    os.mkfifo(fifo)
    script.write_text(f"#!/bin/sh\nread line <{fifo}\necho cannot >&2\nexit 255\n")
    script.chmod(0o755)

    def start(env: dict | None = None):
        # With the sandbox, no reload brings the first program.
        daemon = launch(
            to_redis(),
            globals={"sandbox": "no"},
            env={"CACHETUNNEL_SSH": str(script), **(env or {})},
        )
        daemon.rewrite(*daemon.services, to_redis("aliased", bastion="alias"))
        daemon.process.send_signal(signal.SIGHUP)
        # The program is running once this is open.
        return daemon, open(fifo, "w", encoding="ascii")

    return start


def test_slow_load_does_not_hold_up_clients(begin_slow_load):
    daemon, answer = begin_slow_load()
    with answer:
        with daemon.connect() as client:
            client.ping()
        assert "Nothing was changed" not in daemon.log()
        answer.write("go on\n")
    daemon.wait_for_log("Nothing was changed by the reload")
    daemon.services = daemon.services[:1]


def test_load_that_ends_while_stopping_is_given_up(begin_slow_load, supervisor):
    daemon, answer = begin_slow_load(supervisor.env)
    with answer, daemon.connect() as client:
        client.ping()
        client.send(b"BLPOP nothing 0\r\n")
        daemon.process.send_signal(signal.SIGTERM)
        supervisor.wait_for("STOPPING")
        answer.write("go on\n")
        answer.flush()
        daemon.wait_for_log("The reload is given up: the daemon is about to end")
    daemon.wait_for_end()
    assert "Nothing was changed" not in daemon.log()
    assert supervisor.pass_over() == 0


def test_file_from_a_descriptor_cannot_be_read_again(launch, to_redis, tmp_path):
    daemon = launch(
        to_redis(),
        prefix=("sh", "-c", 'exec "$0" -f -fd 0 <cachetunnel.conf'),
        arguments=[],
    )
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log(r"cannot reload: .*descriptor")
    with daemon.connect() as client:
        client.ping()


def test_file_by_a_relative_path_is_found_again(to_redis, tmp_path):
    service = to_redis(accept=f"127.0.0.1:{free_port()}")
    draft = Daemon(tmp_path, [service], globals={"foreground": "no", "output": tmp_path / "log"})
    draft.globals["pid"] = tmp_path / "pid"
    draft.rewrite()
    command = [binary_path(), draft.config_file.name]
    subprocess.run(command, cwd=tmp_path, env=clean_environment(), check=True, timeout=30)
    daemon = DetachedDaemon(tmp_path / "pid")
    os.kill(daemon.pid, signal.SIGHUP)
    wait_for(lambda: "Reloaded /" in (tmp_path / "log").read_text(), "the reload")
    assert daemon.stop() == 0


@pytest.mark.direct_only("the user cannot read the tests' known hosts")
def test_user_that_was_switched_to_must_be_able_to_read(
    launch, redis_tls, certificates, open_directory, as_root
):
    config, authority = open_directory / "own.conf", open_directory / "ca.crt"
    authority.write_bytes(open(certificates.ca_file, "rb").read())
    authority.chmod(0o644)
    daemon = launch(
        Service("redis", connect=redis_tls.address, CAfile=str(authority)),
        globals={"setuid": "nobody", "setgid": "nogroup"},
        env={"ASAN_OPTIONS": "detect_leaks=0"},
        prefix=("sh", "-c", f'cp cachetunnel.conf {config}; exec "$0" -f {config}'),
        arguments=[],
    )
    config.chmod(0o600)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log("Permission denied")
    daemon.wait_for_log("Nothing was changed by the reload")
    config.chmod(0o644)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log("Reloaded")
    with daemon.connect() as client:
        client.ping()


@pytest.mark.core
def test_reloads_leave_nothing_behind(launch, to_redis):
    daemon = launch(to_redis())

    def one_round() -> None:
        with daemon.connect() as client:
            client.ping()
            daemon.reload()
            client.ping()

    one_round()
    before = settled_descriptor_count(daemon.pid)
    for _ in range(5):
        one_round()
    assert settled_descriptor_count(daemon.pid) == before


def test_service_manager_is_told(launch, to_redis, supervisor):
    daemon = launch(to_redis(), env=supervisor.env)
    assert "1 service" in supervisor.wait_for("READY")["STATUS"]
    good = daemon.config_file.read_text()
    daemon.reload(*daemon.services, to_redis("another"))
    assert int(supervisor.wait_for("RELOADING")["MONOTONIC_USEC"]) > 0
    assert "2 service" in supervisor.wait_for("READY")["STATUS"]
    daemon.reload(text=good + "nonsense\n", fails=True)
    supervisor.wait_for("RELOADING")
    assert "failed" in supervisor.wait_for("READY")["STATUS"]
