"""Money: lines that are never changed and the invoices they stand on apart, payments by Stripe and all that follows them.

Which invoice a line stands on, and which invoice a payment went to, leave the line for tables of their own; an invoice's
status is what these add up to. The lines and invoices there are keep their ids. Safe beside running clinics: new tables,
and columns without a default; the rows that are moved are few as long as no page enters any.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"

BILLED = "('charge', 'discount', 'write_off')"
SIGN = (
    "CASE WHEN (kind IN ('charge', 'refund', 'chargeback')) = (corrects_id IS NULL)"
    " THEN amount_minor > 0 ELSE amount_minor < 0 END"
)


def upgrade() -> None:
    make_tables()
    op.execute(
        "INSERT INTO billing_settings SELECT c.id, 1 + coalesce((SELECT max(number) FROM invoices i "
        "WHERE i.clinic_id = c.id), 1000), false, false, NULL, 3 FROM clinics c"
    )
    move_lines()
    move_status()


def make_tables() -> None:
    op.create_table(
        "platform_webhook_refusals",
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("day_on", sa.Date(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reason", "day_on", name=op.f("pk_platform_webhook_refusals")),
    )
    op.create_table(
        "billing_settings",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("next_invoice_number", sa.BigInteger(), nullable=False),
        sa.Column("allows_partial", sa.Boolean(), nullable=False),
        sa.Column("pays_by_link", sa.Boolean(), nullable=False),
        sa.Column("refund_limit_minor", sa.BigInteger(), nullable=True),
        sa.Column("autopay_notice_days", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "autopay_notice_days BETWEEN 1 AND 14", name=op.f("ck_billing_settings_autopay_notice_days")
        ),
        sa.CheckConstraint("next_invoice_number > 0", name=op.f("ck_billing_settings_next_invoice_number")),
        sa.CheckConstraint("refund_limit_minor >= 0", name=op.f("ck_billing_settings_refund_limit")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_billing_settings_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", name=op.f("pk_billing_settings")),
    )
    op.create_table(
        "clinic_payment_accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("account_id ~ '^acct_[A-Za-z0-9]+$'", name=op.f("ck_clinic_payment_accounts_account_id")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_clinic_payment_accounts_clinic_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_clinic_payment_accounts")),
    )
    op.create_table(
        "payment_accounts",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("charges_enabled", sa.Boolean(), nullable=False),
        sa.Column("payouts_enabled", sa.Boolean(), nullable=False),
        sa.Column("details_submitted", sa.Boolean(), nullable=False),
        sa.Column("due", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by_id", sa.Uuid(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.CheckConstraint("account_id ~ '^acct_[A-Za-z0-9]+$'", name=op.f("ck_payment_accounts_account_id")),
        sa.CheckConstraint("ending IN ('replaced', 'deauthorised')", name=op.f("ck_payment_accounts_ending")),
        sa.CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name=op.f("ck_payment_accounts_ended")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "opened_by_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_payment_accounts_clinic_id_opened_by_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_payment_accounts_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_payment_accounts")),
    )
    op.create_index("uq_payment_accounts_account", "payment_accounts", ["clinic_id", "account_id"], unique=True)
    op.create_index(
        "uq_payment_accounts_present",
        "payment_accounts",
        ["clinic_id"],
        unique=True,
        postgresql_where="ended_at IS NULL",
    )
    op.create_table(
        "saved_cards",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("portal_user_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("payment_method_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_saved_cards_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_saved_cards_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_saved_cards")),
    )
    op.create_index("ix_saved_cards_portal_user", "saved_cards", ["clinic_id", "portal_user_id"], unique=False)
    op.create_index("uq_saved_cards_payment_method", "saved_cards", ["clinic_id", "payment_method_id"], unique=True)
    op.create_table(
        "stripe_customers",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("portal_user_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_stripe_customers_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_stripe_customers_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_stripe_customers")),
    )
    op.create_index(
        "uq_stripe_customers_portal_user",
        "stripe_customers",
        ["clinic_id", "portal_user_id", "account_id"],
        unique=True,
    )
    op.create_table(
        "allocations",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("payment_line_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("allocated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_allocations_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"],
            ["invoices.clinic_id", "invoices.id"],
            name=op.f("fk_allocations_clinic_id_invoice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_allocations_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_line_id"],
            ["account_lines.clinic_id", "account_lines.id"],
            name=op.f("fk_allocations_clinic_id_payment_line_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_allocations_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_allocations")),
    )
    op.create_index("ix_allocations_invoice", "allocations", ["clinic_id", "invoice_id"], unique=False)
    op.create_index("ix_allocations_patient", "allocations", ["clinic_id", "patient_id"], unique=False)
    op.create_index("ix_allocations_payment_line", "allocations", ["clinic_id", "payment_line_id"], unique=False)
    op.create_table(
        "autopays",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("portal_user_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("card_id", sa.Uuid(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "ending IN ('stopped', 'card_removed', 'unlinked', 'disputed', 'failed_twice')",
            name=op.f("ck_autopays_ending"),
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name=op.f("ck_autopays_ended")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "card_id"],
            ["saved_cards.clinic_id", "saved_cards.id"],
            name=op.f("fk_autopays_clinic_id_card_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_autopays_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_autopays_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_autopays_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_autopays")),
    )
    op.create_index(
        "uq_autopays_live",
        "autopays",
        ["clinic_id", "portal_user_id", "patient_id"],
        unique=True,
        postgresql_where="ended_at IS NULL",
    )
    op.create_table(
        "invoice_lines",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("line_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"],
            ["invoices.clinic_id", "invoices.id"],
            name=op.f("fk_invoice_lines_clinic_id_invoice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "line_id"],
            ["account_lines.clinic_id", "account_lines.id"],
            name=op.f("fk_invoice_lines_clinic_id_line_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_invoice_lines_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invoice_lines")),
    )
    op.create_index("ix_invoice_lines_invoice", "invoice_lines", ["clinic_id", "invoice_id"], unique=False)
    op.create_index("uq_invoice_lines_line", "invoice_lines", ["clinic_id", "line_id"], unique=True)
    op.create_table(
        "invoice_mailings",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "contact_id"],
            ["contacts.clinic_id", "contacts.id"],
            name=op.f("fk_invoice_mailings_clinic_id_contact_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"],
            ["invoices.clinic_id", "invoices.id"],
            name=op.f("fk_invoice_mailings_clinic_id_invoice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "link_id"],
            ["mailed_links.clinic_id", "mailed_links.id"],
            name=op.f("fk_invoice_mailings_clinic_id_link_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_invoice_mailings_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invoice_mailings")),
    )
    op.create_index(
        "ix_invoice_mailings_invoice", "invoice_mailings", ["clinic_id", "invoice_id", "mailed_at"], unique=False
    )
    op.create_index("uq_invoice_mailings_link", "invoice_mailings", ["clinic_id", "link_id"], unique=True)
    op.create_table(
        "payments",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("portal_user_id", sa.Uuid(), nullable=True),
        sa.Column("mailing_id", sa.Uuid(), nullable=True),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("saves_card", sa.Boolean(), nullable=False),
        sa.Column("checkout_session_id", sa.Text(), nullable=True),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("card", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("line_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(status = 'succeeded') = (line_id IS NOT NULL)", name=op.f("ck_payments_entered")),
        sa.CheckConstraint("(way = 'link') = (mailing_id IS NOT NULL)", name=op.f("ck_payments_by_link")),
        sa.CheckConstraint("(way = 'link') = (portal_user_id IS NULL)", name=op.f("ck_payments_payer")),
        sa.CheckConstraint("currency ~ '^[a-z]{3}$'", name=op.f("ck_payments_currency")),
        sa.CheckConstraint(
            "method IN ('cash', 'cheque', 'card', 'bank_debit', 'other')", name=op.f("ck_payments_method")
        ),
        sa.CheckConstraint(
            "status IN ('starting', 'open', 'processing', 'succeeded', 'failed', 'ended')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint("way IN ('checkout', 'link', 'autopay')", name=op.f("ck_payments_way")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payments_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "line_id"],
            ["account_lines.clinic_id", "account_lines.id"],
            name=op.f("fk_payments_clinic_id_line_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "mailing_id"],
            ["invoice_mailings.clinic_id", "invoice_mailings.id"],
            name=op.f("fk_payments_clinic_id_mailing_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_payments_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_payments_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_payments_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_payments")),
    )
    op.create_index("ix_payments_line", "payments", ["clinic_id", "line_id"], unique=False)
    op.create_index("ix_payments_patient", "payments", ["clinic_id", "patient_id", "started_at"], unique=False)
    op.create_index(
        "ix_payments_unfinished",
        "payments",
        ["clinic_id", "next_look_at"],
        unique=False,
        postgresql_where="status IN ('starting', 'open', 'processing')",
    )
    op.create_index("uq_payments_checkout_session", "payments", ["clinic_id", "checkout_session_id"], unique=True)
    op.create_index("uq_payments_payment_intent", "payments", ["clinic_id", "payment_intent_id"], unique=True)
    op.create_table(
        "autopay_notices",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("autopay_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("charge_on", sa.Date(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clinic_id", "autopay_id"],
            ["autopays.clinic_id", "autopays.id"],
            name=op.f("fk_autopay_notices_clinic_id_autopay_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"],
            ["invoices.clinic_id", "invoices.id"],
            name=op.f("fk_autopay_notices_clinic_id_invoice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"],
            ["payments.clinic_id", "payments.id"],
            name=op.f("fk_autopay_notices_clinic_id_payment_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_autopay_notices_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_autopay_notices")),
    )
    op.create_index(
        "uq_autopay_notices_invoice", "autopay_notices", ["clinic_id", "autopay_id", "invoice_id"], unique=True
    )
    op.create_table(
        "disputes",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("stripe_dispute_id", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("line_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "status IN ('inquiry', 'inquiry_closed', 'open', 'won', 'lost')", name=op.f("ck_disputes_status")
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_disputes_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "line_id"],
            ["account_lines.clinic_id", "account_lines.id"],
            name=op.f("fk_disputes_clinic_id_line_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"],
            ["payments.clinic_id", "payments.id"],
            name=op.f("fk_disputes_clinic_id_payment_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_disputes_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_disputes")),
    )
    op.create_index("ix_disputes_payment", "disputes", ["clinic_id", "payment_id"], unique=False)
    op.create_index("uq_disputes_stripe", "disputes", ["clinic_id", "stripe_dispute_id"], unique=True)
    op.create_table(
        "payment_invoices",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payment_invoices_amount")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"],
            ["invoices.clinic_id", "invoices.id"],
            name=op.f("fk_payment_invoices_clinic_id_invoice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"],
            ["payments.clinic_id", "payments.id"],
            name=op.f("fk_payment_invoices_clinic_id_payment_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_payment_invoices_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_payment_invoices")),
    )
    op.create_index(
        "uq_payment_invoices_live",
        "payment_invoices",
        ["clinic_id", "invoice_id"],
        unique=True,
        postgresql_where="released_at IS NULL",
    )
    op.create_index(
        "uq_payment_invoices_payment", "payment_invoices", ["clinic_id", "payment_id", "invoice_id"], unique=True
    )
    op.create_table(
        "payment_problems",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"],
            ["payments.clinic_id", "payments.id"],
            name=op.f("fk_payment_problems_clinic_id_payment_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "settled_by_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_payment_problems_clinic_id_settled_by_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_payment_problems_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_payment_problems")),
    )
    op.create_index(
        "uq_payment_problems_open",
        "payment_problems",
        ["clinic_id", "kind", "object_id"],
        unique=True,
        postgresql_where="settled_at IS NULL",
    )
    op.create_table(
        "refunds",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("asked_by_id", sa.Uuid(), nullable=True),
        sa.Column("confirmed_by_id", sa.Uuid(), nullable=True),
        sa.Column("stripe_refund_id", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("line_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "status IN ('unconfirmed', 'asked', 'pending', 'succeeded', 'failed', 'withdrawn')",
            name=op.f("ck_refunds_status"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_refunds_amount")),
        sa.CheckConstraint("asked_by_id <> confirmed_by_id", name=op.f("ck_refunds_second_person")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "asked_by_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_refunds_clinic_id_asked_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "confirmed_by_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_refunds_clinic_id_confirmed_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "line_id"],
            ["account_lines.clinic_id", "account_lines.id"],
            name=op.f("fk_refunds_clinic_id_line_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"],
            ["payments.clinic_id", "payments.id"],
            name=op.f("fk_refunds_clinic_id_payment_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_refunds_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_refunds")),
    )
    op.create_index("ix_refunds_payment", "refunds", ["clinic_id", "payment_id"], unique=False)
    op.create_index("uq_refunds_stripe", "refunds", ["clinic_id", "stripe_refund_id"], unique=True)
    op.create_table(
        "stripe_events",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clinic_id", "payment_id"],
            ["payments.clinic_id", "payments.id"],
            name=op.f("fk_stripe_events_clinic_id_payment_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_stripe_events_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_stripe_events")),
    )
    op.create_index(
        "ix_stripe_events_waiting",
        "stripe_events",
        ["clinic_id", "next_try_at"],
        unique=False,
        postgresql_where="applied_at IS NULL",
    )
    op.create_index("uq_stripe_events_event", "stripe_events", ["clinic_id", "event_id"], unique=True)


def move_lines() -> None:
    """What stands on an invoice, and what went to it, out of the lines."""
    op.execute(
        f"INSERT INTO invoice_lines (clinic_id, invoice_id, line_id) SELECT clinic_id, invoice_id, id "
        f"FROM account_lines WHERE invoice_id IS NOT NULL AND kind IN {BILLED}"
    )
    op.execute(
        "INSERT INTO allocations (clinic_id, patient_id, payment_line_id, invoice_id, amount_minor, allocated_at) "
        "SELECT clinic_id, patient_id, id, invoice_id, -amount_minor, entered_at FROM account_lines "
        "WHERE invoice_id IS NOT NULL AND kind = 'payment'"
    )
    op.add_column("account_lines", sa.Column("method", sa.Text(), nullable=True))
    op.add_column("account_lines", sa.Column("corrects_id", sa.Uuid(), nullable=True))
    op.add_column("account_lines", sa.Column("takes_back_id", sa.Uuid(), nullable=True))
    op.add_column("account_lines", sa.Column("source_id", sa.Text(), nullable=True))
    op.execute("UPDATE account_lines SET method = 'other' WHERE kind = 'payment'")
    # What took a payment back named the invoice; it names the payment that went there.
    op.execute(
        "UPDATE account_lines b SET takes_back_id = (SELECT p.id FROM account_lines p WHERE p.clinic_id = b.clinic_id "
        "AND p.patient_id = b.patient_id AND p.kind = 'payment' ORDER BY p.invoice_id IS NOT DISTINCT FROM b.invoice_id "
        "DESC, p.entered_at LIMIT 1) WHERE kind IN ('refund', 'chargeback')"
    )
    op.drop_index("ix_account_lines_invoice", table_name="account_lines")
    op.drop_constraint(op.f("fk_account_lines_clinic_id_invoice_id"), "account_lines", type_="foreignkey")
    op.drop_column("account_lines", "invoice_id")
    op.create_index("ix_account_lines_takes_back", "account_lines", ["clinic_id", "takes_back_id"], unique=False)
    op.create_index("uq_account_lines_corrects", "account_lines", ["clinic_id", "corrects_id"], unique=True)
    op.create_index(
        "uq_account_lines_source",
        "account_lines",
        ["clinic_id", "kind", "source_id"],
        unique=True,
        postgresql_where="source_id IS NOT NULL AND corrects_id IS NULL",
    )
    for column in ("corrects_id", "takes_back_id"):
        op.create_foreign_key(
            op.f(f"fk_account_lines_clinic_id_{column}"),
            "account_lines",
            "account_lines",
            ["clinic_id", column],
            ["clinic_id", "id"],
        )
    op.drop_constraint(op.f("ck_account_lines_sign"), "account_lines", type_="check")
    for name, rule in (
        ("sign", SIGN),
        ("method", "method IN ('cash', 'cheque', 'card', 'bank_debit', 'other')"),
        ("method_of_payment", "(kind = 'payment') = (method IS NOT NULL)"),
        ("taken_back", "(kind IN ('refund', 'chargeback')) = (takes_back_id IS NOT NULL)"),
    ):
        op.create_check_constraint(op.f(f"ck_account_lines_{name}"), "account_lines", rule)


def move_status() -> None:
    op.add_column("invoices", sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("invoices", sa.Column("voided_reason", sa.Text(), nullable=True))
    op.execute("UPDATE invoices SET voided_at = now() WHERE status = 'void'")
    op.drop_constraint(op.f("ck_invoices_issued"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_numbered"), "invoices", type_="check")
    op.drop_column("invoices", "status")
    op.create_check_constraint(op.f("ck_invoices_issued"), "invoices", "(number IS NULL) = (issued_on IS NULL)")
    op.create_check_constraint(op.f("ck_invoices_voided"), "invoices", "voided_at IS NULL OR number IS NOT NULL")


def downgrade() -> None:
    raise NotImplementedError("Payments must not be forgotten; restore a backup.")
