"""The daemon under test: its configuration file, its process, its log, and clients of it."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
from pathlib import Path

import redis

from harness.client import Client
from harness.ports import free_port, listening_ports
from harness.process import is_alive
from harness.waiting import deadline_scale, is_sanitised, wait_for

REPOSITORY = Path(__file__).resolve().parents[3]
LOG_LINE = re.compile(
    r"^\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d LOG(?P<level>[0-7])\[(?P<id>[^\]]*)\]: (?P<text>.*)$"
)
SANITIZER_REPORT = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|UndefinedBehaviorSanitizer"
)
START_TIMEOUT_S = 15
STOP_TIMEOUT_S = 15


def binary_path() -> str:
    """The binary under test: CACHETUNNEL_BINARY, or the one that `make` builds."""
    path = os.environ.get("CACHETUNNEL_BINARY", "build/cachetunnel")
    return str(REPOSITORY / path)


def is_stand_in() -> bool:
    """Whether stunnel runs in the daemon's place, to try the tests themselves."""
    return Path(binary_path()).name.startswith("stunnel")


def repetitions(count: int) -> int:
    """How often to do what should leave nothing behind. A sanitizer needs no crowd to see a leak,
    and memory is not measured there: a quarter will do."""
    return count // 4 if is_sanitised(binary_path()) else count


