"""The command line, the configuration file's grammar, and what `check` says about mistakes."""

from __future__ import annotations

import os
import re

import pytest

from harness.daemon import Service, run_command
from harness.ports import free_port

GOOD = "[redis]\nclient = yes\naccept = 127.0.0.1:16379\nconnect = localhost:16380\n"


@pytest.fixture
def check(tmp_path):
    """Runs `check` on a text; returns status and everything that was printed."""

    def run(text: str | bytes, name: str = "checked.conf") -> tuple[int, str]:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        result = run_command("check", str(path))
        return result.returncode, result.stdout + result.stderr

    return run


def expect_error(outcome: tuple[int, str], line: int, *words: str) -> None:
    """Status 1, and an error for the line that has all the words."""
    status, output = outcome
    assert status == 1, output
    errors = [text for text in output.splitlines() if re.search(rf"\.conf:{line}: ", text)]
    assert errors, f"nothing about line {line} in:\n{output}"
    assert any(all(word.lower() in text.lower() for word in words) for text in errors), output


# Arguments


def test_help_goes_to_standard_output_and_succeeds():
    result = run_command("--help")
    assert result.returncode == 0
    for word in ("check", "--foreground", "--version", "FILE", "-fd"):
        assert word in result.stdout


def test_version_names_every_library():
    result = run_command("--version")
    assert result.returncode == 0
    for word in ("cachetunnel", "OpenSSL", "libevent"):
        assert word.lower() in result.stdout.lower()


def test_options_lists_every_option_with_its_help():
    result = run_command("--options")
    assert result.returncode == 0
    for word in ("accept", "connect", "TIMEOUTidle", "checkHost", "maxClients", "workers"):
        assert word in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["one.conf", "two.conf"],
        ["check", "one.conf", "two.conf"],
        ["-fd"],
        ["-fd", "x"],
        ["-fd", "-1"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_status_2(arguments):
    result = run_command(*arguments)
    assert result.returncode == 2
    assert result.stderr.strip()


def test_missing_file_is_status_1_and_named(tmp_path):
    path = str(tmp_path / "missing.conf")
    for arguments in (["-f", path], ["check", path]):
        result = run_command(*arguments)
        assert result.returncode == 1
        assert path in result.stdout + result.stderr


def test_directory_in_place_of_a_file_is_status_1(tmp_path):
    result = run_command("check", str(tmp_path))
    assert result.returncode == 1
    assert str(tmp_path) in result.stdout + result.stderr


def test_missing_default_file_is_named():
    if os.path.exists("/etc/cachetunnel/cachetunnel.conf"):
        pytest.skip("this machine has a configuration of its own")
    result = run_command("check")
    assert result.returncode == 1
    assert "/etc/cachetunnel/cachetunnel.conf" in result.stdout + result.stderr


@pytest.mark.direct_only("it writes its own file")
def test_file_is_read_from_a_descriptor(launch, redis_tls, certificates):
    port = free_port()
    text = (
        "foreground = yes\nsyslog = no\n[redis]\nclient = yes\n"
        f"accept = 127.0.0.1:{port}\nconnect = {redis_tls.address}\n"
        f"CAfile = {certificates.ca_file}\n"
    )
    daemon = launch(
        Service("redis", accept=f"127.0.0.1:{port}"),
        text=text,
        # A shell opens the descriptor, as those do who use -fd.
        prefix=("sh", "-c", 'exec "$0" "$@" 7<cachetunnel.conf'),
        arguments=["-f", "-fd", "7"],
    )
    with daemon.connect() as client:
        client.ping()


def test_errors_in_a_file_from_a_descriptor_have_line_numbers():
    result = run_command("-f", "-fd", "0", stdin="nonsense = yes\n")
    assert result.returncode == 1
    assert re.search(r":1: .*nonsense", result.stderr)


# What is valid


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\n\n   \n\t"),
        GOOD.replace("client = yes", "CLIENT=YES").replace("accept", "Accept"),
        "; a comment\n   # another\n" + GOOD,
        GOOD.replace("\nclient", "\n\t  client").replace("\nconnect", "\n      connect"),
        GOOD.replace("[redis]", "[ a name with spaces, and more than fifty characters long ]"),
        GOOD.replace("127.0.0.1:16379", "16379"),
        GOOD.replace("127.0.0.1:16379", "::1:16379"),
        GOOD.replace("127.0.0.1:16379", "/tmp/never-made.sock"),
        GOOD + "connect = localhost:16381\naccept = 127.0.0.1:16382\n",
        "fips = no\ndelay = yes\noptions = NO_SSLv2\noptions = NO_SSLv3\n" + GOOD,
        GOOD + "libwrap = no\nretry = no\nrenegotiation = no\ndelay = no\nOCSPaia = no\n",
        GOOD + "socket = r:TCP_NODELAY=1\nsocket = l:SO_LINGER=1:5\nsocket = a:SO_REUSEADDR=yes\n",
        GOOD + "verify = 2\ncheckHost = localhost\nsslVersion = TLSv1.2\n",
        GOOD + "options = SINGLE_ECDH_USE\noptions = SINGLE_DH_USE\noptions = -NO_TICKET\n",
    ],
    ids=lambda text: repr(text)[:50],
)
def test_good_file_passes(check, text):
    status, output = check(text)
    assert status == 0, output


