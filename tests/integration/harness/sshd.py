"""Real sshds on loopback, each with its own keys, configuration and log."""

from __future__ import annotations

import functools
import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness.ports import free_port
from harness.process import is_alive
from harness.ssh_keys import KeyPair, UserKeys, generate
from harness.waiting import wait_for

HOST_KEY_TYPES = ("ed25519", "ecdsa")
ALL_HOST_KEY_TYPES = (*HOST_KEY_TYPES, "rsa")
_SEPARATION_DIRECTORY = Path("/run/sshd")


def login_user() -> str:
    """Whoever runs the tests: only as root could sshd make somebody else of itself."""
    return getpass.getuser()


def find_sshd() -> str:
    """The server's program, which sshd itself wants to have by its full path."""
    path = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip("needs OpenSSH's sshd")
    return path


@functools.cache
def _knows_penalties(program: str) -> bool:
    """Whether it shuts out for a while who fails often, as it does since 9.8."""
    command = [program, "-G", "-f", "/dev/null", "-o", "PerSourcePenalties=no"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def make_old_program(path: Path) -> str:
    """A copy of the server's program that calls itself OpenSSH 7.1; the path itself."""
    content = Path(find_sshd()).read_bytes()
    version = re.search(rb"OpenSSH_(\d+\.\d+)p\d", content)
    if version is None:
        pytest.skip("another program of this OpenSSH tells the version")
    old = b"7.1".ljust(len(version[1]), b"0")
    path.write_bytes(content.replace(b"OpenSSH_" + version[1], b"OpenSSH_" + old))
    path.chmod(0o755)
    return str(path)


def _stat_fields(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return []


def descendants(root: int) -> list[int]:
    """Every process below `root`, parents first."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        fields = _stat_fields(int(name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


_PAM_SERVICE = """auth required pam_unix.so
account required pam_unix.so
session required pam_permit.so
"""


def make_accounts(directory: Path, accounts: dict[str, str]) -> tuple[str, ...]:
    """A prefix that runs a command where these users exist, and nowhere else: in a mount namespace
    with files of their own."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs root, and may not make a mount namespace otherwise")
    directory.mkdir(parents=True)
    passwd, shadow = directory / "passwd", directory / "shadow"
    passwd.write_text(Path("/etc/passwd").read_text(encoding="utf-8"), encoding="utf-8")
    shadow.write_text("", encoding="ascii")
    shadow.chmod(0o600)
    for number, (name, password) in enumerate(accounts.items(), 61000):
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"],
            input=password + "\n", capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        with open(passwd, "a", encoding="utf-8") as file:
            file.write(f"{name}:x:{number}:65534::/nonexistent:/bin/sh\n")
        with open(shadow, "a", encoding="ascii") as file:
            file.write(f"{name}:{hashed}:19000:0:99999:7:::\n")
    (directory / "sshd").write_text(_PAM_SERVICE, encoding="ascii")
    mounts = [(passwd, "/etc/passwd"), (shadow, "/etc/shadow"), (directory / "sshd", "/etc/pam.d/sshd")]
    binds = " && ".join(f"mount --bind {ours} {theirs}" for ours, theirs in mounts)
    return ("unshare", "-m", "sh", "-c", f'{binds} && exec "$0" "$@"')


class Sshd:
    """One sshd; it listens once constructed. `options` replace or add to its configuration."""

    def __init__(
        self,
        directory: Path,
        keys: UserKeys,
        host_keys: tuple[str, ...] = HOST_KEY_TYPES,
        accounts: dict[str, str] | None = None,
        host: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
        program: str | None = None,
        **options: str,
    ):
        """`accounts` are users, with their passwords, that only this sshd knows; needs root.
        `prefix` goes before the command, and `program` is run instead of the system's sshd."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.keys = keys
        self.host = host
        self.program = program or find_sshd()
        self.port = free_port()
        self.host_key_types = host_keys
        self.host_keys: dict[str, KeyPair] = {}
        self.options = options
        self.prefix = make_accounts(directory / "accounts", accounts) if accounts else prefix
        self.config_file = directory / "sshd_config"
        self.log_file = directory / "sshd.log"
        self.authorized_keys = directory / "authorized_keys"
        self.authorized_keys.write_text(keys.authorized(), encoding="ascii")
        self.authorized_keys.chmod(0o600)
        for kind in host_keys:
            self.new_host_key(kind)
        self._process: subprocess.Popen | None = None
        self._stopped: list[int] = []
        self.start()

    # Keys

    def new_host_key(self, kind: str) -> KeyPair:
        """A host key in the place of the one of its type; it is used from the next start on."""
        path = self.directory / f"host-{kind}"
        for old in (path, Path(f"{path}.pub")):
            old.unlink(missing_ok=True)
        self.host_keys[kind] = generate(
            path, "-t", kind, *(("-b", "2048") if kind == "rsa" else ()), comment="host"
        )
        return self.host_keys[kind]

    def authorize(self, *pairs: KeyPair) -> None:
        """From now on it takes these users' keys only."""
        text = "".join(f"{pair.public}\n" for pair in pairs)
        self.authorized_keys.write_text(text, encoding="ascii")

    @property
    def known_name(self) -> str:
        """How known_hosts calls it."""
        return f"[{self.host}]:{self.port}"

    def known_line(self, kind: str, name: str | None = None, marker: str = "") -> str:
        """A line of known_hosts."""
        public = " ".join(self.host_keys[kind].public.split()[:2])
        return f"{marker} {name or self.known_name} {public}".strip() + "\n"

    def write_known_hosts(self, path: Path, *lines: str) -> Path:
        """A known_hosts file with the lines, or with all of its keys."""
        text = "".join(lines or [self.known_line(kind) for kind in self.host_keys])
        path.write_text(text, encoding="utf-8")
        return path

    # Running

    def _write_config(self) -> None:
        options = {
            "Port": self.port,
            "ListenAddress": self.host,
            "AuthorizedKeysFile": self.authorized_keys,
            "PidFile": "none",
            "UsePAM": "no",
            "UseDNS": "no",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
            "LogLevel": "VERBOSE",
            "MaxStartups": "100",
            **self.options,
        }
        lines = [f"{name} {value}\n" for name, value in options.items()]
        lines += [f"HostKey {pair.path}\n" for pair in self.host_keys.values()]
        self.config_file.write_text("".join(lines), encoding="utf-8")

    def start(self) -> None:
        """Starts it, again if it was ended, on the same port."""
        if os.geteuid() == 0:
            _SEPARATION_DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
        for _ in range(5):
            self._write_config()
            command = [self.program, "-D", "-f", str(self.config_file), "-E", str(self.log_file)]
            if _knows_penalties(self.program):  # here all come from one address
                command += ["-o", "PerSourcePenalties=no"]
            self._process = subprocess.Popen(
                [*self.prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            wait_for(lambda: self._process.poll() is not None or self._answers(), "sshd listens")
            if self._process.poll() is None:
                return
            if self._stopped or "in use" not in self.log():
                break
            self.port = free_port()
        raise AssertionError(f"sshd does not start:\n{self.log()}")

    def _answers(self) -> bool:
        # Not by connecting, which would count as a login that came to nothing.
        return f"listening on {self.host} port {self.port}." in self.log().rsplit("\n\n", 1)[-1]

    def log(self) -> str:
        """What it logged."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_text(encoding="utf-8", errors="replace").lower()

    def wait_for_log(self, pattern: str, count: int = 1, timeout: float = 10) -> re.Match:
        """Waits for the count-th match of the pattern in its log, which is in lower case."""

        def found():
            matches = list(re.finditer(pattern, self.log()))
            return matches[count - 1] if len(matches) >= count else None

        return wait_for(found, f"sshd's log line {pattern!r}", timeout)

    def login_count(self) -> int:
        """How many logins it has accepted."""
        return len(re.findall("accepted (publickey|password|keyboard)", self.log()))

    def session_pids(self) -> list[int]:
        """The processes that serve connections."""
        return descendants(self._process.pid)

    def _signal(self, pids: list[int], number: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def suspend(self) -> None:
        """Stops it and all its sessions, as a machine does that hangs."""
        self._stopped = [self._process.pid]
        self._signal(self._stopped, signal.SIGSTOP)
        sessions = self.session_pids()
        self._signal(sessions, signal.SIGSTOP)
        self._stopped += sessions
        # One that has just ended stays a zombie: the parent that would reap it is stopped.
        wait_for(
            lambda: all(_stat_fields(pid)[:1] in (["T"], ["Z"], []) for pid in self._stopped),
            "sshd is stopped",
        )

    def resume(self) -> None:
        """Lets all go on."""
        self._signal(self._stopped, signal.SIGCONT)
        self._stopped = []

    def kill_sessions(self) -> None:
        """Ends the sessions at once; new ones are taken."""
        self._signal(self.session_pids(), signal.SIGKILL)

    def kill(self) -> None:
        """Ends it and all its sessions at once."""
        if self._process is None:
            return
        pids = [self._process.pid, *self.session_pids()]
        self._signal(pids, signal.SIGKILL)
        self._process.wait()
        wait_for(lambda: not any(map(_is_running, pids)), "sshd is gone")
        self._process = None
        self._stopped = []
        if self.log_file.exists():
            with open(self.log_file, "a", encoding="ascii") as log:
                log.write("\n\n")


def _is_running(pid: int) -> bool:
    """Whether it runs; orphans are ours to reap (see process.py)."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
    return is_alive(pid)
