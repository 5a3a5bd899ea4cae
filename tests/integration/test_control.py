"""The control socket and the status port: what they tell, and to whom."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import threading

import pytest

from harness.control import Control
from harness.daemon import Service, binary_path, run_command
from harness.peers import closed_port, good_tls, greet, hold, refuse_with_error, tls_context
from harness.ports import free_port
from harness.process import status_field
from harness.waiting import deadline_scale, is_sanitised, wait_for

PATHS = ["/livez", "/readyz", "/startupz", "/status", "/metrics"]


@pytest.fixture
def with_port(controlled, to_redis):
    """Starts a daemon with a status port too; returns it, its socket and its port."""

    def start(*services, **globals):
        port = free_port()
        globals["statusListen"] = f"127.0.0.1:{port}"
        daemon, control = controlled(*(services or (to_redis(),)), globals=globals)
        return daemon, control, Control(port)

    return start


@pytest.mark.core
@pytest.mark.parametrize("path", PATHS)
def test_every_path_answers_on_both(with_port, path):
    _, local, port = with_port()
    for control in (local, port):
        answer = control.ask(path)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_head_is_answered_without_a_body(with_port):
    _, local, _ = with_port()
    answer = local.ask("/status", method="HEAD")
    assert (answer.status, answer.text) == (200, "")


def test_unknown_paths_and_methods_are_refused(with_port):
    _, local, port = with_port()
    assert local.ask("/nothing").status == 404
    assert local.ask("/../status").status == 404
    assert local.ask("/status", method="POST").status == 405
    assert local.ask("/stop").status == 405
    assert local.ask("/stop").headers["allow"] == "POST"
    assert port.ask("/status", method="DELETE").status >= 400


def test_orders_are_taken_on_the_control_socket_only(with_port):
    daemon, _, port = with_port()
    for path in ("/stop", "/reload"):
        assert port.ask(path, method="POST").status == 403
        assert port.ask(path).status == 403
    with daemon.connect() as client:
        client.ping()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:9900"},
        {"Host": "[::1].evil.example"},
        {"Host": "localhost:9900@evil.example"},
        {"Host": ""},
        {"Host": "192.0.2.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "https://localhost.evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_other_sites_learn_nothing(with_port, headers):
    _, _, port = with_port()
    for path in PATHS:
        answer = port.ask(path, headers=headers)
        assert answer.status == 403
        assert "redis" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "LOCALHOST:9900"},
        {"Host": "127.0.0.1:1"},
        {"Host": "[::1]:9900"},
        {"Host": "[::1]"},
        {"Origin": "http://localhost:9900"},
        {"Origin": "http://127.0.0.1:9900"},
    ],
    ids=str,
)
def test_this_machine_is_let_in(with_port, headers):
    _, _, port = with_port()
    assert port.ask("/status", headers=headers).status == 200


def test_a_foreign_name_in_the_request_line_is_refused(with_port):
    _, _, port = with_port()
    with socket.create_connection(("127.0.0.1", port.where), 20) as raw:
        raw.sendall(b"GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 403 " in raw.recv(4096)


@pytest.mark.core
def test_counters_after_known_traffic(controlled, serve, certificates):
    peer = serve(greet, tls=good_tls(certificates))
    service = Service("redis", connect=f"localhost:{peer.port}", CAfile=certificates.ca_file)
    daemon, control = controlled(service)
    for _ in range(3):
        with daemon.connect() as client:
            assert client.read(7) == b"hello\r\n"
            client.send(b"abc")
    wait_for(
        lambda: control.service()["counts"]["tunnels_ended"]["client_closed"] == 3,
        "three tunnels that ended",
    )
    with daemon.connect() as client:
        assert client.read(7) == b"hello\r\n"
        counts = control.service()["counts"]
        assert counts["tunnels_open"] == 1
        assert counts["tunnels_opened"] == 4
        assert counts["bytes_to_server"] == 9
        assert counts["bytes_to_client"] == 28  # of the open one too
        assert counts["connect"]["count"] == counts["handshake"]["count"] == 4
        assert counts["handshakes_new"] + counts["handshakes_resumed"] == 4
        one = control.status()["tunnels"]
        assert [tunnel["bytes_to_client"] for tunnel in one] == [7]
        assert one[0]["service"] == "redis" and one[0]["security"].startswith("TLS")
        labels = {"service": "redis"}
        assert control.metric("cachetunnel_tunnels_open", **labels) == 1
        assert control.metric("cachetunnel_tunnels_opened_total", **labels) == 4
        assert control.metric(
            "cachetunnel_relayed_bytes_total", direction="to_client", **labels
        ) == 28
        assert control.metric("cachetunnel_connect_duration_seconds_count", **labels) == 4
        assert control.metric(
            "cachetunnel_handshake_duration_seconds_bucket", le="+Inf", **labels
        ) == 4


def test_certificate_is_described(controlled, to_redis):
    daemon, control = controlled(to_redis())
    daemon.redis().ping()
    service = control.service()
    assert "'localhost'" in service["certificate"]["names"]
    assert service["certificate"]["days_left"] >= 0
    assert service["certificate"]["expires_at"].endswith("Z")
    tls = control.layer("tls")
    assert tls["state"] in ("up", "shaky")  # shaky where the certificate ends within days
    assert tls["detail"].startswith("TLSv1.")
    expiry = control.metric("cachetunnel_certificate_expiry_timestamp_seconds", service="redis")
    assert expiry > 1.7e9


def fail_once(daemon) -> None:
    """One client that gets no tunnel."""
    with daemon.connect() as client:
        client.drain()


@pytest.mark.direct_only("a bastion looks names up on its side")
def test_resolution_failure_is_told_with_its_kind(controlled):
    daemon, control = controlled(Service("redis", connect="no-such-name.invalid:6379"))
    fail_once(daemon)
    wait_for(lambda: control.layer("name")["state"] == "down", "the layer is down")
    assert "no-such-name.invalid" in control.layer("name")["error"]["text"]
    assert control.layer("connect")["state"] == "unknown"
    assert control.service()["state"] == "down"
    kinds = ("unknown_name", "name_server", "timeout", "other")
    counted = [
        control.metric("cachetunnel_resolution_failures_total", service="redis", kind=kind)
        for kind in kinds
    ]
    assert sum(counted) == 1


@pytest.mark.direct_only("counts the steps of a direct way")
def test_connect_failure_is_told_with_its_kind(controlled, certificates):
    service = Service("redis", connect=f"localhost:{closed_port()}", CAfile=certificates.ca_file)
    daemon, control = controlled(service)
    fail_once(daemon)
    wait_for(lambda: control.layer("connect")["state"] == "down", "the layer is down")
    assert control.layer("name")["state"] == "up"
    assert control.layer("tls")["state"] == "unknown"
    assert control.metric(
        "cachetunnel_connect_failures_total", service="redis", kind="refused"
    ) == 1
    assert control.metric(
        "cachetunnel_tunnels_closed_total", service="redis", reason="not_connected"
    ) == 1


@pytest.mark.parametrize(
    ("identity", "kind"),
    [("expired", "expired"), ("wrong_name", "wrong_name"), ("untrusted", "untrusted")],
)
def test_verification_failure_is_told_with_its_kind(
    controlled, serve, certificates, identity, kind
):
    peer = serve(greet, tls=tls_context(getattr(certificates, identity)))
    service = Service("redis", connect=f"localhost:{peer.port}", CAfile=certificates.ca_file)
    daemon, control = controlled(service)
    fail_once(daemon)
    wait_for(lambda: control.layer("tls")["state"] == "down", "the layer is down")
    assert control.metric(
        "cachetunnel_verification_failures_total", service="redis", kind=kind
    ) == 1


def test_a_layer_that_works_again_is_shaky_and_remembers(controlled, serve, certificates):
    port = free_port()
    service = Service("redis", connect=f"localhost:{port}", CAfile=certificates.ca_file)
    daemon, control = controlled(service)
    fail_once(daemon)
    wait_for(lambda: control.layer("connect")["state"] == "down", "the layer is down")
    serve(greet, tls=good_tls(certificates), address=("127.0.0.1", port))
    with daemon.connect() as client:
        client.read(7)
    layer = control.layer("connect")
    assert layer["state"] == "shaky"
    assert layer["error"]["text"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_metrics_please_promtool(controlled, to_redis):
    names = ["redis", 'quote"d', "back\\slash", "ümlaut", "<script>"]
    daemon, control = controlled(*[to_redis(name) for name in names])
    daemon.redis().ping()
    text = control.ask("/metrics").text
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_openmetrics_for_who_asks(controlled, to_redis):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    _, control = controlled(to_redis('quote"d'), to_redis("back\\slash"))
    answer = control.ask("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    families = {family.name: family for family in parser.text_string_to_metric_families(answer.text)}
    services = {s.labels["service"] for s in families["cachetunnel_tunnels_opened"].samples}
    assert services == {'quote"d', "back\\slash"}


# The socket's file


def test_socket_is_for_its_owner_and_goes_with_the_daemon(controlled, to_redis, socket_place):
    daemon, _ = controlled(to_redis())
    assert stat.S_IMODE(os.stat(socket_place.path).st_mode) == 0o600
    daemon.stop()
    assert not os.path.exists(socket_place.path)


def test_stale_socket_is_taken_over(controlled, to_redis, socket_place):
    daemon, _ = controlled(to_redis())
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.stopped = True
    assert os.path.exists(socket_place.path)
    _, control = controlled(to_redis())
    assert control.ask("/livez").status == 200


def test_live_socket_is_refused_with_its_owner(controlled, to_redis):
    daemon, control = controlled(to_redis())
    with pytest.raises(AssertionError, match=f"process {daemon.pid} listens there"):
        controlled(to_redis())
    assert control.ask("/livez").status == 200


def test_a_file_in_the_way_is_left_alone(controlled, to_redis, socket_place):
    with open(socket_place.path, "w", encoding="ascii") as file:
        file.write("precious")
    with pytest.raises(AssertionError, match="no socket"):
        controlled(to_redis())
    with open(socket_place.path, encoding="ascii") as file:
        assert file.read() == "precious"


def test_another_ones_socket_is_not_removed_at_the_end(controlled, to_redis, socket_place):
    daemon, _ = controlled(to_redis())
    os.unlink(socket_place.path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(socket_place.path)
        daemon.stop()
        assert os.path.exists(socket_place.path)


def test_two_daemons_share_a_default(launch, to_redis, tmp_path):
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    if os.geteuid() == 0:
        pytest.skip("root's default is not below XDG_RUNTIME_DIR")
    first = launch(to_redis(), globals={"control": "auto"}, env=env)
    second = launch(to_redis(), globals={"control": "auto"}, env=env)
    second.wait_for_log(f"process {first.pid} listens there")
    with second.connect() as client:
        client.ping()


# Hostile clients


def test_endless_headers_and_bodies_end(with_port):
    daemon, _, port = with_port()
    order = b"POST /reload HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"
    for start in (b"GET /status HTTP/1.1\r\n", order):
        with socket.create_connection(("127.0.0.1", port.where), 20 * deadline_scale()) as raw:
            try:
                raw.sendall(start)
                for _ in range(4096):
                    raw.sendall(b"X-Filler: " + b"a" * 1000 + b"\r\n")
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass  # it did not wait for the end
    assert port.ask("/livez").status == 200
    with daemon.connect() as client:
        client.ping()


@pytest.mark.heavy
def test_ten_thousand_idle_connections_are_no_burden(with_port):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 11000:
        pytest.skip("too few descriptors here")
    daemon, local, port = with_port()
    with daemon.connect() as client:
        client.ping()
        before = int(status_field(daemon.pid, "VmRSS").split()[0])
        idle = []
        try:
            for _ in range(10000):
                idle.append(socket.create_connection(("127.0.0.1", port.where), 60))
            # Whoever comes now is served all the same, here and there.
            assert port.ask("/status").status == 200
            assert local.ask("/status").status == 200
            client.ping()
            with daemon.connect() as another:
                another.ping()
            assert local.metric("process_open_fds") < 300
            after = int(status_field(daemon.pid, "VmRSS").split()[0])
            if not is_sanitised(binary_path()):  # which keep freed memory for a while
                assert after - before < 16 * 1024
        finally:
            for connection in idle:
                connection.close()


def test_a_silent_client_is_cut_off(with_port):
    _, _, port = with_port()
    with socket.create_connection(("127.0.0.1", port.where), 60 * deadline_scale()) as raw:
        raw.sendall(b"GET /livez HT")
        try:
            assert raw.recv(100) == b""
        except ConnectionResetError:
            pass


@pytest.mark.core
def test_many_who_ask_at_once_under_load(controlled, to_redis):
    daemon, control = controlled(to_redis())
    failures = []

    # Endpoints are looked at every two seconds at most, however many ask: so the last part waits.
    paths = ["/status", "/metrics"] * 10 + ["/readyz?upstream=1"] * 2

    def ask() -> None:
        for path in paths:
            answer = control.ask(path)
            if answer.status not in (200, 503):
                failures.append(answer)

    def use() -> None:
        for _ in range(15):
            client = daemon.redis()
            client.set("control", "x" * 1000)
            client.close()

    threads = [threading.Thread(target=target) for target in [ask, use] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    counts = control.service()["counts"]
    assert counts["tunnels_opened"] == 60


# The endpoints


@pytest.mark.core
def test_endpoint_that_answers_ping_is_up(controlled, to_redis):
    daemon, control = controlled(to_redis("one"), to_redis("two"))
    result = run_command("wait", "--upstream", "-c", control.where)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("one", "two"):
        assert control.layer("redis", name)["state"] in ("up", "shaky")
        assert control.service(name)["counts"]["tunnels_opened"] == 0
    answer = control.ask("/readyz?upstream=1")
    assert (answer.status, answer.text) == (200, "running\n[one] up\n[two] up\n")
    with daemon.connect("two") as client:
        client.ping()


def test_endpoint_that_cannot_be_reached_is_down(controlled, certificates):
    service = Service("redis", connect=f"localhost:{closed_port()}", CAfile=certificates.ca_file)
    _, control = controlled(service)
    assert control.ask("/readyz").status == 200
    answer = control.ask("/readyz?upstream=1")
    assert answer.status == 503
    assert "[redis] down: " in answer.text
    result = run_command("wait", "--upstream", "--for", "1", "-c", control.where)
    assert result.returncode == 1
    assert "[redis] down" in result.stderr


def test_noauth_counts_as_up(controlled, serve, certificates):
    refusal = refuse_with_error(b"-NOAUTH Authentication required.\r\n")
    peer = serve(refusal, tls=good_tls(certificates))
    service = Service("redis", connect=f"localhost:{peer.port}", CAfile=certificates.ca_file)
    _, control = controlled(service)
    assert control.ask("/readyz?upstream=1").status == 200


def test_other_errors_are_no_sign_of_life(controlled, serve, certificates):
    peer = serve(refuse_with_error(b"-WHO are you\r\n"), tls=good_tls(certificates))
    service = Service("redis", connect=f"localhost:{peer.port}", CAfile=certificates.ca_file)
    _, control = controlled(service)
    answer = control.ask("/readyz?upstream=1")
    assert answer.status == 503
    assert "WHO are you" in answer.text
    assert control.layer("redis")["state"] == "down"


def test_endpoint_that_is_silent_is_not_waited_for(controlled, serve, certificates):
    peer = serve(hold, tls=good_tls(certificates))
    service = Service("redis", connect=f"localhost:{peer.port}", CAfile=certificates.ca_file)
    daemon, control = controlled(service)
    assert control.ask("/readyz?upstream=1").status == 503
    assert control.layer("redis")["state"] == "unknown"
    daemon.stop()  # while the look goes on


@pytest.mark.heavy
def test_who_asks_while_one_look_goes_on_gets_the_next(controlled, serve, certificates):
    peer = serve(hold, tls=good_tls(certificates))
    service = Service(
        "redis", connect=f"localhost:{peer.port}", CAfile=certificates.ca_file, TIMEOUTbusy=6
    )
    daemon, control = controlled(service)
    first = control.open()
    first.request("GET", "/readyz?upstream=1")
    daemon.wait_for_log("securing -> ended")
    # Some 12 s: the patience with the first look, the interval, and the patience with the second.
    assert control.ask("/readyz?upstream=1").status == 503
    assert first.getresponse().status == 503
    first.close()


# Orders


def test_stop_is_an_order(controlled, to_redis):
    daemon, control = controlled(to_redis())
    assert control.ask("/stop", method="POST").status == 202
    assert daemon.process.wait(20 * deadline_scale()) == 0
    daemon.stop()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("statusListen = 0.0.0.0:9900", "of this machine alone"),
        ("statusListen = 192.0.2.1:9900", "of this machine alone"),
        ("statusListen = /run/x.sock", "of this machine alone"),
        ("control = relative/path", "begins with '/'"),
    ],
)
def test_bad_settings_are_refused(tmp_path, line, reason):
    config = tmp_path / "bad.conf"
    config.write_text(f"{line}\n[redis]\nclient = yes\naccept = 1\nconnect = localhost:1\n")
    result = run_command("check", str(config))
    assert result.returncode == 1
    assert reason in result.stderr


def bastion_layer(control: Control) -> dict:
    """What the status tells of the only service's bastion."""
    layers = control.status()["services"][0]["layers"]
    return next(layer for layer in layers if layer["layer"] == "bastion")


def test_bastion_is_a_layer_of_its_own(controlled, to_redis, through, make_sshd):
    server = make_sshd()
    bastion = through(server)
    daemon, control = controlled(to_redis(bastion=bastion.name), bastions=(bastion,))
    assert bastion_layer(control)["state"] == "unknown"
    with daemon.connect() as client:
        client.ping()
    assert bastion_layer(control)["state"] == "up"


def test_bastion_that_is_down_is_told_by_its_layer(controlled, to_redis, through, make_sshd):
    server = make_sshd()
    bastion = through(server)
    server.kill()
    daemon, control = controlled(to_redis(bastion=bastion.name), bastions=(bastion,))
    with daemon.connect() as client:
        client.expect_close()
    layer = bastion_layer(control)
    assert layer["state"] == "down"
    assert "refused" in str(layer["error"])
