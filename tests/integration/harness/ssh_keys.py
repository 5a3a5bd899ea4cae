"""Key pairs for SSH users and hosts, in every format that people have lying around."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.waiting import deadline_scale, wait_for

PASSPHRASE = "correct horse"


@dataclass(frozen=True)
class KeyPair:
    """A private key's file, and its public half as it stands in authorized_keys."""

    path: Path
    public: str

    @property
    def fingerprint(self) -> str:
        """SHA256:…, as ssh-keygen shows it."""
        return fingerprint(self.public)

    @property
    def type(self) -> str:
        """The algorithm, `ssh-ed25519` for instance."""
        return self.public.split()[0]

    def copy(self, path: Path, mode: int = 0o600) -> Path:
        """The private key alone, elsewhere, with another mode."""
        shutil.copyfile(self.path, path)
        path.chmod(mode)
        return path


def fingerprint(public: str) -> str:
    """SHA256:… of a public key's line."""
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=public, capture_output=True, text=True, check=True
    )
    return shown.stdout.split()[1]


def generate(path: Path, *options: str, comment: str = "test") -> KeyPair:
    """A new key pair; the options are ssh-keygen's."""
    passphrase = () if "-N" in options else ("-N", "")
    subprocess.run(
        ["ssh-keygen", "-q", "-C", comment, "-f", str(path), *passphrase, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return KeyPair(path, Path(f"{path}.pub").read_text(encoding="ascii").strip())


def convert(source: KeyPair, path: Path, *options: str) -> KeyPair:
    """The same key in another format, or under a passphrase; the options are ssh-keygen's."""
    source.copy(path)
    passphrase = () if "-N" in options else ("-N", "")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", *passphrase, "-f", str(path), *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return KeyPair(path, source.public)


_GENERATED = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
    "stranger": ("-t", "ed25519"),
}
# Making an RSA key takes long, and one is as good as many.
_CONVERTED = {
    "ecdsa-pem": ("ecdsa", "-m", "PEM"),
    "ecdsa-pkcs8": ("ecdsa", "-m", "PKCS8"),
    "rsa-pem": ("rsa", "-m", "PEM"),
    "rsa-pkcs8": ("rsa", "-m", "PKCS8"),
    "ed25519-encrypted": ("ed25519", "-a", "4", "-N", PASSPHRASE),
    "ecdsa-encrypted": ("ecdsa", "-a", "4", "-N", PASSPHRASE),
    "rsa-encrypted": ("rsa", "-a", "4", "-N", PASSPHRASE),
    "rsa-pem-encrypted": ("rsa", "-m", "PEM", "-N", PASSPHRASE),
    "rsa-pkcs8-encrypted": ("rsa", "-m", "PKCS8", "-N", PASSPHRASE),
}

KEY_KINDS = (
    *(kind for kind in _GENERATED if kind != "stranger"),
    *(kind for kind in _CONVERTED if "encrypted" not in kind),
)
ENCRYPTED_KINDS = tuple(kind for kind in _CONVERTED if "encrypted" in kind)


class UserKeys:
    """Users' keys by kind. All but the stranger's are authorised."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._pairs = {
            kind: generate(directory / kind, *options, comment=f"{kind}-key")
            for kind, options in _GENERATED.items()
        }
        for kind, (source, *options) in _CONVERTED.items():
            self._pairs[kind] = convert(self._pairs[source], directory / kind, *options)
        self.passphrase_file = directory / "passphrase"
        self.passphrase_file.write_text(PASSPHRASE + "\n", encoding="ascii")
        self.passphrase_file.chmod(0o600)

    def __getitem__(self, kind: str) -> KeyPair:
        return self._pairs[kind]

    def authorized(self) -> str:
        """What goes into authorized_keys."""
        kinds = [kind for kind in _GENERATED if kind != "stranger"]
        return "".join(f"{self[kind].public}\n" for kind in kinds)


class Agent:
    """A private ssh-agent."""

    def __init__(self, directory: Path, *pairs: KeyPair, confirm: str | None = None):
        """`confirm` is a shell command in the place of the person who is asked at each use."""
        directory.mkdir(parents=True, exist_ok=True)
        asker = directory / "asker"
        asker.write_text(f"#!/bin/sh\n{confirm or ''}\n", encoding="ascii")
        asker.chmod(0o700)
        self.path = str(directory / "agent.sock")
        self._process = subprocess.Popen(
            ["ssh-agent", "-D", "-a", self.path],
            env={**os.environ, "SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, "the agent answers")
        for pair in pairs:
            subprocess.run(
                ["ssh-add", "-q", *(["-c"] if confirm else []), str(pair.path)],
                env={**os.environ, "SSH_AUTH_SOCK": self.path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
                timeout=20 * deadline_scale(),
            )

    def _answers(self) -> bool:
        # The socket is there before anybody listens.
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.path)
            except OSError:
                return False
        return True

    def stop(self) -> None:
        """Ends it."""
        self._process.terminate()
        self._process.wait()
