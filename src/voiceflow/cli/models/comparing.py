"""`voiceflow models compare`: how two versions fare on one channel, beside each other."""

from __future__ import annotations

import click

from voiceflow.catalog.names import ChannelName, VersionName
from voiceflow.catalog.pods import Comparison, OutcomeComparison
from voiceflow.cli.models.names import CHANNEL, VERSION, short
from voiceflow.cli.models.session import call, registry_option
from voiceflow.cli.models.tables import table
from voiceflow.cli.options import Target
from voiceflow.cli.printing import as_data, json_option, out, print_json
from voiceflow.client.registry import RegistryClient


@click.command()
@click.argument("channel", type=CHANNEL)
@click.argument("base", type=VERSION)
@click.argument("target", type=VERSION)
@registry_option
@json_option
def compare(
    channel: ChannelName, base: VersionName, target: VersionName, registry: Target, as_json: bool
) -> None:
    """Compare how TARGET fares on CHANNEL with how BASE does, over all servers.

    The difference is told with its bounds at 95 % confidence, where there is enough to tell.
    """

    async def act(client: RegistryClient) -> OutcomeComparison:
        return await client.compare(channel, base, target)

    found = call(registry, act)
    if as_json:
        print_json(as_data(found))
        return
    made = table("Figure", f"{short(str(base))}>", f"{short(str(target))}>", "Difference>")
    made.add_row("pods", str(found.base_pods), str(found.target_pods), "")
    for name in ("streams", "hops"):
        made.add_row(name, *(str(getattr(one, name)) for one in (found.base, found.target)), "")
    for one in found.comparisons:
        made.add_row(
            one.name.replace("_", " "), f"{one.base:.4g}", f"{one.target:.4g}", _difference(one)
        )
    out().print(made)


def _difference(one: Comparison) -> str:
    if one.difference_low is None or one.difference_high is None:
        return "too little to tell"
    verdict = "" if one.difference_low <= 0.0 <= one.difference_high else " *"
    return f"{one.difference_low:+.4g} to {one.difference_high:+.4g}{verdict}"
