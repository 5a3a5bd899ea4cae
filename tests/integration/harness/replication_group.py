"""A primary and two replicas as ElastiCache has them: names that move, one certificate."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from harness.certificates import Certificates
from harness.name_server import NameServer
from harness.redis_server import RedisServer
from harness.waiting import wait_for

DOMAIN = "demo.abc123.use1.cache.test"
PRIMARY = f"master.{DOMAIN}"
REPLICA = f"replica.{DOMAIN}"
HOSTS = ("127.0.2.1", "127.0.2.2", "127.0.2.3")


def common_port() -> int:
    """A port that is free on every host."""
    while True:
        held = []
        try:
            port = 0
            for host in HOSTS:
                held.append(socket.socket())
                held[-1].bind((host, port))
                port = held[-1].getsockname()[1]
            return port
        except OSError:
            continue
        finally:
            for item in held:
                item.close()


class ReplicationGroup:
    """Three nodes, each with an address of its own; the first begins as the primary."""

    def __init__(self, directory: Path, certificates: Certificates, name_server: NameServer):
        self.names = name_server
        self.port = common_port()
        self.nodes = []
        identity = certificates.demo
        for host in HOSTS:
            options = ["--tls-replication", "yes", "--replica-announce-ip", host]
            if self.nodes:
                options += ["--replicaof", HOSTS[0], str(self.port)]
            self.nodes.append(
                RedisServer(
                    directory / host,
                    certificates,
                    identity,
                    host=host,
                    port=self.port,
                    options=tuple(options),
                )
            )
        self.wait_for_replicas(self.nodes[0], 2)
        self.set_primary(self.nodes[0])
        self.set_replicas(*self.nodes[1:])

    def set_primary(self, node: RedisServer) -> None:
        """The primary's name leads to this node."""
        self.names.set(PRIMARY, node.host, ttl=1)

    def set_replicas(self, *nodes: RedisServer, ttl: int = 1) -> None:
        """The reader's name leads to these nodes."""
        self.names.set(REPLICA, *(node.host for node in nodes), ttl=ttl)

    @staticmethod
    def wait_for_replicas(primary: RedisServer, count: int) -> None:
        """Waits until so many replicas are in step with the primary."""
        with primary.direct() as client:

            def attached() -> bool:
                info = client.info("replication")
                states = [info.get(f"slave{number}", {}).get("state") for number in range(2)]
                return states.count("online") >= count

            wait_for(attached, f"{count} replicas are attached", 30)

    def hand_over(self, old: RedisServer, new: RedisServer) -> None:
        """A planned failover, without any loss: the old primary goes on as a replica."""
        with old.direct() as client:
            client.execute_command("FAILOVER", "TO", new.host, str(self.port))
        with new.direct() as client:
            wait_for(lambda: client.info("replication")["role"] == "master", "the failover", 30)
        for node in self.nodes:
            if node not in (old, new):
                with node.direct() as client:
                    client.replicaof(new.host, self.port)

    def promote_best(self, *candidates: RedisServer) -> RedisServer:
        """Makes the replica that knows most the primary, and the others its replicas."""
        offsets = {}
        for node in candidates:
            with node.direct() as client:
                offsets[node] = client.info("replication")["slave_repl_offset"]
        best = max(candidates, key=lambda node: offsets[node])
        with best.direct() as client:
            client.replicaof("NO", "ONE")
        for node in candidates:
            if node is not best:
                with node.direct() as client:
                    client.replicaof(best.host, self.port)
        return best

    def stop(self) -> None:
        """Ends every node, whatever was done to it."""
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
            node.stop()
