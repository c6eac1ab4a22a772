"""A server behind TLS, and a proxy that leads to it, for tests of how connections are made."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def certificate(folder: Path) -> Path:
    """For 127.0.0.1 and localhost, signed by itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@dataclass
class Relay:
    """Passes on what comes to another port."""

    port: int
    connected: list[bytes] = field(default_factory=list)
    """The first message of each connection to a proxy."""


@contextlib.contextmanager
def relay(
    to: int, *, tls: ssl.SSLContext | None = None, answer: bytes | None = None
) -> Iterator[Relay]:
    """What comes goes to port ``to`` of this machine: behind TLS, or, as of a proxy, after a first message
    that gets this answer.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Relay(listening.getsockname()[1])

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                if answer is not None:
                    made.connected.append(connection.recv(65536))
                    connection.sendall(answer)
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                with connection, socket.create_connection(("127.0.0.1", to)) as onward:
                    back = threading.Thread(target=pass_on, args=(onward, connection), daemon=True)
                    back.start()
                    pass_on(connection, onward)
                    back.join()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield made
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
