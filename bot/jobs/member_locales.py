"""Members' languages, for direct messages: Discord tells them with commands and buttons, with a message it does not."""

from collections import OrderedDict
from typing import Final

from bot.storage.database import StoreError
from bot.storage.requests import RequestStore
from core.i18n.languages import DEFAULT_LOCALE, best_locale

MOST_KEPT: Final = 10_000
"""Members whose languages are in memory: those heard of last."""


class MemberLocales:
    """Remembers what Discord is set to for each member: in memory, and after a restart by their last stored request.

    Args:
        requests: have the languages of those who asked; they go with them.
    """

    def __init__(self, requests: RequestStore) -> None:
        self._requests = requests
        self._recent: OrderedDict[int, str] = OrderedDict()

    def note(self, user_id: int, locale: str) -> None:
        """Remember a member's language, as Discord calls it."""
        self._recent[user_id] = best_locale(locale)
        self._recent.move_to_end(user_id)
        if len(self._recent) > MOST_KEPT:
            self._recent.popitem(last=False)

    def forget(self, user_id: int) -> None:
        """Forget a member's language; what is stored is the store's to delete."""
        self._recent.pop(user_id, None)

    def recent(self, user_id: int) -> str | None:
        """Give a member's language, one of ours, if it is in memory."""
        return self._recent.get(user_id)

    async def of(self, user_id: int) -> str:
        """Give a member's language, one of ours; English if it is not known."""
        if (recent := self.recent(user_id)) is not None:
            return recent
        try:
            stored = await self._requests.last_locale(user_id)
        except StoreError:
            return DEFAULT_LOCALE
        if stored is None:
            return DEFAULT_LOCALE
        self.note(user_id, stored)
        return best_locale(stored)
