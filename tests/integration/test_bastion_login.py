"""Logging in to a bastion: keys of every kind, the agent, and what is said when it fails."""

from __future__ import annotations

import re
import os
import shutil
import subprocess

import pytest

from harness.daemon import run_command
from harness.process import status_field
from harness.ssh_keys import ENCRYPTED_KINDS, KEY_KINDS, KeyPair, generate
from harness.sshd import login_user, make_old_program

REFUSED = r"LOG3\[[^]]*\]:[^\n]*bastion 'hop'[^\n]*"


def expect_refusal(daemon, *words: str) -> str:
    """The client is closed without a byte, and an error line has all of the words."""
    with daemon.connect() as client:
        client.expect_close()
    line = daemon.wait_for_log(REFUSED).group(0)
    for word in words:
        assert word in line, line
    return line


def expect_ping(daemon) -> None:
    """A client gets through."""
    with daemon.connect() as client:
        client.ping()


def attempts_of(daemon) -> int:
    """How many logins it has begun."""
    return daemon.log().count("dialling -> logging in")


NOBODY = 65534


@pytest.fixture
def ordinary_user() -> tuple[str, ...]:
    """A prefix that runs a command as somebody without rights; nothing where we are that already."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def give_away(path, prefix: tuple[str, ...]) -> None:
    """To whom the prefix runs a command as."""
    if prefix:
        os.chown(path, NOBODY, NOBODY)


def failed_start(tmp_path, bastion, prefix: tuple[str, ...] = ()) -> str:
    """What the daemon says of a configuration that it refuses, at `check` and at a start."""
    config = tmp_path / "refused.conf"
    lines = ["foreground = yes", "syslog = no", f"[bastion {bastion.name}]"]
    lines += [f"{name} = {value}" for name, value in bastion.options.items() if value is not None]
    lines += ["[redis]", "client = yes", "accept = 127.0.0.1:1", "connect = localhost:6379"]
    config.write_text("\n".join([*lines, f"bastion = {bastion.name}", ""]), encoding="utf-8")
    checked = run_command("check", str(config), env={"HOME": str(tmp_path)}, prefix=prefix)
    started = run_command("-f", str(config), env={"HOME": str(tmp_path)}, prefix=prefix)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert started.returncode == 1, started.stdout + started.stderr
    said = checked.stdout + checked.stderr
    return said


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_key_of_every_kind_and_format_logs_in(tunnel, through, sshd, ssh_keys, kind):
    expect_ping(tunnel(through(sshd, identityFile=ssh_keys[kind].path)))


@pytest.fixture
def certify(tmp_path):
    """Makes keys whose certificates an authority has signed; the authority's public key is
    `certify.authority`."""
    authority = generate(tmp_path / "authority", "-t", "ed25519")

    def make(kind: str, validity: str = "-1d:+1d") -> KeyPair:
        pair = generate(tmp_path / f"certified-{kind}", "-t", kind)
        subprocess.run(
            ["ssh-keygen", "-q", "-s", authority.path, "-I", "test", "-n", login_user()]
            + ["-V", validity, f"{pair.path}.pub"],
            check=True,
            capture_output=True,
        )
        return pair

    make.authority = f"{authority.path}.pub"
    return make


def test_certificate_logs_in_where_only_its_authority_is_known(
    tunnel, through, make_sshd, certify
):
    server = make_sshd(TrustedUserCAKeys=certify.authority)
    server.authorize()
    expect_ping(tunnel(through(server, identityFile=certify("ecdsa").path)))
    server.wait_for_log("accepted publickey for .*ecdsa-cert .* id test")


@pytest.mark.parametrize("kind, words", [("ed25519", "need libssh2 1.11"), ("rsa", "RSA keys")])
def test_certificate_is_used_or_it_is_said_why_not(
    tunnel, through, make_sshd, certify, kind, words
):
    server = make_sshd(TrustedUserCAKeys=certify.authority)
    server.authorize()
    pair = certify(kind)
    daemon = tunnel(through(server, identityFile=pair.path))
    daemon.wait_for_log(r"\[redis\] listens on")  # said after the warnings
    if f"cannot use certificate '{pair.path}-cert.pub'" not in daemon.log():
        expect_ping(daemon)  # libssh2 has learnt it
        return
    assert words in daemon.log()
    expect_refusal(daemon, str(pair.path))


def test_certificate_that_has_expired_is_named(tunnel, through, make_sshd, certify):
    server = make_sshd(TrustedUserCAKeys=certify.authority)
    server.authorize()
    pair = certify("ecdsa", "-2d:-1d")
    daemon = tunnel(through(server, identityFile=pair.path))
    daemon.wait_for_log(f"{pair.path}-cert.pub': it expired at ")
    expect_refusal(daemon, str(pair.path))


@pytest.mark.parametrize("kind", ENCRYPTED_KINDS)
def test_encrypted_key_is_unlocked_by_the_passphrase_file(tunnel, through, sshd, ssh_keys, kind):
    bastion = through(
        sshd, identityFile=ssh_keys[kind].path, passphraseFile=ssh_keys.passphrase_file
    )
    expect_ping(tunnel(bastion))


@pytest.mark.parametrize("kind", ["rsa", "rsa-pem", "ed25519"])
def test_key_needs_no_public_half_beside_it(tunnel, through, sshd, ssh_keys, tmp_path, kind):
    expect_ping(tunnel(through(sshd, identityFile=ssh_keys[kind].copy(tmp_path / "alone.pem"))))


def test_keys_are_tried_in_their_order(tunnel, through, sshd, ssh_keys):
    files = [ssh_keys[kind].path for kind in ("stranger", "ecdsa", "rsa")]
    before = sshd.log()
    expect_ping(tunnel(through(sshd, identityFile=files)))
    sshd.wait_for_log("accepted publickey")
    new = sshd.log()[len(before) :]
    assert ssh_keys["ecdsa"].fingerprint.lower() in new
    assert f"accepted publickey for {through(sshd).options['user']}".lower() in new
    assert ssh_keys["rsa"].fingerprint.lower() not in new


def test_rsa_key_signs_with_sha2_for_a_stock_server(tunnel, through, make_sshd, ssh_keys):
    server = make_sshd(PubkeyAcceptedAlgorithms="rsa-sha2-256,rsa-sha2-512")
    expect_ping(tunnel(through(server, identityFile=ssh_keys["rsa-pem"].path)))


def offering(key: KeyPair, make_agent) -> dict:
    """Options of a bastion that offer the key by its file, or by an agent that is made for it."""
    if make_agent is None:
        return {"identityFile": key.path}
    return {"identityFile": None, "identityAgent": make_agent(key).path}


@pytest.fixture
def make_old_sshd(make_sshd, tmp_path):
    """Starts an sshd that calls itself older than RSA with SHA-2, and takes SHA-1 only."""

    def make():
        program = make_old_program(tmp_path / "old-sshd")
        return make_sshd(program=program, PubkeyAcceptedAlgorithms="ssh-rsa", LogLevel="DEBUG1")

    return make


@pytest.mark.parametrize("by_agent", [False, True])
def test_rsa_key_signs_with_sha1_for_a_server_that_is_too_old(
    tunnel, through, make_old_sshd, make_agent, ssh_keys, by_agent
):
    server = make_old_sshd()
    options = offering(ssh_keys["rsa"], make_agent if by_agent else None)
    expect_ping(tunnel(through(server, **options)))
    assert server.log().count("method publickey") == 2  # may it sign, and the signature


@pytest.mark.parametrize("by_agent", [False, True])
def test_rsa_key_that_is_refused_costs_one_attempt(
    tunnel, through, make_sshd, make_agent, ssh_keys, by_agent
):
    server = make_sshd(LogLevel="DEBUG1")
    server.authorize(ssh_keys["ed25519"])
    options = offering(ssh_keys["rsa"], make_agent if by_agent else None)
    line = expect_refusal(tunnel(through(server, **options)), "was refused")
    assert server.log().count("method publickey") == 1
    assert "SHA-1" not in line, line


@pytest.mark.parametrize("by_agent", [False, True])
def test_refused_rsa_key_of_an_old_server_tells_how_it_was_offered(
    tunnel, through, make_old_sshd, make_agent, ssh_keys, by_agent
):
    server = make_old_sshd()
    server.authorize(ssh_keys["ed25519"])
    options = offering(ssh_keys["rsa"], make_agent if by_agent else None)
    expect_refusal(tunnel(through(server, **options)), "was refused", "RSA with SHA-1 only")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_agent_of_the_environment_logs_in(
    tunnel, through, sshd, ssh_keys, make_agent, kind
):
    agent = make_agent(ssh_keys[kind])
    bastion = through(sshd, identityFile=None)
    expect_ping(tunnel(bastion, env={"SSH_AUTH_SOCK": agent.path}))


def test_configured_agent_is_preferred_to_the_environments(
    tunnel, through, sshd, ssh_keys, make_agent
):
    right, wrong = make_agent(ssh_keys["ecdsa"]), make_agent(ssh_keys["stranger"])
    bastion = through(sshd, identityFile=None, identityAgent=right.path)
    expect_ping(tunnel(bastion, env={"SSH_AUTH_SOCK": wrong.path}))


def test_agent_is_tried_after_the_files(tunnel, through, sshd, ssh_keys, make_agent):
    agent = make_agent(ssh_keys["stranger"], ssh_keys["ecdsa"])
    bastion = through(sshd, identityFile=ssh_keys["stranger"].path, identityAgent=agent.path)
    expect_ping(tunnel(bastion))


def test_agents_keys_that_are_named_come_first(
    tunnel, through, make_sshd, make_agent, ssh_keys, tmp_path
):
    """The server gives up after six keys, and the agent has more before the right one."""
    server = make_sshd(LogLevel="DEBUG1")
    strangers = [generate(tmp_path / f"stranger-{n}", "-t", "ed25519") for n in range(7)]
    server.authorize(ssh_keys["rsa"])
    agent = make_agent(*strangers, ssh_keys["ecdsa"], ssh_keys["rsa"])
    named = []
    for kind in ("rsa", "ecdsa"):
        named.append(tmp_path / f"{kind}.pub")
        named[-1].write_text(ssh_keys[kind].public + "\n", encoding="ascii")
    expect_ping(tunnel(through(server, identityFile=named, identityAgent=agent.path)))
    assert server.log().count("method publickey") == 2  # may it sign, and the signature


def test_agents_keys_that_cannot_be_used_are_named(
    tunnel, through, make_sshd, make_agent, certify
):
    """ssh-add puts a key's certificate into the agent as well, and it alone would be let in."""
    server = make_sshd(TrustedUserCAKeys=certify.authority)
    server.authorize()
    agent = make_agent(certify("ed25519"))
    daemon = tunnel(through(server, identityFile=None, identityAgent=agent.path))
    expect_refusal(daemon, "passed over", "ssh-ed25519-cert-v01@openssh.com")
    daemon.wait_for_log(r"LOG6[^\n]*cannot be used: ssh-ed25519-cert-v01@openssh.com")


