"""Drop the pictures that earlier releases drew with every answer: they are drawn for who asks for one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Count them no longer, then drop the column."""
    results = sa.table("results", sa.column("size", sa.Integer), sa.column("picture", sa.LargeBinary))
    drawn = results.update().where(results.c.picture.is_not(None))
    op.execute(drawn.values(size=results.c.size - sa.func.length(results.c.picture)))
    with op.batch_alter_table("results") as table:
        table.drop_column("picture")
