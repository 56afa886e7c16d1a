"""`starling sql`: questions about the log."""

from pathlib import Path

import click

from infra.cli.errors import UserError
from infra.cli.options import data_option, json_option, settings_of_existing_log

MAX_TABLE_ROWS = 1000
"""Rows of a table for a person."""


@click.command()
@click.argument("question", metavar="SQL")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@data_option
def sql(question: str, as_json: bool, as_csv: bool, data: Path | None) -> None:
    """Answer a question in SQL (DuckDB's) about the log, without a server or beside one.

    Views: events, users, posts, likes, retweets, follows as they are now, and one for each type of
    event, such as post_created. SQL is - to read it from stdin. Only questions are taken: nothing
    is written, no other file is read. In JSON, numbers beyond 2^53, such as ids, are strings.

    Example: starling sql "SELECT handle, text, likes FROM posts ORDER BY likes DESC LIMIT 5"
    """
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")
    if question == "-":
        question = click.get_text_stream("stdin").read()
    try:
        from infra.cli import sql_output
    except ModuleNotFoundError as error:
        raise UserError(
            f"this needs {error.name}: 'make setup' installs it, and so does "
            "pip install 'starling[analysis]'"
        ) from error
    settings = settings_of_existing_log(data=data)
    with sql_output.query_log(settings, question) as answer:
        if as_json:
            sql_output.write_json(answer)
        elif as_csv:
            sql_output.write_csv(answer)
        else:
            sql_output.print_first_rows(answer, MAX_TABLE_ROWS)
