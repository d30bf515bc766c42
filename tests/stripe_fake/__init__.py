"""Our own Stripe, for tests and the demo: a process of its own, with a memory, held to Stripe's published contract.

`python -m tests.stripe_fake --port 12111` starts it; `tests.stripe_fake.client.StripeFake` tells it what to do.
Every request is checked against the contract, and so are its own answers and the objects in its webhooks.

Lowest stair first: `contract` (what may be said) · `world` (what is kept, and the clock) · `webhooks` · `ledger` ·
`methods` `accounts` · `payments` · `reversals` `checkout` · `api` (Stripe's HTTP) `control` (ours) `pages` (a person's).
"""