def test_agent_whose_user_confirms_is_asked_once(tunnel, through, make_sshd, ssh_keys, make_agent):
    """The question takes its time; more sessions would only ask it again."""
    server = make_sshd()
    agent = make_agent(ssh_keys["ed25519"], confirm="sleep 1.6")
    daemon = tunnel(through(server, identityFile=None, identityAgent=agent.path))
    clients = [daemon.connect() for _ in range(60)]
    for client in clients:
        client.ping()
    for client in clients:
        client.close()
    assert attempts_of(daemon) == 1


def test_agent_whose_user_declines_refuses_the_login(
    tunnel, through, sshd, ssh_keys, make_agent
):
    agent = make_agent(ssh_keys["ed25519"], confirm="exit 1")
    daemon = tunnel(through(sshd, identityFile=None, identityAgent=agent.path))
    expect_refusal(daemon, "was refused")


@pytest.mark.parametrize("by_agent", [False, True])
def test_next_login_begins_with_what_was_accepted(
    tunnel, through, make_sshd, ssh_keys, make_agent, by_agent
):
    server = make_sshd(LogLevel="DEBUG1", MaxAuthTries="20")
    strangers = [ssh_keys["stranger"], ssh_keys["ecdsa-384"]]
    server.authorize(ssh_keys["rsa"], ssh_keys["ecdsa"])
    pairs = [*strangers, ssh_keys["rsa"], ssh_keys["ecdsa"]]
    if by_agent:
        options = {"identityFile": None, "identityAgent": make_agent(*pairs).path}
    else:
        options = {"identityFile": [pair.path for pair in pairs]}
    daemon = tunnel(through(server, **options))
    expect_ping(daemon)
    first = server.log()
    server.kill_sessions()
    daemon.wait_for_log("session is lost")
    expect_ping(daemon)
    again = server.log()[len(first) :]
    assert "method none" in first and "method none" not in again
    assert again.count("method publickey") == 2  # may it sign, and the signature

    # The key is no longer taken: all are tried again.
    server.authorize(ssh_keys["ecdsa"])
    server.kill_sessions()
    daemon.wait_for_log("session is lost", count=2)
    expect_ping(daemon)


