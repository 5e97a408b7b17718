"""What members do with each other: where songs are, and what they sound like."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("results", sa.Column("embedding", sa.LargeBinary))
    op.add_column("requests", sa.Column("channel_id", sa.BigInteger))
    op.add_column("requests", sa.Column("message_id", sa.BigInteger))
    op.create_index("requests_message", "requests", ["message_id"])
