"""Who is trusted and who is not, and that the log says why and what would change it."""

from __future__ import annotations

import pytest

from harness.certificates import hashed_directory
from harness.daemon import Service
from harness.peers import greet, tls_context

HELLO = b"hello\r\n"


@pytest.fixture
def server_with(serve, certificates):
    """Starts a TLS server that shows one of the session's certificates, by attribute name."""

    def start(name: str, **options):
        return serve(greet, tls=tls_context(getattr(certificates, name)), **options)

    return start


def expect_trust(daemon) -> None:
    """A client gets through."""
    with daemon.connect() as client:
        assert client.read(len(HELLO)) == HELLO


def expect_refusal(daemon, *patterns: str) -> None:
    """The client is closed without a byte, and one error line matches every pattern."""
    with daemon.connect() as client:
        client.expect_close()
    line = daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*Service \[tls\][^\n]*").group(0).lower()
    for pattern in patterns:
        assert any(word in line for word in pattern.split("|")), f"{pattern!r} not in {line!r}"


@pytest.mark.parametrize(
    "identity, reason, option",
    [
        ("expired", "expired", "verifychain"),
        ("future", "not yet valid", "verifychain"),
        ("self_signed", "self-signed|self signed", "cafile"),
        ("untrusted", "unable to get|not trusted", "cafile"),
        ("wrong_name", "does not match|name", "checkhost"),
        ("wrong_purpose", "purpose", "verifychain"),
    ],
)
def test_bad_certificate_is_refused_and_the_log_says_why(
    launch, server_with, certificates, identity, reason, option
):
    peer = server_with(identity)
    daemon = launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file))
    expect_refusal(daemon, reason, option)


def test_revoked_certificate_is_refused(launch, server_with, certificates):
    peer = server_with("revoked")
    daemon = launch(
        Service(
            "tls",
            connect=peer.address,
            CAfile=certificates.ca_file,
            CRLfile=certificates.crl_file,
        )
    )
    expect_refusal(daemon, "revoked", "crl")


def test_revoked_certificate_is_refused_with_a_directory_of_lists(
    launch, server_with, certificates
):
    peer = server_with("revoked")
    daemon = launch(
        Service(
            "tls",
            connect=peer.address,
            CAfile=certificates.ca_file,
            CRLpath=certificates.crl_path,
        )
    )
    expect_refusal(daemon, "revoked", "crl")


def test_certificate_that_is_not_on_the_list_is_trusted(launch, server_with, certificates):
    peer = server_with("localhost")
    expect_trust(
        launch(
            Service(
                "tls",
                connect=peer.address,
                CAfile=certificates.ca_file,
                CRLfile=certificates.crl_file,
            )
        )
    )


@pytest.mark.parametrize(
    "list_name, reason",
    [("expired_crl_file", "crl has expired|expired"), ("stranger_crl_file", "crl")],
)
def test_useless_revocation_list_means_refusal(
    launch, server_with, certificates, list_name, reason
):
    peer = server_with("localhost")
    daemon = launch(
        Service(
            "tls",
            connect=peer.address,
            CAfile=certificates.ca_file,
            CRLfile=getattr(certificates, list_name),
        )
    )
    expect_refusal(daemon, reason, "crlfile|crlpath")


def test_name_of_connect_is_checked_by_default(launch, server_with, certificates):
    peer = server_with("name_only")
    expect_trust(launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file)))


def test_address_of_connect_is_checked_by_default(launch, server_with, certificates):
    service = {"CAfile": certificates.ca_file}
    good, bad = server_with("localhost"), server_with("name_only")
    expect_trust(launch(Service("tls", connect=f"127.0.0.1:{good.port}", **service)))
    expect_refusal(
        launch(Service("tls", connect=f"127.0.0.1:{bad.port}", **service)),
        "address|does not match|ip",
        "checkhost|checkip",
    )


def test_ipv6_address_of_connect_is_checked_by_default(launch, server_with, certificates):
    peer = server_with("localhost", address=("::1", 0))
    expect_trust(launch(Service("tls", connect=f"::1:{peer.port}", CAfile=certificates.ca_file)))


@pytest.mark.parametrize(
    "identity, checks",
    [
        ("wrong_name", {"checkHost": "elsewhere.test"}),
        ("wrong_name", {"checkHost": ["first.test", "elsewhere.test"]}),
        ("wildcard", {"checkHost": "primary.cache.test"}),
        ("localhost", {"checkIP": "127.0.0.1"}),
        ("localhost", {"checkIP": ["10.1.2.3", "::1"]}),
        ("email", {"checkEmail": "redis@cache.test"}),
        ("email", {"checkHost": "nowhere.test", "checkEmail": "redis@cache.test"}),
    ],
)
def test_any_one_matching_check_suffices(launch, server_with, certificates, identity, checks):
    peer = server_with(identity)
    expect_trust(
        launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file, **checks))
    )


@pytest.mark.parametrize(
    "identity, checks",
    [
        ("localhost", {"checkHost": "elsewhere.test"}),
        ("wildcard", {"checkHost": "a.b.cache.test"}),
        ("wildcard", {"checkHost": "cache.test"}),
        ("localhost", {"checkIP": "127.0.0.2"}),
        ("email", {"checkEmail": "someone@cache.test"}),
    ],
)
def test_check_without_a_match_means_refusal(launch, server_with, certificates, identity, checks):
    peer = server_with(identity)
    daemon = launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file, **checks))
    expect_refusal(daemon, "match|name", next(iter(checks)).lower())


