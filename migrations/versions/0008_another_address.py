"""Links by which people move their sign-in to another e-mail address.

Safe beside running clinics: the wider check is added unvalidated and then validated, which blocks nobody who writes.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

BEFORE = ("invitation", "password-reset", "staff-invitation", "staff-password-reset", "reply-to")
NEW = ("email-change", "staff-email-change")


def upgrade() -> None:
    _check_purpose((*BEFORE, *NEW))


def downgrade() -> None:
    op.execute("DELETE FROM mailed_links WHERE purpose IN ('email-change', 'staff-email-change')")
    _check_purpose(BEFORE)


def _check_purpose(words: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{word}'" for word in words)
    op.execute("ALTER TABLE mailed_links DROP CONSTRAINT ck_mailed_links_purpose")
    op.execute(f"ALTER TABLE mailed_links ADD CONSTRAINT ck_mailed_links_purpose CHECK (purpose IN ({listed})) NOT VALID")
    op.execute("ALTER TABLE mailed_links VALIDATE CONSTRAINT ck_mailed_links_purpose")
