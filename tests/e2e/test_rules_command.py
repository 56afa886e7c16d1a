"""`starling rules`: what it mines from the views."""

from click.testing import CliRunner

from infra.cli.main import main
from infra.cli.rules import RuleLimits, mine_rules
from projections.apriori import AssociationRule
from tests.support.api_world import ApiWorld, register_user
from tests.support.fresh_projection import memory_views


async def test_rules_say_what_is_followed_together_and_used_together(world: ApiWorld) -> None:
    ada, bob, cat, dan = [await register_user(world, name) for name in ("ada", "bob", "cat", "dan")]
    for follower, *followed in ((ada, cat, dan), (bob, cat, dan), (cat, dan), (dan, ada)):
        for user in followed:
            await follower.send_command("PUT", f"/v1/users/{user.id}/follow")
    for text in ("#Ice #snow", "#ice #SNOW", "#snow", "no tag"):
        await ada.create_post(text)
    views = await memory_views(world.log)
    limits = RuleLimits(support=0.1, confidence=0.6, size=2, rules=10)
    follows = await mine_rules(views.__getitem__, "follows", limits)
    assert follows == (
        4,
        [
            AssociationRule(("@cat",), ("@dan",), 0.5, 1.0, 1.0 / 0.75),
            AssociationRule(("@dan",), ("@cat",), 0.5, 2 / 3, (2 / 3) / 0.5),
        ],
    )
    hashtags = await mine_rules(views.__getitem__, "hashtags", limits._replace(rules=1))
    assert hashtags == (3, [AssociationRule(("ice",), ("snow",), 2 / 3, 1.0, 1.0)])


def test_rules_need_a_kind() -> None:
    assert CliRunner().invoke(main, ["rules", "posts"]).exit_code == 2
