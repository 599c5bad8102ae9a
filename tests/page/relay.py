"""A relay to one server, then to another: to a browser it is one server, which has begun anew."""

import socket
import threading
from urllib.parse import urlsplit


class Relay:
    def __init__(self, server):
        self.lock = threading.Lock()
        self.open = []
        self.lead(server)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def lead(self, server):
        """To this server from now on. What is open breaks off."""
        address = urlsplit(server)
        with self.lock:
            self.server = (address.hostname, address.port)
            ends, self.open = self.open, []
        for end in ends:
            shut(end)

    def close(self):
        shut(self.listener)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                server = socket.create_connection(self.server)
                self.open += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()


def pump(source, sink):
    try:
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    except OSError:
        pass
    shut(source)
    shut(sink)


def shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
