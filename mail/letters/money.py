"""Letters about money. None says how much, or for whom."""

from dataclasses import dataclass

from mail.letters.letter import Letter, LinkLetter
from tenancy.link_tokens import Purpose


@dataclass(frozen=True)
class InvoiceMailed(LinkLetter):
    """To a contact, whether they use the portal or not. The amount stands behind the link; for whom and what, nowhere."""

    kind = "invoice_mailed"
    purpose = Purpose.INVOICE


@dataclass(frozen=True)
class ReceiptWaits(Letter):
    """To whoever paid online: the money arrived. How much, and for whom, only the portal says."""

    kind = "receipt_waits"


@dataclass(frozen=True)
class PaymentFailed(Letter):
    """To whoever paid with a bank debit, or has a card charged: nothing was paid."""

    kind = "payment_failed"


@dataclass(frozen=True)
class RefundMade(Letter):
    """To whoever paid: the clinic gives money back."""

    kind = "refund_made"


@dataclass(frozen=True)
class AutopayAnnounced(Letter):
    """To whoever has invoices paid when they are due: a card of theirs will be charged in some days."""

    kind = "autopay_announced"


@dataclass(frozen=True)
class AutopayStopped(Letter):
    """To the same: from now on nothing is charged any more. Why, only the portal says."""

    kind = "autopay_stopped"


@dataclass(frozen=True)
class DisputeOpened(Letter):
    """To staff who keep the books: somebody's bank asks about a payment, or takes it back."""

    kind = "dispute_opened"


@dataclass(frozen=True)
class PaymentProblemFound(Letter):
    """To the same: there is something about a payment that a person must look at."""

    kind = "payment_problem_found"
