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
    with psycopg.connect(cluster.url_of(committed_app.config["PORTICO"]), autocommit=True) as connection:
        yield connection