def test_identities_only_leaves_the_agents_other_keys_out(
    tunnel, through, make_sshd, ssh_keys, make_agent, tmp_path
):
    """The key file is encrypted, so that only the agent can sign with it."""
    server = make_sshd(LogLevel="DEBUG1")
    agent = make_agent(ssh_keys["stranger"], ssh_keys["ecdsa-384"], ssh_keys["ed25519"])
    key = ssh_keys["ed25519-encrypted"].copy(tmp_path / "mine")
    (tmp_path / "mine.pub").write_text(ssh_keys["ed25519"].public + "\n", encoding="ascii")
    bastion = through(
        server, identityFile=key, identityAgent=agent.path, identitiesOnly="yes"
    )
    daemon = tunnel(bastion)
    expect_ping(daemon)
    assert "is encrypted" not in daemon.log()
    assert server.log().count("method publickey") == 2  # may it sign, and the signature


def test_encrypted_key_that_the_agent_lacks_is_remarked(
    tunnel, through, sshd, ssh_keys, make_agent, tmp_path
):
    key = ssh_keys["ed25519-encrypted"].copy(tmp_path / "mine")
    (tmp_path / "mine.pub").write_text(ssh_keys["ed25519"].public + "\n", encoding="ascii")
    agent = make_agent(ssh_keys["ecdsa"])
    daemon = tunnel(through(sshd, identityFile=key, identityAgent=agent.path))
    daemon.wait_for_log(r"is encrypted[^\n]*agent has it")
    expect_ping(daemon)


