"""What attack tests plant weaknesses with."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.conftest import Cluster


@pytest.fixture
def administrator(cluster: Cluster, committed_app: Flask) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The server's superuser in the committed application's own database."""
    name = committed_app.config["PORTICO"].database_url.rpartition("/")[2]
    with psycopg.connect(f"{cluster.admin_url.rpartition('/')[0]}/{name}", autocommit=True) as connection:
        yield connection
