"""The demo world: a small town of bird watchers, made from a seed through the ordinary commands.

It consists of lines of `starling import`, so what a new user sees first went through the same
commands as everything else. The follow graph is heavy-tailed, posts lie within the last days, and
one hashtag rises in the last two hours, so that every page of the API has something to show.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from infra.settings import Settings

DEMO_SEED: Final = 1
DEMO_HANDLE: Final = "robin"
DEMO_PASSWORD: Final = "feathers-and-song"
HISTORY_DAYS: Final = 7
POST_COUNT: Final = 320
UNDO_COUNT: Final = 6
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
    "Not a soul at {place} but me and a very loud {bird} {tag}",
    "Is it early for {a_bird} here? Seen at {place}. {tag}",
    "Counted {n} at {place}, the most this year {tag}",
    "Fog over {place}. Heard {a_bird}, saw nothing. {tag}",
    "@{other} you were right about {place}: {n} of them, and {a_bird} {tag}",
    "New feeder is up. First guest: {a_bird}. {tag}",
    "Walking to {place} at dawn, who joins? {tag}",
    "Notebook from {place}: wind from the west, {n} small waders, one {bird}. {tag}",
)
COMMENTS: Final = (
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
TRENDING_TAG: Final = "#MurmurationTonight"


def generate_commands(seed: int, now_ms: int) -> Iterator[dict[str, Any]]:
    """Lines of `starling import`, oldest first; the same for the same seed and time."""
    town = _DemoTown(random.Random(seed), now_ms)
    yield from town.register_accounts()
    yield from town.follow_accounts()
    yield from town.write_posts()
    yield from town.undo_some()


async def import_demo_world(settings: "Settings") -> bool:
    """Import the demo world; False, and nothing done, if the log holds anything already."""
    # `starling demo` prints the world without any of this.
    from api.accounts.passwords import BoundedPasswordHasher
    from api.accounts.registration import AccountRegistrar
    from api.bulk.command_importer import WINDOW_LINES, CommandImporter
    from events.log import LOG_START
    from infra.wiring import open_write_side

    with open_write_side(settings) as side:
        if side.log.head() > LOG_START:
            return False
        register = AccountRegistrar(side, BoundedPasswordHasher()).register_account
        importer = CommandImporter(
            side.log, side.handler, side.accounts, register, side.open_import_ids, side.clock_ms
        )
        lines = (
            json.dumps(line).encode() for line in generate_commands(DEMO_SEED, side.clock_ms())
        )
        while window := list(islice(lines, WINDOW_LINES)):
            for result in await importer.run_lines(window):
                if isinstance(result.outcome, Exception):
                    message = f"the demo world's line {result.key}: {result.outcome}"
                    raise RuntimeError(message) from result.outcome
    return True


class _DemoTown:
    def __init__(self, rng: random.Random, now_ms: int) -> None:
        self._rng = rng
        self._now_ms = now_ms
        self._start_ms = now_ms - HISTORY_DAYS * 24 * HOUR_MS
        # Zipf: the n-th account is read by about 1/n as many people as the first.
        self._weights = [1 / (rank + 1) for rank in range(len(BIRDS))]
        self._actions_done: dict[str, list[tuple[str, int, dict[str, Any]]]] = {}
        self._line_number = 0

    def register_accounts(self) -> Iterator[dict[str, Any]]:
        for number, handle in enumerate(BIRDS):
            data = {
                "handle": handle,
                "name": handle.title(),
                "bio": f"Mostly at {PLACES[number % len(PLACES)]}.",
            }
            if handle == DEMO_HANDLE:
                data |= {"email": f"{DEMO_HANDLE}@example.org", "password": DEMO_PASSWORD}
            at = self._start_ms + number * 60_000
            yield {
                "command": "register",
                "key": f"demo:user:{handle}",
                "at": _format_time(at),
                "data": data,
            }

    def follow_accounts(self) -> Iterator[dict[str, Any]]:
        at = self._start_ms + len(BIRDS) * 60_000
        for handle in BIRDS:
            wanted = 12 if handle == DEMO_HANDLE else self._rng.randint(3, 14)
            for other in sorted(set(self._rng.choices(BIRDS, self._weights, k=wanted)) - {handle}):
                at += 7_000
                yield self._import_line("follow", handle, at, {"user": f"@{other}"})

    def write_posts(self) -> Iterator[dict[str, Any]]:
        """Posts over the days, each followed by the reactions to it."""
        first = self._start_ms + 2 * HOUR_MS
        span = self._now_ms - 60_000 - first
        for at in sorted(first + self._rng.randrange(span) for _ in range(POST_COUNT)):
            author = self._rng.choices(BIRDS, self._weights)[0]
            tags = self._rng.sample(TAGS, 1 if self._rng.random() < 0.7 else 2)
            yield from self._post_with_reactions(author, at, " ".join(tags))
        # Twelve people in the last hour and a half: enough to stand out against a quiet week.
        for number, author in enumerate(self._rng.sample(BIRDS, 12)):
            at = self._now_ms - 90 * 60_000 + number * 7 * 60_000
            yield from self._post_with_reactions(author, at, TRENDING_TAG)

    def _post_with_reactions(self, author: str, at: int, tag: str) -> Iterator[dict[str, Any]]:
        text = self._fill_template(SIGHTINGS, author, tag)
        post = self._import_line("post", author, at, {"text": text})
        yield post
        # Later reactions would land after younger posts; an import need not be in order of time.
        for _ in range(self._reaction_count(12)):
            yield self._reaction_line("like", post["key"], at)
        for _ in range(self._reaction_count(3)):
            yield self._reaction_line("retweet", post["key"], at)
        for _ in range(self._reaction_count(3)):
            answer = self._reaction_line("comment", post["key"], at)
            answer["data"]["text"] = self._fill_template(COMMENTS, answer["as"][1:], tag)
            yield answer
        for _ in range(self._reaction_count(1)):
            reader = self._rng.choice([bird for bird in BIRDS if bird != author])
            yield self._import_line(
                "follow", reader, self._reaction_time(at), {"user": f"@{author}"}
            )

    def undo_some(self) -> Iterator[dict[str, Any]]:
        """Some of what was done is undone, at the end of the log though hours after it was done."""
        posts = self._rng.sample(self._actions_done["post"], UNDO_COUNT + UNDO_COUNT // 2)
        for undo, chosen in (
            ("unlike", self._rng.sample(self._actions_done["like"], UNDO_COUNT)),
            ("unfollow", self._rng.sample(self._actions_done["follow"], UNDO_COUNT)),
            ("edit_post", posts[UNDO_COUNT:]),
            ("delete_post", posts[:UNDO_COUNT]),
        ):
            for who, at, about in chosen:
                undone = self._import_line(undo, who, self._reaction_time(at), dict(about))
                if undo == "edit_post":
                    undone["data"]["text"] = self._fill_template(
                        SIGHTINGS, who, self._rng.choice(TAGS)
                    )
                yield undone

    def _reaction_count(self, most: int) -> int:
        """Mostly none, sometimes many."""
        return min(most, int(self._rng.paretovariate(1.1)) - 1)

    def _reaction_line(self, command: str, post: str, at: int) -> dict[str, Any]:
        who = self._rng.choice(BIRDS)
        return self._import_line(command, who, self._reaction_time(at), {"post": f"key:{post}"})

    def _reaction_time(self, at: int) -> int:
        """Mostly within some hours, never after now."""
        left = self._now_ms - at - 1_000
        later = int(min(self._rng.expovariate(1 / (2 * HOUR_MS)), self._rng.uniform(0, left)))
        return at + 1_000 + later

    def _fill_template(self, choices: tuple[str, ...], author: str, tag: str) -> str:
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

    def _import_line(self, command: str, who: str, at: int, data: dict[str, Any]) -> dict[str, Any]:
        self._line_number += 1
        key = f"demo:{self._line_number}"
        about = {"post": f"key:{key}"} if command == "post" else data
        self._actions_done.setdefault(command, []).append((who, at, about))
        return {
            "command": command,
            "as": f"@{who}",
            "key": key,
            "at": _format_time(at),
            "data": data,
        }


def _format_time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
