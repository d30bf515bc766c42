"""Random SQL, made from the database's own catalogue: what somebody would try who may send any statement at all.

One thing is left out on purpose: a statement that changes `app.clinic_id` itself. The setting is no wall against
injected SQL (ATTACKS.md, L12); bound parameters are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]
LOCKS = ("FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE SKIP LOCKED")
AGGREGATES = ("string_agg({}, '|')", "json_agg({})", "array_agg({})", "max({})", "xmlagg(xmlelement(name x, {}))")
# Of the server's own: what it keeps about everybody's rows.
OF_THE_SERVER = ("pg_stats", "pg_stat_activity", "pg_stat_user_tables", "pg_prepared_statements", "pg_class", "pg_largeobject")


@dataclass(frozen=True)
class Catalogue:
    """Tables and views with their columns' types, what each role may read, functions, and ids of both clinics."""

    tables: dict[str, dict[str, str]]
    readable: dict[str, dict[str, list[str]]]  # role → table → columns
    functions: list[tuple[str, list[str]]]
    own: dict[str, list[UUID]]
    foreign: dict[str, list[UUID]]
    own_clinic: UUID
    foreign_clinic: UUID


def read(connection: Connection, own_clinic: UUID, foreign_clinic: UUID) -> Catalogue:
    """By the server's administrator."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, udt_name FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
    ).fetchall():
        tables.setdefault(table, {})[column] = kind
    readable: dict[str, dict[str, list[str]]] = {}
    for role, table, column in connection.execute(
        "SELECT r.rolname, c.table_name, c.column_name FROM pg_roles r, information_schema.columns c "
        "WHERE r.rolname LIKE 'portico%' AND c.table_schema = 'public' "
        "AND has_column_privilege(r.rolname, format('public.%I', c.table_name), c.column_name, 'SELECT') "
        "ORDER BY 1, 2, c.ordinal_position"
    ).fetchall():
        readable.setdefault(role, {}).setdefault(table, []).append(column)
    functions = [
        (name, list(kinds))
        for name, kinds in connection.execute(
            "SELECT n.nspname || '.' || p.proname, "
            "ARRAY(SELECT format_type(each, NULL) FROM unnest(p.proargtypes) AS each) "
            "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
            "WHERE n.nspname IN ('public', 'app') AND p.prorettype <> 'trigger'::regtype ORDER BY 1"
        ).fetchall()
    ]
    ids: dict[UUID, dict[str, list[UUID]]] = {own_clinic: {}, foreign_clinic: {}}
    for table, columns in tables.items():
        if columns.get("id") == "uuid" and "clinic_id" in columns:
            for clinic, found in ids.items():
                query = f"SELECT id FROM {table} WHERE clinic_id = %s ORDER BY id LIMIT 20"
                found[table] = [row[0] for row in connection.execute(query.encode(), [clinic]).fetchall()]
    return Catalogue(tables, readable, functions, ids[own_clinic], ids[foreign_clinic], own_clinic, foreign_clinic)


class Writer:
    """Writes statements, the same ones for the same seed. Mostly such as the role has a right to, so that it is row
    security that must hold; now and then any."""

    def __init__(self, catalogue: Catalogue, draw: Random, tables: list[str] | None = None) -> None:
        self.catalogue = catalogue
        self.draw = draw
        self.tables = tables or sorted(catalogue.tables)
        self.role = "portico_staff"
        self.kinds: tuple[Callable[[], str], ...] = (
            *(self.select, self.join, self.cte, self.aggregate, self.union, self.lateral, self.provoked) * 2,
            *(self.insert, self.copy_over, self.upsert, self.update, self.move, self.delete, self.merge) * 2,
            *(self.changing_cte, self.copy, self.function, self.function, self.of_the_server, self.xml, self.cursor, self.explained),
            *(self.truncate, self.aloud),
        )

    def statement(self, role: str = "portico_staff") -> str:
        self.role = role
        return self.draw.choice(self.kinds)()

    # Reading

    def select(self) -> str:
        table = self.table()
        lock = self.draw.choice(("", "", *LOCKS))
        return f"SELECT {self.columns(table)} FROM {table} t WHERE {self.condition(table)} LIMIT 50 {lock}"

    def join(self) -> str:
        left, right = self.table(), self.table()
        kind = self.draw.choice(("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
        on = self.draw.choice(("t.clinic_id = o.clinic_id", "t.clinic_id <> o.clinic_id", "true"))
        on = on if kind != "FULL JOIN" else "t.clinic_id = o.clinic_id"
        return f"SELECT {self.all_of(left)}, {self.all_of(right, 'o')} FROM {left} t {kind} {right} o ON {on} WHERE {self.condition(left)} LIMIT 50"

    def cte(self) -> str:
        table = self.table()
        kept = self.draw.choice(("MATERIALIZED", "NOT MATERIALIZED"))
        return f"WITH seen AS {kept} (SELECT {self.all_of(table)} FROM {table} t) SELECT t::text FROM seen t"

    def aggregate(self) -> str:
        table = self.table()
        return f"SELECT {self.draw.choice(AGGREGATES).format(self.row(table))} FROM {table} t WHERE {self.condition(table)}"

    def union(self) -> str:
        tables = [self.table() for _ in range(self.draw.randint(2, 4))]
        parts = [f"SELECT {self.row(table)} FROM {table} t" for table in tables]
        return f" {self.draw.choice(('UNION', 'UNION ALL', 'EXCEPT'))} ".join(parts)

    def lateral(self) -> str:
        table, other = self.table(), self.table()
        inner = f"SELECT string_agg({self.row(other, 'o')}, '|') AS all_of_it FROM {other} o"
        return f"SELECT {self.row(table)}, found.all_of_it FROM {table} t, LATERAL ({inner}) found LIMIT 9"

    def provoked(self) -> str:
        """Errors that would quote a row which the policy has not let through yet."""
        table = self.table()
        value = f"t.{self.draw.choice(self.readable(table))}::text"
        trick = self.draw.choice((f"{value}::integer = 1", f"1 / (length({value}) - length({value})) = 1", f"{value}::uuid IS NULL", f"{value}::json IS NULL"))
        return f"SELECT {self.all_of(table)} FROM {table} t WHERE {trick}"

    def copy(self) -> str:
        table = self.table()
        return self.draw.choice((f"COPY {table} TO STDOUT", f"COPY (SELECT {self.all_of(table)} FROM {table} t) TO STDOUT"))

    def function(self) -> str:
        name, kinds = self.draw.choice(self.catalogue.functions)
        arguments = ", ".join(self.value(kind) for kind in kinds)
        return f"SELECT * FROM {name}({arguments}) AS t"

    def of_the_server(self) -> str:
        return f"SELECT t::text FROM {self.draw.choice(OF_THE_SERVER)} t"

    def xml(self) -> str:
        table = self.table()
        readable = self.all_of(table)
        return self.draw.choice(
            (
                f"SELECT table_to_xml('{table}', true, false, '')",
                f"SELECT query_to_xml('SELECT {readable} FROM {table} t', true, false, '')",
                f"SELECT schema_to_xml('public', true, false, '')::text LIKE '%{table}%'",
                f"SELECT ts_stat('SELECT to_tsvector({self.row(table)}) FROM {table} t')",
            )
        )

    def cursor(self) -> str:
        table = self.table()
        return f"DECLARE walk CURSOR FOR SELECT {self.all_of(table)} FROM {table} t; FETCH ALL FROM walk"

    def explained(self) -> str:
        table = self.table()
        return f"EXPLAIN (ANALYZE, VERBOSE) SELECT {self.all_of(table)} FROM {table} t WHERE {self.condition(table)}"

    def aloud(self) -> str:
        table = self.table()
        return f"DO $$ BEGIN RAISE NOTICE '%', (SELECT string_agg({self.row(table)}, '|') FROM {table} t); END $$"

    # Writing

    def insert(self) -> str:
        return f"{self._insertion(self.table())}{self.returning()}"

    def _insertion(self, table: str) -> str:
        columns = self.catalogue.tables[table]
        values = [f"'{self.clinic()}'" if name == "clinic_id" else self.value(kind) for name, kind in columns.items()]
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(values)})"

    def copy_over(self) -> str:
        """Rows that are there, for somebody else."""
        table = self.table()
        columns = self.catalogue.tables[table]
        new = {"clinic_id": f"'{self.clinic()}'", "id": "gen_random_uuid()"}
        values = [new.get(name, f"t.{name}") if columns.get("id") == "uuid" else f"t.{name}" for name in columns]
        chosen = f"SELECT {', '.join(values)} FROM {table} t WHERE {self.condition(table)} LIMIT 3"
        return f"INSERT INTO {table} ({', '.join(columns)}) {chosen}{self.returning()}"

    def upsert(self) -> str:
        table = self.table()
        target = "DO NOTHING"
        if {"id", "clinic_id"} <= self.catalogue.tables[table].keys() and self.draw.random() < 0.7:
            target = f"(clinic_id, id) DO UPDATE SET {self.assignment(table)}"
        return f"{self._insertion(table)} ON CONFLICT {target}{self.returning()}"

    def update(self) -> str:
        table = self.table()
        return f"UPDATE {table} t SET {self.assignment(table)} WHERE {self.condition(table)}{self.returning()}"

    def move(self) -> str:
        table = self.table()
        return f"UPDATE {table} t SET clinic_id = '{self.catalogue.foreign_clinic}' WHERE {self.condition(table)}{self.returning()}"

    def delete(self) -> str:
        table = self.table()
        return f"DELETE FROM {table} t WHERE {self.condition(table)}{self.returning()}"

    def merge(self) -> str:
        table = self.table()
        source = f"(SELECT '{self.clinic()}'::uuid AS clinic_id, '{self.id_of(table)}'::uuid AS id)"
        found = self.draw.choice(("DELETE", f"UPDATE SET {self.assignment(table)}"))
        return f"MERGE INTO {table} t USING {source} s ON t.clinic_id = s.clinic_id WHEN MATCHED THEN {found}"

    def changing_cte(self) -> str:
        change = self.draw.choice((self.update, self.delete, self.copy_over))().partition(" RETURNING")[0]
        return f"WITH changed AS ({change} RETURNING clinic_id) SELECT t::text FROM changed t"

    def truncate(self) -> str:
        return f"TRUNCATE {self.table()} CASCADE"

    def returning(self) -> str:
        return self.draw.choice(("", " RETURNING *", " RETURNING clinic_id"))

    # Their parts

    def table(self) -> str:
        open_to = [each for each in self.tables if each in self.catalogue.readable.get(self.role, {})]
        return self.draw.choice(open_to if open_to and self.draw.random() < 0.85 else self.tables)

    def readable(self, table: str) -> list[str]:
        """The columns that the role may read; every one now and then."""
        found = self.catalogue.readable.get(self.role, {}).get(table)
        return found if found and self.draw.random() < 0.9 else sorted(self.catalogue.tables[table])

    def all_of(self, table: str, alias: str = "t") -> str:
        if self.draw.random() < 0.2:
            return f"{alias}.*, {alias}.tableoid"
        return ", ".join(f"{alias}.{each}" for each in self.readable(table))

    def row(self, table: str, alias: str = "t") -> str:
        """A whole row as text."""
        return f"{alias}::text" if self.draw.random() < 0.2 else f"ROW({self.all_of(table, alias)})::text"

    def clinic(self) -> UUID:
        return self.draw.choice((self.catalogue.foreign_clinic, self.catalogue.foreign_clinic, self.catalogue.own_clinic))

    def id_of(self, table: str) -> UUID:
        owner = self.draw.choice((self.catalogue.foreign, self.catalogue.foreign, self.catalogue.own))
        return self.draw.choice(owner.get(table) or [uuid4_of(self.draw)])

    def columns(self, table: str) -> str:
        names = self.readable(table)
        return self.draw.choice((self.all_of(table), ", ".join(self.draw.sample(names, min(3, len(names))))))

    def condition(self, table: str) -> str:
        columns = self.catalogue.tables[table]
        conditions = ["true", "true", f"{self.row(table)} LIKE '%CNRY%'"]
        if "clinic_id" in columns:
            conditions += [f"t.clinic_id = '{self.clinic()}'", f"t.clinic_id <> '{self.catalogue.own_clinic}'"]
        if columns.get("id") == "uuid":
            conditions.append(f"t.id = '{self.id_of(table)}'")
        first, second = self.draw.choice(conditions), self.draw.choice(conditions)
        return f"({first}) {self.draw.choice(('AND', 'OR'))} ({second})"

    def assignment(self, table: str) -> str:
        column, kind = self.draw.choice(sorted(self.catalogue.tables[table].items()))
        return f"{column} = {self.value(kind)}"

    def value(self, kind: str) -> str:
        if kind.endswith("[]") or kind.startswith("_"):
            inner = kind.removesuffix("[]").removeprefix("_")
            return f"ARRAY[{self.value(inner)}]::{inner}[]"
        literals = {
            "uuid": f"'{self.id_of(self.draw.choice(sorted(self.catalogue.foreign)))}'",
            "text": self.draw.choice(("'fuzz'", "'fuzz@family.example'", "NULL")),
            "bool": self.draw.choice(("true", "false")),
            "boolean": self.draw.choice(("true", "false")),
            "timestamptz": self.draw.choice(("now()", "NULL")),
            "date": "'2018-03-14'",
            "jsonb": "'{}'",
            "bytea": r"'\x00'",
        }
        return literals.get(kind, "1")


def uuid4_of(draw: Random) -> UUID:
    """Of the seed."""
    return UUID(int=draw.getrandbits(128), version=4)
