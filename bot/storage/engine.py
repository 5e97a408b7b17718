"""The database's engine and its schema: migrated at start, a newer one refused."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bot.settings import BotSettings
from bot.storage.tables import SCHEMA
from core.errors import ConfigurationError
from core.i18n.catalog import translate
from core.private_files import close_to_others, make_private_directory, make_private_file

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_SECONDS: Final = 5.0
"""How long a statement waits for another process's transaction."""

DATABASE_FILE: Final = "genregenie.sqlite3"
SQLITE_DRIVER: Final = "sqlite+aiosqlite"
POSTGRESQL_DRIVER: Final = "postgresql+psycopg"
_DRIVERS: Final = {"sqlite": SQLITE_DRIVER, "postgresql": POSTGRESQL_DRIVER, "postgres": POSTGRESQL_DRIVER}
"""What a URL that names no driver gets."""

MIGRATION_LOCK: Final = 7_201_400
"""Key of PostgreSQL's advisory lock: processes that start at the same time make the tables one after the other."""

POOL_SIZE: Final = 4
"""Connections of one process to PostgreSQL."""

GONE_S: Final = 8
"""After so long without a word a client or a server of PostgreSQL is taken for gone, by the other side."""

_CONNECT_ARGS: Final = {
    "application_name": "genregenie",
    "connect_timeout": int(BUSY_SECONDS),
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": GONE_S * 1_000,
    "options": (
        f"-c lock_timeout={int(BUSY_SECONDS)}s -c tcp_keepalives_idle=3 -c tcp_keepalives_interval=2"
        f" -c tcp_keepalives_count=2 -c tcp_user_timeout={GONE_S}s"
    ),
}

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def database_url(settings: BotSettings) -> URL:
    """SQLAlchemy URL of the database.

    Raises:
        ConfigurationError: the one that was set is none.
    """
    given = settings.database_url
    if given is None and settings.queue_url is not None:  # one server for both
        given = settings.queue_url.get_secret_value()
    if given is None:
        return URL.create(SQLITE_DRIVER, database=str(settings.data_dir / DATABASE_FILE))
    return read_url(given)


def read_url(given: str) -> URL:
    """SQLAlchemy URL that somebody has written, with the driver that it gets here.

    Raises:
        ConfigurationError: it is none. The message has no part of it: that could be a password's.
    """
    try:
        url = make_url(given)
    except (SQLAlchemyError, ValueError) as error:
        raise ConfigurationError(translate("bot.start.database-url", reason=type(error).__name__)) from None
    if url.get_backend_name() != "sqlite" and "@" in f"{url.host}{url.database}":
        # The rest of a password in which "/" or "@" is not written as %2F or %40; the driver's errors would show it.
        raise ConfigurationError(translate("bot.start.database-url", reason="ArgumentError"))
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def sqlite_file(settings: BotSettings) -> Path | None:
    """File of the database; None where it is not SQLite or has no file."""
    url = database_url(settings)
    if url.drivername != SQLITE_DRIVER or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def open_engine(settings: BotSettings) -> AsyncEngine:
    """Engine for the settings' database; the directory of an SQLite file is made.

    Raises:
        ConfigurationError: the file cannot be used, or the URL is not one of a database.
    """
    try:
        path = sqlite_file(settings)
        if path is None:
            return _open_server(database_url(settings))
        make_private_directory(path.parent)
        _prepare_file(path)
    except OSError as error:
        raise ConfigurationError(translate("bot.start.database-write", reason=error.strerror or "OSError")) from None
    except sqlite3.Error as error:
        raise ConfigurationError(translate("bot.start.database-write", reason=cause(error))) from None
    except (SQLAlchemyError, ImportError) as error:
        raise ConfigurationError(translate("bot.start.database-url", reason=type(error).__name__)) from None
    # Two connections: one statement that waits for the disk does not hold up all the others.
    engine = create_async_engine(
        database_url(settings), connect_args={"timeout": BUSY_SECONDS}, pool_size=2, max_overflow=0
    )
    event.listen(engine.sync_engine, "connect", _configure_connection)
    return engine


def _open_server(url: URL) -> AsyncEngine:
    if url.drivername != POSTGRESQL_DRIVER:
        return create_async_engine(url, pool_pre_ping=True)
    # Few: a server has a hundred connections, and many processes share it.
    return create_async_engine(
        url,
        connect_args=connect_args(url),
        pool_pre_ping=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
    )


def connect_args(url: URL) -> dict[str, Any]:
    """Give what psycopg is told beside a URL, unless the URL says it: nothing waits for ever, on either side."""
    return {key: value for key, value in _CONNECT_ARGS.items() if key not in url.query}


def _prepare_file(path: Path) -> None:
    """Set what stays with an SQLite file, and meet here what is wrong with it, before the engine has threads."""
    # Members' data, for the owner only. SQLite gives the files that it makes beside it the same permissions.
    make_private_file(path)
    for suffix in ("-wal", "-shm"):
        close_to_others(path.with_name(path.name + suffix))
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        # Only a file without tables heeds the first; it lets deleted songs give their room back to the disk.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")


def _configure_connection(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # What somebody has deleted is overwritten, not only marked as free.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


async def migrate(engine: AsyncEngine) -> None:
    """Bring the schema to this release's, and prove that the database can be written.

    Raises:
        ConfigurationError: the database cannot be opened or written, or a newer release made its schema.
    """
    try:
        async with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif connection.dialect.name == "postgresql":
                await connection.execute(text("SET LOCAL lock_timeout = 0"))
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            if await connection.run_sync(current_schema) != SCHEMA:
                await connection.run_sync(_upgrade)
            await connection.execute(text("DELETE FROM meta WHERE key = 'writable'"))
            await connection.execute(text("INSERT INTO meta (key, value) VALUES ('writable', 'yes')"))
            await connection.commit()
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise ConfigurationError(translate("bot.start.database-write", reason=cause(error))) from None


def cause(error: Exception) -> str:
    """Say in the database's own words what is wrong, without statements, values or paths."""
    return str(getattr(error, "orig", None) or error).splitlines()[0][:200]


def current_schema(connection: Connection) -> str | None:
    """Revision that the database has; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


# Alembic is imported below: a database that is up to date, which is nearly every start, does without.
def _upgrade(connection: Connection) -> None:
    from alembic import command

    check_known(current_schema(connection))
    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check_known(revision: str | None) -> None:
    """Check that this release knows a revision of the schema.

    Raises:
        ConfigurationError: a newer release made it.
    """
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    if revision is None:
        return
    try:
        ScriptDirectory.from_config(_alembic_config()).get_revision(revision)
    except CommandError:
        raise ConfigurationError(translate("bot.start.database-newer")) from None


def _alembic_config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
