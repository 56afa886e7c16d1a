"""What SQLite alone would not say about a damaged file: it takes what it can't read for absent.

An empty file is a new database to SQLite, and a write-ahead log ends for it at the first frame
whose sum is wrong, whatever was committed behind that. Neither may be taken for a file that was
always so where acknowledged data stood in it.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

CHECKED_BYTES: Final = 256 << 20
"""A larger database is not read from end to end at a start: this much takes half a second."""

_HEADER_BYTES: Final = 32
_FRAME_HEADER_WORDS: Final = 6
_MAGIC: Final = 0x377F0682
"""The last bit says that sums are of big-endian words. https://sqlite.org/fileformat2.html#walformat"""


def find_damage(path: Path) -> str | None:
    """What is seen to be wrong with a database and its write-ahead log; None where nothing is.

    A file that is not there is not damaged, and one of more than `CHECKED_BYTES` is not read.
    """
    wal = path.with_name(f"{path.name}-wal")
    if path.is_file() and path.stat().st_size == 0 and wal.is_file() and wal.stat().st_size:
        return "it is empty"
    return find_wal_damage(wal) or find_structural_damage(path)


def find_structural_damage(path: Path) -> str | None:
    """What SQLite's own check says: pages that can't be, rows that an index lacks."""
    try:
        if not 0 < path.stat().st_size <= CHECKED_BYTES:
            return None
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except FileNotFoundError:
        return None
    except sqlite3.OperationalError:
        return None  # it is locked, or can't be opened: no word about what is in it
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else " ".join(str(found).split())


def find_wal_damage(path: Path) -> str | None:
    """What is wrong within the committed part of a write-ahead log.

    A wrong frame is no damage where no commit is followed by good frames behind it: then it is of a
    transaction that a power cut tore, and which was never acknowledged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) <= _HEADER_BYTES:
        return None
    header = np.frombuffer(content, ">u4", _HEADER_BYTES // 4)
    magic, page_bytes = int(header[0]), int(header[2])
    if magic & ~1 != _MAGIC or page_bytes & (page_bytes - 1) or not 512 <= page_bytes <= 65536:
        return f"{path.name} beside it is no write-ahead log"
    order = ">u4" if magic & 1 else "<u4"
    words = np.frombuffer(content, order, _HEADER_BYTES // 4).astype(np.uint32)
    sums = _sum_words(words[None, :6], np.zeros((1, 2), np.uint32))
    if not np.array_equal(sums[0], header[6:8]):
        return f"the head of {path.name} beside it is damaged"
    frame_words = _FRAME_HEADER_WORDS + page_bytes // 4
    count = (len(content) - _HEADER_BYTES) // (4 * frame_words)
    if count == 0:
        return None
    good, commits = _check_frames(content, header, order, count, frame_words)
    if good.all():
        return None
    first_bad = int(np.argmin(good))
    later_commits = np.flatnonzero(commits[first_bad:])
    if len(later_commits) and good[first_bad + int(later_commits[0]) + 1 :].any():
        return f"frame {first_bad + 1} of {path.name} beside it is damaged"
    return None


def _check_frames(
    content: bytes, header: Any, order: str, count: int, frame_words: int
) -> tuple[Any, Any]:
    """For each frame whether it is as it was written, and whether it ends a transaction."""
    stored = np.frombuffer(content, ">u4", count * frame_words, _HEADER_BYTES)
    stored = stored.reshape(count, frame_words)
    summed = np.frombuffer(content, order, count * frame_words, _HEADER_BYTES)
    summed = summed.reshape(count, frame_words).astype(np.uint32)
    sums = stored[:, 4:6].astype(np.uint32)
    before = np.vstack([header[6:8].astype(np.uint32)[None, :], sums[:-1]])
    parts = np.hstack([summed[:, :2], summed[:, _FRAME_HEADER_WORDS:]])
    same_salt = (stored[:, 2:4] == header[4:6]).all(axis=1)
    good = same_salt & (_sum_words(parts, before) == sums).all(axis=1)
    return good, same_salt & (stored[:, 1] != 0)


def _sum_words(words: Any, start: Any) -> Any:
    """SQLite's sum of the words of each row, begun with a pair of words for each row."""
    first, second = start[:, 0].copy(), start[:, 1].copy()
    for column in range(0, words.shape[1], 2):
        first += words[:, column] + second
        second += words[:, column + 1] + first
    return np.stack([first, second], axis=1)
