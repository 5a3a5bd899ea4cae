"""How names become addresses: what is remembered and for how long, and what happens in trouble."""

from __future__ import annotations

import socket

import pytest

from harness.daemon import Service
from harness.name_server import AAAA, A
from harness.peers import FullBacklog, send_then_close
from harness.waiting import wait_for

NAME = "master.demo.abc123.use1.cache.test"
pytestmark = pytest.mark.direct_only("a bastion looks names up by itself")


@pytest.fixture
def places(serve):
    """Two servers on one port, which say which of two loopback addresses they have."""
    first = serve(send_then_close(b"first"), address=("127.0.1.1", 0))
    serve(send_then_close(b"second"), address=("127.0.1.2", first.port))
    return {"first": "127.0.1.1", "second": "127.0.1.2", "port": first.port}


@pytest.fixture
def launch_named(launch, name_server, places):
    """Starts a daemon whose one service connects to NAME."""

    def start(service: dict | None = None, **options):
        return launch(
            Service("named", connect=f"{NAME}:{places['port']}", plain="yes", **(service or {})),
            globals={"workers": 1, "resolver": name_server.address, **options},
        )

    return start


def visit(daemon) -> bytes:
    """What the server says that a new client is led to."""
    with daemon.connect() as client:
        return client.drain()[0]


def test_answer_is_used_for_as_long_as_it_says(launch_named, name_server, places):
    name_server.set(NAME, places["first"], ttl=3600)
    daemon = launch_named(dnsCache=3600)
    assert [visit(daemon) for _ in range(5)] == [b"first"] * 5
    assert name_server.count(NAME, A) == 1


def test_answer_that_holds_for_no_time_is_asked_for_each_time(launch_named, name_server, places):
    name_server.set(NAME, places["first"], ttl=0)
    daemon = launch_named()
    assert visit(daemon) == b"first"
    name_server.set(NAME, places["second"], ttl=0)
    assert visit(daemon) == b"second"
    assert name_server.count(NAME, A) == 2


def test_alias_bounds_how_long_an_answer_holds(launch_named, name_server, places):
    node = "demo-001.demo.abc123.use1.cache.test"
    name_server.set(NAME, places["first"], ttl=3600, alias=node, alias_ttl=0)
    daemon = launch_named()
    assert visit(daemon) == b"first"
    name_server.set(NAME, places["second"], ttl=3600, alias=node, alias_ttl=0)
    assert visit(daemon) == b"second"


def test_cache_bounds_how_long_an_answer_is_used(launch_named, name_server, places):
    name_server.set(NAME, places["first"], ttl=3600)
    daemon = launch_named(dnsCache=0)
    assert visit(daemon) == b"first"
    name_server.set(NAME, places["second"], ttl=3600)
    assert visit(daemon) == b"second"


def test_cached_answer_grows_old(launch_named, name_server, places):
    name_server.set(NAME, places["first"], ttl=3600)
    daemon = launch_named(dnsCache=1)
    assert visit(daemon) == b"first"
    name_server.set(NAME, places["second"], ttl=3600)
    wait_for(lambda: visit(daemon) == b"second", "the new address is used")


def test_those_who_ask_together_share_one_question(launch_named, name_server, places):
    name_server.set(NAME, places["first"], ttl=0)
    name_server.conduct.silent = True
    daemon = launch_named()
    clients = [daemon.connect() for _ in range(20)]
    daemon.wait_for_log("accepted connection", count=20)
    name_server.conduct.silent = False  # the question is repeated after a second
    for client in clients:
        with client:
            assert client.drain()[0] == b"first"
    assert len({q.number for q in name_server.questions if q.kind == A}) == 1


def test_answer_that_was_cut_is_fetched_over_tcp(launch_named, name_server, places):
    name_server.set(NAME, places["first"])
    name_server.conduct.truncates = True
    assert visit(launch_named()) == b"first"
    transports = [q.transport for q in name_server.questions if q.kind == A]
    assert transports == ["udp", "tcp"]


def test_edns_is_offered(launch_named, name_server, places):
    name_server.set(NAME, places["first"])
    visit(launch_named())
    assert {question.payload_size for question in name_server.questions} == {1232}


def test_nobody_waits_for_a_family_that_is_not_answered(launch_named, name_server, places):
    name_server.set(NAME, places["first"])
    name_server.conduct.drops = {AAAA}
    assert visit(launch_named({"TIMEOUTconnect": 5})) == b"first"


