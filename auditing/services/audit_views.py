"""What the history shows to SQL: a view per table in the classic columns, `custody.audit_log` over
all of them, and what `custody.as_of()` reads.

They name nothing of the governed application, neither its tables nor its types: none of them can
ever stand in the way of its DROP or ALTER.
"""

from __future__ import annotations

from django.db import connections, transaction
from psycopg import sql

from auditing.models import TrackedTable
from auditing.selectors.image_json import image_json
from auditing.selectors.images import Shape, history_exists, shape_of
from auditing.selectors.keys import has_one_place, key_is_text, key_text, record_id_of, same_record
from operations.catalogue.identifiers import Identifier
from operations.conditions.render import Text

_VIEW = "CREATE OR REPLACE VIEW {} AS {}"
_LOG_OF = """
CREATE OR REPLACE FUNCTION {function}(key text)
RETURNS TABLE (
    id bigint, table_name text, record_id text, action text, old_data jsonb, new_data jsonb,
    changed_fields text[], user_id text, user_email text, ip_address inet, user_agent text,
    created_at timestamptz, reason text, request_id text, actor text, operation text,
    statement bigint, transaction bigint
) LANGUAGE sql STABLE AS {body}
"""
_LOG = """
SELECT h.seq AS id,
       {table}::pg_catalog.text AS table_name,
       {record} AS record_id,
       CASE h.op WHEN 'I' THEN 'INSERT' WHEN 'U' THEN 'UPDATE' ELSE 'DELETE' END AS action,
       CASE
         WHEN h.op = 'I' THEN NULL
         WHEN h.op IN ('D', 'T') THEN {image}
         WHEN h.rest ->> 'was' IS NULL THEN (
           SELECT CASE WHEN v.op NOT IN ('D', 'T', 'R') THEN {before} END
             FROM {history} AS v
            WHERE {same} AND v.seq < h.seq AND v.at <= h.at + interval '1 day'
            ORDER BY v.seq DESC LIMIT 1)
         ELSE (
           SELECT {before}
             FROM {history} AS v
            WHERE {moved} AND v.op = 'R' AND v.statement = h.statement
              AND v.at BETWEEN h.at - interval '1 day' AND h.at + interval '1 day'
              AND v.rest ->> 'now' = {record}
            ORDER BY v.seq DESC LIMIT 1)
       END AS old_data,
       CASE WHEN h.op IN ('I', 'U') THEN {image} END AS new_data,
       CASE WHEN h.op = 'U' THEN (
         SELECT pg_catalog.array_agg(c.name::pg_catalog.text ORDER BY a.place)
           FROM custody.auditing_layout AS l
          CROSS JOIN LATERAL unnest(l.attnums) WITH ORDINALITY AS a (attnum, place)
           JOIN custody.auditing_trackedcolumn AS c
             ON c.tracked_id = l.tracked_id AND c.attnum = a.attnum
          WHERE l.id = h.layout
            AND pg_catalog.get_bit(h.changed, (a.place - 1)::pg_catalog.int4) = 1)
       END AS changed_fields,
       NULLIF(x.user_id, '') AS user_id,
       NULLIF(x.user_email, '') AS user_email,
       COALESCE(x.ip_address, h.client) AS ip_address,
       NULLIF(x.user_agent, '') AS user_agent,
       h.at AS created_at,
       NULLIF(x.reason, '') AS reason,
       NULLIF(x.request_id, '') AS request_id,
       COALESCE(x.actor, 'db:' || h.db_user) AS actor,
       CASE h.op WHEN 'T' THEN 'TRUNCATE' WHEN 'D' THEN 'DELETE' WHEN 'I' THEN 'INSERT'
                 ELSE 'UPDATE' END AS operation,
       h.statement,
       h.xid AS transaction
  FROM {history} AS h
  LEFT JOIN custody.auditing_changecontext AS x ON x.id = h.context AND x.xid = h.xid
 WHERE h.op IN ('I', 'U', 'D', 'T')
"""

_AT = """
CREATE OR REPLACE FUNCTION {function}(moment timestamptz, record_id text DEFAULT NULL)
RETURNS SETOF {history} LANGUAGE sql STABLE AS {body}
"""
_AT_BODY = """
SELECT h.* FROM (
  SELECT DISTINCT ON ({keys}) h.*
    FROM {history} AS h
   WHERE $2 IS NULL AND h.at <= $1
     AND (h.xid <> ALL (ARRAY(SELECT custody.audit_open_at($1))) OR h.op = 'B')
   ORDER BY {newest}, h.seq DESC
) AS h WHERE h.op IN ('I', 'U', 'B', 'C')
UNION ALL
SELECT h.* FROM (
  SELECT h.*
    FROM {history} AS h
   WHERE $2 IS NOT NULL AND {key_is} AND h.at <= $1
     AND (h.xid <> ALL (ARRAY(SELECT custody.audit_open_at($1))) OR h.op = 'B')
   ORDER BY h.seq DESC LIMIT 1
) AS h WHERE h.op IN ('I', 'U', 'B', 'C')
"""

