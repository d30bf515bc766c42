"""`flask worker`: runs the background work of every clinic, in a process of its own."""

import click
from flask import Flask, current_app

from tenancy import jobs


@click.command("worker")
@click.option("--concurrency", default=4, show_default=True, help="How many jobs run at once.")
@click.option("--drain", is_flag=True, help="Stop when nothing is left to do.")
def worker(concurrency: int, drain: bool) -> None:
    """Send letters and carry out what was enqueued, until stopped."""
    settings = current_app.config["PORTICO"]
    flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with jobs.worker(settings) as queue:
        queue.run_worker(
            concurrency=concurrency,
            wait=not drain,
            install_signal_handlers=True,
            additional_context={"flask": flask},
            delete_jobs="successful",
            listen_notify=True,
        )


def install(app: Flask) -> None:
    app.cli.add_command(worker)
