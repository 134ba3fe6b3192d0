#include "services/storage/schema.hpp"

namespace raymesh::storage {

const std::vector<pg::Migration>& system_migrations() {
  static const std::vector<pg::Migration> kMigrations = {
      {1, "projects", R"sql(
CREATE TABLE projects (
  project_id text PRIMARY KEY,
  -- Raised after every migration of the project: what nodes cached under an older one is stale.
  schema_epoch bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now()
);
)sql"},
      // Results of writes with an idempotency key. Projects reach them through the two functions
      // alone, each its own: who calls is the login of the session, which no SET ROLE changes.
      {2, "kept_results", R"sql(
CREATE TABLE kept_results (
  role name NOT NULL,  -- the project's
  user_id text NOT NULL,
  key text NOT NULL,
  hash text NOT NULL,  -- of the request
  form text NOT NULL,  -- how `result` is to be read
  result text,
  kept_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (role, user_id, key)
);
CREATE INDEX kept_results_by_age ON kept_results (kept_at);

-- Called by the write itself. When the key is taken nothing of the write happens.
CREATE FUNCTION keep_result(of_user text, of_key text, of_hash text, of_form text, of_result text)
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO raymesh_storage.kept_results AS k (role, user_id, key, hash, form, result)
  VALUES (session_user, of_user, of_key, of_hash, of_form, of_result)
  ON CONFLICT (role, user_id, key) DO UPDATE
    SET hash = excluded.hash, form = excluded.form, result = excluded.result, kept_at = now()
    WHERE k.kept_at < now() - interval '24 hours';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the idempotency key is taken' USING ERRCODE = 'RM001';
  END IF;
  RETURN true;
END $$;

CREATE FUNCTION kept_result(of_user text, of_key text)
RETURNS TABLE (hash text, form text, result text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT k.hash, k.form, k.result FROM raymesh_storage.kept_results k
  WHERE k.role = session_user AND k.user_id = of_user AND k.key = of_key
    AND k.kept_at >= now() - interval '24 hours'
$$;

GRANT USAGE ON SCHEMA raymesh_storage TO PUBLIC;
)sql"},
  };
  return kMigrations;
}

}  // namespace raymesh::storage
