"""How a configuration names its bastions: sections, one line, ssh's aliases."""

from __future__ import annotations

import shlex
import shutil

import pytest

from harness.daemon import run_command
from harness.peers import closed_port
from harness.sshd import login_user


def expect_ping(daemon, service: str | None = None) -> None:
    """A client gets through."""
    with daemon.connect(service) as client:
        client.ping()


@pytest.fixture
def home(tmp_path, sshd, ssh_keys):
    """A home directory with a key and the default sshd among the known hosts."""
    directory = tmp_path / "home"
    (directory / ".ssh").mkdir(parents=True)
    ssh_keys["ed25519"].copy(directory / ".ssh" / "id_ed25519")
    sshd.write_known_hosts(directory / ".ssh" / "known_hosts")
    return directory


@pytest.fixture
def inline(launch, to_redis, home):
    """Starts a daemon with `bastion = …` as given, in that home."""

    def start(way: str, *names: str, env: dict | None = None, **options):
        services = [to_redis(name, bastion=way) for name in names or ("redis",)]
        return launch(*services, env={"HOME": str(home), **(env or {})}, **options)

    return start


def check(tmp_path, home, *lines: str, env: dict | None = None):
    """What `check` says of a service and further lines; the last are a bastion's section."""
    config = tmp_path / "checked.conf"
    text = ["foreground = yes", "[redis]", "client = yes", "accept = 1", "connect = localhost:2"]
    config.write_text("\n".join([*text, *lines, ""]), encoding="utf-8")
    result = run_command("check", str(config), env={"HOME": str(home), **(env or {})})
    return result.returncode, result.stdout + result.stderr


def test_one_line_is_enough(inline, sshd):
    expect_ping(inline(f"{login_user()}@{sshd.host}:{sshd.port}"))


def test_one_line_needs_no_user(inline, sshd):
    expect_ping(inline(f"{sshd.host}:{sshd.port}"))


def test_same_line_in_two_services_is_one_login(inline, make_sshd, home):
    server = make_sshd()
    server.write_known_hosts(home / ".ssh" / "known_hosts")
    daemon = inline(f"{server.host}:{server.port}", "one", "two")
    expect_ping(daemon, "one")
    expect_ping(daemon, "two")
    assert server.login_count() == 1


def test_one_line_is_strict_about_host_keys(inline, sshd, home):
    (home / ".ssh" / "known_hosts").unlink()
    daemon = inline(f"{sshd.host}:{sshd.port}")
    with daemon.connect() as client:
        client.expect_close()
    daemon.wait_for_log("host key [^\n]*unknown")


@pytest.mark.parametrize(
    "way", ["user@:22", "user@host:0", "user@host:99999", "host:ssh:22", "@host"]
)
def test_one_line_that_is_none_is_refused(tmp_path, home, way):
    status, said = check(tmp_path, home, f"bastion = {way}")
    assert status == 1, said
    assert "checked.conf:6" in said


def fake_ssh(directory, answer: str, status: int = 0) -> dict[str, str]:
    """An environment in which `ssh -G NAME` gives the answer for the name `cache-hop`."""
    program = directory / "fake-ssh"
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$*" = "-G cache-hop" ] || [ "$*" = "-G -- cache-hop" ] || '
        '{ echo "hostname $2"; exit; }\n'
        f"cat <<'END'\n{answer}\nEND\nexit {status}\n"
    )
    program.chmod(0o755)
    return {"CACHETUNNEL_SSH": str(program)}


def test_alias_is_what_ssh_says_of_it(inline, sshd, tmp_path, ssh_keys, home):
    (home / ".ssh" / "id_ed25519").unlink()
    env = fake_ssh(
        tmp_path,
        f"user {login_user()}\nhostname {sshd.host}\nport {sshd.port}\n"
        f"identityfile {ssh_keys['ecdsa'].path}\nuserknownhostsfile ~/.ssh/known_hosts",
    )
    expect_ping(inline("cache-hop", env=env))


def test_proxy_command_of_an_alias_is_used(inline, sshd, tmp_path):
    env = fake_ssh(
        tmp_path,
        f"hostname {sshd.host}\nport {sshd.port}\nproxycommand exec nc %h %p\n"
        f"user {login_user()}\nidentityfile ~/.ssh/id_ed25519\n"
        "userknownhostsfile ~/.ssh/known_hosts",
    )
    expect_ping(inline("cache-hop", env=env))


@pytest.fixture
def real_ssh(tmp_path):
    """An environment whose ssh reads a configuration of the test's."""
    program = shutil.which("ssh")
    if program is None:
        pytest.skip("needs OpenSSH's client")

    def make(text: str) -> dict[str, str]:
        config = tmp_path / "ssh_config"
        config.write_text(text, encoding="utf-8")
        script = tmp_path / "real-ssh"
        script.write_text(f'#!/bin/sh\nexec {program} -F {shlex.quote(str(config))} "$@"\n')
        script.chmod(0o755)
        return {"CACHETUNNEL_SSH": str(script)}

    return make


def test_alias_of_a_real_configuration_works(inline, sshd, real_ssh, ssh_keys, home):
    (home / ".ssh" / "id_ed25519").unlink()
    env = real_ssh(
        f"Host cache-*\n  User {login_user()}\n  Port {sshd.port}\n"
        f"  IdentityFile {ssh_keys['rsa-pem'].path}\n"
        f"  UserKnownHostsFile {home}/.ssh/known_hosts\n"
        f"Host cache-hop\n  HostName {sshd.host}\n"
    )
    expect_ping(inline("cache-hop", env=env))


