"""Whom a user follows, packed into one value: the transactions that rules are mined from.

A basket is the ids of the followed in ascending order, as 64-bit integers, little-endian (as are
all machines that Python has wheels for). Of one
with more than `MAX_COUNTED_FOLLOWS`, that many count for rules: those whose hash with the follower
is least, so that the choice follows from the basket alone, and no account is at a disadvantage in
all of them. Else a follow by an account with thousands would change thousands of counts.
"""

from bisect import bisect_left
from collections.abc import Iterable
from struct import Struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_COUNTED_FOLLOWS: Final = 64
"""Follows of one account that count for rules. Changing it takes a new version of the view."""

_ID: Final = Struct("<q")
_MIX: Final = 0x9E3779B97F4A7C15  # 2^64 / the golden ratio, odd
_MASK: Final = (1 << 64) - 1


def pack_basket(followees: Iterable[int]) -> bytes:
    """The basket of these, in any order."""
    return np.array(sorted(followees), "<i8").tobytes()


def unpack_basket(packed: bytes) -> NDArray[np.int64]:
    """The ids of a basket, ascending; of several baskets, one after the other."""
    return np.frombuffer(packed, "<i8").astype(np.int64, copy=False)


def change_basket(packed: bytes, followee: int, holds: bool) -> bytes:
    """The basket with an account, or without it."""
    ids = memoryview(packed).cast("q")
    place = bisect_left(ids, followee)
    if (place < len(ids) and ids[place] == followee) == holds:
        return packed
    head, tail = packed[: 8 * place], packed[8 * place :]
    return head + _ID.pack(followee) + tail if holds else head + tail[8:]


def counted_follows(follower: int, packed: bytes, most: int = MAX_COUNTED_FOLLOWS) -> list[int]:
    """The accounts of a basket that count, ascending: all of them, or the `most` of least hash."""
    if len(packed) <= 8 * most:
        return memoryview(packed).cast("q").tolist()
    ids = unpack_basket(packed)
    hashes = _mixed(ids.view(np.uint64) ^ np.uint64(follower * _MIX & _MASK))
    found: list[int] = np.sort(ids[np.lexsort((ids, hashes))[:most]]).tolist()
    return found


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of MurmurHash3: each bit depends on all."""
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values = (values ^ (values >> np.uint64(33))) * np.uint64(multiplier)
    return values ^ (values >> np.uint64(33))
