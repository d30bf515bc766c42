"""Letters out: what we can ever send, the outbox it waits in, and the worker that delivers it."""