_AS_OF = """
CREATE OR REPLACE FUNCTION {function}(moment timestamptz, record_id text DEFAULT NULL)
RETURNS SETOF jsonb LANGUAGE sql STABLE AS {body}
"""

_ALL = "CREATE OR REPLACE VIEW custody.audit_log AS {}"
_ONE = "SELECT * FROM {}"
_PURGES = """
SELECT s.id, {table}::pg_catalog.text, NULL::pg_catalog.text, 'PURGE'::pg_catalog.text,
       NULL::pg_catalog.jsonb, NULL::pg_catalog.jsonb, NULL::pg_catalog.text[],
       NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.inet,
       NULL::pg_catalog.text, s.at,
       pg_catalog.concat_ws(' ', NULLIF(e.reason, ''),
         '(' || s.rows || ' rows' || CASE WHEN e.certificate <> ''
              THEN ', certificate ' || e.certificate ELSE '' END || ')'),
       NULL::pg_catalog.text, s.actor, 'PURGE'::pg_catalog.text, s.id, s.xid
  FROM custody.auditing_changestatement AS s
  LEFT JOIN custody.auditing_auditevent AS e ON e.id = s.event_id
 WHERE s.operation = 'P' AND s.tracked_id = {tracked}
"""


def audit_views_make(*, tracked: TrackedTable) -> None:
    """Makes, or makes again, the table's view and functions, and `custody.audit_log` with it.

    To be called when the table is tracked, adjusted to changed columns, and given up: the views
    keep their columns, so whatever was built on them stays.
    """
    using = tracked.database
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        # Two at once would each leave the other's table out.
        cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(4801, 1)")
        if history_exists(tracked):
            for statement in _of_table(shape_of(tracked)):
                cursor.execute(statement)
        cursor.execute(_over_all(using))


def log_view(tracked: TrackedTable) -> sql.Composable:
    """`history.<history_name>_log`."""
    return Identifier("history", f"{tracked.history_name}_log")


def _of_table(shape: Shape) -> list[sql.Composable]:
    name = shape.tracked.history_name
    at = Identifier("history", f"{name}_at")
    as_of = Identifier("history", f"{name}_as_of")
    # The functions read with the rights of whoever calls them, in a schema that is closed to most.
    return [
        sql.SQL(_VIEW).format(log_view(shape.tracked), _log(shape)),
        sql.SQL(_LOG_OF).format(
            function=Identifier("history", f"{name}_log_of"),
            body=_quoted(
                sql.SQL("{} AND {}").format(_log(shape), key_is_text(shape, sql.SQL("($1)"), "h")),
                shape.using,
            ),
        ),
        sql.SQL(_AT).format(
            function=at, history=shape.history, body=_quoted(_at_body(shape), shape.using)
        ),
        sql.SQL(_AS_OF).format(
            function=as_of,
            body=_quoted(
                sql.SQL("SELECT {} FROM {}($1, $2) AS h").format(image_json(shape, "h"), at),
                shape.using,
            ),
        ),
    ]


def _log(shape: Shape) -> sql.Composable:
    """The changes of a table in the classic columns."""
    return sql.SQL(_LOG).format(
        table=Text(str(shape.tracked)),
        record=record_id_of(shape),
        image=image_json(shape, "h"),
        before=image_json(shape, "v"),
        history=shape.history,
        same=same_record(shape, "v", "h"),
        moved=key_is_text(shape, sql.SQL("(h.rest ->> 'was')"), "v"),
    )


def _at_body(shape: Shape) -> sql.Composable:
    keys = [
        Identifier("h", column.kept[0].name) if has_one_place(column) else key_text(column, "h")
        for column in shape.key
    ]
    return sql.SQL(_AT_BODY).format(
        keys=sql.SQL(", ").join(keys),
        # The index of the key, read backwards, gives this order.
        newest=sql.SQL(", ").join(sql.SQL("{} DESC").format(key) for key in keys),
        history=shape.history,
        key_is=key_is_text(shape, sql.SQL("($2)"), "h"),
    )


def _quoted(body: sql.Composable, using: str) -> sql.Composable:
    return Text(body.as_string(connections[using].connection))


def _over_all(using: str) -> sql.Composable:
    tables = [
        each
        for each in TrackedTable.objects.using(using).filter(database=using).order_by("id")
        if history_exists(each)
    ]
    if not tables:
        return sql.SQL("SELECT 1")
    parts = [sql.SQL(_ONE).format(log_view(each)) for each in tables]
    parts += [
        sql.SQL(_PURGES).format(table=Text(str(each)), tracked=sql.Literal(each.pk))
        for each in tables
    ]
    return sql.SQL(_ALL).format(sql.SQL(" UNION ALL ").join(parts))
