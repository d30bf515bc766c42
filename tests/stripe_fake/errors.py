"""What Stripe says when it does not do what was asked."""

from typing import Any


class StripeError(Exception):
    """One of Stripe's errors: an HTTP status and the `error` object of its answer."""

    def __init__(self, status: int, kind: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.answer = {"error": {"type": kind, "message": message} | {k: v for k, v in details.items() if v is not None}}


def invalid(message: str, code: str | None = None, param: str | None = None, status: int = 400) -> StripeError:
    return StripeError(status, "invalid_request_error", message, code=code, param=param)


def missing(kind: str, id_: str, param: str | None = None) -> StripeError:
    """Named in the path, or by a parameter: 404 or 400."""
    return invalid(f"No such {kind}: '{id_}'", "resource_missing", param or "id", 400 if param else 404)


def no_access(account: str, key: str) -> StripeError:
    """An account that never was and one that took its leave look the same."""
    shown = f"{key[:8]}***{key[-4:]}"
    return invalid(
        f"The provided key '{shown}' does not have access to account '{account}' (or that account does not exist). "
        "Application access may have been revoked.", "account_invalid", status=403,
    )  # fmt: skip
