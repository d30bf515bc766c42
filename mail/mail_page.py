"""The demo's post office: a real SMTP server on loopback, and a page that shows the letters that arrived.

Letters are kept as .eml files whose names sort by arrival. A letter's HTML is shown in a sandboxed frame
under a policy that runs nothing and fetches nothing, so a letter can be looked at but cannot act.
"""

import argparse
import email
import re
import secrets
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default as default_policy
from pathlib import Path

import pyotp
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from flask import Flask, Response, abort, url_for
from jinja2 import Environment
from werkzeug.serving import make_server

from tenancy import clock

ARRIVED = "%Y%m%dT%H%M%S.%f"
NAME = re.compile(r"\d{8}T\d{6}\.\d{6}-[0-9a-f]{8}")
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
CODE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
LETTER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ letter.subject if letter else "Letters" }}</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1b2733 }
  a { color: #0b5c8a } li { margin: .75rem 0 } dt { font-weight: 600 } dd { margin: 0 0 .5rem }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f6f8; padding: 1rem; font: inherit }
  iframe { width: 100%; height: 36rem; border: 1px solid #c8d0d8; background: #fff }
  iframe.code { height: 9.5rem; border: 0; border-radius: .75rem; background: #f4f6f8 } .quiet { color: #52616f }
</style>
{% if letter %}
<p><a href="{{ url_for('letters') }}">All letters</a></p>
<h1>{{ letter.subject }}</h1>
<dl>
  <dt>To</dt><dd>{{ letter.recipient }}</dd>
  <dt>From</dt><dd>{{ letter.sender }}</dd>
  <dt>Arrived</dt><dd>{{ letter.arrived }}</dd>
</dl>
<h2>As text</h2>
<pre>{{ letter.text | urlize(target="_blank", rel="noopener noreferrer") }}</pre>
{% if letter.html %}
<h2>As HTML</h2>
<iframe title="The letter as HTML" src="{{ url_for('letter_html', name=letter.name) }}"></iframe>
{% endif %}
<p class="quiet"><a href="{{ url_for('letter_source', name=letter.name) }}">Source</a></p>
{% else %}
{% if shows_code %}<iframe class="code" title="Sign-in code" src="{{ url_for('sign_in_code') }}"></iframe>{% endif %}
<h1>Letters</h1>
{% if letters %}
<ol reversed>
  {% for letter in letters %}
  <li><a href="{{ url_for('one_letter', name=letter.name) }}">{{ letter.subject }}</a><br>
    to {{ letter.recipient }} <span class="quiet">{{ letter.arrived }}</span></li>
  {% endfor %}
</ol>
{% else %}
<p>No letter has arrived yet. Reload this page after one is sent.</p>
{% endif %}
{% endif %}
</html>
""")


CODE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="{{ seconds_left }}">
<title>Sign-in code</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 1rem; color: #1b2733 } p { margin: 0 } .quiet { color: #52616f }
  b { font-size: 2rem; letter-spacing: .1em; font-variant-numeric: tabular-nums }
</style>
<p>Sign-in code of the demo's staff</p>
<p><b>{{ code[:3] }} {{ code[3:] }}</b></p>
<p class="quiet">As their authenticator app shows it now; the next one comes by itself. Each person uses a code once.</p>
</html>
""")


@dataclass(frozen=True)
class ArrivedLetter:
    name: str
    arrived: str
    subject: str
    sender: str
    recipient: str
    text: str
    html: str


class Mailbox:
    """The .eml files of one folder, readable by their owner only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def keep(self, content: bytes) -> None:
        name = f"{clock.now():{ARRIVED}}-{secrets.token_hex(4)}"
        unfinished = self.folder / f"{name}.unfinished"
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(content)
        unfinished.rename(self.folder / f"{name}.eml")

    def newest_first(self) -> list[ArrivedLetter]:
        return [self.read(path.name.removesuffix(".eml")) for path in sorted(self.folder.glob("*.eml"), reverse=True)]

    def read(self, name: str) -> ArrivedLetter:
        message = email.message_from_bytes(self.source(name), policy=default_policy)
        arrived = datetime.strptime(name.split("-")[0], ARRIVED).replace(tzinfo=UTC)
        return ArrivedLetter(
            name=name,
            arrived=f"{arrived.astimezone():%Y-%m-%d %H:%M:%S}",
            subject=str(message["Subject"] or "").strip() or "(no subject)",
            sender=str(message["From"] or ""),
            recipient=str(message["To"] or ""),
            text=_body(message, "plain"),
            html=_body(message, "html"),
        )

    def source(self, name: str) -> bytes:
        path = self.folder / f"{name}.eml"
        if not NAME.fullmatch(name) or not path.exists():
            abort(404)
        return path.read_bytes()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        self.keep(content if isinstance(content, bytes) else content.encode())
        return "250 The letter has arrived"


def create_page(mailbox: Mailbox, app_secret: str | None = None) -> Flask:
    """`app_secret`: of the demo staff's authenticator app, base32; its present code is shown beside the letters."""
    page = Flask(__name__)
    # The page shows live invitation links: another site's name pointed at this machine gets nothing.
    page.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1"]

    @page.get("/")
    def letters() -> Response:
        shown = PAGE.render(letters=mailbox.newest_first(), shows_code=bool(app_secret), url_for=url_for)
        return _answer(shown, PAGE_POLICY)

    @page.get("/sign-in-code")
    def sign_in_code() -> Response:
        if not app_secret:
            abort(404)
        app, now = pyotp.TOTP(app_secret), int(clock.now().timestamp())
        left = app.interval - now % app.interval
        return _answer(CODE.render(code=app.at(now), seconds_left=left), CODE_POLICY)

    @page.get("/letters/<name>")
    def one_letter(name: str) -> Response:
        return _answer(PAGE.render(letter=mailbox.read(name), url_for=url_for), PAGE_POLICY)

    @page.get("/letters/<name>/html")
    def letter_html(name: str) -> Response:
        # Links open beside the letter: inside the frame the portal would refuse to be shown.
        return _answer('<base target="_blank">' + mailbox.read(name).html, LETTER_POLICY)

    @page.get("/letters/<name>/source")
    def letter_source(name: str) -> Response:
        answer = _answer("", PAGE_POLICY, mimetype="text/plain")
        answer.set_data(mailbox.source(name))
        return answer

    return page


def _answer(body: str, policy: str, mimetype: str = "text/html") -> Response:
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(body, mimetype=mimetype, headers=headers)


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part else ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mail.mail_page", description=__doc__)
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--http-port", type=int, default=8025)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--app-secret", help="of the demo staff's authenticator app, to show its codes")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    mailbox = Mailbox(options.folder)
    post_office = Controller(mailbox, hostname="127.0.0.1", port=options.smtp_port)
    post_office.start()
    try:
        make_server("127.0.0.1", options.http_port, create_page(mailbox, options.app_secret), threaded=True).serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        post_office.stop()


if __name__ == "__main__":
    main()
