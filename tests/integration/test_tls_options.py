"""Each TLS option does what it says, as the server sees it."""

from __future__ import annotations

import ssl
import warnings

import pytest

from harness.daemon import Service
from harness.peers import Conversation, good_tls, greet, tls_context

HELLO = b"hello\r\n"


@pytest.fixture
def tunnel_to(launch, serve, certificates):
    """Starts a TLS server and a service to it; returns the daemon and the server."""

    def start(context=None, *, handler=greet, host="localhost", globals=None, **options):
        peer = serve(handler, tls=context or good_tls(certificates))
        options = {"connect": f"{host}:{peer.port}", "CAfile": certificates.ca_file, **options}
        return launch(Service("tls", **options), globals=globals), peer

    return start


def shake_hands(daemon, peer):
    """One tunnel; returns what the server learnt in its handshake."""
    with daemon.connect() as client:
        assert client.read(len(HELLO)) == HELLO
        return peer.next_handshake()


def expect_failure(daemon, *words: str) -> None:
    """The client is closed, and an error of the service has one of the words."""
    with daemon.connect() as client:
        client.expect_close()
    line = daemon.wait_for_log(r"LOG3\[[^]]*\]:[^\n]*Service \[tls\][^\n]*").group(0).lower()
    assert any(word in line for word in words), line


