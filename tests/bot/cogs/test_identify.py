"""Which message the message command looks at, where Discord has sent the one that it replies to."""

import pytest

from bot.cogs.identify import _asked_about
from tests.bot.jobs.messages import CHANNEL, Payload, attachment, forwarding, message, payload

SONG = {"attachments": [attachment("song.mp3", "audio/mpeg")]}


def reference(kind: int = 0, channel: int = CHANNEL) -> Payload:
    return {"type": kind, "message_id": "99", "channel_id": str(channel)}


async def test_a_reply_without_a_song_stands_for_what_it_replies_to() -> None:
    target = payload(id="99", **SONG)
    asking = message("which genre?", message_reference=reference(), referenced_message=target)
    assert (await _asked_about(asking)).id == 99


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"message_reference": reference(), "referenced_message": None},
        {"message_reference": reference(channel=98), "referenced_message": payload(id="99", **SONG)},
        SONG | {"message_reference": reference(), "referenced_message": payload(id="99", **SONG)},
        {
            "content": "https://a.org/b",
            "message_reference": reference(),
            "referenced_message": payload(id="99", **SONG),
        },
    ],
    ids=["no reply", "deleted", "another channel", "a song of its own", "a link of its own"],
)
async def test_other_messages_stand_for_themselves(more: Payload) -> None:
    asked = message(**more)
    assert await _asked_about(asked) is asked


async def test_a_forward_without_a_song_stands_for_itself() -> None:
    asked = forwarding("words")
    assert await _asked_about(asked) is asked
