"""A laptop wakes from sleep: what may have changed meanwhile is looked at, at once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from harness.daemon import Service, binary_path
from harness.peers import Conversation, good_tls, greet, hold
from harness.waiting import is_sanitised, wait_for

SOURCE = Path(__file__).parent / "preload" / "sleep.c"
NAME = "master.moving.test"
TCP_REPAIR = 19  # linux/tcp.h

pytestmark = pytest.mark.skipif(
    is_sanitised(binary_path()), reason="sanitizers want to be loaded first"
)


@pytest.fixture
def night(tmp_path):
    """A night's sleep: the environment that a daemon needs for it, and the file that ends it."""
    library, slept = tmp_path / "sleep.so", tmp_path / "slept"
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SLEPT_IF": str(slept)}, slept


@pytest.mark.direct_only("names are looked up beyond a bastion")
def test_watched_names_are_looked_up_at_once(launch, serve, name_server, night):
    """The primary has moved over night, and the next look would be in five minutes."""
    env, slept = night
    old = serve(greet)
    name_server.set(NAME, "127.0.0.1", ttl=300)
    daemon = launch(
        Service(
            "redis", connect=f"{NAME}:{old.port}", plain="yes", role="primary", dnsWatch=300
        ),
        globals={"resolver": name_server.address, "dnsCache": 300, "workers": 1},
        env=env,
    )
    with daemon.connect() as client:
        client.read(7)
        wait_for(lambda: name_server.count(NAME) >= 4, "it is watched")  # twice, both families
        asked = name_server.count(NAME)
        name_server.set(NAME, "127.0.1.1", ttl=300)
        slept.touch()
        daemon.wait_for_log("this machine has slept for 3600 s")
        wait_for(lambda: name_server.count(NAME) > asked, "the name is looked up")
        client.expect_close()
    daemon.wait_for_log("has moved away")


def test_uptime_has_the_night_in_it(controlled, to_redis, night):
    env, slept = night
    _, control = controlled(to_redis(), env=env)
    assert control.status()["uptime_s"] < 3600
    slept.touch()
    assert 3600 <= control.status()["uptime_s"] < 7200


def test_warm_connections_are_made_anew(launch, serve, certificates, night):
    env, slept = night
    peer = serve(hold, tls=good_tls(certificates))
    daemon = launch(
        Service("redis", connect=peer.address, CAfile=certificates.ca_file, warm=1),
        globals={"workers": 1},
        env=env,
    )
    peer.next_handshake()
    slept.touch()
    daemon.wait_for_log("a warm connection [^\n]*is dropped: this machine has slept")
    peer.next_handshake()
    assert daemon.log().count("this machine has slept for") == 1


@pytest.mark.direct_only("it names its own bastion")
def test_bastions_are_asked_for_a_sign_of_life_at_once(
    launch, through, make_sshd, to_redis, night
):
    env, slept = night
    server = make_sshd(LogLevel="DEBUG3")
    daemon = launch(
        to_redis(bastion="hop"), bastions=(through(server, aliveInterval=300),), env=env
    )
    with daemon.connect() as client:
        client.ping()
        slept.touch()
        daemon.wait_for_log("this machine has slept")
        server.wait_for_log(r"server_input_channel_open: ctype probe@cachetunnel")
        client.ping()


@pytest.mark.direct_only("a bastion's own connections end with it")
def test_servers_are_asked_for_a_sign_of_life_at_once(launch, serve, night):
    """One that has forgotten us over night says so when it is asked, which would else be in 100
    seconds."""
    env, slept = night
    forget = threading.Event()

    def vanish(talk: Conversation) -> None:
        """The socket goes without a word to anybody: TCP_REPAIR, as for moving containers."""
        talk.socket.sendall(b"+PONG\r\n")
        forget.wait(60)
        talk.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        talk.socket.close()
        forgotten.set()

    forgotten = threading.Event()
    peer = serve(vanish)
    daemon = launch(
        Service("redis", connect=peer.address, plain="yes", TIMEOUTdead=300),
        globals={"workers": 1},
        env=env,
    )
    with daemon.connect() as client:
        client.read(7)
        forget.set()
        assert forgotten.wait(60)
        slept.touch()
        daemon.wait_for_log("this machine has slept")
        client.expect_close()
