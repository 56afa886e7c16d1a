"""The simulated people: who they are, whom they follow, what they write. All from one seed.

Attention is Zipf-distributed: the n-th person is followed, and read, about 1/n as much as the
first. How many people a person follows is heavy-tailed, too.
"""

import random
from bisect import bisect
from itertools import accumulate
from typing import Final, NamedTuple

MEDIAN_FOLLOWED: Final = 12
"""How many people half of all people follow, in a world that is large enough."""

_NAMES: Final = (
    "Abeni", "Bram", "Chiyo", "Dario", "Edda", "Farid", "Greta", "Hana", "Ivo", "Jaya", "Kofi",
    "Lena", "Mirek", "Noor", "Oskar", "Pilar", "Quyen", "Rosa", "Sami", "Tove", "Uma", "Vasil",
    "Wanda", "Ximena", "Yusuf", "Zofia",
)  # fmt: skip
_TAGS: Final = (
    "coffee", "cycling", "gardening", "chess", "baking", "tides", "radio", "maps", "knitting",
    "jazz", "trains", "clouds", "pottery", "mushrooms", "sailing", "typefaces",
)  # fmt: skip
_OPENINGS: Final = (
    "Today I learnt something about", "No one told me that", "Third week of", "In praise of",
    "A quiet hour with", "Still thinking about", "Small progress with", "Who else is into",
)  # fmt: skip
_SUBJECTS: Final = (
    "the old tools", "a rainy morning", "patience", "the long way round", "a borrowed book",
    "the neighbour's advice", "cheap equipment", "doing it by hand",
)  # fmt: skip


class Person(NamedTuple):
    """A simulated person, as registered."""

    handle: str
    name: str
    email: str
    password: str


class World:
    """`users` people and their follow graph, the same for the same seed.

    People are known by their number, from 0, the most followed first.
    """

    def __init__(self, users: int, seed: int) -> None:
        rng = random.Random(f"people-{seed}")
        self.people = [_draw_person(rng, seed, number) for number in range(users)]
        self._weights = list(accumulate(1 / (number + 1) for number in range(users)))
        self.follows = self._follow_graph(random.Random(f"follows-{seed}"))
        """Pairs (follower, followee), in the order in which they come about."""
        self.followers: list[list[int]] = [[] for _ in range(users)]
        """The followers of each person."""
        for follower, followee in self.follows:
            self.followers[followee].append(follower)

    def pick_by_popularity(self, rng: random.Random) -> int:
        """A person; the first ones far more often."""
        return bisect(self._weights, rng.random() * self._weights[-1])

    def pick_uniformly(self, rng: random.Random) -> int:
        """A person, each as often as any other."""
        return rng.randrange(len(self.people))

    def _follow_graph(self, rng: random.Random) -> list[tuple[int, int]]:
        pairs: list[tuple[int, int]] = []
        most = len(self.people) - 1
        for follower in range(len(self.people)):
            wanted = min(most, int(rng.lognormvariate(0, 0.8) * MEDIAN_FOLLOWED) + 1)
            chosen: set[int] = set()
            # Popular people are drawn again and again: a bound keeps this from going on for ever.
            for _ in range(8 * wanted):
                if len(chosen) == wanted:
                    break
                followee = self.pick_by_popularity(rng)
                if followee != follower:
                    chosen.add(followee)
            if not chosen:
                chosen.add((follower + 1) % len(self.people))
            pairs += ((follower, followee) for followee in sorted(chosen))
        rng.shuffle(pairs)
        return pairs


def random_post_text(rng: random.Random) -> str:
    """The text of a post, mostly with a hashtag."""
    words = f"{rng.choice(_OPENINGS)} {rng.choice(_SUBJECTS)}."
    # Of the tags, the first is the most loved by far.
    tag = _TAGS[min(len(_TAGS) - 1, int(rng.paretovariate(0.9)) - 1)]
    return f"{words} #{tag}" if rng.random() < 0.7 else words


def _draw_person(rng: random.Random, seed: int, number: int) -> Person:
    # Drawn one after the other: a larger world of one seed begins with the smaller one's people.
    handle = f"sim{seed}_{number}"
    password = f"{rng.getrandbits(64):016x}"
    return Person(handle, rng.choice(_NAMES), f"{handle}@example.org", password)