def test_no_inline_comments(check):
    expect_error(check(GOOD.replace("client = yes", "client = yes ; sure")), 2, "client")


def test_line_of_16_kib_is_read_whole(check):
    name = "x" * 15000
    status, output = check(GOOD + f"checkHost = {name}\n")
    assert status == 0, output[:300]


def test_check_succeeds_while_the_daemon_runs(launch, to_redis):
    daemon = launch(to_redis())
    assert run_command("check", str(daemon.config_file)).returncode == 0


def test_checked_file_with_certificates_passes(check, certificates):
    status, output = check(
        GOOD
        + f"CAfile = {certificates.ca_file}\nCRLfile = {certificates.crl_file}\n"
        + f"cert = {certificates.client.cert_file}\nkey = {certificates.client.key_file}\n"
    )
    assert status == 0, output


def test_defaults_before_the_first_section_reach_every_service(launch, to_redis, certificates):
    services = [to_redis("a", CAfile=None), to_redis("b", CAfile=None)]
    daemon = launch(*services, globals={"CAfile": certificates.ca_file})
    for name in ("a", "b"):
        with daemon.connect(name) as client:
            client.ping()


def test_section_overrides_a_default(launch, to_redis, certificates):
    daemon = launch(
        to_redis("own"), globals={"CAfile": certificates.stranger.ca_file, "sslVersion": "TLSv1.2"}
    )
    with daemon.connect() as client:
        client.ping()
    daemon.wait_for_log(r"\[own\] connected to [^\n]*TLSv1\.2")


@pytest.mark.direct_only("it writes its own file")
def test_indented_sections_work(launch, redis_tls, certificates):
    port = free_port()
    daemon = launch(
        Service("redis", accept=f"127.0.0.1:{port}"),
        text="foreground = yes\n  syslog = no\n [redis] \n\t client = yes\n"
        f"    accept = 127.0.0.1:{port}\n    connect = {redis_tls.address}\n"
        f"       CAfile = {certificates.ca_file}\n",
    )
    with daemon.connect() as client:
        client.ping()


@pytest.mark.direct_only("it writes its own file")
def test_included_directory_is_read_in_order(launch, redis_tls, certificates, tmp_path):
    ports = [free_port(), free_port()]
    directory = tmp_path / "conf.d"
    directory.mkdir()
    (directory / "10-defaults.conf").write_text(f"CAfile = {certificates.ca_file}\n")
    for number, port in enumerate(ports):
        (directory / f"2{number}-service.conf").write_text(
            f"[s{number}]\nclient = yes\naccept = 127.0.0.1:{port}\n"
            f"connect = {redis_tls.address}\n"
        )
    services = [Service(f"s{number}", accept=f"127.0.0.1:{p}") for number, p in enumerate(ports)]
    daemon = launch(*services, text=f"foreground = yes\nsyslog = no\ninclude = {directory}\n")
    for service in services:
        with daemon.connect(service.name) as client:
            client.ping()


def test_error_in_an_included_file_names_that_file(check, tmp_path):
    directory = tmp_path / "conf.d"
    directory.mkdir()
    (directory / "bad.conf").write_text("\nnonsense = 1\n")
    status, output = check(f"include = {directory}\n" + GOOD)
    assert status == 1
    assert re.search(r"conf\.d/bad\.conf:2: ", output)


# Mistakes