def old_tls_context(identity, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server that speaks nothing newer than the version."""
    context = tls_context(identity)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    return context


def test_newest_version_is_used_by_default(tunnel_to):
    assert shake_hands(*tunnel_to()).version == "TLSv1.3"


@pytest.mark.direct_only("the address is the bastion's to know")
def test_log_names_version_cipher_and_endpoint(tunnel_to):
    daemon, peer = tunnel_to()
    shake_hands(daemon, peer)
    daemon.wait_for_log(
        rf"LOG5\[[^]]*\]: .*\[tls\] connected to localhost:{peer.port} "
        rf"\(127\.0\.0\.1:{peer.port}\).*TLSv1\.3.*TLS_\w+.*new session.*\d ms"
    )


@pytest.mark.parametrize(
    "options, version",
    [
        ({"sslVersion": "TLSv1.2"}, "TLSv1.2"),
        ({"sslVersion": "TLSv1.3"}, "TLSv1.3"),
        ({"sslVersionMax": "TLSv1.2"}, "TLSv1.2"),
        ({"sslVersionMin": "TLSv1.3"}, "TLSv1.3"),
        ({"sslVersion": "all"}, "TLSv1.3"),
        ({"options": "NO_TLSv1_3"}, "TLSv1.2"),
        ({"options": ["NO_SSLv2", "NO_SSLv3", "NO_TLSv1_3"]}, "TLSv1.2"),
        ({"options": ["NO_TLSv1_3", "-NO_TLSv1_3"]}, "TLSv1.3"),
        ({"config": "MaxProtocol:TLSv1.2"}, "TLSv1.2"),
    ],
    ids=str,
)
def test_version_follows_the_options(tunnel_to, options, version):
    assert shake_hands(*tunnel_to(**options)).version == version


def test_server_without_tls_12_is_refused_by_default(tunnel_to, certificates):
    daemon, _ = tunnel_to(old_tls_context(certificates.localhost, ssl.TLSVersion.TLSv1_1))
    expect_failure(daemon, "version", "protocol")


def test_older_versions_work_when_asked_for(tunnel_to, certificates):
    daemon, peer = tunnel_to(
        old_tls_context(certificates.localhost, ssl.TLSVersion.TLSv1_1),
        sslVersionMin="TLSv1.1",
        securityLevel=0,
    )
    assert shake_hands(daemon, peer).version == "TLSv1.1"


def test_server_below_the_lowest_version_is_refused(tunnel_to, certificates):
    context = good_tls(certificates)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    daemon, _ = tunnel_to(context, sslVersionMin="TLSv1.3")
    expect_failure(daemon, "version", "protocol")


def test_ciphers_choose_the_tls_12_cipher(tunnel_to):
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    seen = shake_hands(*tunnel_to(sslVersion="TLSv1.2", ciphers=cipher))
    assert seen.cipher == cipher


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_ciphersuites_choose_the_tls_13_cipher(tunnel_to, suite):
    assert shake_hands(*tunnel_to(ciphersuites=suite)).cipher == suite


def test_config_commands_reach_openssl(tunnel_to):
    suite = "TLS_AES_128_GCM_SHA256"
    assert shake_hands(*tunnel_to(config=f"Ciphersuites:{suite}")).cipher == suite


def test_no_common_cipher_is_a_clear_error(tunnel_to, certificates):
    context = good_tls(certificates)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    daemon, _ = tunnel_to(context, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    expect_failure(daemon, "handshake")


def test_curves_are_offered_as_listed(tunnel_to, certificates):
    def p384_only() -> ssl.SSLContext:
        context = good_tls(certificates)
        context.set_ecdh_curve("secp384r1")
        return context

    shake_hands(*tunnel_to(p384_only(), curves="X25519:P-384"))
    daemon, _ = tunnel_to(p384_only(), curves="X25519:P-256")
    expect_failure(daemon, "handshake", "group", "curve")


def test_security_level_forbids_weaker_keys(tunnel_to, certificates):
    shake_hands(*tunnel_to(tls_context(certificates.rsa)))
    daemon, _ = tunnel_to(tls_context(certificates.rsa), securityLevel=3)
    expect_failure(daemon, "too small", "weak", "securitylevel")


def test_server_name_is_the_host_of_connect(tunnel_to):
    assert shake_hands(*tunnel_to()).server_name == "localhost"


def test_server_name_may_be_set(tunnel_to):
    seen = shake_hands(*tunnel_to(sni="other.cache.test", checkHost="localhost"))
    assert seen.server_name == "other.cache.test"


def test_empty_server_name_is_not_sent(tunnel_to):
    assert shake_hands(*tunnel_to(sni="")).server_name is None


def test_address_is_not_sent_as_server_name(tunnel_to):
    assert shake_hands(*tunnel_to(host="127.0.0.1")).server_name is None


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_sessions_are_resumed(tunnel_to, version):
    daemon, peer = tunnel_to(sslVersion=version, globals={"workers": 1})
    assert not shake_hands(daemon, peer).resumed
    for number in range(1, 5):
        daemon.wait_for_log("connection (closed|reset)", count=number)
        assert shake_hands(daemon, peer).resumed
    daemon.wait_for_log(r"connected to .* resumed session")


def test_resumed_sessions_survive_a_server_that_resets(tunnel_to):
    def hello_and_reset(talk: Conversation) -> None:
        talk.socket.sendall(HELLO)
        talk.read(1)
        talk.reset()

    daemon, peer = tunnel_to(handler=hello_and_reset)
    for _ in range(6):
        with daemon.connect() as client:
            assert client.read(len(HELLO)) == HELLO
            client.send(b"!")
            client.expect_close()
        peer.next_handshake()


def test_sessions_are_not_resumed_when_forbidden(tunnel_to):
    daemon, peer = tunnel_to(sessionResume="no")
    for number in range(1, 5):
        assert not shake_hands(daemon, peer).resumed
        daemon.wait_for_log("connection (closed|reset)", count=number)
    assert "resumed session" not in daemon.log()


def test_sessions_belong_to_one_endpoint(launch, serve, certificates):
    peers = [serve(greet, tls=good_tls(certificates)) for _ in range(2)]
    daemon = launch(
        Service(
            "tls",
            connect=[peer.address for peer in peers],
            failover="rr",
            CAfile=certificates.ca_file,
        ),
        globals={"workers": 1},
    )
    for number in range(1, 7):
        with daemon.connect() as client:
            assert client.read(len(HELLO)) == HELLO
        daemon.wait_for_log("connection (closed|reset)", count=number)
    for peer in peers:
        resumed = [peer.next_handshake().resumed for _ in range(3)]
        assert resumed == [False, True, True]


@pytest.mark.parametrize("kind", ["separate", "combined", "pkcs12"])
def test_client_certificate_is_shown(launch, redis_mutual, certificates, kind):
    client = certificates.client
    options = {
        "separate": {"cert": client.cert_file, "key": client.key_file},
        "combined": {"cert": client.combined_file},
        "pkcs12": {"cert": client.pkcs12_file()},
    }[kind]
    service = Service(
        "redis", connect=redis_mutual.address, CAfile=certificates.ca_file, **options
    )
    with launch(service).redis() as connection:
        assert connection.ping()


def test_server_that_wants_a_certificate_and_gets_none_is_a_clear_error(
    launch, redis_mutual, certificates
):
    daemon = launch(
        Service("redis", connect=redis_mutual.address, CAfile=certificates.ca_file)
    )
    with daemon.connect() as client:
        client.expect_close()
    daemon.wait_for_log(r"LOG[345]\[[^]]*\]:[^\n]*certificate required")


def test_client_certificate_of_the_service_is_the_one_shown(tunnel_to, certificates):
    context = good_tls(certificates)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    identity = certificates.other_client
    daemon, peer = tunnel_to(context, cert=identity.cert_file, key=identity.key_file)
    seen = shake_hands(daemon, peer)
    assert (("commonName", "other-client"),) in seen.client_certificate["subject"]


def test_sections_keep_their_own_tls_settings(launch, serve, certificates):
    peers = [serve(greet, tls=good_tls(certificates)) for _ in range(2)]
    daemon = launch(
        Service(
            "old", connect=peers[0].address, CAfile=certificates.ca_file, sslVersion="TLSv1.2"
        ),
        Service("new", connect=peers[1].address, CAfile=certificates.ca_file),
    )
    for name, peer, version in (("old", peers[0], "TLSv1.2"), ("new", peers[1], "TLSv1.3")):
        with daemon.connect(name) as client:
            assert client.read(len(HELLO)) == HELLO
        assert peer.next_handshake().version == version


def test_renegotiation_may_be_forbidden(tunnel_to):
    shake_hands(*tunnel_to(renegotiation="no", sslVersion="TLSv1.2"))
