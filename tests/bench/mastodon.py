"""The home timeline of the Mastodon API, beside a bare ASGI route that sends the same bytes.

Ours is all of `starling serve`, the peer an ASGI function on the same HTTP server: it looks at no
token, asks no view and renders nothing.
"""

import tempfile
from pathlib import Path

from tests.bench.http import (
    CONNECTIONS,
    SECONDS,
    SERVER,
    populate_home,
    running_peer,
    running_starling,
    send_request,
)
from tests.bench.http_load import HttpRequest, measure_load
from tests.bench.result import Result

HOME = "/api/v1/timelines/home?limit=20"


def measure(runs: int) -> list[Result]:
    """Pages of 20 statuses a second."""
    with (
        tempfile.TemporaryDirectory(prefix="starling-bench-") as folder,
        running_starling(folder) as port,
    ):
        token, _ = populate_home(port)
        file = Path(folder, "page.json")
        file.write_bytes(send_request(port, "GET", HOME, token))
        with running_peer(file) as peer:
            ours = HttpRequest(port, HOME, headers=(("Authorization", f"Bearer {token}"),))
            bare = HttpRequest(peer, "/bare/")
            for each in (ours, bare):
                measure_load(each, 1, CONNECTIONS)
            rates, bare_rates = [], []
            for _ in range(runs):
                rates.append(measure_load(ours, SECONDS, CONNECTIONS).rate)
                bare_rates.append(measure_load(bare, SECONDS, CONNECTIONS).rate)
    return [
        Result.from_runs(
            "GET /api/v1/timelines/home, 20 statuses",
            (SERVER, rates),
            ("bare ASGI function, same bytes", bare_rates),
            0.5,
            "requests/s",
        )
    ]
