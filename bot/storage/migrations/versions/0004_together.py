"""What members do together: where songs are and what they sound like, games, tastes, and consent to training."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and tables."""
    op.add_column("results", sa.Column("embedding", sa.LargeBinary))
    op.add_column("requests", sa.Column("channel_id", sa.BigInteger))
    op.add_column("requests", sa.Column("message_id", sa.BigInteger))
    op.create_index("requests_message", "requests", ["message_id"])
    op.add_column("corrections", sa.Column("consented_at", sa.Float))
    op.create_table(
        "games",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("channel_id", sa.BigInteger, nullable=False, unique=True),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("token", sa.Text),
        sa.Column("locale", sa.String(16), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("ends_at", sa.Float, nullable=False),
        sa.Column("host_knows", sa.Boolean, nullable=False),
        sa.Column("correct", sa.Text, nullable=False),
        sa.Column("headline", sa.Text, nullable=False),
        sa.Column("votes", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("link", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "guesses",
        sa.Column("game_id", sa.Integer, sa.ForeignKey("games.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("genre", sa.String(16), nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("played", sa.Integer, nullable=False),
        sa.Column("correct", sa.Integer, nullable=False),
        sa.Column("streak", sa.Integer, nullable=False),
        sa.Column("best_streak", sa.Integer, nullable=False),
        sa.Column("played_at", sa.Float, nullable=False),
    )
    op.create_table(
        "genre_counts",
        sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("genre", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
