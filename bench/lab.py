"""A place to measure in: a directory, certificates, ports, a redis-server, and processes.

Nothing here knows what is measured. Everything that was started ends with the lab.
"""

from __future__ import annotations

import contextlib
import random
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Iterator, Sequence

START_DEADLINE_S = 20
STOP_DEADLINE_S = 20


class LabError(Exception):
    """Something could not be started; the text says what, and shows its own words."""


def free_port() -> int:
    """A port that nobody has now, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def run(*command: str, cwd: Path | None = None, stdin: bytes | None = None) -> str:
    """Runs a short command and returns what it says."""
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed: {(done.stderr or done.stdout).decode()}")
    return done.stdout.decode(errors="replace")


def ask_redis(port: int, *words: bytes) -> bytes:
    """One command in Redis's protocol, and the line that answers it."""
    request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    with socket.create_connection(("127.0.0.1", port), timeout=START_DEADLINE_S) as client:
        client.sendall(request)
        return client.makefile("rb").readline()


def answers_ping(port: int) -> bool:
    """Whether there is a Redis behind the port, as a plain client sees it."""
    with contextlib.suppress(OSError):
        return ask_redis(port, b"PING") == b"+PONG\r\n"
    return False


def _make_certificates(directory: Path) -> None:
    """An authority, and a certificate for localhost and 127.0.0.1 with a key on P-256."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("openssl", "req", "-x509", *key, "-days", "30", "-subj", "/CN=benchmark authority",
        "-keyout", "ca.key", "-out", "ca.crt", cwd=directory)
    run("openssl", "req", "-new", *key, "-subj", "/CN=localhost",
        "-keyout", "server.key", "-out", "server.csr", cwd=directory)
    (directory / "server.ext").write_text(
        "subjectAltName = DNS:localhost, IP:127.0.0.1\nextendedKeyUsage = serverAuth\n"
    )
    run("openssl", "x509", "-req", "-days", "30", "-in", "server.csr", "-CA", "ca.crt",
        "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "server.ext", "-out", "server.crt",
        cwd=directory)


class Lab:
    """Holds the server that every peer talks to, on a port with TLS and a plain one."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cachetunnel-bench."))
        self.plain_port = 0
        self.tls_port = 0
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)

    def __enter__(self) -> "Lab":
        try:
            _raise_descriptor_limit()
            _make_certificates(self.directory)
            self._start_redis()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def ca_file(self) -> Path:
        """The authority that the server's certificate comes from."""
        return self.directory / "ca.crt"

    def _start_redis(self) -> None:
        self.plain_port, self.tls_port = free_port(), free_port()
        self._stack.enter_context(
            self.running(
                "redis-server",
                ["redis-server", "--bind", "127.0.0.1", "--port", str(self.plain_port),
                 "--tls-port", str(self.tls_port), "--save", "", "--appendonly", "no",
                 "--tls-cert-file", "server.crt", "--tls-key-file", "server.key",
                 "--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "no",
                 "--tls-protocols", "TLSv1.3", "--maxclients", "20000",
                 "--client-output-buffer-limit", "pubsub", "0", "0", "0"],
                self.plain_port,
            )
        )
        ask_redis(self.plain_port, b"SET", b"small", b"xxx")

    def put(self, key: str, size: int) -> None:
        """Stores a value of that size under the key."""
        ask_redis(self.plain_port, b"SET", key.encode(), b"x" * size)

    @contextlib.contextmanager
    def running(self, name: str, command: Sequence[str], port: int) -> Iterator[int]:
        """Runs a server in the foreground until the block ends; gives its process, once it
        answers on its port."""
        log = self.directory / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            deadline = time.monotonic() + START_DEADLINE_S
            while not answers_ping(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    words = log.read_text(errors="replace")[-2000:]
                    raise LabError(f"{name} does not answer; its words were:\n{words}")
                time.sleep(0.01)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _raise_descriptor_limit() -> None:
    """Thousands of clients need thousands of descriptors, here and in all that is started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
