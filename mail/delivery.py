"""Handing letters to the mail server: the only place that knows Flask-Mail.

Stock Flask-Mail checks no certificate and has no time-out, and folds headers twice; `_Connection` and `_Message` mend it.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from email.mime.base import MIMEBase
from email.policy import SMTP

from email_validator import EmailNotValidError, validate_email
from flask import Flask, current_app
from flask_mail import BadHeaderError, Connection, Mail, Message

from mail.rendering import Page, header
from tenancy.settings import Settings

TIMEOUT_SECONDS = 10
mail = Mail()


class TemporaryFault(Exception):
    """The server could not take it now; `args[0]` is its code."""


class PermanentFault(Exception):
    """The server will never take it; `args[0]` is its code."""


@dataclass(frozen=True)
class Envelope:
    to: str
    from_name: str
    message_id: str  # stable over retries


class _Message(Message):
    """Written as it was encoded: folding again, older Pythons take encoded names apart and leave commas bare."""

    def _message(self) -> MIMEBase:
        written = super()._message()
        written.policy = SMTP.clone(refold_source="none")
        return written


class _Connection(Connection):
    def configure_host(self) -> smtplib.SMTP:
        settings: Settings = current_app.config["PORTICO"]
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if settings.mail_security == "tls":
            server = smtplib.SMTP_SSL(
                settings.mail_server, settings.mail_port, timeout=TIMEOUT_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(settings.mail_server, settings.mail_port, timeout=TIMEOUT_SECONDS)
        with ExitStack() as on_failure:
            on_failure.callback(server.close)
            if settings.mail_security == "starttls":
                server.starttls(context=context)
            if settings.mail_username and settings.mail_password:
                server.login(settings.mail_username, settings.mail_password)
            on_failure.pop_all()
        return server


def install(app: Flask, settings: Settings) -> None:
    app.config.update(
        MAIL_SERVER=settings.mail_server,
        MAIL_PORT=settings.mail_port,
        MAIL_DEFAULT_SENDER=settings.mail_sender,
        MAIL_MAX_EMAILS=None,
    )
    mail.init_app(app)


@contextmanager
def connection() -> Iterator[Connection]:
    """One conversation with the server for a batch. Raises TemporaryFault when there is none to be had."""
    with ExitStack() as stack:
        try:
            opened: Connection = stack.enter_context(_Connection(current_app.extensions["mail"]))  # type: ignore[arg-type]
        except (OSError, smtplib.SMTPException) as error:
            raise TemporaryFault(_code(error)) from error
        yield opened
        # A server that has hung up already cannot be told goodbye; what it acknowledged is recorded.
        with suppress(OSError, smtplib.SMTPException):
            stack.close()


def send(server: Connection, page: Page, envelope: Envelope) -> None:
    """Returns once the server has acknowledged it. Raises TemporaryFault or PermanentFault."""
    settings: Settings = current_app.config["PORTICO"]
    message = _Message(
        subject=page.subject,
        recipients=[_one_address(envelope.to)],
        body=page.text,
        html=page.html,
        reply_to=_one_address(page.reply_to) if page.reply_to else None,
        extra_headers={"Auto-Submitted": "auto-generated"},
    )
    message.msgId = envelope.message_id
    # Set afterwards, as a pair: the constructor would join it without quotes, and a comma would begin another sender.
    message.sender = (header(envelope.from_name), settings.mail_sender)
    try:
        server.send(message, envelope_from=settings.mail_sender)
    except BadHeaderError as error:  # a line break in an address
        raise PermanentFault("BadHeaderError") from error
    except smtplib.SMTPRecipientsRefused as error:
        code, _ = next(iter(error.recipients.values()))
        raise (PermanentFault if code >= 500 else TemporaryFault)(str(code)) from error
    except smtplib.SMTPResponseException as error:
        raise (PermanentFault if error.smtp_code >= 500 else TemporaryFault)(str(error.smtp_code)) from error
    except (OSError, smtplib.SMTPException) as error:
        raise TemporaryFault(_code(error)) from error


def _one_address(text: str) -> str:
    """The address as every server reads it, its domain in plain letters. Raises PermanentFault for none, or for two."""
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True).ascii_email
    except EmailNotValidError:
        found = None
    if found is None or "=?" in found:
        raise PermanentFault("NoAddress")
    return found


def _code(error: BaseException) -> str:
    return str(getattr(error, "smtp_code", None) or type(error).__name__)