def test_unverified_service_trusts_anyone_and_says_so_at_the_start(launch, server_with):
    peer = server_with("self_signed")
    daemon = launch(Service("tls", connect=peer.address, verifyChain="no"))
    daemon.wait_for_log(r"LOG4\[[^]]*\]:[^\n]*verifyChain")
    expect_trust(daemon)


def test_verify_2_demands_a_trusted_chain(launch, server_with, certificates):
    good, bad = server_with("localhost"), server_with("untrusted")
    options = {"verify": 2, "CAfile": certificates.ca_file, "checkHost": "localhost"}
    expect_trust(launch(Service("tls", connect=good.address, **options)))
    expect_refusal(launch(Service("tls", connect=bad.address, **options)), "unable|trusted")


def test_verify_0_trusts_anyone(launch, server_with):
    peer = server_with("self_signed")
    expect_trust(launch(Service("tls", connect=peer.address, verify=0)))


def test_verify_4_trusts_only_the_pinned_certificate(launch, server_with, certificates):
    pinned = certificates.name_only.cert_file
    good, bad = server_with("name_only"), server_with("other_localhost")
    expect_trust(launch(Service("tls", connect=good.address, verify=4, CAfile=pinned)))
    expect_refusal(launch(Service("tls", connect=bad.address, verify=4, CAfile=pinned)))


def test_verify_peer_trusts_only_the_pinned_certificate(launch, server_with, certificates):
    options = {
        "verifyChain": "no",
        "verifyPeer": "yes",
        "CAfile": certificates.self_signed.cert_file,
    }
    good, bad = server_with("self_signed"), server_with("localhost")
    expect_trust(launch(Service("tls", connect=good.address, **options)))
    expect_refusal(launch(Service("tls", connect=bad.address, **options)))


def test_verify_peer_refuses_a_trusted_chain_whose_leaf_is_not_pinned(
    launch, server_with, certificates
):
    peer = server_with("localhost")
    daemon = launch(
        Service("tls", connect=peer.address, verifyPeer="yes", CAfile=certificates.ca_file)
    )
    expect_refusal(daemon, "verifypeer|cafile")


def test_system_store_is_used_by_default(launch, server_with, certificates):
    peer = server_with("localhost")
    service = Service("tls", connect=peer.address)
    expect_trust(launch(service, env={"SSL_CERT_FILE": certificates.ca_file}))
    expect_refusal(launch(service), "unable to get|not trusted|self-signed", "cafile")


def test_system_store_may_be_a_directory(launch, server_with, certificates):
    peer = server_with("localhost")
    service = Service("tls", connect=peer.address)
    environment = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": certificates.ca_path}
    expect_trust(launch(service, env=environment))


def test_ca_path_holds_trusted_authorities(launch, server_with, certificates):
    good, bad = server_with("localhost"), server_with("untrusted")
    expect_trust(launch(Service("tls", connect=good.address, CApath=certificates.ca_path)))
    expect_refusal(
        launch(Service("tls", connect=bad.address, CApath=certificates.ca_path)),
        "unable|trusted",
    )


def test_ca_store_holds_trusted_authorities(launch, server_with, certificates):
    good, bad = server_with("localhost"), server_with("untrusted")
    store = f"file:{certificates.ca_file}"
    expect_trust(launch(Service("tls", connect=good.address, CAstore=store)))
    expect_refusal(launch(Service("tls", connect=bad.address, CAstore=store)), "unable|trusted")


def test_own_ca_file_replaces_the_system_store(launch, server_with, certificates):
    peer = server_with("localhost")
    daemon = launch(
        Service("tls", connect=peer.address, CAfile=certificates.stranger.ca_file),
        env={"SSL_CERT_FILE": certificates.ca_file},
    )
    expect_refusal(daemon, "unable to get|not trusted", "cafile")


def test_chain_with_an_intermediate_is_trusted(launch, server_with, certificates):
    peer = server_with("by_intermediate")
    expect_trust(launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file)))


def test_missing_intermediate_is_named(launch, serve, certificates):
    context = tls_context(certificates.by_intermediate)
    alone = certificates.directory / "alone.pem"
    alone.write_bytes(
        b"".join(
            open(certificates.by_intermediate.cert_file, "rb").read().partition(b"END CERT")[:2]
        )
        + b"IFICATE-----\n"
    )
    context.load_cert_chain(str(alone), certificates.by_intermediate.key_file)
    peer = serve(greet, tls=context)
    daemon = launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file))
    expect_refusal(daemon, "unable to get|not trusted", "cafile")


def test_refused_server_does_not_disturb_other_services(
    launch, server_with, to_redis, certificates
):
    peer = server_with("expired")
    daemon = launch(
        Service("tls", connect=peer.address, CAfile=certificates.ca_file), to_redis("redis")
    )
    with daemon.connect("redis") as good:
        good.ping()
        expect_refusal(daemon, "expired")
        good.ping()


def test_every_client_of_a_refused_server_is_closed(launch, server_with, certificates):
    peer = server_with("wrong_name")
    daemon = launch(Service("tls", connect=peer.address, CAfile=certificates.ca_file))
    for _ in range(5):
        expect_refusal(daemon, "name|match")


def test_hashed_directory_may_hold_several_authorities(
    launch, server_with, certificates, tmp_path
):
    path = hashed_directory(
        tmp_path / "both", certificates.ca_file, certificates.stranger.ca_file
    )
    for name in ("localhost", "untrusted"):
        peer = server_with(name)
        expect_trust(launch(Service("tls", connect=peer.address, CApath=path)))
