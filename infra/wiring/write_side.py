"""What commands are carried out with: the log, ids, accounts and their limits."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from api.http.request_log import note_correlation
from commands.handler import Append, CommandHandler
from commands.references import ReferenceResolver
from events.log import AppendRequest, AppendResult, EventLog
from events.sealed_text import OpenText
from infra.encryption.text_cipher import TextCipher
from infra.log_of_record import open_log, open_text_keys
from infra.process.clock import clock_ms
from infra.process.tracing import traced_append
from infra.setting_checks import split_list
from infra.settings import Settings
from infra.wiring.id_sources import open_import_ids, open_live_ids
from infra.wiring.profile_choice import choose_profile

if TYPE_CHECKING:
    from api.accounts.account_store import AccountStore
    from api.accounts.erasure import Erasure
    from api.accounts.request_limits import RequestLimits
    from api.accounts.throttle import LoginThrottle
    from api.media.media_records import MediaRecords


@dataclass(frozen=True, slots=True)
class WriteSide:
    """What commands are carried out with, in API processes and in `starling import`.

    `open_import_ids` opens a source of ids at given times; `erasure` carries out deletions while it
    runs.
    """

    log: EventLog
    handler: CommandHandler
    references: ReferenceResolver
    accounts: "AccountStore"
    media_records: "MediaRecords"
    throttle: "LoginThrottle"
    request_limits: "RequestLimits | None"
    open_text: OpenText
    erasure: "Erasure"
    clock_ms: Callable[[], int]
    new_id: Callable[[], int]
    open_import_ids: Callable[[], AbstractContextManager[Callable[[int], int]]]


@contextmanager
def open_write_side(settings: Settings) -> Iterator[WriteSide]:
    """The log, ids and accounts, in a data folder that is created where there is none.

    Open it in the process that uses it, after any fork. Raises `OSError`, `LogUnavailable`,
    `LeaseError`, `AccountsUnavailable`, `MediaUnavailable`.
    """
    from api.accounts.erasure import Erasure
    from api.accounts.request_limits import RequestLimits, read_rates
    from api.accounts.throttle import LoginThrottle

    settings.make_data_folder()
    profile = choose_profile(settings)
    with (
        open_log(settings) as log,
        open_text_keys(settings, log) as text_keys,
        open_live_ids(settings, log) as new_id,
        profile.open_accounts() as accounts,
        profile.open_media_records() as media_records,
        profile.open_rate_limits() as counts,
    ):
        cipher = TextCipher(text_keys)
        yield WriteSide(
            log=log,
            handler=CommandHandler(
                log,
                new_id,
                lambda append: _observed_append(cipher.sealing(append)),
                cipher.open_text,
            ),
            references=ReferenceResolver(log),
            accounts=accounts,
            media_records=media_records,
            throttle=LoginThrottle(counts if settings.limits else None),
            request_limits=RequestLimits(counts, read_rates(split_list(settings.rates)))
            if settings.limits
            else None,
            open_text=cipher.open_text,
            erasure=Erasure(log, accounts, text_keys),
            clock_ms=clock_ms,
            new_id=new_id,
            open_import_ids=partial(open_import_ids, settings, log),
        )


def _observed_append(append: Append) -> Append:
    """Ties the append to the request that makes it: in log records, and in traces."""
    traced = traced_append(append)

    async def observed(request: AppendRequest) -> AppendResult:
        note_correlation(request.correlation)
        return await traced(request)

    return observed
