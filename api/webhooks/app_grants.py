"""Webhooks of apps: what scopes they need, and that they end with the token that made them.

An app hears of no more than it could ask for itself, and no longer: wherever one of its webhooks is
looked at or sent to, its token is looked up (`docs/adr/0088`).
"""

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import attrgetter

from api.accounts.token_store import TokenClaims
from api.http.tokens import require_app_scope
from api.ports import Ports
from api.webhooks.concerned_webhooks import NOTIFICATION
from api.webhooks.delivery_metrics import WebhookEnding, count_ended
from api.webhooks.webhook_store import Webhook


def require_types(claims: TokenClaims, types: Collection[str]) -> None:
    """Refuse an app's token that can't read what these types of events show. Raises
    `RequestRefused` (403)."""
    for type in sorted(types):
        part = "notifications" if type.startswith(NOTIFICATION) else "statuses"
        require_app_scope(claims, f"read:{part}")


async def standing_webhooks(ports: Ports, webhooks: Sequence[Webhook]) -> list[Webhook]:
    """Those that stand; the others, of apps whose tokens are good no more, are removed.

    Raises `AccountsUnavailable`, `WebhooksUnavailable`.
    """
    standing: list[Webhook] = []
    for user, theirs in groupby(sorted(webhooks, key=attrgetter("user", "id")), lambda w: w.user):
        good: set[int | None] | None = None
        for webhook in theirs:
            if webhook.app is not None:
                if good is None:
                    good = {one.id for one in await ports.tokens.list_sessions(user)}
                if webhook.token not in good:
                    if await ports.webhooks.store.unsubscribe(user, webhook.id, webhook.token):
                        count_ended(WebhookEnding.REVOKED)
                    continue
            standing.append(webhook)
    return standing
