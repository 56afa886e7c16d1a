"""Analytics over HTTP."""

import pytest

from tests.support.api_world import ApiWorld, register_user

TODAY = "2026-02-02"  # START_MS


async def test_totals_are_for_analysts_and_growth_is_for_its_owner(world: ApiWorld) -> None:
    ada, bob = await register_user(world, "ada"), await register_user(world, "bob")
    await bob.create_post("hello #world")
    await bob.send_command("PUT", f"/v1/users/{ada.id}/follow")
    token = world.tokens.issue(int(ada.id), ("analyst",))
    async with world.new_client(token) as analyst:
        await world.project_all()

        async def ask(path: str, **query: str) -> object:
            answer = await analyst.get(f"/v1/analytics/{path}", params=query)
            assert answer.status_code == 200, answer.text
            return answer.json()

        day = {"from": TODAY, "to": TODAY}
        active = {"since": TODAY, "active": 1, "new": 1, "returning": 0}
        assert await ask("active-users", **day) == [active]
        weekly = await ask("retention", **day)
        assert weekly == [{"since": TODAY, "accounts": 2, "active": [1]}]
        funnel = {"signed_up": 2, "followed": 1, "posted": 1, "liked": 0}
        assert await ask("funnel", **day) == funnel
        assert await ask("hashtags/%23World", **day) == [{"since": TODAY, "posts": 1}]
        assert (await analyst.get("/v1/analytics/growth")).status_code == 403
    [grown] = await ada.get_json("/v1/analytics/growth", per="week", **day)
    assert grown == {"since": TODAY, "gained": 1, "lost": 0}
    for path in ("active-users", "retention", "funnel", "hashtags/world"):
        assert (await ada.http.get(f"/v1/analytics/{path}")).status_code == 403


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"zone": "Nowhere/There"}, "zone-invalid"),
        ({"zone": "../../etc/passwd"}, "zone-invalid"),
        ({"from": "2026-02-02", "to": "2026-02-01"}, "period-invalid"),
        ({"from": "2000-01-01"}, "period-invalid"),
        ({"from": "9999-12-31", "to": "9999-12-31", "per": "month"}, "period-invalid"),
    ],
)
async def test_periods_that_can_not_be_are_refused(
    world: ApiWorld, query: dict[str, str], code: str
) -> None:
    ada = await register_user(world, "ada")
    answer = await ada.http.get("/v1/analytics/growth", params=query)
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{code}")


async def test_retention_is_by_the_week_and_takes_no_other_length(world: ApiWorld) -> None:
    ada = await register_user(world, "ada")
    async with world.new_client(world.tokens.issue(int(ada.id), ("analyst",))) as analyst:
        answer = await analyst.get("/v1/analytics/retention", params={"per": "month"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-query")
    assert "`per`" in answer.json()["detail"]
