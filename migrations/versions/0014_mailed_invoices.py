"""A mailed link may lead to an invoice.

Safe beside running clinics: the old words stay allowed, and the check is validated without holding anybody up.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

BEFORE = (
    *("invitation", "password-reset", "staff-invitation", "staff-password-reset", "sign-in-reset"),
    *("staff-sign-in-reset", "email-change", "staff-email-change", "reply-to"),
)


def upgrade() -> None:
    _check_purpose((*BEFORE, "invoice"))


def downgrade() -> None:
    op.execute("DELETE FROM invoice_mailings")
    op.execute("DELETE FROM mailed_links WHERE purpose = 'invoice'")
    _check_purpose(BEFORE)


def _check_purpose(words: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{word}'" for word in words)
    op.execute("ALTER TABLE mailed_links DROP CONSTRAINT ck_mailed_links_purpose")
    op.execute(f"ALTER TABLE mailed_links ADD CONSTRAINT ck_mailed_links_purpose CHECK (purpose IN ({listed})) NOT VALID")
    op.execute("ALTER TABLE mailed_links VALIDATE CONSTRAINT ck_mailed_links_purpose")
