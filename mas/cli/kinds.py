"""Commands with kinds: `mas evaluate KIND`, `mas visualize KIND`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mas.cli.flags import HelpWanted, UsageError


def split_kind(
    command: str, summary: str, kinds: Mapping[str, str], arguments: Sequence[str]
) -> tuple[str, list[str]]:
    """Splits the arguments of a command into its KIND and the rest.

    Args:
        command: the command as typed.
        summary: what it does, for its help.
        kinds: {name: what it does}.
        arguments: arguments of the command.

    Raises:
        HelpWanted: If help is requested without a kind.
        UsageError: If the kind is missing or unknown.
    """
    words = [word for word in arguments if not word.startswith("-")]
    name = next((word for word in words if word in kinds), None)
    if name is not None:
        place = list(arguments).index(name)
        return name, [*arguments[:place], *arguments[place + 1 :]]
    if {"-h", "--help", "--helpfull"} & {*arguments}:
        width = max(map(len, kinds))
        lines = [f"  {kind:{width}}  {text}" for kind, text in kinds.items()]
        more = f"Run {command} KIND --help for the flags of a kind."
        text = [f"{command} KIND --FLAG=VALUE ...", "", summary, "", *lines, "", more]
        raise HelpWanted("\n".join(text))
    received = words[0] if words else "none"
    raise UsageError(f"KIND must be one of {', '.join(kinds)}. Received: {received}.")
