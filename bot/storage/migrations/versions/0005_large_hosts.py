"""What large hosts need: ids of 64 bits, and indexes for what is looked up and deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the ids, where they are not 64 bits as SQLite's are, and make the indexes."""
    if op.get_bind().dialect.name == "postgresql":
        for table in ("requests", "open_requests", "games"):
            op.alter_column(table, "id", type_=sa.BigInteger)
            op.execute(f"ALTER SEQUENCE {table}_id_seq AS bigint")
        op.alter_column("open_requests", "restores", type_=sa.BigInteger)
        op.alter_column("guesses", "game_id", type_=sa.BigInteger)
    op.create_index("songs_used", "songs", ["used_at"])
    op.create_index("requests_user", "requests", ["user_id"])
    op.create_index("corrections_user", "corrections", ["user_id"])
    op.create_index("corrections_guild", "corrections", ["guild_id"])
    op.create_index("scores_user", "scores", ["user_id"])
    op.create_index("genre_counts_user", "genre_counts", ["user_id"])
