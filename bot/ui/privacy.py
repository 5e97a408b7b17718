"""What is stored, said to members, and its deletion: whatever deletes asks again first, and names what goes."""

import re
from collections.abc import Iterable
from typing import Any, Final, Self

import discord
from discord.ui import Button, Item, View

from bot.services import BotServices, services_of
from bot.settings import BotSettings
from bot.storage.database import StoreError
from bot.storage.retention import Holdings, Scope
from bot.ui.delivery import NO_MENTIONS
from bot.ui.interactions import Interaction
from bot.ui.items import PersistentItem
from core.i18n.catalog import translate

ASK, KEEP, ME, SERVER = "ask", "keep", "me", "server"


class ForgetButton(PersistentItem[Button[View]], template=r"gg:forget:(?P<action>ask|keep|me|server|\d{1,20})"):
    """Asks whether to delete (`ask`), deletes (`me`, `server`, or a member's id) or leaves everything (`keep`).

    Args:
        action: what pressing it does.
        label: what is written on it.
    """

    def __init__(self, action: str, label: str = "-") -> None:
        self.action = action
        harmless = action in (ASK, KEEP)
        style = discord.ButtonStyle.secondary if harmless else discord.ButtonStyle.danger
        super().__init__(Button(style=style, label=label, custom_id=f"gg:forget:{action}"))

    @classmethod
    async def from_custom_id(cls, interaction: Interaction, item: Item[Any], match: re.Match[str], /) -> Self:
        """Rebuild the button that was pressed."""
        return cls(match["action"])

    async def use(self, interaction: Interaction) -> None:
        """Do it, and put what came of it in place of the question."""
        services = services_of(interaction)
        if not await services.acknowledge(interaction, thinking=False):
            return
        view: View | None = None
        try:
            if self.action == ASK:
                scope = Scope(user_id=interaction.user.id)
                text, view = await question(interaction, scope)
            elif self.action == KEEP:
                text = translate("bot.privacy.kept-all", interaction.locale.value)
            else:
                text = await self._delete(interaction)
        except StoreError:
            text = translate("bot.admin.not-saved", interaction.locale.value)
        await interaction.edit_original_response(content=text, view=view, allowed_mentions=NO_MENTIONS)

    async def _delete(self, interaction: Interaction) -> str:
        locale, guild_id = interaction.locale.value, interaction.guild_id
        if self.action == ME:
            services = services_of(interaction)
            await _forget(services, Scope(user_id=interaction.user.id))
            services.locales.forget(interaction.user.id)
            return translate("bot.privacy.forgot-me", locale)
        # An admin may have lost the right since the question was asked.
        if guild_id is None or not interaction.permissions.manage_guild:
            return translate("bot.privacy.not-allowed", locale)
        if self.action == SERVER:
            await _forget(services_of(interaction), Scope(guild_id))
            return translate("bot.admin.forgot-server", locale)
        await _forget(services_of(interaction), Scope(guild_id, int(self.action)))
        return translate("bot.admin.forgot-member", locale, member=f"<@{self.action}>")


async def _forget(services: BotServices, scope: Scope) -> None:
    """End what is on its way of someone, which would be stored afterwards, and delete what is stored.

    Raises:
        StoreError: nothing was deleted.
    """
    services.jobs.forget(scope)
    await services.retention.forget(scope)


PRIVACY_ITEMS: Final = (ForgetButton,)


def stored_text(settings: BotSettings, locale: str) -> str:
    """Say what is stored and for how long."""
    return translate(
        "bot.privacy.stored" if settings.store_bytes else "bot.privacy.stored-little",
        locale,
        kept=translate("bot.privacy.kept", locale, n=settings.retention_days),
        corrections=translate("bot.privacy.corrections", locale, n=settings.correction_days),
        left=translate("bot.privacy.left", locale, n=settings.grace_days),
        mb=settings.store_mb,
    )


def held_text(held: Holdings, locale: str) -> str:
    """List what is stored of someone, as far as there is anything."""
    if not held:
        return translate("bot.privacy.held-nothing", locale)
    counts = {
        "requests": held.requests,
        "open": held.open,
        "corrections": held.corrections,
        "songs": held.songs,
        "games": held.games,
        "scores": held.scores,
    }
    lines = [translate(f"bot.privacy.n-{name}", locale, n=n) for name, n in counts.items() if n]
    if held.taste:
        lines.append(translate("bot.privacy.taste", locale))
    return _listed(lines)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


async def own_text(interaction: Interaction) -> tuple[str, View | None]:
    """Say what is stored, also of the one who asks, and offer to delete that.

    Raises:
        StoreError: the database failed.
    """
    services, locale = services_of(interaction), interaction.locale.value
    held = await services.retention.held(Scope(user_id=interaction.user.id))
    mine = translate("bot.privacy.mine", locale, held=held_text(held, locale))
    text = f"{stored_text(services.settings, locale)}\n\n{mine}"
    return text, _view(ForgetButton(ASK, translate("bot.privacy.button.ask", locale))) if held else None


async def question(
    interaction: Interaction, scope: Scope, *, named_besides: discord.abc.Snowflake | None = None
) -> tuple[str, View | None]:
    """Ask whether to delete what is stored, and name it.

    Args:
        interaction: of the one who wants it deleted; a scope with a server is this interaction's.
        scope: whose data goes.
        named_besides: a member who was named although the whole server was chosen: perhaps only they are meant.

    Raises:
        StoreError: the database failed.
    """
    locale = interaction.locale.value
    held = await services_of(interaction).retention.held(scope)
    what = held_text(held, locale)
    if scope.user_id is not None and not held:
        return what, None
    keep = ForgetButton(KEEP, translate("bot.privacy.button.keep", locale))
    if scope.guild_id is None:
        delete = ForgetButton(ME, translate("bot.privacy.button.me", locale))
        return translate("bot.privacy.ask-me", locale, held=what), _view(delete, keep)
    if scope.user_id is not None:
        delete = ForgetButton(str(scope.user_id), translate("bot.privacy.button.member", locale))
        text = translate("bot.privacy.ask-member", locale, member=f"<@{scope.user_id}>", held=what)
        return text, _view(delete, keep)
    delete = ForgetButton(SERVER, translate("bot.privacy.button.server", locale))
    settings = _listed([translate("bot.privacy.server-settings", locale)])
    text = translate("bot.privacy.ask-server", locale, held=f"{what}\n{settings}" if held else settings)
    if named_besides is None:
        return text, _view(delete, keep)
    member = translate("bot.privacy.ask-which", locale, member=f"<@{named_besides.id}>")
    only = ForgetButton(str(named_besides.id), translate("bot.privacy.button.member", locale))
    return f"{text}\n{member}", _view(only, delete, keep)


def _view(*buttons: ForgetButton) -> View:
    view = View(timeout=None)
    for button in buttons:
        view.add_item(button)
    return view