def test_every_error_is_reported_at_once(check):
    text = (
        "nonsense = 1\n"  # 1
        "debug = 9\n"  # 2
        "[redis]\n"
        "client = maybe\n"  # 4
        "accept = 127.0.0.1:16379\n"
        "connect = localhost:16380\n"
        "TIMEOUTidle = soon\n"  # 7
        "foreground = yes\n"  # 8
        "exec = /bin/sh\n"  # 9
        "just words\n"  # 10
        "options = NO_SUCH_OPTION\n"  # 11
        "socket = x:SO_KEEPALIVE=1\n"  # 12
    )
    outcome = check(text)
    for line, word in (
        (1, "nonsense"),
        (2, "debug"),
        (4, "client"),
        (7, "TIMEOUTidle"),
        (8, "foreground"),
        (9, "exec"),
        (10, "just"),
        (11, "NO_SUCH_OPTION"),
        (12, "socket"),
    ):
        expect_error(outcome, line, word)


def test_errors_go_to_standard_error_with_a_mark(tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text("nonsense = 1\n" + GOOD)
    for arguments in (["check", str(path)], ["-f", str(path)]):
        result = run_command(*arguments)
        assert result.returncode == 1
        assert re.search(rf"(?m)^\[!\] {re.escape(str(path))}:1: ", result.stderr)


@pytest.mark.parametrize(
    "written, meant",
    [
        ("conect", "connect"),
        ("CAfiel", "CAfile"),
        ("timeoutidl", "TIMEOUTidle"),
        ("check_host", "checkHost"),
    ],
)
def test_unknown_option_suggests_the_nearest(check, written, meant):
    expect_error(check(GOOD + f"{written} = x\n"), 5, written, meant)


@pytest.mark.parametrize("name", ["foreground", "pid", "output", "syslog", "chroot", "workers"])
def test_global_option_inside_a_section_is_misplaced(check, name):
    expect_error(check(GOOD + f"{name} = yes\n"), 5, name, "section")


@pytest.mark.parametrize(
    "line, words",
    [
        ("accept", ["accept"]),
        ("= yes", []),
        ("client =", ["client"]),
        ("client = perhaps", ["client", "yes"]),
        ("accept = 127.0.0.1:99999", ["accept"]),
        ("accept = 127.0.0.1:", ["accept"]),
        ("connect = host:no-such-port-name", ["connect"]),
        ("TIMEOUTconnect = -1", ["TIMEOUTconnect"]),
        ("TIMEOUTconnect = 10s", ["TIMEOUTconnect"]),
        ("failover = random", ["failover", "prio", "rr"]),
        ("checkIP = 300.1.1.1", ["checkIP"]),
        ("sslVersion = TLSv9", ["sslVersion", "TLSv1.2"]),
        ("sslVersionMax = TLSv1.1", ["sslVersionMax"]),
        ("securityLevel = 9", ["securityLevel"]),
        ("verify = 7", ["verify"]),
        ("socket = l:SO_NONSENSE=1", ["SO_NONSENSE"]),
        ("socket = SO_KEEPALIVE", ["socket"]),
        ("options = NONSENSE", ["NONSENSE"]),
        ("logId = random", ["logId", "sequential"]),
        ("maxClients = many", ["maxClients"]),
        ("ciphers = NO-SUCH-CIPHER", ["ciphers"]),
        ("ciphersuites = TLS_NO_SUCH", ["ciphersuites"]),
        ("curves = P-1", ["curves"]),
        ("config = NoSuchCommand:1", ["config"]),
        ("setuid = no-such-user-here", ["no-such-user-here"]),
        ("CAfile = /nonexistent/ca.crt", ["/nonexistent/ca.crt"]),
        ("CApath = /nonexistent/dir", ["/nonexistent/dir"]),
        ("CRLfile = /nonexistent/list.crl", ["/nonexistent/list.crl"]),
        ("cert = /nonexistent/cert.pem", ["/nonexistent/cert.pem"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_malformed_value_is_an_error_at_its_line(check, line, words):
    expect_error(check(GOOD + line + "\n"), 5, *words)


@pytest.mark.parametrize(
    "line",
    [
        "exec = /bin/sh",
        "protocol = connect",
        "protocol = smtp",
        "transparent = destination",
        "redirect = 80",
        "OCSP = http://ocsp.test/",
        "engineId = pkcs11",
        "libwrap = yes",
        "client = no",
    ],
)
def test_unsupported_option_is_refused_with_a_reason(check, line):
    name = line.split(" =", maxsplit=1)[0]
    text = GOOD.replace("client = yes\n", "") if name == "client" else GOOD
    number = 4 if name == "client" else 5
    expect_error(check(text + line + "\n"), number, name)


@pytest.mark.parametrize("line", ["fips = yes", "engine = dynamic", "taskbar = yes"])
def test_unsupported_global_option_is_refused(check, line):
    expect_error(check(line + "\n" + GOOD), 1, line.split()[0])


@pytest.mark.parametrize(
    "line", ["compression = deflate", "RNDfile = /dev/urandom", "RNDbytes = 64", "delay = no"]
)
def test_option_without_effect_is_noted(check, line):
    status, output = check(line + "\n" + GOOD)
    assert status == 0
    assert re.search(rf"checked\.conf:1: .*{line.split()[0]}", output)


def test_repeated_option_is_pointed_out(check):
    _, output = check(GOOD + "TIMEOUTidle = 1\nTIMEOUTidle = 2\n")
    assert re.search(r"checked\.conf:6: .*TIMEOUTidle", output)


@pytest.mark.parametrize("missing", ["accept", "connect", "client"])
def test_missing_section_half_is_an_error(check, missing):
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(missing))
    expect_error(check(text), 1, missing)


@pytest.mark.parametrize("text", ["", "debug = 7\n", "; nothing\n"])
def test_file_without_services_is_an_error(check, text):
    status, output = check(text)
    assert status == 1
    assert "service" in output.lower() or "section" in output.lower()


def test_unclosed_section_header_is_an_error(check):
    expect_error(check("[redis\nclient = yes\n"), 1, "[redis")


def test_over_long_line_is_an_error(check):
    expect_error(check(GOOD + "checkHost = " + "x" * 20000 + "\n"), 5, "long")


def test_nul_byte_is_an_error(check):
    expect_error(check(GOOD.encode() + b"checkHost = a\0b\n"), 5, "NUL")


def test_binary_file_is_an_error_and_does_not_reach_the_terminal(check):
    status, output = check(bytes(range(256)) * 40)
    assert status == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", output)


def test_same_address_twice_is_an_error(check):
    second = GOOD.replace("[redis]", "[again]")
    expect_error(check(GOOD + second), 7, "127.0.0.1:16379")


def test_plain_and_tls_options_exclude_each_other(check):
    _, output = check(GOOD + "plain = yes\nsslVersion = TLSv1.2\n")
    assert "sslVersion" in output


def test_check_host_with_verification_switched_off_is_an_error(check):
    status, output = check(GOOD + "verifyChain = no\ncheckHost = localhost\n")
    assert status == 1
    assert "checkHost" in output and "verifyChain" in output


# Certificates and keys


def test_mismatched_key_is_an_error(check, certificates):
    text = f"cert = {certificates.client.cert_file}\nkey = {certificates.other_client.key_file}\n"
    expect_error(check(GOOD + text), 6, "match")


def test_encrypted_key_is_an_error_without_a_prompt(check, certificates):
    client = certificates.client
    text = f"cert = {client.cert_file}\nkey = {client.encrypted_key_file}\n"
    expect_error(check(GOOD + text), 6, "pass")


def test_key_that_is_a_certificate_is_an_error(check, certificates):
    client = certificates.client
    text = f"cert = {client.cert_file}\nkey = {client.cert_file}\n"
    expect_error(check(GOOD + text), 6, "key")


def test_missing_key_is_an_error(check, certificates):
    text = f"cert = {certificates.client.cert_file}\nkey = /nonexistent/key.pem\n"
    expect_error(check(GOOD + text), 6, "/nonexistent/key.pem")


def test_garbage_in_place_of_a_certificate_is_an_error(check, tmp_path):
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(os.urandom(300))
    for name in ("CAfile", "CRLfile", "cert"):
        expect_error(check(GOOD + f"{name} = {garbage}\n"), 5, "garbage.pem")


def test_empty_authority_file_is_an_error(check, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    expect_error(check(GOOD + f"CAfile = {empty}\n"), 5, "empty.pem")


def test_all_bad_files_are_reported_at_once(check):
    text = "CAfile = /nonexistent/a\ncert = /nonexistent/b\n"
    outcome = check(GOOD + text + GOOD.replace("16379", "16399") + "CRLfile = /nonexistent/c\n")
    for line, path in ((5, "/nonexistent/a"), (6, "/nonexistent/b"), (11, "/nonexistent/c")):
        expect_error(outcome, line, path)
