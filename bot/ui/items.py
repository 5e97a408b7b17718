"""What all buttons and menus have in common: whatever fails in one, the member who used it is told."""

import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import discord
from discord.ui import DynamicItem, Item

from bot.storage.database import StoreError
from bot.ui.delivery import NETWORK_ERRORS
from bot.ui.interactions import Interaction, send_private
from bot.ui.message import internal_error

log = logging.getLogger(__name__)

BaseT = TypeVar("BaseT", bound=Item[Any], covariant=True)


class PersistentItem(DynamicItem[BaseT], template=r"gg:none"):
    """A button or menu that outlives a restart: its custom id says all that it needs.

    discord.py logs what a `callback` raises and tells nobody; subclasses implement `use` instead.
    """

    async def callback(self, interaction: Interaction) -> None:
        """Do what the item is for, or say that this failed."""
        await answered(interaction, self.use(interaction))

    async def use(self, interaction: Interaction) -> None:
        """Do what the item is for."""
        raise NotImplementedError


async def answered(interaction: Interaction, work: Awaitable[None]) -> None:
    """Wait for what answers an interaction; whatever fails in it is logged, and said to its user alone."""
    try:
        await work
        return
    except StoreError:
        pass  # its cause is in the log
    except (discord.HTTPException, *NETWORK_ERRORS) as error:
        log.warning("Discord did not do what a button or menu asked of it: %s", type(error).__name__)
    except Exception:
        log.exception("A button or menu failed")
    try:
        await send_private(interaction, internal_error(interaction.locale.value))
    except (discord.HTTPException, discord.InteractionResponded, *NETWORK_ERRORS) as error:
        log.warning("An error could not be reported to the member: %s", type(error).__name__)
