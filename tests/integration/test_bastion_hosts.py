"""Whether the bastion is the one that it claims to be."""

from __future__ import annotations

import re
import subprocess

import pytest

from harness.ssh_keys import generate
from harness.sshd import ALL_HOST_KEY_TYPES, login_user

REFUSED = r"LOG3\[[^]]*\]:[^\n]*bastion 'hop'[^\n]*"


@pytest.fixture
def check(tunnel, through, sshd, tmp_path):
    """Starts a daemon that knows the given lines of known_hosts."""

    def start(*lines: str, server=None, **options):
        server = server or sshd
        path = tmp_path / "known_hosts"
        path.write_text("".join(lines), encoding="utf-8")
        return tunnel(through(server, **{"knownHosts": path, **options}))

    return start


def expect_ping(daemon) -> None:
    """A client gets through."""
    with daemon.connect() as client:
        client.ping()


def expect_refusal(daemon, *words: str) -> str:
    """The client is closed, and an error line has all of the words."""
    with daemon.connect() as client:
        client.expect_close()
    line = daemon.wait_for_log(REFUSED).group(0)
    for word in words:
        assert word in line, line
    return line


def stranger(sshd, tmp_path, kind: str = "ed25519") -> tuple[str, str]:
    """A line that knows another key for the server, and that key's fingerprint."""
    key = generate(tmp_path / f"stranger-{kind}", "-t", kind)
    return f"{sshd.known_name} {' '.join(key.public.split()[:2])}\n", key.fingerprint


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_known_key_of_each_type_is_enough(check, sshd, kind):
    expect_ping(check(sshd.known_line(kind)))


def test_known_key_is_found_among_others(check, sshd):
    expect_ping(
        check(
            "# a comment\n",
            "\n",
            "this line is rubbish\n",
            "elsewhere.test ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n",
            sshd.known_line("ecdsa", "elsewhere.test,[127.0.0.2]:22"),
            sshd.known_line("ed25519").replace("\n", "\r\n"),
        )
    )


@pytest.mark.parametrize("pattern", ["[127.0.0.*]:{port}", "[127.?.0.1]:{port}", "a,{name},b"])
def test_patterns_match(check, sshd, pattern):
    name = pattern.format(port=sshd.port, name=sshd.known_name)
    expect_ping(check(sshd.known_line("ed25519", name)))


def test_negated_pattern_does_not_match(check, sshd):
    name = f"[127.0.0.*]:{sshd.port},!{sshd.known_name}"
    expect_refusal(check(sshd.known_line("ed25519", name)), "unknown")


def test_hashed_names_are_known(check, sshd, tmp_path):
    path = tmp_path / "hashed"
    sshd.write_known_hosts(path)
    subprocess.run(["ssh-keygen", "-H", "-f", str(path)], check=True, capture_output=True)
    assert sshd.known_name not in path.read_text()
    expect_ping(check(path.read_text()))


def test_key_known_without_a_port_is_good_for_another_port(check, sshd):
    expect_ping(check(sshd.known_line("ed25519", sshd.host)))


def test_key_of_another_port_is_not_this_ones(check, sshd):
    name = f"[{sshd.host}]:{sshd.port % 65535 + 1}"
    expect_refusal(check(sshd.known_line("ed25519", name)), "unknown")


def test_several_files_are_read(check, sshd, tmp_path):
    second = tmp_path / "second"
    sshd.write_known_hosts(second)
    expect_ping(check("", knownHosts=[tmp_path / "known_hosts", second]))


def test_unknown_key_is_refused_with_its_fingerprint(check, tunnel, through, sshd, tmp_path):
    line = expect_refusal(check(""), "unknown", "ssh-keyscan", "hostKey")
    assert any(pair.fingerprint in line for pair in sshd.host_keys.values())
    # What the message says to run is all that is missing.
    command = re.search(r"run: (ssh-keyscan [^>]+>>\S+)", line).group(1)
    subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
    expect_ping(tunnel(through(sshd, knownHosts=tmp_path / "known_hosts")))


def test_missing_file_of_known_hosts_is_named(check, tmp_path):
    path = tmp_path / "nowhere"
    daemon = check("", knownHosts=path)
    daemon.wait_for_log(rf"cannot read knownHosts '{path}'")
    expect_refusal(daemon, "unknown")