def test_alias_may_have_another_user(inline, sshd, real_ssh, home):
    env = real_ssh(
        f"Host cache-hop\n  HostName {sshd.host}\n  Port {sshd.port}\n  User nobody\n"
        f"  UserKnownHostsFile {home}/.ssh/known_hosts\n"
    )
    expect_ping(inline(f"{login_user()}@cache-hop", env=env))


def test_user_of_what_is_no_alias_is_one_of_a_host(tmp_path, home, real_ssh):
    env = real_ssh("Host other\n  HostName 127.0.0.1\n")
    status, said = check(tmp_path, home, "bastion = somebody@cache-hop", env=env)
    assert status == 0, said
    status, said = check(tmp_path, home, "bastion = @cache-hop", env=env)
    assert status == 1 and "@cache-hop" in said, said


def test_alias_may_name_a_key_that_is_not_there(inline, sshd, real_ssh, ssh_keys, home):
    """ssh passes over it: people list the keys of all their machines."""
    env = real_ssh(
        f"Host cache-hop\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {login_user()}\n"
        f"  IdentityFile {home}/.ssh/nowhere\n  IdentityFile {ssh_keys['ecdsa'].path}\n"
        f"  UserKnownHostsFile {home}/.ssh/known_hosts\n"
    )
    daemon = inline("cache-hop", env=env)
    daemon.wait_for_log("key '[^']*/nowhere' is not there[^\n]*passed over")
    expect_ping(daemon)


def test_alias_whose_only_key_is_not_there_is_warned_about(tmp_path, real_ssh, home):
    env = real_ssh(f"Host cache-hop\n  HostName 127.0.0.1\n  IdentityFile {home}/.ssh/nowhere\n")
    status, said = check(tmp_path, home, "bastion = cache-hop", env=env)
    assert status == 0, said
    assert "nowhere" in said and "has nothing to log in with" in said


def test_jump_of_a_real_configuration_works(inline, make_sshd, real_ssh, ssh_keys, home):
    first, second = make_sshd(), make_sshd()
    known = home / ".ssh" / "known_hosts"
    known.write_text(first.known_line("ed25519") + second.known_line("ed25519"))
    env = real_ssh(
        f"Host *\n  User {login_user()}\n  IdentityFile {ssh_keys['ed25519'].path}\n"
        f"  UserKnownHostsFile {known}\n"
        f"Host door\n  HostName {first.host}\n  Port {first.port}\n"
        f"Host cache-hop\n  HostName {second.host}\n  Port {second.port}\n  ProxyJump door\n"
    )
    expect_ping(inline("cache-hop", env=env))
    assert (first.login_count(), second.login_count()) == (1, 1)


def test_unknown_alias_is_refused_with_the_nearest_section(tmp_path, home):
    status, said = check(
        tmp_path,
        home,
        "bastion = prodd",
        "[bastion prod]",
        "host = localhost",
        env=fake_ssh(tmp_path, "hostname prodd"),
    )
    assert status == 1
    assert "prodd" in said and "did you mean 'prod'" in said


def test_missing_ssh_is_said(tmp_path, home):
    status, said = check(
        tmp_path, home, "bastion = cache-hop", env={"CACHETUNNEL_SSH": str(tmp_path / "nowhere")}
    )
    assert status == 1
    assert "OpenSSH" in said


def test_what_ssh_complains_of_is_passed_on(tmp_path, home, real_ssh):
    status, said = check(
        tmp_path, home, "bastion = cache-hop", env=real_ssh("Host cache-hop\n  Nonsense yes\n")
    )
    assert status == 1
    assert "onsense" in said


def test_section_is_preferred_to_an_alias(tunnel, through, sshd, tmp_path):
    env = fake_ssh(tmp_path, f"hostname 127.0.0.1\nport {closed_port()}")
    expect_ping(tunnel(through(sshd, "cache-hop"), env=env))


@pytest.mark.parametrize(
    "lines, word",
    [
        ([], "host"),
        (["host = a b"], "host"),
        (["host = h", "port = 0"], "port"),
        (["host = h", "hostKeyCheck = maybe"], "hostKeyCheck"),
        (["host = h", "hostKey = MD5:00"], "hostKey"),
        (["host = h", "sessions = 0"], "sessions"),
        (["host = h", "window = 1"], "window"),
        (["host = h", "identityfiles = x"], "identityFile"),
        (["host = h", "proxyCommand = nc %z"], "%"),
        (["host = h", "proxyCommand = nc", "via = x@y"], "via"),
        (["host = h", "connect = x:1"], "connect"),
    ],
)
def test_bad_section_is_refused_by_the_option_in_question(tmp_path, home, lines, word):
    status, said = check(tmp_path, home, "bastion = b", "[bastion b]", *lines)
    assert status == 1, said
    assert word in said


def test_two_sections_of_one_name_are_refused(tmp_path, home):
    section = ["[bastion b]", "host = localhost"]
    status, said = check(tmp_path, home, "bastion = b", *section, *section)
    assert status == 1
    assert "[bastion b]" in said or "'b'" in said


def test_bastion_that_nobody_uses_is_remarked(tmp_path, home):
    status, said = check(tmp_path, home, "[bastion lonely]", "host = localhost")
    assert status == 0, said
    assert "lonely" in said


def test_source_address_has_no_effect_through_a_bastion(tmp_path, home):
    lines = ["local = 127.0.0.1", "bastion = b", "[bastion b]", "host = localhost"]
    _, said = check(tmp_path, home, *lines)
    assert "'local' has no effect" in said


def test_host_key_check_no_is_warned_about(tmp_path, home):
    lines = ["bastion = b", "[bastion b]", "host = localhost", "hostKeyCheck = no"]
    _, said = check(tmp_path, home, *lines)
    assert "impostor" in said
