"""Starts this Stripe. It prints its address when it is ready to be asked."""

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.stripe_fake.server import KEY, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stripe_fake", description="A stand-in for Stripe, on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--webhook-url", help="where events are delivered; without it they are only kept")
    parser.add_argument("--webhook-secret", help="what deliveries are signed with")
    parser.add_argument("--state", type=Path, help="a file that keeps everything from one start to the next")
    parser.add_argument("--key", default=KEY, help="the secret key that callers must send")
    parser.add_argument("--settle-after", type=int, help="seconds after which bank debits and their refunds settle by themselves")
    options = parser.parse_args()
    post = {"url": options.webhook_url, "secret": options.webhook_secret}
    server = serve(options.port, options.state, options.key, options.settle_after, **post)
    # At once, whatever is on its way: all that matters was kept when it happened.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