@pytest.mark.parametrize("kind, is_let_in", [("ecdsa", True), ("stranger", False)])
def test_public_key_names_one_of_the_agents(
    tunnel, through, sshd, ssh_keys, make_agent, tmp_path, kind, is_let_in
):
    path = tmp_path / "wanted.pub"
    path.write_text(ssh_keys[kind].public + "\n", encoding="ascii")
    agent = make_agent(ssh_keys["ecdsa"])
    daemon = tunnel(
        through(sshd, identityFile=path, identityAgent=agent.path, identitiesOnly="yes")
    )
    if is_let_in:
        expect_ping(daemon)
    else:
        expect_refusal(daemon, "was refused")


def test_agent_that_is_gone_is_named(tunnel, through, sshd, ssh_keys, make_agent):
    agent = make_agent(ssh_keys["ed25519"])
    daemon = tunnel(through(sshd, identityFile=None, identityAgent=agent.path))
    agent.stop()
    expect_refusal(daemon, "login")
    daemon.wait_for_log(rf"cannot connect to the agent at '{agent.path}'")


def test_agent_none_means_no_agent(tunnel, through, sshd, ssh_keys, make_agent):
    agent = make_agent(ssh_keys["ed25519"])
    bastion = through(sshd, identityFile=ssh_keys["stranger"].path, identityAgent="none")
    expect_refusal(tunnel(bastion, env={"SSH_AUTH_SOCK": agent.path}), "was refused")


def test_refused_login_names_the_methods_and_the_keys(tunnel, through, sshd, ssh_keys, make_agent):
    agent = make_agent(ssh_keys["stranger"])
    path = ssh_keys["stranger"].path
    daemon = tunnel(through(sshd, identityFile=path, identityAgent=agent.path))
    line = expect_refusal(daemon, "was refused", "publickey", str(path), "stranger-key")
    assert "authorized_keys" in line
    assert line.count(str(path)) == 1, line
    # It will be refused again: the pause is longer than after other failures.
    assert float(re.search(r"next attempt in ([0-9.]+) s", line).group(1)) > 3


