"""The subcommands that speak to a running daemon: status, reload, stop, wait."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.daemon import Service, binary_path, clean_environment, run_command
from harness.peers import closed_port, good_tls, greet
from harness.waiting import deadline_scale, wait_for

NOBODY = "no daemon listens"


class FakeDaemon:
    """Something on the control socket that gives each client the next answer, and the last one
    again and again; None for none at all."""

    def __init__(self, path: str, *replies: bytes | None):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.replies = list(replies)
        self.waiting: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.recv(65536)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            if reply is None:
                self.waiting.append(connection)
                continue
            with connection:
                try:
                    connection.sendall(reply)
                except BrokenPipeError:
                    pass  # whoever asked has heard enough

    def close(self) -> None:
        """Stops."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.waiting:
            connection.close()


def on_terminal(*arguments: str, env: dict | None = None) -> tuple[int, str]:
    """Runs a command on a terminal of its own; returns its status and what it showed."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [binary_path(), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**clean_environment(), **(env or {})},
    ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        os.close(leader)
        return process.wait(20 * deadline_scale()), shown.decode("utf-8")


@pytest.mark.core
def test_status_is_json_where_nobody_looks(controlled, to_redis):
    daemon, control = controlled(to_redis())
    result = run_command("status", "-c", control.where)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["pid"] == daemon.pid


def test_status_finds_the_socket_by_the_file(controlled, to_redis):
    daemon, _ = controlled(to_redis())
    result = run_command("status", "--json", str(daemon.config_file))
    assert json.loads(result.stdout)["pid"] == daemon.pid


def test_status_is_a_table_on_a_terminal(controlled, to_redis):
    daemon, control = controlled(to_redis())
    daemon.redis().ping()
    status, shown = on_terminal("status", "-c", control.where, env={"NO_COLOR": "1"})
    assert status == 0
    assert f"process {daemon.pid}, running for" in shown
    assert re.search(r"^\[redis\] (up|shaky) ", shown, re.M)
    assert "tls up" in shown or "tls shaky" in shown
    assert re.search(r"\d open, 1 so far", shown)
    assert "\033" not in shown


@pytest.mark.direct_only("addresses beyond a bastion are not known")
def test_table_tells_where_tunnels_are(controlled, serve, certificates):
    peer = serve(greet, tls=good_tls(certificates))
    first = f"localhost:{closed_port()}"
    service = Service("redis", connect=[first, peer.address], CAfile=certificates.ca_file)
    daemon, control = controlled(service, globals={"workers": 1})
    with daemon.connect() as client:
        client.read(7)
        _, shown = on_terminal("status", "-c", control.where, env={"NO_COLOR": "1"})
    assert re.search(rf"endpoint {first} down since \S+Z, 0 tunnel\(s\): [^\n]*refused", shown)
    assert f"endpoint {peer.address} up, 1 tunnel(s)" in shown
    assert f"tunnels to 127.0.0.1:{peer.port} (1)" in shown


def test_status_has_colours_on_a_terminal(controlled, to_redis):
    _, control = controlled(to_redis())
    _, shown = on_terminal("status", "-c", control.where)
    assert "listener \033[32mup\033[0m" in shown


def test_json_is_for_terminals_too(controlled, to_redis):
    daemon, control = controlled(to_redis())
    _, shown = on_terminal("status", "--json", "-c", control.where)
    assert json.loads(shown)["pid"] == daemon.pid


def test_hostile_names_do_not_reach_the_terminal(controlled, to_redis):
    _, control = controlled(to_redis("\x1b[2Jevil"))
    _, shown = on_terminal("status", "-c", control.where, env={"NO_COLOR": "1"})
    assert "evil]" in shown
    assert "\x1b" not in shown


def test_watch_shows_it_again_until_interrupted(controlled, to_redis):
    _, control = controlled(to_redis())
    command = [binary_path(), "status", "--watch", "-c", control.where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())
        assert json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.wait(20 * deadline_scale())


def test_without_a_daemon_every_command_says_so(tmp_path):
    path = str(tmp_path / "nobody.sock")
    for command in (["status"], ["reload"], ["stop"], ["wait", "--for", "1"]):
        result = run_command(*command, "-c", path)
        assert result.returncode == 1
        assert NOBODY in result.stderr and path in result.stderr


def test_a_file_that_is_missing_is_named(tmp_path):
    result = run_command("status", str(tmp_path / "missing.conf"))
    assert result.returncode == 1
    assert "missing.conf" in result.stderr and "-c" in result.stderr


def test_a_file_that_wants_no_socket_is_told(tmp_path):
    config = tmp_path / "no.conf"
    config.write_text("control = no\n[redis]\nclient = yes\n")
    result = run_command("status", str(config))
    assert result.returncode == 1
    assert "control = no" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["wait", "--for", "0"], "--for needs a number of seconds"),
        (["wait", "--for"], "--for needs a number of seconds"),
        (["status", "-c"], "-c needs the path"),
        (["status", "--upstream"], "unknown option '--upstream'"),
        (["reload", "--json"], "unknown option '--json'"),
        (["--watch"], "unknown option '--watch'"),
    ],
    ids=str,
)
def test_a_bad_command_line_is_status_2(arguments, reason):
    result = run_command(*arguments)
    assert result.returncode == 2
    assert reason in result.stderr


@pytest.mark.core
def test_reload_applies_the_file(controlled, to_redis):
    daemon, control = controlled(to_redis("one"))
    before = control.service("one")["counts"]["tunnels_opened"]
    daemon.redis("one").ping()
    text = daemon.config_file.read_text()
    daemon.config_file.write_text(text.replace("[one]", "[one]\nTIMEOUTidle = 7"))
    result = run_command("reload", "-c", control.where)
    assert result.returncode == 0
    assert result.stderr.endswith("reloaded\n")
    assert control.status()["reload"]["count"] == 1
    # The counters of a service outlive the reload.
    assert control.service("one")["counts"]["tunnels_opened"] == before + 1
    assert control.layer("connect", "one")["state"] in ("up", "shaky")
    assert control.metric("cachetunnel_reloads_total", result="applied") == 1


def test_reload_of_a_bad_file_shows_the_errors(controlled, to_redis):
    daemon, control = controlled(to_redis())
    with daemon.config_file.open("a") as file:
        file.write("nonsense = 1\n")
    result = run_command("reload", "-c", control.where)
    assert result.returncode == 1
    assert "unknown option 'nonsense'" in result.stderr
    assert "not reloaded" in result.stderr
    told = control.status()["reload"]
    assert (told["count"], told["failed"]) == (1, 1)
    assert "nonsense" in told["error"]
    with daemon.connect() as client:
        client.ping()


def test_stop_returns_when_the_daemon_has_ended(controlled, to_redis, socket_place):
    daemon, control = controlled(to_redis())
    result = run_command("stop", "-c", control.where)
    assert (result.returncode, result.stderr) == (0, "")
    assert not os.path.exists(socket_place.path)
    assert daemon.process.wait(20 * deadline_scale()) == 0
    daemon.stop()


ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nstopping\n"


@pytest.mark.parametrize("reply", [None, b"", b"HTTP/1.1 500 Sorry\r\n\r\n"], ids=str)
def test_stop_fails_while_something_is_there(socket_place, reply):
    fake = FakeDaemon(socket_place.path, ACCEPTED, reply)
    result = run_command("stop", "--for", "1", "-c", socket_place.path)
    fake.close()
    assert (result.returncode, "still runs" in result.stderr) == (1, True)


@pytest.mark.core
def test_wait_returns_when_the_daemon_is_there(controlled, to_redis, socket_place):
    outcome = []

    def wait() -> None:
        outcome.append(run_command("wait", "--for", "60", "-c", socket_place.path, timeout=90))

    waiter = threading.Thread(target=wait)
    waiter.start()
    daemon, _ = controlled(to_redis())
    waiter.join()
    assert outcome[0].returncode == 0
    with daemon.connect() as client:
        client.ping()


def test_wait_says_why_not_and_only_text(socket_place):
    body = b"running\n[one] up\n[two] down: \x1b[2J\n"
    fake = FakeDaemon(socket_place.path, b"HTTP/1.1 503 Wait\r\n\r\n" + body)
    result = run_command("wait", "--upstream", "--for", "1", "-c", socket_place.path)
    fake.close()
    assert result.returncode == 1
    told = "cachetunnel: the daemon says: running\n[one] up\n[two] down: .[2J\n"
    assert result.stderr == told


BODY = b'{"version":"1"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "hung up without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no cachetunnel"),
        (b"HTTP/1.1 2", "no cachetunnel"),
        (HEAD[:-2], "no cachetunnel"),
        (HEAD + BODY[:-1], "incomplete"),
        (HEAD.replace(b"15", b"99999999999999999999"), "incomplete"),
        (HEAD.replace(b"15", b"-1"), "incomplete"),
        (b"HTTP/1.1 200 OK\r\n\r\nno json", "cannot be understood"),
    ],
    ids=str,
)
def test_strange_answers_are_no_status(socket_place, reply, reason):
    fake = FakeDaemon(socket_place.path, reply)
    status, shown = on_terminal("status", "-c", socket_place.path)
    fake.close()
    assert status == 1
    assert reason in shown


def test_an_endless_answer_is_given_up(socket_place):
    fake = FakeDaemon(socket_place.path, b"HTTP/1.1 200 OK\r\n\r\n" + bytes(17 * 1024 * 1024))
    result = run_command("status", "-c", socket_place.path)
    fake.close()
    assert (result.returncode, result.stderr) == (1, "cachetunnel: the answer is too long\n")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"services":7}',
        b'{"services":[7,{"layers":[{"error":{"at":3}}]}]}',
        b'{"services":[{"name":"\\u001b[2J"}],"uptime_s":"x","version":null}',
    ],
    ids=str,
)
def test_a_status_of_any_shape_is_shown(socket_place, body):
    fake = FakeDaemon(socket_place.path, b"HTTP/1.1 200 OK\r\n\r\n" + body)
    status, shown = on_terminal("status", "-c", socket_place.path, env={"NO_COLOR": "1"})
    fake.close()
    assert status == 0
    assert "\x1b" not in shown
