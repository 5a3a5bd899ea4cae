"""Reload with bastions: sessions go on where nothing has changed, and only there."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from harness.ports import listening_ports
from harness.ssh_keys import PASSPHRASE
from harness.waiting import wait_for


def test_sessions_to_an_unchanged_bastion_go_on(tunnel, make_sshd, through):
    server = make_sshd()
    daemon = tunnel(through(server))
    with daemon.connect() as client:
        client.ping()
        for _ in range(3):
            daemon.reload()
            with daemon.connect() as other:
                other.ping()
        client.ping()
    assert server.login_count() == 1


def test_changed_bastion_gets_new_sessions_and_the_old_ones_go_in_the_end(
    tunnel, make_sshd, through
):
    server = make_sshd()
    daemon = tunnel(through(server))
    with daemon.connect() as old:
        old.ping()
        daemon.bastions = [through(server, aliveInterval=7)]
        daemon.reload()
        with daemon.connect() as new:
            new.ping()
        old.ping()
        assert server.login_count() == 2
        assert len(server.session_pids()) == 2
    wait_for(lambda: len(server.session_pids()) == 1, "the old session ends")
    with daemon.connect() as client:
        client.ping()
    assert server.login_count() == 2


def test_key_that_has_changed_on_disk_is_a_new_login(
    tunnel, make_sshd, through, ssh_keys, tmp_path
):
    server = make_sshd()
    key = tmp_path / "key"
    ssh_keys["ed25519"].copy(key)
    daemon = tunnel(through(server, identityFile=key))
    with daemon.connect() as client:
        client.ping()
    ssh_keys["ecdsa"].copy(key)
    daemon.reload()
    with daemon.connect() as client:
        client.ping()
    assert server.login_count() == 2


def test_chain_is_kept_as_a_whole(tunnel, make_sshd, through):
    first, second = make_sshd(), make_sshd()
    daemon = tunnel(through(second, "second", via="first"), through(first, "first"))
    with daemon.connect() as client:
        client.ping()
    daemon.reload()
    with daemon.connect() as client:
        client.ping()
    assert (first.login_count(), second.login_count()) == (1, 1)
    daemon.bastions = [
        through(second, "second", via="first"),
        through(first, "first", aliveInterval=7),
    ]
    daemon.reload()
    with daemon.connect() as client:
        client.ping()
    assert (first.login_count(), second.login_count()) == (2, 2)


def unlock(daemon, terminal: int) -> bool:
    """Types the passphrase while it is asked for; whether the daemon listens."""
    if daemon.port() in listening_ports(daemon.pid):
        return True
    if "Passphrase for" in daemon.log():
        os.write(terminal, PASSPHRASE.encode() + b"\n")
    return False


@pytest.fixture
def launch_at_terminal(launch, to_redis):
    """Starts a daemon in front of a person who knows the passphrase."""
    terminals: list[int] = []

    def start(hop):
        ours, theirs = os.openpty()
        terminals.extend((ours, theirs))
        return launch(
            to_redis(bastion="hop"),
            bastions=(hop,),
            prefix=("sh", "-c", f'exec "$0" "$@" <{os.ttyname(theirs)}'),
            ready=lambda daemon: unlock(daemon, ours),
        )

    yield start
    for terminal in terminals:
        os.close(terminal)


def test_key_that_was_unlocked_at_the_terminal_is_kept(
    launch_at_terminal, make_sshd, through, ssh_keys, tmp_path
):
    server = make_sshd()
    key = ssh_keys["ed25519-encrypted"].copy(tmp_path / "key")
    hop = through(server, identityFile=key, identityAgent="none")
    daemon = launch_at_terminal(hop)
    with daemon.connect() as client:
        client.ping()
    daemon.reload()
    daemon.bastions = [through(server, identityFile=key, identityAgent="none", aliveInterval=7)]
    daemon.reload()
    with daemon.connect() as client:
        client.ping()
    assert server.login_count() == 2
    os.utime(key, (1, 1))
    daemon.reload(fails=True)
    assert "is encrypted" in daemon.log()


@pytest.mark.parametrize("held, is_asked_for", [("ed25519", False), ("stranger", True)])
def test_key_is_asked_for_unless_the_agent_has_it(
    launch_at_terminal, make_sshd, through, ssh_keys, make_agent, tmp_path, held, is_asked_for
):
    server = make_sshd()
    key = ssh_keys["ed25519-encrypted"].copy(tmp_path / "key")
    key.with_suffix(".pub").write_text(ssh_keys["ed25519-encrypted"].public, encoding="ascii")
    agent = make_agent(ssh_keys[held])
    daemon = launch_at_terminal(through(server, identityFile=key, identityAgent=agent.path))
    with daemon.connect() as client:
        client.ping()
    assert ("Passphrase for" in daemon.log()) == is_asked_for


def test_tunnels_go_on_while_a_key_is_unlocked(tunnel, make_sshd, through, ssh_keys, tmp_path):
    """bcrypt is slow on purpose, and so many rounds take a second."""
    key = ssh_keys["ed25519"].copy(tmp_path / "key")
    command = ["ssh-keygen", "-q", "-p", "-a", "100", "-P", "", "-N", PASSPHRASE, "-f", key]
    subprocess.run(command, check=True)
    hop = through(make_sshd(), identityFile=key, passphraseFile=ssh_keys.passphrase_file)
    daemon = tunnel(hop, globals={"workers": 1})
    with daemon.connect() as client:
        client.ping()
        daemon.process.send_signal(signal.SIGHUP)
        pings = 0
        while "]: Reloaded /" not in daemon.log():
            client.ping()
            pings += 1
    assert pings > 20


def test_wrong_passphrase_file_is_followed_by_the_question(
    launch_at_terminal, make_sshd, through, ssh_keys, tmp_path
):
    server = make_sshd()
    key = ssh_keys["ed25519-encrypted"].copy(tmp_path / "key")
    wrong = tmp_path / "wrong"
    wrong.write_text("incorrect horse\n", encoding="ascii")
    wrong.chmod(0o600)
    hop = through(server, identityFile=key, identityAgent="none", passphraseFile=wrong)
    daemon = launch_at_terminal(hop)
    with daemon.connect() as client:
        client.ping()
    daemon.reload()  # nobody is asked again