def test_unknown_user_is_refused(tunnel, through, sshd):
    expect_refusal(tunnel(through(sshd, user="nobody-like-that")), "nobody-like-that", "refused")


def test_server_that_allows_fewer_attempts_is_named(tunnel, through, make_sshd, ssh_keys):
    server = make_sshd(MaxAuthTries="2")
    files = [ssh_keys["stranger"].path] + [
        ssh_keys["stranger"].copy(server.directory / f"stranger-{number}") for number in range(5)
    ]
    expect_refusal(tunnel(through(server, identityFile=files)), "MaxAuthTries")


def test_nothing_to_log_in_with_is_said_at_check_and_at_login(
    tunnel, through, sshd, tmp_path
):
    daemon = tunnel(through(sshd, identityFile=None))
    daemon.wait_for_log(r"has nothing to log in with")
    expect_refusal(daemon, "there was no key, agent or password")
    checked = run_command("check", str(daemon.config_file), env={"HOME": str(tmp_path)})
    assert "has nothing to log in with" in checked.stdout + checked.stderr


def test_missing_key_is_named(tmp_path, through, sshd):
    path = tmp_path / "nowhere.pem"
    said = failed_start(tmp_path, through(sshd, identityFile=path))
    assert f"cannot open private key '{path}'" in said
    assert "nothing to log in with" not in said


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_key_that_others_may_read_is_refused(tmp_path, through, sshd, ssh_keys, mode):
    path = ssh_keys["ed25519"].copy(tmp_path / "open.pem", mode)
    said = failed_start(tmp_path, through(sshd, identityFile=path))
    assert f"{mode:04o}" in said and f"chmod 600 {path}" in said


def test_encrypted_key_without_a_passphrase_is_refused(tmp_path, through, sshd, ssh_keys):
    said = failed_start(
        tmp_path, through(sshd, identityFile=ssh_keys["ed25519-encrypted"].path)
    )
    assert "encrypted" in said and "passphraseFile" in said


@pytest.mark.parametrize("kind", ["rsa-pem-encrypted", "ed25519-encrypted"])
def test_wrong_passphrase_is_named(tmp_path, through, sshd, ssh_keys, kind):
    wrong = tmp_path / "wrong"
    wrong.write_text("incorrect horse\n")
    said = failed_start(
        tmp_path, through(sshd, identityFile=ssh_keys[kind].path, passphraseFile=wrong)
    )
    assert "passphrase is wrong" in said


def test_public_key_in_the_place_of_the_private_one_is_recognised(
    tmp_path, through, sshd, ssh_keys
):
    path = tmp_path / "key.pub"
    path.write_text(ssh_keys["ed25519"].public + "\n")
    path.chmod(0o600)
    assert "public" in failed_start(tmp_path, through(sshd, identityFile=path))