@pytest.mark.parametrize("mode", ["yes", "accept-new"])
def test_file_that_the_daemons_user_cannot_read_is_told_from_an_unknown_key(
    tunnel, through, sshd, open_directory, as_root, mode
):
    """Root could read it, at start; with a long path the advice is there, too. The key that it has
    may be another one, so a new one is not accepted either."""
    folder = open_directory / ("f" * 120)
    folder.mkdir(mode=0o755)
    path = sshd.write_known_hosts(folder / "known_hosts")
    path.chmod(0o600)
    first = open_directory / "first"
    first.write_text("")
    first.chmod(0o666)
    daemon = tunnel(
        through(sshd, knownHosts=[first, path], hostKeyCheck=mode),
        globals={"setuid": "nobody", "setgid": "nogroup"},
    )
    line = expect_refusal(daemon, f"'{path}': Permission denied", "setuid", "hostKey =")
    assert "keyscan" not in line
    assert not first.read_text()


def test_changed_key_is_refused_with_both_fingerprints_and_the_line(check, sshd, tmp_path):
    line, known = stranger(sshd, tmp_path)
    refusal = expect_refusal(check("# first\n", line), "CHANGED", known)
    assert sshd.host_keys["ed25519"].fingerprint in refusal
    assert f"{tmp_path / 'known_hosts'}:2" in refusal


def test_changed_key_is_refused_even_if_new_ones_are_accepted(check, sshd, tmp_path):
    line, _ = stranger(sshd, tmp_path)
    expect_refusal(check(line, hostKeyCheck="accept-new"), "CHANGED")
    assert (tmp_path / "known_hosts").read_text() == line


@pytest.mark.parametrize("mode", ["yes", "accept-new", "no"])
def test_revoked_key_is_refused_in_every_mode(check, sshd, tmp_path, mode):
    lines = [sshd.known_line(kind, marker="@revoked") for kind in sshd.host_keys]
    expect_refusal(check(*lines, hostKeyCheck=mode), "revoked", f"{tmp_path / 'known_hosts'}:")


def test_key_of_another_type_only_is_refused(check, make_sshd, tmp_path):
    server = make_sshd(host_keys=("ecdsa",))
    line, _ = stranger(server, tmp_path, "ed25519")
    # Only ed25519 is offered, since only that is known: the server has nothing in common.
    refusal = expect_refusal(check(line, server=server))
    assert "ed25519" in refusal


def test_type_that_is_known_is_asked_for(check, sshd, tmp_path):
    wrong, _ = stranger(sshd, tmp_path, "ecdsa")
    expect_ping(check(sshd.known_line("ed25519")))
    expect_refusal(check(wrong), "CHANGED")


def test_rsa_only_says_what_to_add(check, sshd):
    daemon = check(sshd.known_line("rsa"))
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        answer = client.socket.recv(7)
    if answer == b"":
        line = daemon.wait_for_log(REFUSED).group(0)
        assert "RSA" in line and "ssh-keyscan -t ed25519" in line, line
    else:
        assert answer == b"+PONG\r\n"  # libssh2 1.11 and later


def test_server_with_an_rsa_key_only_is_told_from_one_that_is_unknown(check, make_sshd):
    server = make_sshd(host_keys=("rsa",))
    daemon = check("", server=server, hostKey=server.host_keys["rsa"].fingerprint)
    with daemon.connect() as client:
        client.send(b"PING\r\n")
        answer = client.socket.recv(7)
    if answer == b"":
        line = daemon.wait_for_log(REFUSED).group(0)
        assert "takes none of them; make an ed25519 key there" in line, line
    else:
        assert answer == b"+PONG\r\n"  # libssh2 1.11 and later


def test_certificate_authority_only_is_said_to_be_unsupported(check, sshd, tmp_path):
    line = sshd.known_line("ed25519", marker="@cert-authority")
    expect_refusal(check(line), "@cert-authority", "not", f"{tmp_path / 'known_hosts'}:1")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_right_pin_is_enough(check, make_sshd, kind):
    server = make_sshd(host_keys=(kind,))
    expect_ping(check("", server=server, hostKey=server.host_keys[kind].fingerprint))


def test_one_of_several_pins_is_enough(check, make_sshd, ssh_keys):
    server = make_sshd(host_keys=("ed25519",))
    pins = [ssh_keys["ecdsa"].fingerprint, server.host_keys["ed25519"].fingerprint]
    expect_ping(check("", server=server, hostKey=pins))


