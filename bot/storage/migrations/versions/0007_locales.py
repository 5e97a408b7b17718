"""The asker's language beside a request: what they are answered in where Discord does not say it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of requests before, the language is not known."""
    op.add_column("requests", sa.Column("locale", sa.String(16)))
