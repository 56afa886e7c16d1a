"""`starling events`: the log itself."""

import json
from pathlib import Path

import click

from infra.cli.options import data_option, json_option, settings_of_existing_log


@click.group()
def events() -> None:
    """Look at the log of record."""


@events.command()
@data_option
@json_option
def verify(data: Path | None, as_json: bool) -> None:
    """Check that the log is whole, and print what is wrong, a finding a line.

    Positions ascend, ids are unique, the versions of every stream have no holes, every event
    decodes and stands in its own stream. Works while a server runs. Exit status 1: findings.

    Example: starling events verify --data data
    """
    from infra.cli.progress import progress_bar
    from infra.log_of_record import open_log
    from streams.export.verify import verify_log as findings_in

    found, events = 0, 0
    with open_log(settings_of_existing_log(data=data)) as log, progress_bar() as progress:
        advance = progress.begin_phase("events", None)

        def report_page(position: int, head: int) -> None:
            nonlocal events
            events = head
            advance(position)

        for finding in findings_in(log, report_page):
            found += 1
            line = (
                json.dumps(finding._asdict()) if as_json else f"{finding.position}: {finding.what}"
            )
            click.echo(line)
    said = f"{found} findings" if found else "the log is whole"
    click.echo(f"checked up to position {events}: {said}", err=True)
    if found:
        raise click.exceptions.Exit(1)


@events.command()
def schema() -> None:
    """Print the AsyncAPI document of all types of events, as JSON.

    Example: starling events schema > asyncapi.json
    """
    from importlib.metadata import version

    from streams.export.asyncapi import build_document

    click.echo(json.dumps(build_document(version("starling")), indent=2, ensure_ascii=False))
