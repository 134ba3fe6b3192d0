// The statements that the table catalog runs.
#pragma once

#include <string_view>

namespace raymesh::storage {

/// $1 text[]: project ids. As raymesh_storage.
inline constexpr std::string_view kReadEpochsSql =
    "SELECT project_id, schema_epoch FROM raymesh_storage.projects WHERE project_id = ANY ($1)";

/// $1 schema, $2 table; as the project's role. One row per column (one row with nulls when there is
/// none, no row when there is no such table): schema, reads_run_code, writes_run_code, name, type,
/// category, element type, element category, not null. Domains are followed to their base types.
///
/// Reading runs foreign code through views, foreign tables and row security. Writing does so
/// through much more: triggers, rules, partitions and children, cascades into other tables,
/// expressions of defaults, checks and indexes, and domains. An expression is harmless when it
/// depends on no function outside pg_catalog and calls only functions from a list of well-known
/// ones: pg_catalog has functions that change settings (set_config) or run any SQL (query_to_xml).
inline constexpr std::string_view kReadTableSql = R"sql(
WITH rel AS (
  SELECT c.oid, n.nspname, c.relkind, c.relrowsecurity, c.relhasrules, c.relhassubclass,
         c.relispartition
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), expression AS (
  SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass AS class, d.oid,
         pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS text
  FROM rel JOIN pg_catalog.pg_attrdef d ON d.adrelid = rel.oid
  UNION ALL
  SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid,
         pg_catalog.pg_get_expr(k.conbin, k.conrelid)
  FROM rel JOIN pg_catalog.pg_constraint k ON k.conrelid = rel.oid AND k.contype = 'c'
), col AS (
  SELECT a.attnum, a.attname, a.attnotnull, base.oid, base.typcategory, base.typlen, base.typelem,
         t.typtype, element.oid AS element_oid, element.typcategory AS element_category,
         t.typtype = 'd' OR (a.atttypid >= 16384 AND t.typtype <> 'e'
                               AND element.typtype IS DISTINCT FROM 'e') AS has_own_type
  FROM rel
  JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  CROSS JOIN LATERAL (
    WITH RECURSIVE chain AS (
      SELECT t.oid, t.typtype, t.typbasetype, t.typcategory, t.typlen, t.typelem
      UNION ALL
      SELECT b.oid, b.typtype, b.typbasetype, b.typcategory, b.typlen, b.typelem
      FROM chain JOIN pg_catalog.pg_type b ON b.oid = chain.typbasetype WHERE chain.typtype = 'd'
    ) SELECT oid, typcategory, typlen, typelem FROM chain WHERE typtype <> 'd'
  ) base
  LEFT JOIN LATERAL (
    WITH RECURSIVE chain AS (
      SELECT e.oid, e.typtype, e.typbasetype, e.typcategory
      FROM pg_catalog.pg_type e
      WHERE e.oid = base.typelem AND base.typcategory = 'A' AND base.typlen = -1
      UNION ALL
      SELECT b.oid, b.typtype, b.typbasetype, b.typcategory
      FROM chain JOIN pg_catalog.pg_type b ON b.oid = chain.typbasetype WHERE chain.typtype = 'd'
    ) SELECT oid, typtype, typcategory FROM chain WHERE typtype <> 'd'
  ) element ON true
), code AS (
  SELECT rel.relkind IN ('v', 'f') OR rel.relrowsecurity AS reads,
         rel.relkind <> 'r' OR rel.relrowsecurity OR rel.relhasrules OR rel.relhassubclass
           OR rel.relispartition
           OR EXISTS (SELECT FROM pg_catalog.pg_trigger g
                      WHERE g.tgrelid = rel.oid AND NOT g.tgisinternal)
           OR EXISTS (SELECT FROM pg_catalog.pg_constraint k
                      WHERE k.confrelid = rel.oid AND k.contype = 'f'
                        AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd')))
           OR EXISTS (SELECT FROM pg_catalog.pg_index i
                      WHERE i.indrelid = rel.oid
                        AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
           OR EXISTS (SELECT FROM col WHERE has_own_type)
           OR EXISTS (SELECT FROM expression e
                      WHERE EXISTS (SELECT FROM pg_catalog.pg_depend d
                                    WHERE d.classid = e.class AND d.objid = e.oid
                                      AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
                         OR pg_catalog.regexp_replace(e.text,
                              '\m(nextval|now|gen_random_uuid|clock_timestamp|statement_timestamp|'
                              'transaction_timestamp|timezone|date_trunc|random|lower|upper|length|'
                              'char_length|btrim|trim|coalesce|nullif|greatest|least|abs|round|floor|'
                              'ceil|md5|to_char|concat|any|in|and|or|not|numeric|character|varying|'
                              'varchar|bpchar|bit|time|timestamp|interval)\s*\(', '', 'gi')
                            ~ '[a-zA-Z0-9_"]\s*\(') AS writes
  FROM rel
)
SELECT rel.nspname, code.reads, code.writes, col.attname, col.oid, col.typcategory, col.element_oid,
       col.element_category, col.attnotnull
FROM rel CROSS JOIN code LEFT JOIN col ON true
ORDER BY col.attnum)sql";

}  // namespace raymesh::storage
