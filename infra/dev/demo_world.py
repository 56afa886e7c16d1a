"""The demo world: a small town of bird watchers, made from a seed through the ordinary commands.

It consists of lines of `starling import`, so what a new user sees first went through the same
commands as everything else. The follow graph is heavy-tailed, posts lie within the last two weeks,
people join late, fall silent, block, mute and leave, talks go several answers deep, one sighting is
passed on by half of the town within minutes, and one hashtag rises in the last two hours. So every
page of the API and every question of the guides has something to show.
"""

import json
import random
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from events.times import parse_time

if TYPE_CHECKING:
    from infra.settings import Settings

DEMO_SEED: Final = 1
DEMO_HANDLE: Final = "robin"
DEMO_PASSWORD: Final = "feathers-and-song"
"""Where the server listens for this machine alone; elsewhere it would let in all the world."""
HISTORY_DAYS: Final = 15
POST_COUNT: Final = 420
NEWCOMERS: Final = 9
"""The last of the birds: they join in the second week."""
SILENT: Final = ("dunnock", "linnet", "turnstone", "nuthatch", "goosander")
"""They write in their first days only."""
LEAVING: Final = ("whimbrel", "fieldfare")
"""They delete their accounts."""
BLOCKS: Final = (("wren", "magpie"), ("heron", "crane"), ("plover", "merlin"), ("swift", "magpie"))
"""Who blocks whom; the last of them is lifted again."""
MUTES: Final = (("robin", "chiffchaff"), ("kestrel", "yellowhammer"), ("osprey", "oystercatcher"))
"""Who mutes whom; the last of them is lifted again."""
SIGHTER: Final = "avocet"
"""Writes what half of the town passes on."""
THREAD_DEPTH: Final = 6
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
ANSWERS: Final = (
    "I don't think so, it called twice.",
    "Are you sure? The light was poor.",
    "@{other} has the photographs.",
    "Then it must have come over the ridge.",
    "That is what the old notebooks say, too.",
    "I stand corrected.",
    "Let's walk there together and look.",
)
TRENDING_TAG: Final = "#MurmurationTonight"
RARITY: Final = (
    "A bluethroat! At the reed beds, ten metres from the path, singing. Come quickly. #rarity"
)


def generate_commands(
    seed: int, now_ms: int, password: str = DEMO_PASSWORD
) -> Iterator[dict[str, Any]]:
    """Lines of `starling import`, oldest first; the same for the same seed and time."""
    town = _DemoTown(random.Random(seed), now_ms, password)
    yield from town.register_accounts()
    yield from town.follow_accounts()
    yield from town.write_posts()
    yield from town.undo_some()
    yield from town.part_ways()


async def import_demo_world(settings: "Settings") -> str | None:
    """Import the demo world; the password of `DEMO_HANDLE`, which is a random one where the server
    listens for other machines, too. None, and nothing done, if the log holds anything already."""
    # `starling demo` prints the world without any of this.
    from api.accounts.passwords import BoundedPasswordHasher
    from api.accounts.registration import AccountRegistrar
    from api.bulk.command_importer import WINDOW_LINES, CommandImporter
    from events.log import LOG_START
    from infra.wiring.write_side import open_write_side

    with open_write_side(settings) as side:
        if side.log.head() > LOG_START:
            return None
        password = _choose_password(settings.host)
        register = AccountRegistrar(side, BoundedPasswordHasher()).register_account
        importer = CommandImporter(
            side.log, side.handler, side.accounts, register, side.open_import_ids, side.clock_ms
        )
        commands = generate_commands(DEMO_SEED, side.clock_ms(), password)
        lines = (json.dumps(line).encode() for line in commands)
        while window := list(islice(lines, WINDOW_LINES)):
            for result in await importer.run_lines(window):
                if isinstance(result.outcome, Exception):
                    message = f"the demo world's line {result.key}: {result.outcome}"
                    raise RuntimeError(message) from result.outcome
        await side.erasure.catch_up()
    return password


def _choose_password(host: str) -> str:
    with suppress(ValueError):
        if ip_address(host).is_loopback:
            return DEMO_PASSWORD
    return DEMO_PASSWORD if host == "localhost" else secrets.token_urlsafe(12)