def clean_environment() -> dict[str, str]:
    """Our environment without what changes the daemon's behaviour."""
    unwanted = {"SSL_CERT_FILE", "SSL_CERT_DIR", "NOTIFY_SOCKET", "LISTEN_FDS", "OPENSSL_CONF"}
    unwanted |= {"SSH_AUTH_SOCK", "CACHETUNNEL_SSH"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


class Service:
    """A section. `accept` left out gets a free port on loopback at each start."""

    def __init__(self, name: str, accept=None, **options):
        self.name = name
        self.options = options
        self.accept = accept if accept is None or isinstance(accept, list) else [accept]
        self.port = 0
        if self.accept and not self.accept[0].startswith("/"):
            self.port = int(self.accept[0].rsplit(":", 1)[-1])


class Bastion:
    """A section `[bastion NAME]`."""

    def __init__(self, name: str, **options):
        self.name = name
        self.options = options


def _lines(options: dict) -> list[str]:
    """`name = value` lines; a list repeats the option, None leaves it out."""
    lines = []
    for name, value in options.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if item is not None:
                lines.append(f"{name} = {item}")
    return lines


class Daemon:
    """One run of the daemon."""

    # Where every service that names no bastion goes through, to run its tests on that stack.
    stack: Bastion | None = None

    def __init__(
        self,
        directory: Path,
        services: list[Service],
        *,
        globals: dict | None = None,
        text: str | None = None,
        env: dict | None = None,
        prefix: tuple[str, ...] = (),
        arguments: list[str] | None = None,
        stderr: int | None = None,
        expect_status: int = 0,
        limits: dict[int, tuple[int, int]] | None = None,
        ready=None,
        bastions: tuple[Bastion, ...] = (),
    ):
        """`text` replaces the configuration as a whole; `ready` replaces the wait for ports."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.services = services
        self.bastions = [*bastions, self.stack] if self.stack else list(bastions)
        # Clients of an endpoint that cannot be reached are told at once, and by the close alone.
        plain = {} if is_stand_in() else {"TIMEOUThold": 0, "errors": "close"}
        # Daemons side by side would all want the same control socket.
        plain.update({} if is_stand_in() else {"control": "no"})
        self.globals = {"foreground": "yes", "syslog": "no", "debug": 7, **plain, **(globals or {})}
        self.text = text
        self.prefix = prefix
        self.arguments = arguments
        self.config_file = directory / "cachetunnel.conf"
        self.log_file = directory / "stderr.log"
        self.expect_status = expect_status
        self.ready = ready
        self.limits = limits or {}
        self._stderr = stderr
        self._env = env or {}
        self.process: subprocess.Popen | None = None
        self.stopped = False

    # Starting

    def render(self, keep_ports: bool = False) -> str:
        """The configuration file's text, with a fresh port for each service that wants one."""
        lines = _lines(self.globals)
        for bastion in self.bastions:
            lines += ["", f"[bastion {bastion.name}]", *_lines(bastion.options)]
        taken = {service.port for service in self.services if service.accept or keep_ports}
        for service in self.services:
            accept = service.accept
            if accept is None:
                if not keep_ports or not service.port:
                    service.port = free_port(taken)
                taken.add(service.port)
                accept = [f"127.0.0.1:{service.port}"]
            lines += ["", f"[{service.name}]", "client = yes"]
            way = {"bastion": self.stack.name} if self.stack else {}
            lines += _lines({"accept": accept, **way, **service.options})
            if is_stand_in() and not {"verifyChain", "verifyPeer", "verify"} & set(service.options):
                lines.append("verifyChain = yes" if "CAfile" in service.options else "")
        return "\n".join(lines) + "\n"

    def environment(self) -> dict[str, str]:
        """Ours, with sanitizer reports going to files that are looked at when it stops."""
        env = clean_environment()
        reports = f"log_path={self.directory}/sanitizer"
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            own = "print_stacktrace=1" if name == "UBSAN_OPTIONS" else ""
            env[name] = ":".join(filter(None, (env.get(name), own, reports)))
        if self.bastions:
            # libssh2 1.10 itself forgets a host key at every rekey, and the pair of a key exchange
            # that was broken off. Its frames have no names to be more precise with.
            suppressions = self.directory / "lsan.suppressions"
            suppressions.write_text("leak:libssh2.so\n", encoding="ascii")
            env["LSAN_OPTIONS"] = f"suppressions={suppressions}:print_suppressions=0"
            env["HOME"] = str(self.directory)  # no keys and known hosts of ours
        env.update(self._env)
        return env

    def command(self) -> list[str]:
        """The command line."""
        arguments = self.arguments
        if arguments is None:
            arguments = [str(self.config_file)]
            if not is_stand_in():
                arguments.insert(0, "-f")
        return [*self.prefix, binary_path(), *arguments]

    def start(self) -> "Daemon":
        """Starts it and returns when it listens. A port taken meanwhile means another attempt."""
        for _ in range(5):
            self.config_file.write_text(
                self.render() if self.text is None else self.text, encoding="utf-8"
            )
            self._spawn()
            try:
                outcome = wait_for(self._is_ready_or_dead, "the daemon listens", START_TIMEOUT_S)
            except AssertionError:
                self.kill()
                raise
            if outcome == "ready":
                return self
            if self.text is not None or not re.search("in use", self.log()):
                break
        self.stopped = True
        raise AssertionError(
            f"the daemon ended with status {self.process.returncode}:\n"
            f"{self.log()}{self.sanitizer_reports(with_log=False)}"
        )

    def _spawn(self) -> None:
        limits = self.limits

        def set_limits() -> None:
            for kind, values in limits.items():
                resource.setrlimit(kind, values)

        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log if self._stderr is None else self._stderr,
                env=self.environment(),
                preexec_fn=set_limits if limits else None,
                cwd=self.directory,
            )

    def _is_ready_or_dead(self) -> str:
        if self.process.poll() is not None:
            return "dead"
        if self.ready is not None:
            return "ready" if self.ready(self) else ""
        return "ready" if self._all_listen() and self._is_logged_in() else ""

    def _is_logged_in(self) -> bool:
        """Whether the stack's bastion is, where the log tells: what it costs is not a test's."""
        is_told = self.stack is not None and str(self.globals["debug"]) in ("5", "6", "7")
        return not is_told or not self.services or ": logged in to " in self.log()

    def _all_listen(self) -> bool:
        wanted = {service.port for service in self.services if service.port}
        paths = [
            address
            for service in self.services
            for address in service.accept or []
            if address.startswith("/")
        ]
        return wanted <= listening_ports(self.pid) and all(map(os.path.exists, paths))

    # While it runs

    @property
    def pid(self) -> int:
        """Its process id: the command's own, since prefixes exec."""
        return self.process.pid

    def port(self, name: str | None = None) -> int:
        """The local port of the service, or of the first one."""
        for service in self.services:
            if name in (None, service.name):
                return service.port
        raise KeyError(name)

    def connect(self, name: str | None = None, timeout: float = 15) -> Client:
        """A raw connection to the service."""
        address = ("127.0.0.1", self.port(name))
        return Client(socket.create_connection(address, timeout * deadline_scale()))

    def redis(self, name: str | None = None, **options) -> redis.Redis:
        """A Redis client of the service; each command may take a while before it fails."""
        options.setdefault("socket_timeout", 20 * deadline_scale())
        return redis.Redis("127.0.0.1", self.port(name), **options)

    def log(self) -> str:
        """Everything it wrote to stderr so far."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, pattern: str, timeout: float = 10, count: int = 1) -> re.Match:
        """Waits for the count-th match of the pattern; letters of either case are alike."""
        regex = re.compile(pattern, re.IGNORECASE)

        def found():
            matches = list(regex.finditer(self.log()))
            if len(matches) >= count:
                return matches[count - 1]
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended while waiting for {pattern!r}")
            return None

        return wait_for(found, f"log line {pattern!r}", timeout)

    def rewrite(self, *services: Service, text: str | None = None) -> None:
        """Puts another configuration file in the place of the present one, at once. Services that
        have a port keep it."""
        self.services = list(services) or self.services
        draft = self.config_file.with_suffix(".new")
        draft.write_text(self.render(keep_ports=True) if text is None else text, encoding="utf-8")
        draft.rename(self.config_file)

    def reload(self, *services: Service, text: str | None = None, fails: bool = False) -> None:
        """Rewrites the file, and has it read; returns when that is done as expected."""
        expected = "Nothing was changed by the reload" if fails else r"\]: Reloaded /"
        seen = len(re.findall(expected, self.log()))
        self.rewrite(*services, text=text)
        self.process.send_signal(signal.SIGHUP)
        self.wait_for_log(expected, count=seen + 1, timeout=20)

    # Stopping

    def wait_for_end(self) -> None:
        """Waits until it has ended by itself, and checks how."""
        wait_for(lambda: self.process.poll() is not None, "the daemon ends", STOP_TIMEOUT_S)
        self.stop()

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Asks it to stop and checks how it did."""
        if self.stopped:
            return
        self.stopped = True
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            status = self.process.wait(STOP_TIMEOUT_S * deadline_scale())
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still runs {STOP_TIMEOUT_S} s after a signal") from None
        self.check_sanitizers()
        expected = self.expect_status
        assert status == expected, f"exit status {status} instead of {expected}"

    def kill(self) -> None:
        """Ends it without ceremony."""
        self.stopped = True
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def sanitizer_reports(self, with_log: bool = True) -> str:
        """What sanitizers found, in their files or on stderr."""
        texts = [path.read_text(errors="replace") for path in self.directory.glob("sanitizer.*")]
        texts += [self.log()] if with_log else []
        return "\n".join(text for text in texts if SANITIZER_REPORT.search(text))

    def check_sanitizers(self) -> None:
        """Fails when a sanitizer has reported anything."""
        if is_sanitised(binary_path()):
            reports = self.sanitizer_reports()
            assert not reports, f"sanitizer report:\n{reports}"


def run_command(
    *arguments: str,
    stdin: str | None = None,
    env: dict | None = None,
    timeout: float = 20,
    prefix: tuple[str, ...] = (),
) -> subprocess.CompletedProcess:
    """Runs the binary to its end: `check`, `--help`, a start that fails."""
    return subprocess.run(
        [*prefix, binary_path(), *arguments],
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout * deadline_scale(),
        env={**clean_environment(), **(env or {})},
        check=False,
    )


class DetachedDaemon:
    """A daemon that left its parent, known by its pid file. We are its reaper (see process.py)."""

    def __init__(self, pid_file: Path):
        self.pid_file = pid_file
        self.pid = int(pid_file.read_text(encoding="ascii"))

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Asks it to stop; returns its exit status."""
        os.kill(self.pid, signal_number)
        wait_for(lambda: not is_alive(self.pid), "the daemon ends", STOP_TIMEOUT_S)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """For clean-up: whatever state it is in."""
        if is_alive(self.pid):
            os.kill(self.pid, signal.SIGKILL)
            wait_for(lambda: not is_alive(self.pid), "the daemon is killed", STOP_TIMEOUT_S)
