"""Real redis-servers, with and without TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import redis

from harness.certificates import Certificates, Identity
from harness.ports import free_port
from harness.waiting import wait_for


class RedisServer:
    """One redis-server on loopback; ready to serve once constructed."""

    def __init__(
        self,
        directory: Path,
        certificates: Certificates,
        identity: Identity | None = None,
        *,
        options: tuple[str, ...] = (),
        password: str | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        prefix: tuple[str, ...] = (),
        probe: bool = True,
    ):
        """With an identity it speaks TLS, without one it does not. `prefix` goes before the
        command (entering a namespace, say, where `probe` must be off)."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.certificates = certificates
        self.identity = identity
        self.password = password
        self.host = host
        self.unix_path = str(directory / "redis.sock")
        self._fixed_port = port
        self._options = options
        self._prefix = prefix
        self._probe = probe
        self._start()

    def _command(self) -> list[str]:
        port, tls_port = (0, self.port) if self.identity else (self.port, 0)
        command = [
            *self._prefix,
            "redis-server",
            *("--bind", self.host, "--port", str(port), "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            *("--maxclients", "9000", "--tcp-backlog", "4096", "--repl-diskless-sync-delay", "0"),
            *("--logfile", str(self.directory / "redis.log")),
        ]
        if self.identity:
            command += ["--tls-port", str(tls_port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", self.identity.cert_file]
            command += ["--tls-key-file", self.identity.key_file]
            command += ["--tls-ca-cert-file", self.certificates.ca_file]
        else:
            command += ["--unixsocket", self.unix_path]
        if self.password:
            command += ["--requirepass", self.password, "--masterauth", self.password]
        return [*command, *self._options]

    def _start(self) -> None:
        for attempt in range(5):
            self.port = self._fixed_port or free_port(host=self.host)
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            try:
                if wait_for(self._is_ready_or_dead, "redis-server answers", 20) == "ready":
                    return
            except AssertionError:
                self.stop()
                raise
            if attempt == 4:
                raise AssertionError(f"redis-server does not start:\n{self.log()}")

    def _is_ready_or_dead(self) -> str:
        if self.process.poll() is not None:
            return "dead"
        if not self._probe:
            return "ready" if "Ready to accept connections" in self.log() else ""
        try:
            with self.direct(socket_timeout=2) as client:
                client.ping()
        except (redis.RedisError, OSError) as error:
            # A server that asks for a client certificate or a password is up all the same.
            return "ready" if "certificate required" in str(error) else ""
        return "ready"

    def log(self) -> str:
        """What the server logged."""
        path = self.directory / "redis.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def direct(self, **options) -> redis.Redis:
        """A client of the server that does not pass through the daemon."""
        options.setdefault("socket_timeout", 20)
        if self.identity:
            client = self.certificates.client
            options.update(
                ssl=True,
                ssl_ca_certs=self.certificates.ca_file,
                ssl_certfile=client.cert_file,
                ssl_keyfile=client.key_file,
                ssl_check_hostname=False,
            )
        return redis.Redis(self.host, self.port, password=self.password, **options)

    @property
    def address(self) -> str:
        """What to write after `connect =`: the name its certificate is for."""
        return f"localhost:{self.port}"

    def stop(self) -> None:
        """Ends the server at once; it has nothing to save."""
        self.process.kill()
        self.process.wait()
