"""What alembic runs: the connection is handed in by `bot.storage.engine`."""

from alembic import context

from bot.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    # SQLite's changes of tables belong to the transaction that `bot.storage.engine` has begun: all of them or none.
    transactional_ddl=True,
)
context.run_migrations()
