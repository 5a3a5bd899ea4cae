"""Who is measured, and how each is set up. README.md says why.

All of them verify the server's certificate against the private authority and the name localhost,
speak TLS 1.3, resume sessions, keep connections alive, switch Nagle's algorithm off, run two
threads or processes where they have such a number, and log no connections.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

from bench.lab import Lab, free_port, run

WORKERS = 2
MAX_CLIENTS = 8192
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Target:
    """Where a load connects to, and the process whose costs count; 0: there is none."""

    port: int
    process: int
    speaks_tls: bool = False


@dataclass(frozen=True)
class Peer:
    """Something that stands between a plain client and the server; or nothing (a limit)."""

    name: str
    title: str
    version: Callable[[], str]
    set_up: Callable[[Lab, int], list[str]] | None
    is_limit: bool = False
    max_clients: int = MAX_CLIENTS
    only: tuple[str, ...] = ()  # loads that it is for; none named: all

    @contextlib.contextmanager
    def running(self, lab: Lab) -> Iterator[Target]:
        """A fresh one, so that nothing of an earlier load is in the figures of the next."""
        if self.set_up is None:
            yield Target(lab.tls_port, 0, speaks_tls=True)
            return
        port = free_port()
        with lab.running(self.name, self.set_up(lab, port), port) as process:
            yield Target(port, process)


def find(program: str) -> str | None:
    """Servers are not on everybody's path."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _version(program: str, option: str, pattern: str) -> Callable[[], str]:
    def ask() -> str:
        path = find(program)
        if path is None:
            return "missing"
        said = run("sh", "-c", f"'{path}' {option} 2>&1")
        match = re.search(pattern, said)
        return match.group(1) if match else said.split("\n", 1)[0]

    return ask


def _write(lab: Lab, name: str, text: str) -> str:
    path = lab.directory / name
    path.write_text(text)
    return str(path)


# --- cachetunnel ----------------------------------------------------------------------------------


def binary() -> str:
    """The daemon that is measured."""
    return str(ROOT / os.environ.get("CACHETUNNEL_BINARY", "build/cachetunnel"))


def cachetunnel_file(
    lab: Lab, port: int, workers: int = WORKERS, more: str = "", sandbox: str = "yes"
) -> str:
    """Its configuration."""
    return _write(
        lab,
        "cachetunnel.conf",
        f"""foreground = yes
syslog = no
debug = warning
workers = {workers}
sandbox = {sandbox}
[redis]
client = yes
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{lab.tls_port}
CAfile = {lab.ca_file}
checkHost = localhost
sni = localhost
sslVersion = TLSv1.3
{more}
""",
    )


def _cachetunnel_warm(lab: Lab, port: int) -> list[str]:
    return [binary(), cachetunnel_file(lab, port, more="warm = 8")]


def _cachetunnel(lab: Lab, port: int) -> list[str]:
    return [binary(), cachetunnel_file(lab, port)]


# --- the peers ------------------------------------------------------------------------------------


def _stunnel(lab: Lab, port: int) -> list[str]:
    path = _write(
        lab,
        "stunnel.conf",
        f"""foreground = yes
syslog = no
debug = warning
pid =
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
socket = l:SO_KEEPALIVE=1
socket = r:SO_KEEPALIVE=1
[redis]
client = yes
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{lab.tls_port}
CAfile = {lab.ca_file}
verifyChain = yes
checkHost = localhost
sni = localhost
sslVersion = TLSv1.3
sessionCacheSize = {MAX_CLIENTS}
""",
    )
    return [find("stunnel4") or "stunnel", path]


HAPROXY_COMMON = f"""global
    nbthread {WORKERS}
    maxconn {MAX_CLIENTS}
defaults
    mode tcp
    timeout connect 10s
    timeout client 24h
    timeout server 24h
    option clitcpka
    option srvtcpka
"""


def _haproxy(lab: Lab, port: int) -> list[str]:
    path = _write(
        lab,
        "haproxy.conf",
        HAPROXY_COMMON
        + f"""listen redis
    bind 127.0.0.1:{port}
    server redis 127.0.0.1:{lab.tls_port} ssl verify required ca-file {lab.ca_file} \
verifyhost localhost sni str(localhost) ssl-min-ver TLSv1.3
""",
    )
    return [find("haproxy") or "haproxy", "-db", "-f", path]


def _haproxy_plain(lab: Lab, port: int) -> list[str]:
    path = _write(
        lab,
        "haproxy-plain.conf",
        HAPROXY_COMMON
        + f"""listen redis
    bind 127.0.0.1:{port}
    server redis 127.0.0.1:{lab.plain_port}
""",
    )
    return [find("haproxy") or "haproxy", "-db", "-f", path]


def _nginx_module() -> str:
    for directory in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules"):
        path = Path(directory) / "ngx_stream_module.so"
        if path.exists():
            return f"load_module {path};"
    return ""  # built in


def _nginx(lab: Lab, port: int) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    path = _write(
        lab,
        "nginx.conf",
        f"""{_nginx_module()}
{user}
daemon off;
pid {lab.directory}/nginx.pid;
error_log stderr warn;
worker_processes {WORKERS};
worker_rlimit_nofile {4 * MAX_CLIENTS};
events {{
    worker_connections {4 * MAX_CLIENTS};
}}
stream {{
    server {{
        listen 127.0.0.1:{port} so_keepalive=on backlog=4096;
        proxy_pass 127.0.0.1:{lab.tls_port};
        proxy_timeout 24h;
        proxy_socket_keepalive on;
        proxy_ssl on;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {lab.ca_file};
        proxy_ssl_name localhost;
        proxy_ssl_server_name on;
        proxy_ssl_protocols TLSv1.3;
        proxy_ssl_session_reuse on;
    }}
}}
""",
    )
    return [find("nginx") or "nginx", "-p", str(lab.directory), "-c", path]


def _socat(lab: Lab, port: int) -> list[str]:
    return [
        find("socat") or "socat",
        f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=4096,nodelay,keepalive",
        f"OPENSSL:127.0.0.1:{lab.tls_port},cafile={lab.ca_file},verify=1,commonname=localhost,"
        "snihost=localhost,openssl-min-proto-version=TLS1.3,nodelay,keepalive",
    ]


CACHETUNNEL = Peer(
    "cachetunnel",
    "cachetunnel",
    lambda: run(binary(), "--version").split("\n", 1)[0].removeprefix("cachetunnel "),
    _cachetunnel,
)
PEERS = (
    CACHETUNNEL,
    Peer("nginx", "nginx stream", _version("nginx", "-v", r"nginx/(\S+)"), _nginx),
    Peer("haproxy", "HAProxy", _version("haproxy", "-v", r"version (\S+?)-"), _haproxy),
    Peer("stunnel", "stunnel", _version("stunnel4", "-version", r"stunnel (\S+)"), _stunnel),
    # A process for each connection.
    Peer(
        "socat",
        "socat",
        _version("socat", "-V", r"socat version (\S+)"),
        _socat,
        max_clients=50,
    ),
    Peer(
        "warm",
        "cachetunnel, warm = 8",
        CACHETUNNEL.version,
        _cachetunnel_warm,
        is_limit=True,
        only=("connect-paced",),
    ),
    Peer("direct", "no tunnel, client does TLS", lambda: "-", None, is_limit=True),
    Peer(
        "plain",
        "HAProxy, no TLS at all",
        _version("haproxy", "-v", r"version (\S+?)-"),
        _haproxy_plain,
        is_limit=True,
    ),
)
