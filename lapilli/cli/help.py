"""``lapilli help``: a command's help, or the words that reports use."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from lapilli.cli import text
from lapilli.cli.registry import COMMANDS
from lapilli.cli.terms import TERMS
from lapilli.errors import UsageError

TERMS_TOPIC = "terms"
WORD_COLUMNS = 18


@click.command("help")
@click.argument("topic", required=False, metavar="COMMAND|terms")
@click.option("--json", "as_json", is_flag=True, help="With terms: print one JSON object.")
@click.pass_context
def help_command(context: click.Context, topic: str | None, as_json: bool) -> None:
    """Explain a command, or the words that reports use (terms)."""
    if topic == TERMS_TOPIC:
        if as_json:
            click.echo(json.dumps({"terms": dict(TERMS)}, indent=2))
            return
        for line in terms(text.width()):
            click.echo(line)
        return
    group = context.parent
    assert group is not None and isinstance(group.command, click.Group)
    if topic is None:
        click.echo(group.command.get_help(group))
        return
    command = group.command.get_command(group, topic)
    if command is None:
        raise UsageError(f"no help on {topic!r}; there is {', '.join([*COMMANDS, TERMS_TOPIC])}")
    with click.Context(command, group, topic) as inner:
        click.echo(command.get_help(inner))


def terms(width: int) -> Iterator[str]:
    """All words, in lines of at most ``width``."""
    for word, meaning in TERMS:
        if len(word) > WORD_COLUMNS - 2:
            yield word
            word = ""
        yield from text.wrapped(f"{word:{WORD_COLUMNS}}", meaning, width)
