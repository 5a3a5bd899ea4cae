"""A name server under the test's control: names that move, answers that are late, cut or missing."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass, field

A, CNAME, AAAA, OPT = 1, 5, 28, 41
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


@dataclass
class Name:
    """What is answered for one name."""

    addresses: list[str]
    ttl: int = 0
    alias: str | None = None  # a CNAME on the way to the addresses
    alias_ttl: int = 0


@dataclass
class Question:
    """A question that came in."""

    number: int  # the same when a question is repeated
    name: str
    kind: int
    transport: str
    payload_size: int  # what EDNS offered; 0: no EDNS


@dataclass
class Conduct:
    """How the server treats those who ask."""

    silent: bool = False
    fails: bool = False  # SERVFAIL
    fails_for: set[int] = field(default_factory=set)  # the same for these kinds of questions
    truncates: bool = False  # over UDP, so that the answer must be fetched over TCP
    drops: set[int] = field(default_factory=set)  # kinds of questions that are never answered


def _encode_name(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _read_name(packet: bytes, offset: int) -> tuple[str, int]:
    labels = []
    while packet[offset]:
        length = packet[offset]
        labels.append(packet[offset + 1 : offset + 1 + length].decode("ascii"))
        offset += 1 + length
    return ".".join(labels).lower(), offset + 1


def _record(name: str, kind: int, ttl: int, data: bytes) -> bytes:
    return _encode_name(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


class NameServer:
    """Answers over UDP and TCP on a loopback port of its own, from its first moment to close()."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, make_socket=socket.socket):
        self.names: dict[str, Name] = {}
        self.conduct = Conduct()
        self.questions: list[Question] = []
        self._slips: dict[str, Name] = {}
        self._lock = threading.Lock()
        self._udp = make_socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            self._tcp = make_socket(socket.AF_INET, socket.SOCK_STREAM)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._tcp.bind((host, port))
            try:
                self._udp.bind(self._tcp.getsockname())
                break
            except OSError:  # that port is somebody's for UDP
                self._tcp.close()
                assert not port, f"port {port} is taken"
        self._tcp.listen(64)
        self.address = "{}:{}".format(*self._tcp.getsockname())
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def set(self, name: str, *addresses: str, ttl: int = 0, **options) -> None:
        """The name has these addresses from now on; none: it exists without any."""
        with self._lock:
            self.names[name] = Name(list(addresses), ttl, **options)

    def slip(self, name: str, *addresses: str) -> None:
        """The next answer for IPv4 has these addresses, and the one after it the right ones."""
        with self._lock:
            self._slips[name] = Name(list(addresses))

    def remove(self, name: str) -> None:
        """There is no such name any more."""
        with self._lock:
            del self.names[name]

    def count(self, name: str | None = None, kind: int | None = None) -> int:
        """How many such questions came in."""
        with self._lock:
            return sum(
                name in (None, question.name) and kind in (None, question.kind)
                for question in self.questions
            )

    def close(self) -> None:
        """Listens no more."""
        for item in (self._tcp, self._udp):
            try:
                item.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            item.close()

    def _serve_udp(self) -> None:
        while True:
            try:
                packet, source = self._udp.recvfrom(4096)
                if not packet:  # closed
                    return
                answer = self._answer(packet, "udp")
                if answer:
                    self._udp.sendto(answer, source)
            except OSError:
                return

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as source:
            while len(head := source.read(2)) == 2:
                answer = self._answer(source.read(struct.unpack(">H", head)[0]), "tcp")
                if answer:
                    connection.sendall(struct.pack(">H", len(answer)) + answer)

    def _answer(self, packet: bytes, transport: str) -> bytes | None:
        number, _, _, _, _, extra = struct.unpack(">6H", packet[:12])
        name, offset = _read_name(packet, 12)
        kind = struct.unpack(">H", packet[offset : offset + 2])[0]
        asked = packet[12 : offset + 4]
        edns = packet[offset + 4 :] if extra else b""
        size = struct.unpack(">H", edns[3:5])[0] if edns[:3] == struct.pack(">BH", 0, OPT) else 0
        with self._lock:
            self.questions.append(Question(number, name, kind, transport, size))
            conduct, known = self.conduct, self.names.get(name)
            if kind == A:
                known = self._slips.pop(name, known)
        if conduct.silent or kind in conduct.drops:
            return None
        is_cut = conduct.truncates and transport == "udp"
        is_failing = conduct.fails or kind in conduct.fails_for
        code = SERVER_FAILURE if is_failing else NO_ERROR if known else NO_SUCH_NAME
        records = [] if is_cut or code else self._records(name, kind, known)
        flags = 0x8180 | code | (0x0200 if is_cut else 0)
        tail = b"\0" + struct.pack(">HHIH", OPT, 4096, 0, 0) if size else b""
        head = struct.pack(">6H", number, flags, 1, len(records), 0, 1 if size else 0)
        return head + asked + b"".join(records) + tail

    @staticmethod
    def _records(name: str, kind: int, known: Name) -> list[bytes]:
        records = []
        if known.alias:
            records.append(_record(name, CNAME, known.alias_ttl, _encode_name(known.alias)))
        for text in known.addresses:
            address = ipaddress.ip_address(text)
            if kind == (A if address.version == 4 else AAAA):
                records.append(_record(known.alias or name, kind, known.ttl, address.packed))
        return records
