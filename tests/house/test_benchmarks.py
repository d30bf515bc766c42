"""The benchmarks that the README quotes still run, and what makes their numbers flat is still there."""

import pytest
from flask import Flask
from sqlalchemy import text

from benchmarks import audit, inviting, webhooks
from clinic import demo
from tenancy.database import db
from tests.inside import inside


@pytest.mark.bench
def test_the_benchmark_of_inviting_runs_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    found = inviting.run(contacts=10_000, invited=2_000)
    assert set(found) >= {"first page ms", "middle page ms", "nearly exhausted page ms", "inviting ÷ bare"}
    with capsys.disabled():
        print("\n" + "\n".join(f"  {name:<28} {value:10.2f}" for name, value in found.items()))


@pytest.mark.bench
def test_the_benchmark_of_the_audit_log_runs_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    found = audit.run(events=800, rows=50_000)
    assert found["chained events a second"] > 0
    with capsys.disabled():
        print("\n" + "\n".join(f"  {name:<34} {value:10.2f}" for name, value in found.items()))


@pytest.mark.bench
def test_the_benchmark_of_webhooks_runs_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    found = webhooks.run(events=100)
    assert found["events settled a second"] > 0
    # On a busy machine: 27, and 85 eight at once. Stripe waits for some seconds, and sends again what was not answered.
    assert found["99 of 100 answered within ms"] < 2_000 and found["99 of 100, eight at once, ms"] < 2_000
    with capsys.disabled():
        print("\n" + "\n".join(f"  {name:<34} {value:10.2f}" for name, value in found.items()))


def test_the_invite_list_reads_its_own_index_from_the_cursor_on(app: Flask) -> None:
    """Lost if it fails: a clinic with 100,000 contacts waits for every page."""
    with inside(app, demo.ELM):
        db.session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"))  # in so small a table all is cheap
        plan = "\n".join(
            db.session.scalars(
                text(
                    "EXPLAIN SELECT id FROM relationships WHERE (is_invitable OR is_blocked) AND (list_key, id) > "
                    "('m', '00000000-0000-4000-8000-000000000000') ORDER BY list_key, id LIMIT 50"
                )
            )
        )
    assert "ix_relationships_listed" in plan and "Sort" not in plan, plan
    assert "ROW(list_key, id) >" in plan
