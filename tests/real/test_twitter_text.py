"""The conformance cases of twitter-text: what a hashtag, a mention and a reply is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from commands.text import TextSpan, find_entities, find_hashtags, find_mentions
from tests.support.requirements import shared_data_folder, skip_or_fail

FILE = Path("twitter-text") / "extract.yml"
GROUPS = {
    "hashtags": 65,
    "hashtags_from_astral": 3,
    "hashtags_with_indices": 8,
    "mentions": 23,
    "mentions_with_indices": 3,
    "mentions_or_lists_with_indices": 5,
    "replies": 13,
}

Case = dict[str, Any]


def groups() -> dict[str, list[Case]]:
    """Every case of the file by its group; empty where the file is absent."""
    path = shared_data_folder() / FILE
    if not path.is_file():
        return {}
    loaded: dict[str, list[Case]] = yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
    return loaded


def cases(*names: str) -> list[Any]:
    """The cases of these groups as pytest parameters."""
    found = groups()
    return [
        pytest.param(case, id=f"{name}: {case['description']}")
        for name in names
        for case in found.get(name, ())
    ]


def place(span: TextSpan, name: str) -> Case:
    return {name: span.name, "indices": [span.start, span.end]}


def test_every_case_about_hashtags_mentions_and_replies_is_read(shared_data: Path) -> None:
    if not (shared_data / FILE).is_file():
        skip_or_fail(f"the conformance cases in {shared_data / FILE}")
    assert {name: len(found) for name, found in groups().items() if name in GROUPS} == GROUPS


@pytest.mark.parametrize("case", cases("hashtags", "hashtags_from_astral"))
def test_hashtags_are_those_of_twitter_text(case: Case) -> None:
    assert [tag.name for tag in find_hashtags(case["text"])] == case["expected"]
    assert list(find_entities(case["text"]).hashtags) == case["expected"]


@pytest.mark.parametrize("case", cases("hashtags_with_indices"))
def test_hashtags_stand_where_twitter_text_finds_them(case: Case) -> None:
    assert [place(tag, "hashtag") for tag in find_hashtags(case["text"])] == case["expected"]


@pytest.mark.parametrize("case", cases("mentions"))
def test_mentions_are_those_of_twitter_text(case: Case) -> None:
    assert [mention.name for mention in find_mentions(case["text"])] == case["expected"]
    assert list(find_entities(case["text"]).mentions) == case["expected"]


@pytest.mark.parametrize("case", cases("mentions_with_indices"))
def test_mentions_stand_where_twitter_text_finds_them(case: Case) -> None:
    assert [place(mention, "screen_name") for mention in find_mentions(case["text"])] == case[
        "expected"
    ]


@pytest.mark.parametrize("case", cases("mentions_or_lists_with_indices"))
def test_a_mention_of_a_list_ends_where_twitter_text_ends_it(case: Case) -> None:
    found = [
        place(hit, "screen_name") | {"list_slug": hit.slug} for hit in find_mentions(case["text"])
    ]
    assert found == case["expected"]


@pytest.mark.parametrize("case", cases("replies"))
def test_a_text_that_opens_with_a_mention_is_a_reply_to_it(case: Case) -> None:
    text = case["text"]
    opening = [hit.name for hit in find_mentions(text) if not text[: hit.start].strip()]
    assert opening == ([case["expected"]] if case["expected"] else [])
