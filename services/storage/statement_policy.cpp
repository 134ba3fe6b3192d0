#include "services/storage/statement_policy.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "libs/base/json_reader.hpp"

namespace raymesh::storage {
namespace {

/// Node names as in libpg-query's protobuf schema, sorted.
constexpr std::array<std::string_view, 62> kAllowed = {
    "AlterCollationStmt",
    "AlterDefaultPrivilegesStmt",
    "AlterDomainStmt",
    "AlterEnumStmt",
    "AlterFunctionStmt",
    "AlterObjectDependsStmt",
    "AlterObjectSchemaStmt",
    "AlterOpFamilyStmt",
    "AlterOperatorStmt",
    "AlterOwnerStmt",
    "AlterPolicyStmt",
    "AlterSeqStmt",
    "AlterStatsStmt",
    "AlterTSConfigurationStmt",
    "AlterTSDictionaryStmt",
    "AlterTableStmt",
    "AlterTypeStmt",
    "CallStmt",
    "ClusterStmt",
    "CommentStmt",
    "CompositeTypeStmt",
    "ConstraintsSetStmt",
    "CreateCastStmt",
    "CreateConversionStmt",
    "CreateDomainStmt",
    "CreateEnumStmt",
    "CreateExtensionStmt",
    "CreateFunctionStmt",
    "CreateOpClassStmt",
    "CreateOpFamilyStmt",
    "CreatePolicyStmt",
    "CreateRangeStmt",
    "CreateSeqStmt",
    "CreateStatsStmt",
    "CreateStmt",
    "CreateTableAsStmt",
    "CreateTrigStmt",
    "DefineStmt",
    "DeleteStmt",
    "DoStmt",
    "DropStmt",
    "ExplainStmt",
    "GrantStmt",
    "IndexStmt",
    "InsertStmt",
    "LockStmt",
    "MergeStmt",
    "PLAssignStmt",
    "RefreshMatViewStmt",
    "ReindexStmt",
    "RenameStmt",
    "ReplicaIdentityStmt",
    "ReturnStmt",
    "RuleStmt",
    "SelectStmt",
    "SetOperationStmt",
    "TruncateStmt",
    "UpdateStmt",
    "VacuumStmt",  // ANALYZE is one too
    "VariableSetStmt",
    "VariableShowStmt",
    "ViewStmt",
};
static_assert(std::is_sorted(kAllowed.begin(), kAllowed.end()));

constexpr std::string_view kOwnTransaction =
    "a migration runs in one transaction of its own, all or nothing";
constexpr std::string_view kRoles = "the project's role is managed by raymesh";
constexpr std::string_view kServer = "it belongs to the server, not to a project";
constexpr std::string_view kForeign = "a project reaches no other database";
constexpr std::string_view kNotInTransaction =
    "it cannot run in a transaction, and a migration is one";
constexpr std::string_view kSession = "it has no use in a migration, whose session ends with it";

/// Refused by the node's name alone: how it is called, and why.
struct Refusal {
  std::string_view node;
  std::string_view name;
  std::string_view reason;
};
constexpr std::array<Refusal, 53> kRefusals = {{
    {"CreateRoleStmt", "CREATE ROLE", kRoles},
    {"AlterRoleStmt", "ALTER ROLE", kRoles},
    {"AlterRoleSetStmt", "ALTER ROLE ... SET", kRoles},
    {"DropRoleStmt", "DROP ROLE", kRoles},
    {"GrantRoleStmt", "GRANT or REVOKE of a role", kRoles},
    {"DropOwnedStmt", "DROP OWNED", kRoles},
    {"ReassignOwnedStmt", "REASSIGN OWNED", kRoles},
    {"CopyStmt", "COPY", "it moves rows through files or the connection; use INSERT"},
    {"LoadStmt", "LOAD", kServer},
    {"AlterSystemStmt", "ALTER SYSTEM", kServer},
    {"CreatedbStmt", "CREATE DATABASE", kServer},
    {"AlterDatabaseStmt", "ALTER DATABASE", kServer},
    {"AlterDatabaseRefreshCollStmt", "ALTER DATABASE", kServer},
    {"AlterDatabaseSetStmt", "ALTER DATABASE ... SET", kServer},
    {"DropdbStmt", "DROP DATABASE", kServer},
    {"CreateTableSpaceStmt", "CREATE TABLESPACE", kServer},
    {"AlterTableSpaceOptionsStmt", "ALTER TABLESPACE", kServer},
    {"AlterTableMoveAllStmt", "ALTER TABLE ALL IN TABLESPACE", kServer},
    {"DropTableSpaceStmt", "DROP TABLESPACE", kServer},
    {"CheckPointStmt", "CHECKPOINT", kServer},
    {"CreateSchemaStmt", "CREATE SCHEMA", "a project has one schema, made by raymesh"},
    {"AlterExtensionStmt", "ALTER EXTENSION", kServer},
    {"AlterExtensionContentsStmt", "ALTER EXTENSION", kServer},
    {"CreateEventTrigStmt", "CREATE EVENT TRIGGER", kServer},
    {"AlterEventTrigStmt", "ALTER EVENT TRIGGER", kServer},
    {"CreatePLangStmt", "CREATE LANGUAGE", kServer},
    {"CreateAmStmt", "CREATE ACCESS METHOD", kServer},
    {"CreateTransformStmt", "CREATE TRANSFORM", kServer},
    {"SecLabelStmt", "SECURITY LABEL", kServer},
    {"CreateFdwStmt", "CREATE FOREIGN DATA WRAPPER", kForeign},
    {"AlterFdwStmt", "ALTER FOREIGN DATA WRAPPER", kForeign},
    {"CreateForeignServerStmt", "CREATE SERVER", kForeign},
    {"AlterForeignServerStmt", "ALTER SERVER", kForeign},
    {"CreateForeignTableStmt", "CREATE FOREIGN TABLE", kForeign},
    {"CreateUserMappingStmt", "CREATE USER MAPPING", kForeign},
    {"AlterUserMappingStmt", "ALTER USER MAPPING", kForeign},
    {"DropUserMappingStmt", "DROP USER MAPPING", kForeign},
    {"ImportForeignSchemaStmt", "IMPORT FOREIGN SCHEMA", kForeign},
    {"CreatePublicationStmt", "CREATE PUBLICATION", kForeign},
    {"AlterPublicationStmt", "ALTER PUBLICATION", kForeign},
    {"CreateSubscriptionStmt", "CREATE SUBSCRIPTION", kForeign},
    {"AlterSubscriptionStmt", "ALTER SUBSCRIPTION", kForeign},
    {"DropSubscriptionStmt", "DROP SUBSCRIPTION", kForeign},
    {"ListenStmt", "LISTEN", kSession},
    {"UnlistenStmt", "UNLISTEN", kSession},
    {"NotifyStmt", "NOTIFY", "it would make all commits of the server wait for each other"},
    {"DiscardStmt", "DISCARD", kSession},
    {"PrepareStmt", "PREPARE", kSession},
    {"ExecuteStmt", "EXECUTE", kSession},
    {"DeallocateStmt", "DEALLOCATE", kSession},
    {"DeclareCursorStmt", "DECLARE CURSOR", kSession},
    {"FetchStmt", "FETCH", kSession},
    {"ClosePortalStmt", "CLOSE", kSession},
}};

Status refuse(std::string_view name, std::string_view reason) {
  return Error(errors::kForbiddenStatement,
               std::string(name) + " is not allowed in a migration: " + std::string(reason));
}

/// A member of a node as text without quotes, empty when it is missing.
std::string member(std::string_view node, std::string_view name) {
  std::string scratch;
  JsonMembers members{JsonValue(node)};
  while (members.next()) {
    if (members.key(scratch) != name) continue;
    const JsonValue value = members.value();
    return std::string(value.is(JsonKind::kString) ? value.text(scratch) : value.raw());
  }
  return {};
}

bool flag(std::string_view node, std::string_view name) {
  return member(node, name) == "true";
}

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

/// SET and RESET, also as an option of a function.
Status check_set(std::string_view node) {
  const std::string kind = member(node, "kind");
  const std::string name = lower(member(node, "name"));
  if (kind == "VAR_RESET_ALL") return refuse("RESET ALL", kSession);
  if (name == "role") return refuse("SET ROLE", kRoles);
  if (name == "session_authorization") return refuse("SET SESSION AUTHORIZATION", kRoles);
  if (kind == "VAR_SET_MULTI" || name.starts_with("transaction") ||
      name.starts_with("default_transaction")) {
    return refuse("SET TRANSACTION", kOwnTransaction);
  }
  // The text that was checked must be the text that the server reads.
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kFixed = {
      {{"client_encoding", "utf8"}, {"standard_conforming_strings", "on"}}};
  for (const auto& [fixed, value] : kFixed) {
    if (name != fixed) continue;
    const std::string arguments = lower(member(node, "args"));
    if (kind == "VAR_SET_VALUE" &&
        arguments.find("\"" + std::string(value) + "\"") != std::string::npos) {
      continue;
    }
    return refuse("SET " + name, "it is " + std::string(value) + " and stays so");
  }
  return ok_status();
}

Status check_object_type(std::string_view verb, const std::string& type) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kTypes = {{
      {"OBJECT_SCHEMA", "SCHEMA"},
      {"OBJECT_DATABASE", "DATABASE"},
      {"OBJECT_ROLE", "ROLE"},
      {"OBJECT_TABLESPACE", "TABLESPACE"},
      {"OBJECT_EXTENSION", "EXTENSION"},
      {"OBJECT_FDW", "FOREIGN DATA WRAPPER"},
      {"OBJECT_FOREIGN_SERVER", "SERVER"},
      {"OBJECT_PUBLICATION", "PUBLICATION"},
      {"OBJECT_SUBSCRIPTION", "SUBSCRIPTION"},
      {"OBJECT_EVENT_TRIGGER", "EVENT TRIGGER"},
  }};
  for (const auto& [known, name] : kTypes) {
    if (known != type) continue;
    return refuse(
        std::string(verb) + " " + std::string(name),
        known == "OBJECT_SCHEMA" ? "the project's schema is managed by raymesh" : kServer);
  }
  return ok_status();
}

/// Nodes that are allowed in some forms only.
Status check_form(std::string_view name, std::string_view node) {
  if (name == "VariableSetStmt") return check_set(node);
  if (name == "IndexStmt" && flag(node, "concurrent")) {
    return refuse("CREATE INDEX CONCURRENTLY", kNotInTransaction);
  }
  if (name == "DropStmt") {
    if (flag(node, "concurrent")) return refuse("DROP INDEX CONCURRENTLY", kNotInTransaction);
    return check_object_type("DROP", member(node, "removeType"));
  }
  if (name == "RenameStmt") return check_object_type("ALTER", member(node, "renameType"));
  if (name == "AlterOwnerStmt") return check_object_type("ALTER", member(node, "objectType"));
  if (name == "VacuumStmt" && flag(node, "is_vacuumcmd")) {
    return refuse("VACUUM", kNotInTransaction);
  }
  if (name == "ClusterStmt" && member(node, "relation").empty()) {
    return refuse("CLUSTER without a table", kNotInTransaction);
  }
  if (name == "ReindexStmt") {
    const std::string kind = member(node, "kind");
    const bool is_concurrent = member(node, "params").find("\"concurrently\"") != std::string::npos;
    if (is_concurrent || (kind != "REINDEX_OBJECT_TABLE" && kind != "REINDEX_OBJECT_INDEX")) {
      return refuse("REINDEX of more than a table, or CONCURRENTLY", kNotInTransaction);
    }
  }
  if (name == "CreateExtensionStmt" && !flag(node, "if_not_exists")) {
    return refuse("CREATE EXTENSION",
                  "extensions are installed by the server's administrator; only CREATE EXTENSION "
                  "IF NOT EXISTS of an installed one passes");
  }
  return ok_status();
}

/// "TRANS_STMT_COMMIT_PREPARED" is COMMIT PREPARED.
std::string transaction_name(std::string_view node) {
  std::string name = member(node, "kind");
  constexpr std::string_view kPrefix = "TRANS_STMT_";
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  std::replace(name.begin(), name.end(), '_', ' ');
  return name == "PREPARE" ? "PREPARE TRANSACTION" : name;
}

Status check_node(std::string_view name, std::string_view node) {
  if (name == "TransactionStmt") return refuse(transaction_name(node), kOwnTransaction);
  if (std::binary_search(kAllowed.begin(), kAllowed.end(), name)) return check_form(name, node);
  for (const Refusal& refusal : kRefusals) {
    if (refusal.node == name) return refuse(refusal.name, refusal.reason);
  }
  return refuse(name, "it is none of the statements that a project needs");
}

bool has_forms(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kWithForms = {
      "TransactionStmt", "VariableSetStmt", "IndexStmt",   "DropStmt",    "RenameStmt",
      "AlterOwnerStmt",  "VacuumStmt",      "ClusterStmt", "ReindexStmt", "CreateExtensionStmt"};
  return std::find(kWithForms.begin(), kWithForms.end(), name) != kWithForms.end();
}

/// Every statement node below, found by one pass over the JSON text without recursion: a key that
/// ends in "Stmt". String values cannot look like one, for their quotes are escaped, and keys are
/// told from values by the colon.
Status check_nested(std::string_view tree) {
  size_t at = 0;
  while ((at = tree.find('"', at)) != std::string_view::npos) {
    size_t end = at + 1;
    while (tree[end] != '"') end += tree[end] == '\\' ? 2 : 1;
    const std::string_view word = tree.substr(at + 1, end - at - 1);
    at = end + 1;
    // Nodes have capitals; "selectStmt" is a member that holds one.
    const bool is_node = word.ends_with("Stmt") && word[0] >= 'A' && word[0] <= 'Z';
    if (!is_node || at + 1 >= tree.size() || tree[at] != ':' || tree[at + 1] != '{') {
      continue;
    }
    // Only these have to be cut out, which takes a pass of its own; none can nest deeply.
    const std::string_view node =
        has_forms(word) ? JsonMembers::whole_value(tree, at + 1).raw() : std::string_view("{}");
    RAYMESH_CHECK_OK(check_node(word, node));
  }
  return ok_status();
}

}  // namespace

Status check_statement(const SqlStatement& statement) {
  RAYMESH_CHECK_OK(check_node(statement.kind, statement.tree));
  return check_nested(statement.tree);
}

}  // namespace raymesh::storage
