#include "services/auth/schema.hpp"

namespace raymesh::auth {
namespace {

// lower(... COLLATE "C") folds ASCII only: the same on every server whatever its locale, and no
// index depends on a version of the operating system's collation tables.
constexpr const char* kTables = R"(
CREATE TABLE projects (
  id           text PRIMARY KEY,
  name         text,
  signup_roles text[] NOT NULL DEFAULT '{user}',  -- what a client may ask for at signup
  created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id                  text PRIMARY KEY,
  project_id          text NOT NULL REFERENCES projects ON DELETE CASCADE,
  hash                bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),  -- SHA-256 of the key
  prefix              text NOT NULL,  -- its first characters, to tell keys apart
  name                text,
  role                text,           -- NULL: all rights in the project
  requests_per_second double precision CHECK (requests_per_second > 0),
  burst               double precision CHECK (burst >= 1),
  development         boolean NOT NULL DEFAULT false,
  created_at          timestamptz NOT NULL DEFAULT now(),
  revoked_at          timestamptz,
  CHECK ((requests_per_second IS NULL) = (burst IS NULL))
);
CREATE INDEX api_keys_by_project ON api_keys (project_id, created_at);

CREATE TABLE users (
  id            uuid PRIMARY KEY,
  project_id    text NOT NULL REFERENCES projects ON DELETE CASCADE,
  email         text NOT NULL,
  name          text,
  password_hash text NOT NULL,  -- Argon2id, PHC string
  role          text,
  claims        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(claims) = 'object'),
  verified      boolean NOT NULL DEFAULT false,
  created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_by_email ON users (project_id, lower(email COLLATE "C"));

CREATE TABLE sessions (
  jti        uuid PRIMARY KEY,
  project_id text NOT NULL REFERENCES projects ON DELETE CASCADE,
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_project ON sessions (project_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
)";

}  // namespace

const std::vector<pg::Migration>& system_migrations() {
  static const std::vector<pg::Migration> kMigrations = {
      {1, "projects, keys, users and sessions", kTables},
  };
  return kMigrations;
}

}  // namespace raymesh::auth
