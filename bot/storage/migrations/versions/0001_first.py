"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "guilds",
        sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("language", sa.String(16)),
        sa.Column("links", sa.Boolean, nullable=False),
        sa.Column("max_duration_s", sa.Float),
        sa.Column("cooldown_s", sa.Float),
        sa.Column("places", sa.Integer),
        sa.Column("left_at", sa.Float),
    )
    op.create_table(
        "channels",
        sa.Column("channel_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "songs",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("used_at", sa.Float, nullable=False),
        sa.Column("mel", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "results",
        sa.Column("sha256", sa.String(64), sa.ForeignKey("songs.sha256", ondelete="CASCADE"), primary_key=True),
        sa.Column("model_sha256", sa.String(64), primary_key=True),
        sa.Column("front_end", sa.String(16), primary_key=True),
        sa.Column("part", sa.String(32), primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("picture", sa.LargeBinary),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("guild_id", sa.BigInteger),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("genre", sa.String(16)),
        sa.Column("sha256", sa.String(64)),
        sa.Column("name", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("part", sa.String(32)),
        sa.Column("start", sa.Float),
        sa.Column("end", sa.Float),
        sa.Column("duration", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("requests_guild", "requests", ["guild_id"])
    op.create_index("requests_asked", "requests", ["asked_at"])
    op.create_index("requests_sha256", "requests", ["sha256"])
    op.create_table(
        "corrections",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("guild_id", sa.BigInteger),
        sa.Column("heard_as", sa.String(16), nullable=False),
        sa.Column("said", sa.String(16), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("corrected_at", sa.Float, nullable=False),
    )
