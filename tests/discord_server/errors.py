"""Discord's error codes, as its API documentation lists them."""

from typing import Any

UNKNOWN_CHANNEL = 10003
UNKNOWN_GUILD = 10004
UNKNOWN_MESSAGE = 10008
UNKNOWN_USER = 10013
UNKNOWN_EMOJI = 10014
UNKNOWN_WEBHOOK = 10015
UNKNOWN_INTERACTION = 10062
TOO_LARGE = 40005
ALREADY_ACKNOWLEDGED = 40060
MISSING_ACCESS = 50001
NOT_THE_AUTHOR = 50005
EMPTY_MESSAGE = 50006
CANNOT_SEND_TO_USER = 50007
MISSING_PERMISSIONS = 50013
INVALID_WEBHOOK_TOKEN = 50027
INVALID_FORM_BODY = 50035
REPLY_NEEDS_HISTORY = 160002

_ANSWERS = {
    UNKNOWN_CHANNEL: (404, "Unknown Channel"),
    UNKNOWN_GUILD: (404, "Unknown Guild"),
    UNKNOWN_MESSAGE: (404, "Unknown Message"),
    UNKNOWN_USER: (404, "Unknown User"),
    UNKNOWN_EMOJI: (400, "Unknown Emoji"),
    UNKNOWN_WEBHOOK: (404, "Unknown Webhook"),
    UNKNOWN_INTERACTION: (404, "Unknown interaction"),
    TOO_LARGE: (413, "Request entity too large"),
    ALREADY_ACKNOWLEDGED: (400, "Interaction has already been acknowledged."),
    MISSING_ACCESS: (403, "Missing Access"),
    NOT_THE_AUTHOR: (403, "Cannot edit a message authored by another user"),
    EMPTY_MESSAGE: (400, "Cannot send an empty message"),
    CANNOT_SEND_TO_USER: (403, "Cannot send messages to this user"),
    MISSING_PERMISSIONS: (403, "Missing Permissions"),
    INVALID_WEBHOOK_TOKEN: (401, "Invalid Webhook Token"),
    INVALID_FORM_BODY: (400, "Invalid Form Body"),
    REPLY_NEEDS_HISTORY: (400, "Cannot reply without permission to read message history"),
}

NOBODYS_FAULT = frozenset(
    {
        UNKNOWN_CHANNEL,
        UNKNOWN_GUILD,
        UNKNOWN_MESSAGE,
        UNKNOWN_USER,
        MISSING_ACCESS,
        CANNOT_SEND_TO_USER,
        MISSING_PERMISSIONS,
        REPLY_NEEDS_HISTORY,
    }
)
"""What a correct client may run into, since the world changed under it; every other code is a complaint."""


class RefusedError(Exception):
    """A request that Discord answers with an error.

    Args:
        code: one of the codes above.
        details: what was wrong with which part of the form, for `INVALID_FORM_BODY`.
    """

    def __init__(self, code: int, details: dict[str, str] | None = None) -> None:
        self.status, self.message = _ANSWERS[code]
        self.code = code
        self.details = details or {}
        super().__init__(f"{self.message}: {self.details}" if self.details else self.message)

    def payload(self) -> dict[str, Any]:
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.details:
            body["errors"] = {
                part: {"_errors": [{"code": "INVALID", "message": text}]} for part, text in self.details.items()
            }
        return body
