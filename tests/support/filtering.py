"""A server that tells less than Dovecot does: Dovecot sends COPYUID and APPENDUID whatever it offers."""

import re
import socket
import threading

from .dovecot import free_ports

TOLD = re.compile(rb"\[(COPYUID|APPENDUID) [^\]\r\n]*\] ?")


class Filter:
    """Passes all on to a port of this machine and back, without TLS, but for what TOLD matches in
    the server's lines. `port` is where it listens."""

    def __init__(self, server_port):
        self._server_port = server_port
        self.port, = free_ports(1)
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            for one, other, change in ((client, server, False), (server, client, True)):
                threading.Thread(target=_pass_on, args=(one, other, change), daemon=True).start()


def strip(data):
    """(what may be passed on, what has to wait for more): a code may have come in part only."""
    whole, start, rest = data.rpartition(b"[")
    if start and re.fullmatch(rb"[A-Z0-9 ,:]{0,8000}\]?", rest):  # the blank after it belongs to it
        return TOLD.sub(b"", whole), start + rest
    return TOLD.sub(b"", data), b""


def _pass_on(source, target, change):
    kept = b""
    try:
        while data := source.recv(1 << 16):
            if change:
                data, kept = strip(kept + data)
            target.sendall(data)
        target.sendall(kept)
    except OSError:
        pass
    finally:
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
