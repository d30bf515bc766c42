"""Our own Stripe, for tests and the demo: a process of its own, with a memory, held to Stripe's published contract.

`python -m tests.stripe_fake --port 12111` starts it; `tests.stripe_fake.client.StripeFake` tells it what to do.
Every request is checked against the contract, and so are its own answers and the objects in its webhooks.

Lowest stair first: `errors` · `contract` (what may be said) · `world` (what is kept, and the clock) · `calls` · `faults`
`idempotency` `ledger` `webhooks` · `methods` `accounts` · `payments` · `reversals` `checkout` · `paying` · `api` (Stripe's HTTP) ·
`control` (what tests tell it) `pages` (what a person sees) · `server` · `client` · `fixture`.
"""
