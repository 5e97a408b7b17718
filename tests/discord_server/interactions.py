"""Interactions: what members do with the bot, and what has become of it."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.discord_server.errors import (
    ALREADY_ACKNOWLEDGED,
    INVALID_WEBHOOK_TOKEN,
    UNKNOWN_INTERACTION,
    UNKNOWN_WEBHOOK,
    RefusedError,
)
from tests.discord_server.journal import GENEROUS, Journal
from tests.discord_server.model import Channel, Message, User, snowflake

COMMAND, COMPONENT = 2, 3
REPLY, DEFERRED_REPLY, DEFERRED_UPDATE, UPDATE = 4, 5, 6, 7

ACKNOWLEDGE_WITHIN_S = 3.0
TOKEN_LIFETIME_S = 15 * 60.0


@dataclass(eq=False)
class Interaction:
    """One slash command, message command, button or menu. Times are `time.monotonic()`."""

    journal: Journal
    type: int
    user: User
    channel: Channel
    source: Message | None = None
    """The message whose button or menu was used."""
    token_lifetime_s: float = TOKEN_LIFETIME_S
    id: int = field(default_factory=snowflake)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(96))
    sent_at: float = field(default_factory=time.monotonic)
    acknowledged_at: float | None = None
    callback: int | None = None
    modal: dict[str, Any] | None = None
    original: Message | None = None
    """The reply; of an update, the message whose button was pressed."""
    followups: list[Message] = field(default_factory=list)

    def accept_callback(self, kind: int) -> None:
        """Take the one acknowledgement.

        Raises:
            RefusedError: it comes too late, or a second time.
        """
        now = time.monotonic()
        if self.acknowledged_at is not None:
            raise RefusedError(ALREADY_ACKNOWLEDGED)
        if now - self.sent_at > ACKNOWLEDGE_WITHIN_S:
            raise RefusedError(UNKNOWN_INTERACTION)
        self.acknowledged_at, self.callback = now, kind

    def check_token(self) -> None:
        """Refuse the token before the acknowledgement and after its lifetime.

        Raises:
            RefusedError: the webhook is not there yet, or no longer.
        """
        if time.monotonic() - self.sent_at > self.token_lifetime_s:
            raise RefusedError(INVALID_WEBHOOK_TOKEN)
        if self.acknowledged_at is None:
            raise RefusedError(UNKNOWN_WEBHOOK)

    def expire(self) -> None:
        """Let its token run out now."""
        self.token_lifetime_s = 0.0

    @property
    def messages(self) -> list[Message]:
        """What it was answered with: the reply and the followups, without those that were deleted."""
        own = [self.original] if self.original and self.original is not self.source else []
        return [message for message in [*own, *self.followups] if not message.deleted]

    async def acknowledged(self, within: float = ACKNOWLEDGE_WITHIN_S + 1) -> float:
        """Wait for the acknowledgement; return after how many seconds it came."""
        await self.journal.until(lambda: self.acknowledged_at is not None, within, f"acknowledging {self.id}")
        assert self.acknowledged_at is not None
        return self.acknowledged_at - self.sent_at

    async def reply(self, condition: Callable[[Message], object] = lambda _: True, within: float = GENEROUS) -> Message:
        """Wait for the reply, or a followup, that says something and meets the condition."""

        def found() -> Message | None:
            ready = (m for m in self.messages if not m.loading and condition(m))
            return next(ready, None)

        message = await self.journal.until(found, within, f"a reply to interaction {self.id}")
        assert message
        return message