def test_lost_question_is_asked_again(launch_named, name_server, places):
    name_server.set(NAME, places["first"])
    name_server.conduct.silent = True
    daemon = launch_named()
    with daemon.connect() as client:
        wait_for(lambda: name_server.count(NAME, A) == 1, "the question is asked")
        name_server.conduct.silent = False
        assert client.drain()[0] == b"first"


def test_failure_is_explained(launch_named, name_server):
    name_server.conduct.fails = True
    daemon = launch_named()
    assert visit(daemon) == b""
    daemon.wait_for_log(rf"cannot look up '{NAME}': no useful answer")


def test_failure_is_remembered_briefly(launch_named, name_server, places):
    daemon = launch_named()
    assert visit(daemon) == b""
    daemon.wait_for_log(rf"cannot look up '{NAME}': there is no such name")
    name_server.set(NAME, places["first"])
    wait_for(lambda: visit(daemon) == b"first", "the name is looked up again")


def test_last_good_address_stands_in_for_a_name_that_fails(launch_named, name_server, places):
    name_server.set(NAME, places["first"], ttl=0)
    daemon = launch_named()
    assert visit(daemon) == b"first"
    name_server.conduct.fails = True
    assert visit(daemon) == b"first"
    daemon.wait_for_log(rf"LOG4[^\n]*'{NAME}' cannot be looked up now[^\n]*last address")
    assert visit(daemon) == b"first"
    name_server.conduct.fails = False
    name_server.set(NAME, places["second"], ttl=0)
    wait_for(lambda: visit(daemon) == b"second", "the new address is used")
    daemon.wait_for_log(rf"'{NAME}' can be looked up again")
    assert daemon.log().count("cannot be looked up now") == 1


def test_last_good_address_stands_in_for_an_answer_that_is_late(
    launch_named, name_server, places
):
    name_server.set(NAME, places["first"], ttl=0)
    daemon = launch_named()
    assert visit(daemon) == b"first"
    name_server.conduct.silent = True
    assert visit(daemon) == b"first"
    daemon.wait_for_log(r"cannot be looked up now \(the name servers take their time\)")


def test_nothing_stands_in_for_a_name_that_is_gone(launch_named, name_server, places):
    name_server.set(NAME, places["first"], ttl=0)
    daemon = launch_named()
    assert visit(daemon) == b"first"
    name_server.remove(NAME)
    assert visit(daemon) == b""
    daemon.wait_for_log(r"there is no such name")


def test_changed_hosts_and_servers_are_read_again(launch, namespace, make_name_server):
    """A laptop changes networks: /etc/resolv.conf names another server, /etc/hosts another place."""
    place = namespace()
    listeners = {}
    for last in (1, 2, 3):
        listener = place.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((f"127.0.1.{last}", 7000))
        listener.listen(8)
        listener.settimeout(15)
        listeners[last] = listener
    home, office = (make_name_server(f"127.0.0.{last}", 53, place.socket) for last in (1, 2))
    home.set(NAME, "127.0.1.1", ttl=3600)
    office.set(NAME, "127.0.1.2", ttl=3600)
    (place.directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    daemon = launch(
        Service("named", connect=f"{NAME}:7000", plain="yes"),
        prefix=place.prefix,
        globals={"workers": 1, "dnsCache": 3600},
    )

    def expect(last: int) -> None:
        with place.connect(daemon.port()):
            listeners[last].accept()[0].close()

    expect(1)
    (place.directory / "resolv.conf").write_text("nameserver 127.0.0.2\n")
    expect(2)
    (place.directory / "hosts").write_text(f"127.0.1.3 {NAME}\n")
    expect(3)
    for listener in listeners.values():
        listener.close()


# The race of addresses


def test_silent_address_holds_up_nobody(launch_named, name_server, places):
    """The first address drops everything; the second is begun with long before it times out."""
    full = FullBacklog(("127.0.1.3", places["port"]))
    name_server.set(NAME, "127.0.1.3", places["second"])
    daemon = launch_named({"TIMEOUTconnect": 300})
    assert visit(daemon) == b"second"
    full.close()


def test_families_take_turns(launch, name_server, serve):
    """Two IPv6 addresses that refuse come before one IPv4 address in the answer, not in the race."""
    answers = serve(send_then_close(b"four"), address=("127.0.1.1", 0))
    name_server.set(NAME, "100::1", "::1", "127.0.1.1")
    daemon = launch(
        Service("named", connect=f"{NAME}:{answers.port}", plain="yes"),
        globals={"resolver": name_server.address},
    )
    assert visit(daemon) == b"four"
