"""Ways to a bastion: through another one, and through a command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

import pytest

from harness import slow_link
from harness.daemon import run_command
from harness.peers import closed_port
from harness.process import descriptor_count, is_alive, settled_descriptor_count
from harness.sshd import descendants
from harness.waiting import deadline_scale, wait_for

FAILED = r"LOG3\[[^]]*\]:[^\n]*bastion '{name}'[^\n]*"


def expect_ping(daemon) -> None:
    """A client gets through."""
    with daemon.connect() as client:
        client.ping()


def expect_refusal(daemon, *words: str, name: str = "hop") -> str:
    """The client is closed without a byte, and an error line has all of the words."""
    with daemon.connect() as client:
        client.expect_close()
    line = daemon.wait_for_log(FAILED.format(name=name)).group(0)
    for word in words:
        assert word in line, line
    return line


def comes_through(daemon) -> bool:
    """Whether a client gets an answer; without one it must be closed."""
    with daemon.connect() as client:
        try:
            client.ping()
        except (AssertionError, ConnectionResetError):
            return False
    return True


@pytest.fixture
def chain(make_sshd, through):
    """So many sshds, and the sections to go through the one after the other, last first."""

    def make(count: int, *, sshd_options=(), **options):
        servers = [
            make_sshd(**(dict(sshd_options[n]) if n < len(sshd_options) else {}))
            for n in range(count)
        ]
        names = ["first", "middle", "hop"][-count:]
        bastions = [
            through(server, name, via=names[n - 1] if n else None, **options)
            for n, (server, name) in enumerate(zip(servers, names))
        ]
        return servers, bastions[::-1]

    return make


# Through another


@pytest.mark.parametrize("count", [2, 3])
def test_bastion_is_reached_through_others(tunnel, chain, count):
    servers, bastions = chain(count)
    daemon = tunnel(*bastions)
    for _ in range(3):
        expect_ping(daemon)
    assert [server.login_count() for server in servers] == [1] * count


def test_large_value_crosses_two_hops(tunnel, chain):
    _, bastions = chain(2)
    value = os.urandom(1 << 20) * 8
    with tunnel(*bastions).redis() as client:
        client.set("chain", value)
        assert client.get("chain") == value
        client.delete("chain")


def test_many_clients_cross_two_hops(tunnel, chain):
    _, bastions = chain(2)
    daemon = tunnel(*bastions)
    clients = [daemon.connect() for _ in range(50)]
    for client in clients:
        client.ping()
    for client in clients:
        client.close()


def test_services_may_use_a_bastion_and_the_one_before_it(launch, to_redis, chain):
    servers, bastions = chain(2)
    daemon = launch(
        to_redis("near", bastion=bastions[1].name),
        to_redis("far", bastion=bastions[0].name),
        bastions=bastions,
    )
    for name in ("near", "far", "near"):
        with daemon.connect(name) as client:
            client.ping()
    assert servers[1].login_count() == 1


def test_each_hop_has_a_host_key_of_its_own(tunnel, chain, tmp_path):
    servers, bastions = chain(2)
    bastions[0].options["knownHosts"] = servers[0].directory / "known_hosts"
    expect_refusal(tunnel(*bastions), "host key", "unknown")


@pytest.mark.parametrize("victim", [0, 1])
def test_death_of_a_hop_closes_the_clients_and_is_got_over(tunnel, chain, victim):
    servers, bastions = chain(2)
    daemon = tunnel(*bastions)
    with daemon.connect() as client:
        client.ping()
        servers[victim].kill()
        assert client.expect_close() in ("eof", "reset")
    daemon.wait_for_log(r"bastion 'hop': the session is lost")
    assert not comes_through(daemon)
    servers[victim].start()
    wait_for(lambda: comes_through(daemon), "the next client gets through", 30)


def test_death_of_the_middle_of_three_is_got_over(tunnel, chain):
    servers, bastions = chain(3)
    daemon = tunnel(*bastions)
    with daemon.connect() as client:
        client.ping()
        servers[1].kill_sessions()
        assert client.expect_close() in ("eof", "reset")
    wait_for(lambda: comes_through(daemon), "the next client gets through", 30)


def test_hop_that_refuses_to_forward_is_named(tunnel, chain):
    _, bastions = chain(2, sshd_options=[{"AllowTcpForwarding": "no"}])
    expect_refusal(tunnel(*bastions), "'middle'", "AllowTcpForwarding no")


def test_hop_that_cannot_reach_the_next_is_named(tunnel, chain):
    _, bastions = chain(2)
    port = closed_port()
    bastions[0].options["port"] = port
    expect_refusal(tunnel(*bastions), "'middle' cannot reach", str(port))


def test_first_hop_that_refuses_is_named(tunnel, chain):
    _, bastions = chain(2)
    bastions[1].options["port"] = closed_port()
    expect_refusal(tunnel(*bastions), "'middle'", "refused")


def test_stop_ends_a_chain(tunnel, chain):
    _, bastions = chain(3)
    daemon = tunnel(*bastions)
    with daemon.connect() as client:
        client.ping()
        daemon.stop()
        assert client.expect_close() in ("eof", "reset")


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_circle_is_refused(tmp_path, names):
    lines = ["foreground = yes"]
    for number, name in enumerate(names):
        lines += [f"[bastion {name}]", "host = localhost", f"via = {names[number - 1]}"]
    lines += ["[redis]", "client = yes", "accept = 1", "connect = localhost:6379", "bastion = a"]
    config = tmp_path / "circle.conf"
    config.write_text("\n".join([*lines, ""]))
    result = run_command("check", str(config), env={"HOME": str(tmp_path)})
    assert result.returncode == 1
    assert "circle" in result.stdout + result.stderr


# Through a command


@pytest.fixture
def by_command(tunnel, through, make_sshd):
    """Starts a daemon that reaches an sshd by the command."""

    def start(command: str, server=None, **options):
        return tunnel(through(server or make_sshd(), proxyCommand=command, **options))

    return start


def children_of(daemon) -> list[int]:
    """Everything that the daemon has started, also what has ended and is not reaped."""
    return descendants(daemon.pid)


@pytest.mark.parametrize(
    "command",
    [
        "nc %h %p",
        "exec nc %h %p",
        "socat - TCP:%h:%p",
        "echo 100%% as %r >&2; nc %h %p",
    ],
)
def test_command_leads_to_the_bastion(by_command, through, sshd, command):
    daemon = by_command(command)
    expect_ping(daemon)
    if "%r" in command:
        user = through(sshd).options["user"]
        daemon.wait_for_log(rf"LOG5\[[^]]*\]: proxyCommand: 100% as {user}\n")


def test_large_value_crosses_a_command(by_command):
    value = os.urandom(1 << 20) * 8
    with by_command("nc %h %p").redis() as client:
        client.set("command", value)
        assert client.get("command") == value
        client.delete("command")


def test_ssh_itself_may_be_the_command(by_command, make_sshd, ssh_keys):
    jump = make_sshd()
    known = jump.write_known_hosts(jump.directory / "known")
    options = f"-F none -i {ssh_keys['ed25519'].path} -o UserKnownHostsFile={known}"
    expect_ping(by_command(f"ssh {options} -o BatchMode=yes -p {jump.port} -W %h:%p {jump.host}"))


@pytest.mark.parametrize(
    "command, words",
    [
        ("echo no route to it >&2; exit 7", ["exit status 7", "no route to it"]),
        ("exit 3", ["exit status 3"]),
        ("no-such-program-here", ["exit status 127", "no-such-program-here"]),
        ("kill -9 $$", ["signal 9"]),
        ("echo hello; exit 5", ["exit status 5"]),
    ],
)
def test_command_that_fails_tells_how(by_command, command, words):
    daemon = by_command(command)
    expect_refusal(daemon, *words)
    wait_for(lambda: not children_of(daemon), "the command is reaped")


def test_command_whose_way_leads_nowhere_tells_why(by_command, through):
    daemon = by_command(f"nc -v %h {closed_port()}")
    expect_refusal(daemon, "refused")


@pytest.mark.parametrize("command", ["sleep 1000", "trap '' TERM; sleep 1000; sleep 1000"])
def test_command_that_hangs_is_given_up_and_ended(by_command, command):
    daemon = by_command(command, TIMEOUTbanner=1)
    expect_refusal(daemon, "TIMEOUTbanner")
    wait_for(lambda: not children_of(daemon), "the command is reaped")


def test_command_that_dies_later_closes_its_clients_and_is_got_over(by_command):
    daemon = by_command("exec nc %h %p")
    with daemon.connect() as client:
        client.ping()
        (child,) = children_of(daemon)
        os.kill(child, signal.SIGKILL)
        assert client.expect_close() in ("eof", "reset")
    daemon.wait_for_log("session is lost")
    wait_for(lambda: not is_alive(child), "the command is gone")
    wait_for(lambda: comes_through(daemon), "the next client gets through", 20)
    wait_for(lambda: child not in children_of(daemon), "the command is reaped")


@pytest.mark.parametrize(
    "command", ["nc %h %p", "trap '' TERM HUP PIPE; nc %h %p; sleep 1000"]
)
def test_stop_leaves_no_command_behind(by_command, command):
    daemon = by_command(command)
    expect_ping(daemon)
    children = children_of(daemon)
    assert children
    started = time.monotonic()
    daemon.stop()
    assert time.monotonic() - started < 5 * deadline_scale()
    wait_for(lambda: not any(map(is_alive, children)), "the command is gone")


def test_commands_that_end_leave_no_descriptors(by_command, make_sshd):
    server = make_sshd()
    daemon = by_command("exec nc %h %p", server=server, sessions=1)
    expect_ping(daemon)
    before = settled_descriptor_count(daemon.pid)
    for number in range(1, 11):
        for child in children_of(daemon):
            os.kill(child, signal.SIGKILL)
        daemon.wait_for_log("session is lost", count=number)
        expect_ping(daemon)
    wait_for(lambda: descriptor_count(daemon.pid) <= before, "the descriptors are closed")
    wait_for(lambda: len(children_of(daemon)) == 1, "the commands are reaped")


def serve_at_once(daemon, count: int) -> None:
    """So many clients, who come together and stay until all were answered."""
    with contextlib.ExitStack() as stack:
        for client in [stack.enter_context(daemon.connect()) for _ in range(count)]:
            client.ping()


def test_clients_who_wait_less_than_for_a_login_get_no_session_more(by_command):
    """They are served before it could be there. The first login is no such wait."""
    daemon = by_command("sleep 1; exec nc %h %p")
    serve_at_once(daemon, 20)
    assert len(children_of(daemon)) == 1
    serve_at_once(daemon, 20)
    assert len(children_of(daemon)) == 1


def test_clients_who_would_wait_for_long_get_more_sessions(by_command):
    """Each opens one channel in a round trip of 30 ms; a login takes seven of them."""
    daemon = by_command(f"exec {sys.executable} {slow_link.__file__} %h %p 15")
    expect_ping(daemon)
    serve_at_once(daemon, 60)
    daemon.wait_for_log("session logging in -> ready", count=4)


def test_command_gets_no_descriptors_of_ours(by_command, tmp_path):
    path = tmp_path / "descriptors"
    expect_ping(by_command(f"ls -l /proc/self/fd >{path}; exec nc %h %p"))
    listed = [line for line in path.read_text().splitlines() if "->" in line]
    # In, out, errors, and the directory being listed.
    assert len(listed) <= 4, listed


def test_command_may_lead_to_the_first_hop(tunnel, chain):
    _, bastions = chain(2)
    bastions[1].options["proxyCommand"] = "nc %h %p"
    expect_ping(tunnel(*bastions))