def test_file_that_is_no_key_is_refused(tmp_path, through, sshd):
    path = tmp_path / "key.pem"
    label = "OPENSSH PRIVATE KEY"
    path.write_text(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    path.chmod(0o600)
    assert str(path) in failed_start(tmp_path, through(sshd, identityFile=path))


def test_unreadable_key_is_refused(open_directory, through, sshd, ssh_keys, ordinary_user):
    path = ssh_keys["ed25519"].copy(open_directory / "secret.pem", 0o000)
    said = failed_start(open_directory, through(sshd, identityFile=path), prefix=ordinary_user)
    assert "ermission denied" in said


def test_ordinary_user_runs_it(
    launch, to_redis, through, sshd, ssh_keys, certificates, open_directory, ordinary_user
):
    """With a key, known hosts and an authority that are the user's own."""
    key = ssh_keys["ed25519"].copy(open_directory / "key.pem")
    known = sshd.write_known_hosts(open_directory / "known_hosts")
    authority = shutil.copy(certificates.ca_file, open_directory / "ca.crt")
    for path in (key, known, authority):
        give_away(path, ordinary_user)
    daemon = launch(
        to_redis("redis", bastion="hop", CAfile=authority),
        bastions=(through(sshd, identityFile=key, knownHosts=known),),
        directory=open_directory / "daemon",
        prefix=ordinary_user,
    )
    assert status_field(daemon.pid, "Uid").split()[0] != "0"
    expect_ping(daemon)


def test_directory_in_the_place_of_a_key_is_refused(tmp_path, through, sshd):
    assert str(tmp_path) in failed_start(tmp_path, through(sshd, identityFile=tmp_path))


def test_missing_passphrase_file_is_named(tmp_path, through, sshd, ssh_keys):
    said = failed_start(
        tmp_path,
        through(
            sshd,
            identityFile=ssh_keys["ed25519-encrypted"].path,
            passphraseFile=tmp_path / "nowhere",
        ),
    )
    assert "passphraseFile" in said and "nowhere" in said


def test_password_is_not_tried_where_none_is_taken(tunnel, through, sshd, tmp_path):
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    password.chmod(0o600)
    daemon = tunnel(through(sshd, identityFile=None, passwordFile=password))
    expect_refusal(daemon, "was refused", "publickey")
    assert "open sesame" not in daemon.log()


@pytest.fixture
def password_file(tmp_path):
    """A password in a file, where nobody else reads it."""

    def write(password: str):
        path = tmp_path / "password"
        path.write_text(password + "\n", encoding="ascii")
        path.chmod(0o600)
        return path

    return write


PASSWORD_SERVER = {
    "accounts": {"visitor": "open sesame"},
    "PasswordAuthentication": "yes",
    "PubkeyAuthentication": "no",
}
QUESTION_SERVER = {
    **PASSWORD_SERVER,
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "yes",
    "UsePAM": "yes",
}


@pytest.mark.parametrize("server", [PASSWORD_SERVER, QUESTION_SERVER], ids=["password", "keyboard"])
def test_password_logs_in(tunnel, through, make_sshd, password_file, server):
    sshd = make_sshd(**server)
    path = password_file("open sesame")
    daemon = tunnel(through(sshd, user="visitor", identityFile=None, passwordFile=path))
    expect_ping(daemon)
    assert sshd.login_count() == 1
    assert "open sesame" not in daemon.log()


@pytest.mark.parametrize("server", [PASSWORD_SERVER, QUESTION_SERVER], ids=["password", "keyboard"])
def test_wrong_password_is_refused(tunnel, through, make_sshd, password_file, server):
    sshd = make_sshd(**server)
    path = password_file("open barley")
    daemon = tunnel(through(sshd, user="visitor", identityFile=None, passwordFile=path))
    expect_refusal(daemon, "as 'visitor' was refused", "passwordFile")
    assert "open barley" not in daemon.log()


def test_key_is_tried_before_the_password(tunnel, through, make_sshd, ssh_keys, password_file):
    sshd = make_sshd(**{**PASSWORD_SERVER, "PubkeyAuthentication": "yes"})
    path = password_file("open sesame")
    key = ssh_keys["stranger"].path
    expect_ping(tunnel(through(sshd, user="visitor", identityFile=key, passwordFile=path)))
    sshd.wait_for_log("accepted password for visitor")


def wanting_both(key: KeyPair) -> dict:
    """Options of a server that wants this key and the password."""
    return {
        **PASSWORD_SERVER,
        "PubkeyAuthentication": "yes",
        "AuthenticationMethods": "publickey,password",
        # The user may not read where other tests have their authorised keys.
        "AuthorizedKeysCommand": f"/bin/echo {key.public}",
        "AuthorizedKeysCommandUser": "root",
    }


@pytest.mark.parametrize("by_agent", [False, True])
def test_key_and_password_together_log_in(
    tunnel, through, make_sshd, make_agent, ssh_keys, password_file, by_agent
):
    sshd = make_sshd(**wanting_both(ssh_keys["ed25519"]))
    key = offering(ssh_keys["ed25519"], make_agent if by_agent else None)
    path = password_file("open sesame")
    daemon = tunnel(through(sshd, user="visitor", passwordFile=path, **key))
    expect_ping(daemon)
    sshd.wait_for_log("accepted password for visitor")
    sshd.kill_sessions()
    daemon.wait_for_log("session is lost")
    expect_ping(daemon)


def test_two_keys_that_are_both_asked_for_log_in(tunnel, through, make_sshd, ssh_keys):
    sshd = make_sshd(AuthenticationMethods="publickey,publickey")
    files = [ssh_keys[kind].path for kind in ("stranger", "ecdsa", "rsa")]
    expect_ping(tunnel(through(sshd, identityFile=files)))


def test_key_that_is_not_enough_is_not_doubted(tunnel, through, make_sshd, ssh_keys):
    sshd = make_sshd(**wanting_both(ssh_keys["ed25519"]))
    path = ssh_keys["ed25519"].path
    daemon = tunnel(through(sshd, user="visitor", identityFile=path))
    line = expect_refusal(
        daemon, f"took ssh-ed25519 {path}", "AuthenticationMethods", "offers password", "passwordFile"
    )
    assert "authorized_keys" not in line, line


def test_server_that_asks_questions_gets_one_session_only(
    tunnel, through, make_sshd, password_file
):
    """Somebody may have to answer each of them; unless the configuration says otherwise."""
    sshd = make_sshd(**QUESTION_SERVER)
    path = password_file("open sesame")
    daemon = tunnel(through(sshd, user="visitor", identityFile=None, passwordFile=path))
    clients = [daemon.connect() for _ in range(60)]
    for client in clients:
        client.ping()
    for client in clients:
        client.close()
    assert attempts_of(daemon) == 1


def test_credential_of_systemd_is_a_key(tunnel, through, sshd, ssh_keys, tmp_path):
    ssh_keys["rsa-pem"].copy(tmp_path / "bastion-key")
    bastion = through(sshd, identityFile="${CREDENTIALS_DIRECTORY}/bastion-key")
    expect_ping(tunnel(bastion, env={"CREDENTIALS_DIRECTORY": str(tmp_path)}))


def test_credentials_of_systemd_are_all_that_a_login_needs(
    launch, to_redis, through, sshd, ssh_keys, certificates, open_directory, ordinary_user
):
    """As LoadCredential= leaves them: root's, where a list of users lets the service read, which
    looks like a mode for the group."""
    credentials = open_directory / "credentials"
    credentials.mkdir()
    mode = 0o440 if ordinary_user else 0o400
    ssh_keys["ed25519-encrypted"].copy(credentials / "key", mode)
    shutil.copy(ssh_keys.passphrase_file, credentials / "passphrase")
    sshd.write_known_hosts(credentials / "known-hosts")
    for name in ("passphrase", "known-hosts"):
        (credentials / name).chmod(mode)
    credentials.chmod(0o550)
    for path in (credentials, *credentials.iterdir()):
        if ordinary_user:
            os.chown(path, 0, NOBODY)
    authority = shutil.copy(certificates.ca_file, open_directory / "ca.crt")
    bastion = through(
        sshd,
        identityFile="%d/key",
        passphraseFile="${CREDENTIALS_DIRECTORY}/passphrase",
        knownHosts="${CREDENTIALS_DIRECTORY}/known-hosts",
        identityAgent="none",
    )
    daemon = launch(
        to_redis("redis", bastion="hop", CAfile=authority),
        bastions=(bastion,),
        directory=open_directory / "daemon",
        prefix=ordinary_user,
        env={"CREDENTIALS_DIRECTORY": str(credentials)},
    )
    expect_ping(daemon)
    daemon.reload()
    expect_ping(daemon)


def test_default_key_in_the_home_directory_is_found(tunnel, through, sshd, ssh_keys, tmp_path):
    (tmp_path / ".ssh").mkdir()
    ssh_keys["rsa"].copy(tmp_path / ".ssh" / "id_rsa")
    expect_ping(tunnel(through(sshd, identityFile=None), env={"HOME": str(tmp_path)}))


def test_secrets_are_never_logged(tunnel, through, sshd, ssh_keys):
    bastion = through(
        sshd,
        identityFile=ssh_keys["ed25519-encrypted"].path,
        passphraseFile=ssh_keys.passphrase_file,
    )
    daemon = tunnel(bastion)
    expect_ping(daemon)
    assert "correct horse" not in daemon.log()
