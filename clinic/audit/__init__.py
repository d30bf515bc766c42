"""The audit log: what was done, by whom, about whom. Appended in the transaction of the thing itself, never changed.

`entries` writes it, `chain` proves that nothing was changed or left out, `anchors` keep the newest hashes outside the
database. People read it through `clinic/audit_log.py`.
"""

from clinic.audit.entries import (
    AuditEntry,
    Result,
    record,
    record_failure,
    record_refusal,
    record_view,
    stamp,
)

__all__ = ["AuditEntry", "Result", "record", "record_failure", "record_refusal", "record_view", "stamp"]
