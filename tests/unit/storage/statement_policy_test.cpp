#include "services/storage/statement_policy.hpp"

#include <gtest/gtest.h>

#include <string>

namespace raymesh::storage {
namespace {

Status check(std::string_view sql) {
  const auto script = split_sql(sql);
  EXPECT_TRUE(script.ok()) << sql << ": " << script.error().message;
  for (const SqlStatement& statement : script->statements) {
    RAYMESH_CHECK_OK(check_statement(statement));
  }
  return ok_status();
}

class PolicyAllowsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(PolicyAllowsTest, WhatAProjectNeeds) {
  const Status status = check(GetParam());
  EXPECT_TRUE(status.ok()) << GetParam() << ": " << status.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Table, PolicyAllowsTest,
    ::testing::Values(
        "create table t (id serial primary key, a int references b, check (a > 0))",
        "create table t partition of u for values in (1)", "create table t as select 1",
        "select 1 into t", "alter table t add column a int",
        "alter table t enable row level security", "alter table t rename to u",
        "alter table t rename column a to b", "alter table t set schema s",
        "alter table t owner to current_user", "drop table t cascade", "drop view v",
        "drop function f()", "drop type e", "drop index i", "truncate t",
        "create unique index on t (a)", "reindex table t", "reindex index i", "cluster t using i",
        "create view v as select * from t", "create materialized view m as select 1",
        "refresh materialized view m", "create type e as enum ('a')", "alter type e add value 'b'",
        "create type c as (a int)", "create domain d as int check (value > 0)", "create sequence s",
        "alter sequence s restart", "comment on table t is 'BEGIN; COMMIT'",
        "create function f() returns int language sql as 'select 1'",
        "create function f() returns int language plpgsql security definer set search_path = '' as "
        "'begin return 1; end'",
        "create function f() returns int begin atomic insert into t values (1); select 1; end",
        "alter function f() immutable", "alter function f() set work_mem = '1MB'",
        "create procedure p() language sql as 'select 1'", "call p()", "do 'begin end'",
        "create trigger g before insert on t for each row execute function f()",
        "create rule r as on insert to t do also insert into u values (1)",
        "create policy p on t using (true)", "insert into t values (1) on conflict do nothing",
        "insert into t select * from u", "update t set a = 1", "delete from t",
        "merge into t using u on t.a = u.a when matched then delete", "select f()",
        "with x as (delete from t returning *) insert into u select * from x",
        "explain analyze update t set a = 1", "analyze t", "lock table t in share mode",
        "set search_path = a, b", "set local statement_timeout = 0", "set client_encoding = 'UTF8'",
        "set names 'UTF8'", "set standard_conforming_strings = on", "reset work_mem",
        "show work_mem", "set constraints all deferred", "grant select on t to public",
        "revoke execute on function f() from public",
        "alter default privileges revoke execute on functions from public",
        "create extension if not exists pgcrypto",
        "create aggregate a (int) (sfunc = f, stype = int)",
        "create operator === (leftarg = int, rightarg = int, function = f)",
        "create cast (int as e) with function f", "create statistics s on a, b from t",
        "create text search configuration c (copy = simple)", "create collation c (locale = 'C')",
        "select 'TransactionStmt', '\"CopyStmt\":{}'", "comment on table t is '\"CopyStmt\":{}'"));

struct Forbidden {
  const char* sql;
  const char* name;
};

class PolicyForbidsTest : public ::testing::TestWithParam<Forbidden> {};

TEST_P(PolicyForbidsTest, ByName) {
  const auto [sql, name] = GetParam();
  const Status status = check(sql);
  ASSERT_FALSE(status.ok()) << sql;
  EXPECT_EQ(status.error().code(), "forbidden_statement");
  EXPECT_TRUE(status.error().message.starts_with(name)) << sql << ": " << status.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Table, PolicyForbidsTest,
    ::testing::Values(
        Forbidden{"begin", "BEGIN"}, Forbidden{"start transaction", "START"},
        Forbidden{"commit", "COMMIT"}, Forbidden{"end", "COMMIT"}, Forbidden{"abort", "ROLLBACK"},
        Forbidden{"select 1; rollback", "ROLLBACK"}, Forbidden{"savepoint a", "SAVEPOINT"},
        Forbidden{"release a", "RELEASE"}, Forbidden{"rollback to a", "ROLLBACK TO"},
        Forbidden{"prepare transaction 'a'", "PREPARE TRANSACTION"},
        Forbidden{"commit prepared 'a'", "COMMIT PREPARED"},
        Forbidden{"set transaction isolation level serializable", "SET TRANSACTION"},
        Forbidden{"set session characteristics as transaction read only", "SET TRANSACTION"},
        Forbidden{"set transaction_read_only = on", "SET TRANSACTION"},
        Forbidden{"create role a", "CREATE ROLE"}, Forbidden{"create user a", "CREATE ROLE"},
        Forbidden{"create group a", "CREATE ROLE"},
        Forbidden{"alter role a superuser", "ALTER ROLE"},
        Forbidden{"alter user current_user password 'x'", "ALTER ROLE"},
        Forbidden{"alter role current_user set role = x", "ALTER ROLE"},
        Forbidden{"alter role all in database d reset all", "ALTER ROLE"},
        Forbidden{"drop role a", "DROP ROLE"}, Forbidden{"grant a to b", "GRANT"},
        Forbidden{"revoke a from b", "GRANT"}, Forbidden{"alter role a rename to b", "ALTER ROLE"},
        Forbidden{"drop owned by current_user", "DROP OWNED"},
        Forbidden{"reassign owned by a to b", "REASSIGN OWNED"},
        Forbidden{"set role a", "SET ROLE"}, Forbidden{"set local role a", "SET ROLE"},
        Forbidden{"set role none", "SET ROLE"}, Forbidden{"reset role", "SET ROLE"},
        Forbidden{"set \"ROLE\" = 'a'", "SET ROLE"},
        Forbidden{"set session authorization a", "SET SESSION AUTHORIZATION"},
        Forbidden{"reset session authorization", "SET SESSION AUTHORIZATION"},
        Forbidden{"reset all", "RESET ALL"}, Forbidden{"discard all", "DISCARD"},
        Forbidden{"set client_encoding = 'LATIN1'", "SET client_encoding"},
        Forbidden{"set names 'SQL_ASCII'", "SET client_encoding"},
        Forbidden{"reset client_encoding", "SET client_encoding"},
        Forbidden{"set standard_conforming_strings = off", "SET standard_conforming_strings"},
        Forbidden{"create function f() returns int language sql set role to a as 'select 1'",
                  "SET ROLE"},
        Forbidden{"alter function f() set session_authorization = a", "SET SESSION AUTHORIZATION"},
        Forbidden{"copy t to '/tmp/x'", "COPY"}, Forbidden{"copy t from program 'id'", "COPY"},
        Forbidden{"copy (select 1) to stdout", "COPY"}, Forbidden{"copy t from stdin", "COPY"},
        Forbidden{"load 'x'", "LOAD"}, Forbidden{"alter system set a = 1", "ALTER SYSTEM"},
        Forbidden{"create database d", "CREATE DATABASE"},
        Forbidden{"alter database d set a = 1", "ALTER DATABASE"},
        Forbidden{"alter database d rename to e", "ALTER DATABASE"},
        Forbidden{"alter database d owner to e", "ALTER DATABASE"},
        Forbidden{"drop database d", "DROP DATABASE"},
        Forbidden{"create tablespace s location '/x'", "CREATE TABLESPACE"},
        Forbidden{"drop tablespace s", "DROP TABLESPACE"},
        Forbidden{"alter tablespace s rename to u", "ALTER TABLESPACE"},
        Forbidden{"checkpoint", "CHECKPOINT"}, Forbidden{"vacuum", "VACUUM"},
        Forbidden{"vacuum full t", "VACUUM"},
        Forbidden{"create index concurrently on t (a)", "CREATE INDEX CONCURRENTLY"},
        Forbidden{"drop index concurrently i", "DROP INDEX CONCURRENTLY"},
        Forbidden{"reindex table concurrently t", "REINDEX"},
        Forbidden{"reindex database d", "REINDEX"}, Forbidden{"reindex schema s", "REINDEX"},
        Forbidden{"cluster", "CLUSTER"}, Forbidden{"listen a", "LISTEN"},
        Forbidden{"unlisten *", "UNLISTEN"}, Forbidden{"notify a, 'b'", "NOTIFY"},
        Forbidden{"create rule r as on insert to t do also notify a", "NOTIFY"},
        Forbidden{"create function f() returns int begin atomic notify a; select 1; end", "NOTIFY"},
        Forbidden{"create schema s", "CREATE SCHEMA"},
        Forbidden{"create schema s create table t (a int)", "CREATE SCHEMA"},
        Forbidden{"drop schema s cascade", "DROP SCHEMA"},
        Forbidden{"alter schema s rename to u", "ALTER SCHEMA"},
        Forbidden{"alter schema s owner to u", "ALTER SCHEMA"},
        Forbidden{"create extension dblink", "CREATE EXTENSION"},
        Forbidden{"drop extension x", "DROP EXTENSION"},
        Forbidden{"alter extension x update", "ALTER EXTENSION"},
        Forbidden{"create server s foreign data wrapper w", "CREATE SERVER"},
        Forbidden{"drop server s", "DROP SERVER"},
        Forbidden{"create foreign table t (a int) server s", "CREATE FOREIGN TABLE"},
        Forbidden{"import foreign schema a from server s into b", "IMPORT FOREIGN SCHEMA"},
        Forbidden{"create user mapping for a server s", "CREATE USER MAPPING"},
        Forbidden{"create publication p", "CREATE PUBLICATION"},
        Forbidden{"create subscription s connection 'x' publication p", "CREATE SUBSCRIPTION"},
        Forbidden{"create event trigger e on ddl_command_start execute function f()",
                  "CREATE EVENT TRIGGER"},
        Forbidden{"create language l", "CREATE"},
        Forbidden{"security label on table t is 'x'", "SECURITY LABEL"},
        Forbidden{"prepare a as delete from t", "PREPARE"}, Forbidden{"execute a", "EXECUTE"},
        Forbidden{"explain analyze execute a", "EXECUTE"},
        Forbidden{"deallocate all", "DEALLOCATE"},
        Forbidden{"declare c cursor for select 1", "DECLARE"}, Forbidden{"fetch c", "FETCH"},
        Forbidden{"close c", "CLOSE"}));

}  // namespace
}  // namespace raymesh::storage
