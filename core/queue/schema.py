"""Tables of the queue: Procrastinate's, brought up to its version, and what it leaves to us."""

import asyncio
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from procrastinate.schema import SchemaManager

LOCK: Final = 7_201_500
"""Key of the advisory lock under which the tables are made; the next one is the sweep's."""

OWN: Final[LiteralString] = """
CREATE UNLOGGED TABLE IF NOT EXISTS genregenie_answers (
    key text PRIMARY KEY,
    asker text NOT NULL,
    body bytea NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS genregenie_askers (
    asker text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS genregenie_workers (
    worker_id bigint PRIMARY KEY REFERENCES procrastinate_workers (id) ON DELETE CASCADE,
    queue text NOT NULL,
    slots integer NOT NULL,
    mean_s double precision NOT NULL
);
CREATE INDEX IF NOT EXISTS genregenie_jobs_group ON procrastinate_jobs (queue_name, (args ->> 'group'), priority)
    WHERE status IN ('todo', 'doing');
CREATE INDEX IF NOT EXISTS genregenie_jobs_key ON procrastinate_jobs ((args ->> 'key'));
CREATE OR REPLACE FUNCTION genregenie_put_v1(_queue text, _queues text[], _group text, _max_jobs integer, _args jsonb)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _waiting bigint;
    _turn bigint;
    _job bigint;
BEGIN
    -- Requests of one group that come at the same time take one round after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended(_queue || ' ' || _group, 0));
    -- Whoever lost the connection before it was told the job's id puts the same request again.
    SELECT id INTO _job FROM procrastinate_jobs WHERE args ->> 'key' = _args ->> 'key' AND status IN ('todo', 'doing');
    IF FOUND THEN
        RETURN _job;
    END IF;
    SELECT
        count(*) FILTER (WHERE status = 'todo'),
        greatest(
            coalesce(
                -max(priority) FILTER (WHERE status = 'todo' AND queue_name = _queue),
                -min(priority) FILTER (WHERE status = 'doing' AND queue_name = _queue),
                0
            ),
            (
                SELECT 1 - min(priority) FROM procrastinate_jobs
                WHERE queue_name = _queue AND args ->> 'group' = _group AND status IN ('todo', 'doing')
            )
        )
    INTO _waiting, _turn
    FROM procrastinate_jobs WHERE queue_name = ANY(_queues) AND status IN ('todo', 'doing');
    IF _waiting >= _max_jobs THEN
        RETURN NULL;
    END IF;
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
    VALUES (_queue, 'identify', -_turn, _args || jsonb_build_object('asked_at', extract(epoch FROM now())::float8))
    RETURNING id INTO _job;
    RETURN _job;
END;
$$;
"""
"""Answers are unlogged: they live for milliseconds, and one that is lost is asked for again.

A job's priority is its round, negated. All of it is one statement, so that it costs one way to the server and back.
"""

_MIGRATED: Final[LiteralString] = "CREATE TABLE IF NOT EXISTS genregenie_queue_migrations (name text PRIMARY KEY)"


async def prepare(connection: psycopg.AsyncConnection) -> None:
    """Make the tables that are missing, and carry out Procrastinate's migrations that are new.

    Any number of processes may do so at the same time: one after the other does.
    """
    folder = Path(SchemaManager.get_migrations_path())
    files = {path.name: path.read_bytes() for path in await asyncio.to_thread(lambda: list(folder.glob("*.sql")))}
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(_MIGRATED)
        row = await (await connection.execute("SELECT to_regclass('procrastinate_jobs')")).fetchone()
        if row is None or row[0] is None:
            await connection.execute(SchemaManager.get_schema())
        else:
            done = {name for (name,) in await (await connection.execute(_DONE)).fetchall()}
            for name in sorted(files.keys() - done):
                # Procrastinate's own file, as its command line carries it out.
                await connection.execute(files[name])
        await connection.execute(_RECORD, (sorted(files),))
        await connection.execute(OWN)


_DONE: Final[LiteralString] = "SELECT name FROM genregenie_queue_migrations"
_RECORD: Final[LiteralString] = (
    "INSERT INTO genregenie_queue_migrations SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
)
