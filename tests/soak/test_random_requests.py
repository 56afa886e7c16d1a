"""Random requests to a server: whatever is sent is refused or done, and nothing breaks."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.result import Ok

from infra.process.clock import clock_ms
from infra.settings import Settings
from infra.wiring.signing_secret import signing_secret
from tests.soak.test_mutated_files import world_lines
from tests.support.mutations import LINE_MUTATIONS, ODD_VALUES, mutate
from tests.support.running_server import running_server
from tests.support.signed_tokens import SignedTokenIssuer
from tests.support.soak import amount, seeds, time_is_over
from tests.support.starling_program import starling
from tests.support.waiting import PATIENCE_SECONDS

REQUESTS: Final = amount(150, 11_000)
"""With the fast path, and as many without it; so for lines."""

LINES: Final = amount(3_000, 53_000)
LINES_AT_ONCE: Final = 500

ACCOUNTS: Final = amount(60, 600)
"""A request may delete the account that sends it."""

STREAMS: Final = ("/v1/stream", "/v1/events")
"""Their answers have no end, or may have none."""
STREAM_SECONDS: Final = 3
"""How long they are read."""

SCOPES: Final = ("user", "import", "operator", "analyst")


@dataclass(frozen=True)
class AttackedServer:
    """Its address, and tokens of accounts that may do everything."""

    url: str
    tokens: list[str]
    output: Path


def attacked_server(data: Path, fast_path: str) -> Iterator[AttackedServer]:
    """A server, whose log lines are read at the end."""
    lines = [
        {"command": "register", "data": {"handle": f"user{n}", "name": "U"}}
        for n in range(ACCOUNTS)
    ]
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines) + world_lines()
    answers = starling("import", "-", "--data", data, stdin=text).stdout.splitlines()
    users = [int(json.loads(answer)["id"]) for answer in answers[:ACCOUNTS]]
    issuer = SignedTokenIssuer(signing_secret(Settings(data=data)), clock_ms)
    tokens = [issuer.issue(user, SCOPES) for user in users]
    quiet = {"STARLING_FAST_PATH": fast_path, "STARLING_LIMITS": "off"}
    with running_server(data, **quiet) as url:
        yield AttackedServer(url, tokens, data / "output")


@pytest.fixture(scope="module", params=["on", "off"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AttackedServer]:
    """With the fast path, and without."""
    yield from attacked_server(tmp_path_factory.mktemp("data") / "data", request.param)


@schemathesis.serializer("application/x-ndjson")
def ndjson(context: object, value: object) -> bytes:
    """A batch is documented as text."""
    return str(value).encode("utf-8", "surrogatepass")


def may_fail(answer: Any) -> bool:
    """Whether a 503 is one that a client brought about, and which says when to come back."""
    return answer.status_code == 503 and "retry-after" in answer.headers


@pytest.mark.timeout(amount(120, 7200))
def test_no_generated_request_is_a_fault_of_the_server(server: AttackedServer) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found = list(schema.get_all_operations())
    operations = [each.ok() for each in found if isinstance(each, Ok)]
    assert len(operations) == len(found) > 40
    each = max(1, REQUESTS // len(operations))
    statuses: Counter[int] = Counter()
    broken: dict[str, str] = {}
    tokens = iter(server.tokens * 1000)
    session = requests.Session()
    session.trust_env = False
    for operation in operations:
        if time_is_over():
            break
        token = next(tokens)

        @seed(5)
        @settings(
            max_examples=each, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def send(case: schemathesis.Case[Any]) -> None:
            nonlocal token
            if (case.method, case.path) == ("DELETE", "/v1/users/me"):
                token = next(tokens)
            headers = {"Authorization": f"Bearer {token}"}
            try:
                seconds = STREAM_SECONDS if case.path in STREAMS else PATIENCE_SECONDS
                answer = case.call(session=session, headers=headers, timeout=seconds)
            except (requests.exceptions.InvalidHeader, UnicodeError):
                return  # the client can't send it
            statuses[answer.status_code] += 1
            if answer.status_code >= 500 and not may_fail(answer):
                broken[f"{case.method} {case.path}"] = (
                    f"{answer.status_code} {answer.text[:300]} {case.as_curl_command()[:500]}"
                )

        send()
    print(f"{sum(statuses.values()):,} requests: {dict(sorted(statuses.items()))}")  # noqa: T201
    assert broken == {}
    assert time_is_over() or sum(statuses.values()) > REQUESTS // 2


def random_line(number: int, good: list[bytes]) -> bytes:
    """A mutated command, an odd JSON value, or bytes."""
    rng = random.Random(number)
    match rng.randrange(10):
        case 0:
            return json.dumps(rng.choice(ODD_VALUES)).encode()
        case 1:
            return rng.randbytes(rng.randrange(1, 300)).replace(b"\n", b"")
    line = rng.choice(good)
    for _ in range(rng.choice((1, 1, 2, 3))):
        line = mutate(line or b"{}", rng.randrange(1 << 30), LINE_MUTATIONS)
    return line.replace(b"\n", b" ")[:60_000]


@pytest.mark.timeout(amount(120, 7200))
def test_every_random_line_of_commands_has_an_answer(server: AttackedServer) -> None:
    good = world_lines().splitlines()
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
        for batch in seeds(LINES // LINES_AT_ONCE, LINES // LINES_AT_ONCE):
            first = batch * LINES_AT_ONCE
            lines = [random_line(first + n, good) for n in range(LINES_AT_ONCE)]
            lines = [line for line in lines if line.strip()]
            answer = client.post(
                "/v1/commands",
                content=b"\n".join(lines),
                headers={
                    "Authorization": f"Bearer {server.tokens[-1]}",
                    "Content-Type": "application/x-ndjson",
                },
            )
            assert answer.status_code == 200, (batch, answer.status_code, answer.text[:500])
            results = [json.loads(line) for line in answer.content.splitlines()]
            statuses.update(result["status"] for result in results)
            broken = [result for result in results if result["status"] >= 500]
            assert broken == [], batch
            assert len(results) == len(lines), batch
        assert client.get("/health/ready").status_code == 200
    print(f"{sum(statuses.values()):,} lines: {dict(sorted(statuses.items()))}")  # noqa: T201
