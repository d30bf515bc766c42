"""What is true of the books of all clinics at every instant, read by the server's superuser in one snapshot.

Nothing here uses the application's own sums: what it believes of itself is what is doubted.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import psycopg

Connection = psycopg.Connection[Any]

# Each finds what must not be; the columns say where.
NEVER = {
    "an invoice is paid more than it comes to, or less than nothing": """
        SELECT i.clinic_id, i.id, t.total, p.paid FROM invoices i
        CROSS JOIN LATERAL (SELECT coalesce(sum(l.amount_minor), 0) AS total FROM invoice_lines il
            JOIN account_lines l ON l.id = il.line_id WHERE il.invoice_id = i.id) t
        CROSS JOIN LATERAL (SELECT coalesce(sum(a.amount_minor), 0) AS paid FROM allocations a WHERE a.invoice_id = i.id) p
        WHERE p.paid < 0 OR p.paid > t.total OR (i.voided_at IS NOT NULL AND (t.total <> 0 OR p.paid <> 0))""",
    "more of a payment went to invoices than there is of it": """
        SELECT p.clinic_id, p.id, p.amount_minor, a.went, b.back FROM account_lines p
        CROSS JOIN LATERAL (SELECT coalesce(sum(amount_minor), 0) AS went FROM allocations WHERE payment_line_id = p.id) a
        CROSS JOIN LATERAL (SELECT coalesce(sum(amount_minor), 0) AS back FROM account_lines
            WHERE takes_back_id = p.id OR corrects_id = p.id) b
        WHERE p.kind = 'payment' AND p.corrects_id IS NULL AND a.went > greatest(-p.amount_minor - b.back, 0)""",
    "a payment took more from an invoice than it gave it": """
        SELECT payment_line_id, invoice_id, sum(amount_minor) FROM allocations GROUP BY 1, 2 HAVING sum(amount_minor) < 0""",
    "what belongs together is of two patients, or of two clinics": """
        SELECT a.id FROM allocations a JOIN account_lines l ON l.id = a.payment_line_id JOIN invoices i ON i.id = a.invoice_id
        WHERE (l.patient_id, l.clinic_id) <> (a.patient_id, a.clinic_id) OR (i.patient_id, i.clinic_id) <> (a.patient_id, a.clinic_id)
        UNION ALL
        SELECT l.id FROM account_lines l JOIN account_lines o ON o.id IN (l.corrects_id, l.takes_back_id)
        WHERE (l.patient_id, l.clinic_id, l.currency) <> (o.patient_id, o.clinic_id, o.currency)
        UNION ALL
        SELECT p.id FROM payments p JOIN account_lines l ON l.id = p.line_id
        WHERE (l.patient_id, l.clinic_id) <> (p.patient_id, p.clinic_id)
        UNION ALL
        SELECT p.id FROM payments p JOIN clinic_payment_accounts c ON c.account_id = p.account_id WHERE c.clinic_id <> p.clinic_id""",
    "a payment that succeeded is not on the account as it was made, or one that did not is": """
        SELECT p.id, p.status, l.amount_minor FROM payments p LEFT JOIN account_lines l ON l.id = p.line_id
        WHERE (p.status = 'succeeded') <> (l.id IS NOT NULL) OR l.amount_minor <> -p.amount_minor OR l.kind <> 'payment'""",
    "what Stripe did once was entered twice": """
        SELECT kind, source_id FROM account_lines WHERE source_id IS NOT NULL AND corrects_id IS NULL
        GROUP BY kind, source_id HAVING count(*) > 1
        UNION ALL SELECT 'line', line_id::text FROM payments WHERE line_id IS NOT NULL GROUP BY line_id HAVING count(*) > 1""",
    "more was given back than was paid": """
        SELECT p.id FROM account_lines p JOIN account_lines r ON r.takes_back_id = p.id AND r.kind = 'refund'
        GROUP BY p.id, p.amount_minor HAVING sum(r.amount_minor) > -p.amount_minor""",
    "two people pay one invoice": """
        SELECT invoice_id FROM payment_invoices WHERE released_at IS NULL GROUP BY invoice_id HAVING count(*) > 1""",
    "a line was corrected to something else than nothing": """
        SELECT c.id FROM account_lines c JOIN account_lines o ON o.id = c.corrects_id
        WHERE c.amount_minor <> -o.amount_minor OR c.kind <> o.kind""",
    "an invoice number is missing, or was given twice": """
        SELECT clinic_id, count(*), min(number), max(number) FROM invoices WHERE number IS NOT NULL
        GROUP BY clinic_id HAVING max(number) - min(number) + 1 <> count(*) OR count(DISTINCT number) <> count(*)""",
}
KEPT = ("account_lines", "allocations", "invoice_lines")  # rows that are written once and stay as they are
UNFINISHED = """
    SELECT 'payment', id, status FROM payments WHERE status IN ('starting', 'open', 'processing')
    UNION ALL SELECT 'refund', id, status FROM refunds WHERE status IN ('asked', 'pending')
    UNION ALL SELECT 'claim', id, 'live' FROM payment_invoices WHERE released_at IS NULL
    UNION ALL SELECT 'event', id, type FROM stripe_events WHERE applied_at IS NULL"""
# What came by way of Stripe to a clinic's books, less what went back.
OF_STRIPE = """
    SELECT coalesce(-sum(amount_minor), 0) FROM account_lines WHERE clinic_id = %s AND source_id IS NOT NULL"""


class Broken(AssertionError):
    """The books say what cannot be."""


class Books:
    """Looks at them again and again, and remembers what it saw."""

    def __init__(self, url: str) -> None:
        """`url` of a superuser, in the application's database."""
        self.url = url
        self.seen: dict[tuple[str, UUID], str] = {}
        self.looks = 0

    def check(self, promised: Iterable[tuple[str, UUID]] = ()) -> None:
        """`promised` are (table, id) of what somebody was told is done: it is there. Raises Broken."""
        with self.connected() as connection, connection.transaction():
            for what, query in NEVER.items():
                if found := connection.execute(query).fetchmany(5):
                    raise Broken(f"{what}: {found}")
            self._check_kept(connection)
            self._check_promised(connection, promised)
        self.looks += 1

    def connected(self) -> Connection:
        """A new one each time: the server may have been restarted."""
        connection = psycopg.connect(self.url, autocommit=True)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return connection

    def _check_kept(self, connection: Connection) -> None:
        now = {
            (table, id_): str(mark)
            for table in KEPT
            for id_, mark in connection.execute(f"SELECT id, md5({table}::text) FROM {table}")
        }
        changed = [key for key, mark in self.seen.items() if now.get(key) != mark and key[0] != "invoice_lines"]
        if changed:
            raise Broken(f"what was written once was changed, or is gone: {changed[:5]}")
        self.seen = now

    def _check_promised(self, connection: Connection, promised: Iterable[tuple[str, UUID]]) -> None:
        of_tables = defaultdict(list)
        for table, id_ in promised:
            of_tables[table].append(id_)
        for table, ids in of_tables.items():
            done = "status = 'succeeded'" if table == "payments" else "true"
            gone = f"SELECT unnest(%s::uuid[]) EXCEPT SELECT id FROM {table} WHERE {done}"
            if found := connection.execute(gone, [ids]).fetchmany(5):
                raise Broken(f"what somebody was told is done is not there: {table} {found}")

    def check_finished(self) -> None:
        with self.connected() as connection:
            if left := connection.execute(UNFINISHED).fetchmany(5):
                raise Broken(f"something is not finished: {left}")

    def check_equal(self, clinic_id: UUID, balance: int, charges: set[str]) -> None:
        """The clinic's books and its account at Stripe: what there is, and which charges it came from."""
        entered = "SELECT source_id FROM account_lines WHERE clinic_id = %s AND kind = 'payment' AND source_id IS NOT NULL"
        with self.connected() as connection:
            ours = int(connection.execute(OF_STRIPE, [clinic_id]).fetchone()[0])  # type: ignore[index]
            known = {row[0] for row in connection.execute(entered, [clinic_id])}
        if ours != balance:
            raise Broken(f"the books of {clinic_id} have {ours} by way of Stripe, and Stripe has {balance}")
        if known != charges:
            raise Broken(f"charges that are in one place only: {known ^ charges}")
