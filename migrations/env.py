"""Runs migrations as the schema's owner, one at a time, and applies row_security.sql in the same transaction.

A migration that cannot get its locks gives up after seconds instead of stopping the clinics; run it again.
"""

from pathlib import Path

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool

from tenancy.database import Base

ROW_SECURITY = Path(__file__).with_name("row_security.sql")
ONE_AT_A_TIME = 0x706F727469636F  # "portico": the advisory lock that migrations hold
BEFORE = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '60s'; SET LOCAL search_path = public"


def _is_ours(obj, name, type_, reflected, compare_to):
    return getattr(obj, "schema", None) in (None, "public")


def run() -> None:
    settings = current_app.config["PORTICO"]
    if settings.database_owner_url is None:
        raise SystemExit("DATABASE_OWNER_URL is missing: migrations connect as the owner of the schema.")
    engine = create_engine(settings.database_owner_url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=Base.metadata, include_object=_is_ours, compare_type=True
        )
        with context.begin_transaction():
            connection.exec_driver_sql(BEFORE)
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})")
            context.run_migrations()
            connection.exec_driver_sql(ROW_SECURITY.read_text().replace("%", "%%"))


run()
