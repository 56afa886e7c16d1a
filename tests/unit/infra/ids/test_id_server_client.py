"""An id server as its clients see it."""

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from events.ids.id_blocks import BlocksUnavailable
from infra.ids.id_server_client import IdServerClient


class Greeter(BaseHTTPRequestHandler):
    """Answers all with a greeting, as another server at the address might."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<p>hello</p>")

    def log_request(self, *_: object) -> None:
        """Nothing is said."""


def test_another_server_at_the_address_gives_no_blocks() -> None:
    with HTTPServer(("127.0.0.1", 0), Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with (
            closing(IdServerClient(address)) as client,
            pytest.raises(BlocksUnavailable, match="is no id server"),
        ):
            client.take_blocks(1, "me", 0, 1000)
        server.shutdown()
        thread.join()
