"""Files as a broken disk, a cut transfer or a stranger would make them of good ones. Seeded."""

import gzip
import json
import random
from collections.abc import Callable
from typing import Any, Final

Mutation = Callable[[bytes, random.Random], bytes]

ODD_VALUES: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1.5, 2**63, 2**64, -(2**63), 10**400, "", "0", "-1", "1\n", " 1", "\u0661",
    "9" * 5000, "a" * 20_000, "\x00", 'x"y', "a\\b", "\x1b[31m", "\u202e", "\ufeff", [], {}, ["1"],
    {"a": {"b": [1]}}, "key:", "@", "@\x00", "key:" + "k" * 400, "2079-01-01T00:00:00Z",
)  # fmt: skip


def flip_bytes(good: bytes, rng: random.Random) -> bytes:
    """Some bits of some bytes, anywhere."""
    changed = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(good: bytes, rng: random.Random) -> bytes:
    """The first part."""
    return good[: rng.randrange(len(good))]


def lose_bytes(good: bytes, rng: random.Random) -> bytes:
    """Without some bytes in the middle."""
    start = rng.randrange(len(good))
    return good[:start] + good[start + rng.randrange(1, 100) :]


def double_bytes(good: bytes, rng: random.Random) -> bytes:
    """Some bytes twice."""
    start = rng.randrange(len(good))
    end = start + rng.randrange(1, 200)
    return good[:end] + good[start:end] + good[end:]


def insert_bytes(good: bytes, rng: random.Random) -> bytes:
    """NUL, no UTF-8, a byte order mark, brackets, half an escape, random bytes: put in."""
    at = rng.randrange(len(good))
    inserted = rng.choice(
        (
            b"\x00", b"\x00" * 4096, b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r",
            b"\n", b"[" * 20_000, b'{"a":' * 5_000, b"\\ud800", b"\\u0000", b'"', b"\\",
            b"9" * 5000, rng.randbytes(50), b"\x1b]8;;http://x\x07",
        )
    )  # fmt: skip
    return good[:at] + inserted + good[at:]


def move_lines(good: bytes, rng: random.Random) -> bytes:
    """Two lines in each other's place, a line twice, or one less."""
    lines = good.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(3):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            lines.insert(one, lines[other])
        case _:
            del lines[one]
    return b"".join(lines)


def change_fields(good: bytes, rng: random.Random) -> bytes:
    """A JSON line with a field less, more, or of another value, deep or at the top."""
    lines = good.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    line = _parse_object(lines[at])
    if line is None:
        return flip_bytes(good, rng)
    place = line
    if isinstance(inner := line.get("data"), dict) and rng.random() < 0.6:
        place = inner
    name = rng.choice([*place, "unknown"])
    match rng.randrange(4):
        case 0:
            place.pop(name, None)
        case 1:
            place[name + "2"] = place.pop(name, 1)
        case _:
            place[name] = rng.choice(ODD_VALUES)
    text = json.dumps(line, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.2:
        text = text.replace('"', '"\\ud800', 3)
    lines[at] = text.encode("utf-8", "surrogatepass") + b"\n"
    return b"".join(lines)


def mix_fields(good: bytes, rng: random.Random) -> bytes:
    """A JSON line with a field of another line: each for itself is right."""
    lines = good.splitlines(keepends=True)
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    line, source = _parse_object(lines[at]), _parse_object(lines[other])
    if not line or not source:
        return lose_bytes(good, rng)
    name = rng.choice(list(source))
    line[name] = source[name]
    text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
    lines[at] = text.encode("utf-8", "surrogatepass") + b"\n"
    return b"".join(lines)


def _parse_object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def compress(good: bytes, rng: random.Random) -> bytes:
    """Compressed, and cut."""
    packed = gzip.compress(good, mtime=0)
    return packed[: rng.randrange(1, len(packed))]


def replace_whole(good: bytes, rng: random.Random) -> bytes:
    """Something else altogether."""
    return rng.choice(
        (b"", b"\n", b"\n\n \n", b"null\n", b"[]\n", b"{}\n", b"0\n", rng.randbytes(2000),
         b"\x00" * 3000, b"PAR1" + rng.randbytes(40), b"a,b,c\n1,2,3\n", b"[" * 100_000)
    )  # fmt: skip


BYTE_MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_bytes, cut, lose_bytes, double_bytes, insert_bytes, compress, replace_whole,
)  # fmt: skip
LINE_MUTATIONS: Final[tuple[Mutation, ...]] = (
    *BYTE_MUTATIONS, move_lines, change_fields, change_fields, change_fields, mix_fields,
)  # fmt: skip


def mutate(good: bytes, seed: int, mutations: tuple[Mutation, ...] = LINE_MUTATIONS) -> bytes:
    """The file as mutation number `seed` of it."""
    rng = random.Random(seed)
    if not good:
        return replace_whole(good, rng)
    return mutations[seed % len(mutations)](good, rng)
