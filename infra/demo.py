"""The demo world: a small town of bird watchers, made from a seed through the ordinary commands.

It gives lines of `starling import`, so what a new user sees first has gone the way that everything
goes. The follow graph is heavy-tailed, posts lie within the last days, and one hashtag rises in the
last two hours, so that every page of the API has something to show.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

HANDLE: Final = "robin"
PASSWORD: Final = "feathers-and-song"
DAYS: Final = 7
POSTS: Final = 320
REGRETTED: Final = 6
"""Posts that their authors delete; half as many are edited, and as many follows and likes end."""
HOUR_MS: Final = 3_600_000

BIRDS: Final = (
    "robin", "wren", "heron", "plover", "swift", "kestrel", "dunnock", "avocet", "siskin", "curlew",
    "bittern", "osprey", "magpie", "linnet", "turnstone", "fieldfare", "redstart", "goldcrest",
    "nuthatch", "whimbrel", "shearwater", "lapwing", "treecreeper", "oystercatcher", "firecrest",
    "wagtail", "sanderling", "goosander", "chiffchaff", "yellowhammer", "merlin", "hobby", "crane",
    "spoonbill", "wheatear", "stonechat",
)  # fmt: skip
PLACES: Final = (
    "the salt marsh", "the old pier", "the reed beds", "the quarry", "the north wood",
    "the estuary", "the allotments", "the lighthouse", "the mill pond", "the ridge",
)  # fmt: skip
SIGHTINGS: Final = (
    "Two hours at {place} and finally {a_bird}. {tag}",
    "Over {place} this morning, low and fast: {a_bird}. {tag}",
    "Nobody at {place} but me and a very loud {bird} {tag}",
    "Is it early for {a_bird} here? Seen at {place}. {tag}",
    "Counted {n} at {place}, the most this year {tag}",
    "Fog over {place}. Heard {a_bird}, saw nothing. {tag}",
    "@{other} you were right about {place}: {n} of them, and {a_bird} {tag}",
    "New feeder is up. First guest: {a_bird}. {tag}",
    "Walking to {place} at dawn, who joins? {tag}",
    "Notebook from {place}: wind from the west, {n} small waders, one {bird}. {tag}",
)
ANSWERS: Final = (
    "Lucky! I waited there all of yesterday.",
    "Was it ringed?",
    "Lovely. Which side of the path?",
    "Same here, only further south.",
    "@{other} look at this",
    "Early indeed, but not the first year.",
    "I'll be there tomorrow.",
    "Any pictures?",
    "That makes it the third this week. {tag}",
)
TAGS: Final = (
    "#birding", "#dawnchorus", "#waders", "#patch", "#migration", "#nocmig", "#feeders", "#owls",
)  # fmt: skip
RISING: Final = "#MurmurationTonight"


def commands(seed: int, now_ms: int) -> Iterator[dict[str, Any]]:
    """Lines of `starling import`, oldest first; the same for the same seed and time."""
    town = _Town(random.Random(seed), now_ms)
    yield from town.register()
    yield from town.follow()
    yield from town.live()
    yield from town.regret()


class _Town:
    def __init__(self, rng: random.Random, now_ms: int) -> None:
        self._rng = rng
        self._now = now_ms
        self._start = now_ms - DAYS * 24 * HOUR_MS
        # Zipf: the n-th account is read by about 1/n as many people as the first.
        self._weights = [1 / (rank + 1) for rank in range(len(BIRDS))]
        self._done: dict[str, list[tuple[str, int, dict[str, Any]]]] = {}
        self._number = 0

    def register(self) -> Iterator[dict[str, Any]]:
        for number, handle in enumerate(BIRDS):
            data = {
                "handle": handle,
                "name": handle.title(),
                "bio": f"Mostly at {PLACES[number % len(PLACES)]}.",
            }
            if handle == HANDLE:
                data |= {"email": f"{HANDLE}@example.org", "password": PASSWORD}
            at = self._start + number * 60_000
            yield {
                "command": "register",
                "key": f"demo:user:{handle}",
                "at": _time(at),
                "data": data,
            }

    def follow(self) -> Iterator[dict[str, Any]]:
        at = self._start + len(BIRDS) * 60_000
        for handle in BIRDS:
            wanted = 12 if handle == HANDLE else self._rng.randint(3, 14)
            for other in sorted(set(self._rng.choices(BIRDS, self._weights, k=wanted)) - {handle}):
                at += 7_000
                yield self._line("follow", handle, at, {"user": f"@{other}"})

    def live(self) -> Iterator[dict[str, Any]]:
        """Posts over the days, each followed by what people make of it."""
        first = self._start + 2 * HOUR_MS
        span = self._now - 60_000 - first
        for at in sorted(first + self._rng.randrange(span) for _ in range(POSTS)):
            author = self._rng.choices(BIRDS, self._weights)[0]
            tags = self._rng.sample(TAGS, 1 if self._rng.random() < 0.7 else 2)
            yield from self._post(author, at, " ".join(tags))
        # Twelve people in the last hour and a half: enough to stand out against a quiet week.
        for number, author in enumerate(self._rng.sample(BIRDS, 12)):
            at = self._now - 90 * 60_000 + number * 7 * 60_000
            yield from self._post(author, at, RISING)

    def _post(self, author: str, at: int, tag: str) -> Iterator[dict[str, Any]]:
        text = self._text(SIGHTINGS, author, tag)
        post = self._line("post", author, at, {"text": text})
        yield post
        # Later reactions would land after younger posts; an import need not be in order of time.
        for _ in range(self._crowd(12)):
            yield self._reaction("like", post["key"], at)
        for _ in range(self._crowd(3)):
            yield self._reaction("retweet", post["key"], at)
        for _ in range(self._crowd(3)):
            answer = self._reaction("comment", post["key"], at)
            answer["data"]["text"] = self._text(ANSWERS, answer["as"][1:], tag)
            yield answer
        for _ in range(self._crowd(1)):
            reader = self._rng.choice([bird for bird in BIRDS if bird != author])
            yield self._line("follow", reader, self._later(at), {"user": f"@{author}"})

    def regret(self) -> Iterator[dict[str, Any]]:
        """Some of what was done is undone, at the end of the log though hours after it was done."""
        posts = self._rng.sample(self._done["post"], REGRETTED + REGRETTED // 2)
        for undo, chosen in (
            ("unlike", self._rng.sample(self._done["like"], REGRETTED)),
            ("unfollow", self._rng.sample(self._done["follow"], REGRETTED)),
            ("edit_post", posts[REGRETTED:]),
            ("delete_post", posts[:REGRETTED]),
        ):
            for who, at, about in chosen:
                undone = self._line(undo, who, self._later(at), dict(about))
                if undo == "edit_post":
                    undone["data"]["text"] = self._text(SIGHTINGS, who, self._rng.choice(TAGS))
                yield undone

    def _crowd(self, most: int) -> int:
        """Mostly nobody, sometimes many."""
        return min(most, int(self._rng.paretovariate(1.1)) - 1)

    def _reaction(self, command: str, post: str, at: int) -> dict[str, Any]:
        who = self._rng.choice(BIRDS)
        return self._line(command, who, self._later(at), {"post": f"key:{post}"})

    def _later(self, at: int) -> int:
        """Mostly within some hours, never after now."""
        left = self._now - at - 1_000
        later = int(min(self._rng.expovariate(1 / (2 * HOUR_MS)), self._rng.uniform(0, left)))
        return at + 1_000 + later

    def _text(self, choices: tuple[str, ...], author: str, tag: str) -> str:
        others = [bird for bird in BIRDS if bird != author]
        choice, place, bird = (self._rng.choice(each) for each in (choices, PLACES, others))
        return choice.format(
            place=place,
            bird=bird,
            a_bird=f"{'an' if bird[0] in 'aeiou' else 'a'} {bird}",
            other=self._rng.choice(others),
            n=self._rng.randint(3, 60),
            tag=tag,
        )

    def _line(self, command: str, who: str, at: int, data: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        key = f"demo:{self._number}"
        about = {"post": f"key:{key}"} if command == "post" else data
        self._done.setdefault(command, []).append((who, at, about))
        return {"command": command, "as": f"@{who}", "key": key, "at": _time(at), "data": data}


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
