"""Pages of profiles, posts and hashtags, for readers without an account and for previews."""

import re
from html.parser import HTMLParser

import httpx

from tests.support.api_world import ApiWorld, SignedInUser, register_user


class PageText(HTMLParser):
    """The texts, links and Open Graph properties of a page."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str | None] = []
        self.properties: dict[str | None, str | None] = {}
        assert answer.headers["content-type"].startswith("text/html")
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.links.append(given["href"])
        if tag == "meta" and "property" in given:
            self.properties[given["property"]] = given["content"]

    def handle_data(self, data: str) -> None:
        self.text += data


async def open_page(world: ApiWorld, url: str, status: int = 200) -> PageText:
    async with world.new_client() as client:
        answer = await client.get(url)
    assert answer.status_code == status, answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    return PageText(answer)


async def post(user: SignedInUser, text: str, **more: str) -> dict[str, str]:
    answer = await user.http.post("/api/v1/statuses", data={"status": text, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()
    return found


async def test_the_urls_of_entities_are_pages(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    made = await post(ada, "Of <b>snow</b> #Snow and @bob")
    answer = await post(bob, "And of ice", in_reply_to_id=made["id"])
    account = (await ada.http.get("/api/v1/accounts/lookup?acct=ada")).json()

    page = await open_page(world, made["url"])
    assert "Of <b>snow</b> #Snow and @bob" in page.text
    assert "And of ice" in page.text
    assert re.search(r"0 likes ·\s+0 retweets ·\s+1 answer$", page.text, re.M)
    assert {answer["url"], account["url"], "http://test/tags/snow", "http://test/@bob"} <= {
        *page.links
    }
    assert page.properties["og:url"] == made["url"]
    assert page.properties["og:description"] == "Of <b>snow</b> #Snow and @bob"
    assert page.properties["og:image"] == account["avatar_static"]

    page = await open_page(world, account["url"].replace("@ada", "@ADA"))
    assert page.properties["og:url"] == account["url"]
    assert "Of <b>snow</b>" in page.text
    page = await open_page(world, "/tags/SNOW")
    assert page.properties["og:title"] == "#snow"
    assert made["url"] in page.links
    assert "And of ice" not in page.text


async def test_covered_posts_stay_covered(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    made = await post(ada, "The butler did it", spoiler_text="How it ends")
    async with world.new_client() as client:
        html = (await client.get(made["url"])).text
    assert re.search(r"<details><summary>How it ends</summary>\s*<div><p>The butler", html)
    assert 'content="How it ends"' in html
    assert "The butler" not in html.split("<main>")[0]


async def test_what_is_not_there_is_no_page(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    made = await post(ada, "hello")
    for path in ("/@missing", f"/@bob/{made['id']}", "/@ada/12", "/@ada/x", f"/@ada/{2**70}"):
        assert "There is no such" in (await open_page(world, path, 404)).text
    await ada.http.delete(f"/api/v1/statuses/{made['id']}")
    assert "There is no such post" in (await open_page(world, made["url"], 404)).text
    assert bob.id


async def test_older_posts_are_a_link_away(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    for number in range(25):
        await post(ada, f"number {number:02}")
    newest = await open_page(world, "/@ada")
    assert "number 05" in newest.text
    assert "number 04" not in newest.text
    older = str(newest.links[-1])
    assert older.startswith("http://test/@ada?before=")
    oldest = await open_page(world, older)
    assert re.findall(r"number \d+", oldest.text) == [f"number {n:02}" for n in (4, 3, 2, 1, 0)]
    assert "before=" not in str(oldest.links[-1])
