"""The database's tables; `bot/storage/migrations/` makes them. Times are seconds since the epoch."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    true,
)

SCHEMA: Final = "0009"
"""The newest migration."""

ID: Final = BigInteger().with_variant(Integer, "sqlite")
"""64 bits: SQLite's integers are that anyway, and only this name of theirs counts up by itself."""

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

guilds = Table(
    "guilds",
    metadata,
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("language", String(16)),
    Column("links", Boolean, nullable=False),
    Column("max_duration_s", Float),
    Column("cooldown_s", Float),
    Column("places", Integer),
    Column("left_at", Float),
)

# The servers that the bot is in, so that the next start knows which it has left: members who have it on their account
# ask in others too.
joined = Table(
    "joined",
    metadata,
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
)

channels = Table(
    "channels",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("guild_id", BigInteger, nullable=False),
    Column("audio", Boolean, nullable=False, server_default=true()),
    Column("video", Boolean, nullable=False, server_default=false()),
    Column("links", Boolean, nullable=False, server_default=false()),
    Column("quiet", Boolean, nullable=False, server_default=false()),
)

access = Table(
    "access",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("subject_id", BigInteger, primary_key=True, autoincrement=False),
    Column("allowed", Boolean, nullable=False),
)

songs = Table(
    "songs",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("used_at", Float, nullable=False),
    # Last, so that SQLite reads the others without it.
    Column("mel", LargeBinary, nullable=False),
)
Index("songs_used", songs.c.used_at)

results = Table(
    "results",
    metadata,
    Column("sha256", String(64), ForeignKey("songs.sha256", ondelete="CASCADE"), primary_key=True),
    Column("model_sha256", String(64), primary_key=True),
    Column("front_end", String(16), primary_key=True),
    Column("part", String(32), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    # float16, little-endian.
    Column("embedding", LargeBinary),
)

requests = Table(
    "requests",
    metadata,
    Column("id", ID, primary_key=True),
    Column("guild_id", BigInteger),
    Column("user_id", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("private", Boolean, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("genre", String(16)),
    Column("sha256", String(64)),
    Column("name", Text),
    Column("model", Text),
    Column("part", String(32)),
    Column("start", Float),
    Column("end", Float),
    Column("duration", Float),
    # Of the message with the song, or with the answer; null of what is private, and once it was deleted.
    Column("channel_id", BigInteger),
    Column("message_id", BigInteger),
    Column("reference", String(16)),
    # The asker's, one of ours; null where Discord had not said it.
    Column("locale", String(16)),
    # An id is never given twice: buttons under old replies carry them.
    sqlite_autoincrement=True,
)
Index("requests_guild", requests.c.guild_id)
Index("requests_user", requests.c.user_id)
Index("requests_asked", requests.c.asked_at)
Index("requests_sha256", requests.c.sha256)
Index("requests_message", requests.c.message_id)

corrections = Table(
    "corrections",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("guild_id", BigInteger),
    Column("heard_as", String(16), nullable=False),
    Column("said", String(16), nullable=False),
    Column("model", Text, nullable=False),
    Column("corrected_at", Float, nullable=False),
    # When the member allowed it to be used for training; null where they have not.
    Column("consented_at", Float),
)
Index("corrections_user", corrections.c.user_id)
Index("corrections_guild", corrections.c.guild_id)

open_requests = Table(
    "open_requests",
    metadata,
    Column("id", ID, primary_key=True),
    Column("owner", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("guild_id", BigInteger),
    Column("channel_id", BigInteger, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("locale", String(16), nullable=False),
    Column("songs", Text, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("start", Float),
    Column("left_out", Integer, nullable=False),
    Column("restores", ID),
    Column("asked_at", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("token", Text),
    Column("message_id", BigInteger),
    Column("posted_id", BigInteger),
    Column("interrupted", Boolean, nullable=False),
    Column("reference", String(16)),
    sqlite_autoincrement=True,
)

games = Table(
    "games",
    metadata,
    Column("id", ID, primary_key=True),
    Column("owner", String(32), nullable=False),
    Column("guild_id", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("channel_id", BigInteger, nullable=False, unique=True),
    Column("message_id", BigInteger),
    Column("token", Text),
    Column("locale", String(16), nullable=False),
    Column("state", String(8), nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("host_knows", Boolean, nullable=False),
    # The answer; empty until the song has been classified.
    Column("correct", Text, nullable=False),
    Column("headline", Text, nullable=False),
    Column("votes", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("link", Text),
    sqlite_autoincrement=True,
)

guesses = Table(
    "guesses",
    metadata,
    Column("game_id", ID, ForeignKey("games.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("guild_id", BigInteger, nullable=False),
    Column("genre", String(16), nullable=False),
)

scores = Table(
    "scores",
    metadata,
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("played", Integer, nullable=False),
    Column("correct", Integer, nullable=False),
    Column("streak", Integer, nullable=False),
    Column("best_streak", Integer, nullable=False),
    Column("played_at", Float, nullable=False),
)
Index("scores_user", scores.c.user_id)

# How often each genre was asked about: of a server without a member (0), of a member who wants it without a server (0).
genre_counts = Table(
    "genre_counts",
    metadata,
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("genre", String(16), primary_key=True),
    Column("number", Integer, nullable=False),
)
Index("genre_counts_user", genre_counts.c.user_id)

# By bucket of Discord's session start limit: when the next IDENTIFY may be sent in it, by the database's own clock.
identify_slots = Table(
    "identify_slots",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("free_at", Float, nullable=False),
)
