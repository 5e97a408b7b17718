"""Ids that tie requests to the log, whom the host lets in, and how each channel is listened to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, and make the table."""
    op.add_column("requests", sa.Column("reference", sa.String(16)))
    op.add_column("open_requests", sa.Column("reference", sa.String(16)))
    op.create_table(
        "access",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("subject_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("allowed", sa.Boolean, nullable=False),
    )
    for name, on in (("audio", True), ("video", False), ("links", False), ("quiet", False)):
        default = sa.true() if on else sa.false()
        op.add_column("channels", sa.Column(name, sa.Boolean, nullable=False, server_default=default))