def test_pin_of_a_key_that_is_not_shown_first_is_found(check, make_sshd):
    """A server shows one key of several, the ed25519 one first."""
    server = make_sshd()
    daemon = check("", server=server, hostKey=server.host_keys["ecdsa"].fingerprint)
    expect_ping(daemon)
    daemon.wait_for_log(r"LOG6\[[^]]*\]: bastion 'hop': [^\n]*other types, which are asked for")
    assert server.login_count() == 1
    # The next session asks for the right one at once.
    server.kill_sessions()
    daemon.wait_for_log("session is lost")
    expect_ping(daemon)
    assert daemon.log().count("which are asked for") == 1


def test_pin_of_no_key_that_a_server_has_is_refused_after_all(check, make_sshd, ssh_keys):
    server = make_sshd(host_keys=ALL_HOST_KEY_TYPES)
    daemon = check("", server=server, hostKey=ssh_keys["ed25519"].fingerprint)
    expect_refusal(daemon, "hostKey allows only", ssh_keys["ed25519"].fingerprint)
    assert server.login_count() == 0


def test_wrong_pin_is_refused_although_the_key_is_known(check, sshd, ssh_keys):
    pin = ssh_keys["ed25519"].fingerprint
    line = expect_refusal(check(sshd.known_line("ed25519"), hostKey=pin), pin)
    assert any(pair.fingerprint in line for pair in sshd.host_keys.values())


def test_pin_is_checked_with_host_key_check_no(check, ssh_keys):
    pin = ssh_keys["ed25519"].fingerprint
    expect_refusal(check("", hostKey=pin, hostKeyCheck="no"), pin)


def test_accept_new_appends_once_and_is_strict_then(check, make_sshd, tmp_path, launch):
    server = make_sshd(host_keys=("ed25519",))
    path = tmp_path / "known_hosts"
    before = "# mine\nelsewhere.test ssh-ed25519 AAAA"  # without an end of line
    daemon = check(before, server=server, hostKeyCheck="accept-new")
    expect_ping(daemon)
    daemon.wait_for_log(r"was unknown and is now in")
    text = path.read_text()
    assert text.startswith(before + "\n")
    assert text[len(before) + 1 :].count("\n") == 1
    found = subprocess.run(
        ["ssh-keygen", "-F", server.known_name, "-f", str(path)], capture_output=True, check=False
    )
    assert server.host_keys["ed25519"].public.split()[1] in found.stdout.decode()
    server.kill_sessions()
    daemon.wait_for_log("session is lost")
    expect_ping(daemon)
    assert path.read_text() == text
    server.kill()
    server.new_host_key("ed25519")
    server.start()
    with daemon.connect() as client:
        client.expect_close()
    daemon.wait_for_log("CHANGED")
    assert path.read_text() == text


def test_accept_new_makes_the_file(check, sshd, tmp_path):
    path = tmp_path / "new" / "known_hosts"
    path.parent.mkdir()
    expect_ping(check("", knownHosts=path, hostKeyCheck="accept-new"))
    assert path.read_text().count("\n") == 1
    assert path.stat().st_mode & 0o022 == 0


def test_many_sessions_at_once_accept_a_new_key_once(check, sshd, tmp_path):
    daemon = check("", hostKeyCheck="accept-new", sessions=8)
    clients = [daemon.connect() for _ in range(40)]
    for client in clients:
        client.ping()
    for client in clients:
        client.close()
    assert (tmp_path / "known_hosts").read_text().count("\n") == 1


def test_host_key_check_no_warns_and_connects(check):
    daemon = check("", hostKeyCheck="no")
    expect_ping(daemon)
    daemon.wait_for_log(r"LOG4\[[^]]*\]: [^\n]*is not checked \(hostKeyCheck = no\)")
    daemon.wait_for_log(r"accepts any host key")


def test_alias_is_looked_up_in_place_of_the_host(check, sshd):
    expect_ping(check(sshd.known_line("ed25519", "my-bastion"), hostKeyAlias="my-bastion"))


def test_refused_host_key_gets_no_login(check, sshd):
    daemon = check("")
    logins = sshd.log().count("publickey for " + login_user().lower())
    expect_refusal(daemon, "unknown")
    assert sshd.log().count("publickey for " + login_user().lower()) == logins
