"""Which servers the bot is in: what was asked in others does not say that it has left them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; the next connection fills it."""
    op.create_table("joined", sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False))
