"""References: what a coroutine looks up."""

import pytest

from commands.errors import InvalidInput, NotFound
from commands.references import ReferenceResolver
from tests.support.sparse_log import SparseLog


@pytest.mark.parametrize("reference", ["@ada", "key:line-1"])
async def test_a_user_is_looked_up_beside_the_event_loop(reference: str) -> None:
    with pytest.raises(NotFound):
        await ReferenceResolver(SparseLog()).find_user(reference)


async def test_an_id_stands_for_itself() -> None:
    references = ReferenceResolver(SparseLog())
    assert await references.find_user("17") == 17
    with pytest.raises(InvalidInput):
        await references.find_user("ada")
