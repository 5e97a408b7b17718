"""Whom the host serves, asked before a command or a button does anything, and whether links are followed."""

from bot.jobs.service import LINKS_OFF, MAINTENANCE, NOT_SERVED
from bot.services import BotServices, services_of
from bot.ui.interactions import Interaction, send_private
from core.i18n.catalog import translate


async def let_in(interaction: Interaction, *, to_work: bool = False) -> bool:
    """Whether the host lets a member go on; who is refused is told so, and nobody else sees it.

    Args:
        interaction: not acknowledged yet.
        to_work: whether it would begin a job, which maintenance does not allow.
    """
    host = services_of(interaction).host
    if not host.serves(interaction.user.id, interaction.guild_id):
        key = NOT_SERVED
    elif to_work and host.switches.maintenance:
        key = MAINTENANCE
    else:
        return True
    await send_private(interaction, translate(key, interaction.locale.value))
    return False


def links_refusal(services: BotServices, guild_id: int | None) -> str | None:
    """Key of the sentence that says who has turned links off; None where they are followed.

    Args:
        services: the host's switch and the servers' settings.
        guild_id: the server; None in a direct conversation.
    """
    if not services.host.switches.links:
        return LINKS_OFF
    return None if services.guilds.settings(guild_id).links else "bot.links-off"
