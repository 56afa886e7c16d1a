"""What the data sets hold, counted from their files and by nothing that the converters use.

People, accounts and messages are named by their ids in the files.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class LdbcCounts(NamedTuple):
    """Of the LDBC update stream. Messages are posts and comments.

    A count by person or message names those alone that have one.
    """

    people: int
    """listed or referred to by what becomes a command"""
    posts: int
    comments: int
    unlisted_messages: int
    """liked or answered, but from before the stream"""
    likes: int
    """pairs of person and message; some like twice"""
    friendships: int
    """pairs of people, in either order"""
    likes_of: Counter[str]
    """by message: how many people like it"""
    comments_on: Counter[str]
    """by message: how many comments answer it, not counting answers to those"""
    posts_by: Counter[str]
    """by person: posts and comments written"""
    friends_of: Counter[str]
    """by person"""


class FollowCounts(NamedTuple):
    """Of the follow graph."""

    accounts: int
    follows: int
    followers_of: Counter[int]
    following_of: Counter[int]


def ldbc_counts(folder: Path) -> LdbcCounts:
    """What the update stream in `folder` holds."""
    people: set[str] = set()
    authors: dict[str, str] = {}
    parents: dict[str, str] = {}
    likes: set[tuple[str, str]] = set()
    friends: set[frozenset[str]] = set()
    for row in _csv_rows(folder):
        kind = row[2]
        if kind == "1":
            people.add(row[3])
        elif kind in ("2", "3"):
            likes.add((row[3], row[4]))
        elif kind == "6":
            authors[row[3]] = row[11]
        elif kind == "7":
            authors[row[3]] = row[9]
            parents[row[3]] = row[12] if row[11] == "-1" else row[11]
        elif kind == "8":
            friends.add(frozenset(row[3:5]))
    people.update(authors.values(), (person for person, _ in likes), *friends)
    known = {message for _, message in likes} | set(parents.values()) | set(authors)
    return LdbcCounts(
        people=len(people),
        posts=len(authors) - len(parents),
        comments=len(parents),
        unlisted_messages=len(known - set(authors)),
        likes=len(likes),
        friendships=len(friends),
        likes_of=Counter(message for _, message in likes),
        comments_on=Counter(parents.values()),
        posts_by=Counter(authors.values()),
        friends_of=Counter(person for pair in friends for person in pair),
    )


def follow_counts(folder: Path) -> FollowCounts:
    """What the follow graph in `folder` holds, the second of a pair following the first."""
    [path] = folder.glob("*.json")
    with path.open(encoding="utf-8") as file:
        graph = json.load(file)
    edges = {(followed, following) for followed, following in graph["edges"]}
    return FollowCounts(
        accounts=len(graph["labels"]),
        follows=len(edges),
        followers_of=Counter(followed for followed, _ in edges),
        following_of=Counter(following for _, following in edges),
    )


def _csv_rows(folder: Path) -> Iterator[list[str]]:
    for path in folder.iterdir():
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as lines:
                yield from csv.reader(lines, delimiter="|", quoting=csv.QUOTE_NONE)