class _DemoTown:
    def __init__(self, rng: random.Random, now_ms: int, password: str) -> None:
        self._password = password
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
                data |= {"email": f"{DEMO_HANDLE}@example.org", "password": self._password}
            at = self._joined_ms(handle)
            yield {
                "command": "register",
                "key": f"demo:user:{handle}",
                "at": _format_time(at),
                "data": data,
            }

    def follow_accounts(self) -> Iterator[dict[str, Any]]:
        for handle in BIRDS:
            # Each at once; newcomers know who is there already.
            at = max(self._joined_ms(handle), self._start_ms + len(BIRDS) * 60_000)
            wanted = 12 if handle == DEMO_HANDLE else self._rng.randint(3, 14)
            for other in sorted(set(self._rng.choices(BIRDS, self._weights, k=wanted)) - {handle}):
                at += 7_000
                if self._joined_ms(other) < at:
                    yield self._import_line("follow", handle, at, {"user": f"@{other}"})

    def write_posts(self) -> Iterator[dict[str, Any]]:
        """Posts over the days, each followed by the reactions to it."""
        first = self._start_ms + 2 * HOUR_MS
        span = self._now_ms - 60_000 - first
        for at in sorted(first + self._rng.randrange(span) for _ in range(POST_COUNT)):
            writing = [bird for bird in BIRDS if self._writes_at(bird, at)]
            weights = [self._weights[BIRDS.index(bird)] for bird in writing]
            author = self._rng.choices(writing, weights)[0]
            tags = self._rng.sample(TAGS, 1 if self._rng.random() < 0.7 else 2)
            yield from self._post_with_reactions(author, at, " ".join(tags))
        yield from self._rare_sighting(self._now_ms - 54 * HOUR_MS)
        # Twelve people in the last hour and a half: enough to stand out against quiet weeks.
        present = [bird for bird in BIRDS if self._writes_at(bird, self._now_ms)]
        for number, author in enumerate(self._rng.sample(present, 12)):
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
            if self._rng.random() < 0.3:
                yield from self._talk(answer, author, self._rng.randint(1, 3))
        for _ in range(self._reaction_count(1)):
            reader = self._rng.choice([bird for bird in self._present(at) if bird != author])
            yield self._import_line(
                "follow", reader, self._reaction_time(at), {"user": f"@{author}"}
            )

    def _talk(self, comment: dict[str, Any], author: str, answers: int) -> Iterator[dict[str, Any]]:
        """Answers to a comment and to one another, by the author and the one who commented."""
        speakers = (author, comment["as"][1:])
        at, before = parse_time(comment["at"]), comment
        for number in range(answers):
            at = min(at + self._rng.randint(2, 40) * 60_000, self._now_ms - 1_000)
            who = speakers[number % 2]
            data = {
                "post": f"key:{before['key']}", "text": self._fill_template(ANSWERS, who, ""),
            }  # fmt: skip
            before = self._import_line("comment", who, at, data)
            yield before

    def _rare_sighting(self, at: int) -> Iterator[dict[str, Any]]:
        """A post that half of the town passes on within minutes, and talks about at length."""
        post = self._import_line("post", SIGHTER, at, {"text": RARITY})
        yield post
        about = {"post": f"key:{post['key']}"}
        town = [bird for bird in self._present(at) if bird not in (SIGHTER, DEMO_HANDLE)]
        for number, bird in enumerate(self._rng.sample(town, 20)):
            yield self._import_line("like", bird, at + 20_000 + number * 9_000, dict(about))
        for number, bird in enumerate(self._rng.sample(town, 11)):
            yield self._import_line("retweet", bird, at + 45_000 + number * 31_000, dict(about))
        comment = self._import_line(
            "comment", DEMO_HANDLE, at + 100_000, about | {"text": "On my way! Is it still there?"}
        )
        yield comment
        yield from self._talk(comment, SIGHTER, THREAD_DEPTH)

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

    def part_ways(self) -> Iterator[dict[str, Any]]:
        """New profiles, mutes, blocks, some of them lifted, and accounts that are deleted."""
        at = self._now_ms - 26 * HOUR_MS
        for handle, bio in (("heron", "Still. Very still."), ("robin", "Up before the sun.")):
            at += 11 * 60_000
            yield self._import_line("change_profile", handle, at, {"bio": bio})
        for verb, pairs in (("mute", MUTES), ("block", BLOCKS)):
            for who, whom in pairs:
                at += 23 * 60_000
                yield self._import_line(verb, who, at, {"user": f"@{whom}"})
            lifted, whom = pairs[-1]
            at += 90 * 60_000
            yield self._import_line(f"un{verb}", lifted, at, {"user": f"@{whom}"})
        for handle in LEAVING:
            at += 3 * HOUR_MS
            yield self._import_line("delete_account", handle, at, {})

    def _joined_ms(self, handle: str) -> int:
        number = BIRDS.index(handle)
        newcomer = number - (len(BIRDS) - NEWCOMERS)
        if newcomer < 0:
            return self._start_ms + number * 60_000
        return self._start_ms + (7 * 24 + 9 * newcomer) * HOUR_MS + number * 60_000

    def _present(self, at: int) -> list[str]:
        """Who has joined, and does not leave."""
        return [bird for bird in BIRDS if self._joined_ms(bird) < at and bird not in LEAVING]

    def _writes_at(self, bird: str, at: int) -> bool:
        quiet_from = self._start_ms + (HISTORY_DAYS - 9) * 24 * HOUR_MS
        gone_from = self._now_ms - 48 * HOUR_MS
        return (
            self._joined_ms(bird) < at
            and not (bird in SILENT and at > quiet_from)
            and not (bird in LEAVING and at > gone_from)
        )

    def _reaction_count(self, most: int) -> int:
        """Mostly none, sometimes many."""
        return min(most, int(self._rng.paretovariate(1.1)) - 1)

    def _reaction_line(self, command: str, post: str, at: int) -> dict[str, Any]:
        who = self._rng.choice(self._present(at))
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
