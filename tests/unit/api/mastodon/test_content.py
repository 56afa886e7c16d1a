"""Texts of posts as the HTML that Mastodon's clients know."""

import pytest

from api.mastodon.content import content_html, without_own_domain

BASE = "https://feed.example"


def html(text: str, *known: str) -> str:
    return content_html(text, known, BASE)


def test_a_text_is_paragraphs_and_line_breaks() -> None:
    assert html("one\ntwo\n\n\nthree") == "<p>one<br />two</p><p>three</p>"
    assert html("") == ""


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=1>', "a & b"])
def test_what_is_written_is_never_markup(text: str) -> None:
    shown = html(text)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "& b" not in shown


def test_a_mention_links_to_the_page_of_the_user() -> None:
    assert html("hi @Bob!", "bob") == (
        '<p>hi <span class="h-card"><a href="https://feed.example/@bob" class="u-url mention">'
        "@<span>Bob</span></a></span>!</p>"
    )
    assert html("hi @zed") == "<p>hi @zed</p>"


def test_the_own_domain_is_left_out_of_mentions() -> None:
    assert without_own_domain("@bob@feed.example. @cy@Feed.Example", BASE) == "@bob. @cy"
    assert without_own_domain("@bob@feed.example.org", BASE) == "@bob@feed.example.org"


def test_a_hashtag_links_to_its_page_under_the_folded_name() -> None:
    assert html("#Snow") == (
        '<p><a href="https://feed.example/tags/snow" class="mention hashtag" rel="tag">'
        "#<span>Snow</span></a></p>"
    )


def test_a_link_shows_its_beginning_and_can_be_copied_whole() -> None:
    url = "https://www.example.org/a/long/path/that/goes/on?x=1&y=2#z"
    shown = html(f"see {url}")
    assert 'rel="nofollow noopener noreferrer" target="_blank"' in shown
    assert '<span class="invisible">https://www.</span>' in shown
    assert '<span class="ellipsis">example.org/a/long/path/that/g</span>' in shown
    assert "#<span>" not in shown
