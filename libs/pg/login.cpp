#include "libs/pg/login.hpp"

#include <string_view>

namespace raymesh::pg {
namespace {

// `options` is split at spaces; a backslash takes away their meaning.
void append_option(std::string& out, std::string_view name, std::string_view value) {
  out += out.empty() ? "-c " : " -c ";
  out += name;
  out += '=';
  for (char c : value) {
    if (c == ' ' || c == '\\') out += '\\';
    out += c;
  }
}

std::string quoted_identifier(std::string_view name) {
  std::string out = "\"";
  for (char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace

std::string session_options(const Login& login) {
  std::string out;
  auto ms = [](std::chrono::milliseconds value) { return std::to_string(value.count()); };
  append_option(out, "search_path", quoted_identifier(login.schema) + ",pg_temp");
  append_option(out, "statement_timeout", ms(login.limits.statement_timeout));
  append_option(out, "lock_timeout", ms(login.limits.lock_timeout));
  append_option(out, "idle_in_transaction_session_timeout",
                ms(login.limits.idle_in_transaction_timeout));
  append_option(out, "idle_session_timeout", "0");
  append_option(out, "TimeZone", "UTC");
  append_option(out, "DateStyle", "ISO,YMD");
  append_option(out, "IntervalStyle", "postgres");
  append_option(out, "extra_float_digits", "1");
  append_option(out, "bytea_output", "hex");
  append_option(out, "xmloption", "content");
  append_option(out, "standard_conforming_strings", "on");
  append_option(out, "default_transaction_isolation", "read committed");
  append_option(out, "default_transaction_read_only", "off");
  append_option(out, "synchronous_commit", "on");
  append_option(out, "client_min_messages", "error");
  // Compiling costs more than the short statements of this path take.
  append_option(out, "jit", "off");
  return out;
}

std::vector<std::pair<std::string, std::string>> connect_parameters(const Login& login) {
  return {
      {"dbname", login.server},  // expanded by libpq when it is a connection string
      {"user", login.user},
      {"password", login.password},
      {"options", session_options(login)},
      {"client_encoding", "UTF8"},
      {"application_name", login.application_name},
      {"gssencmode", "disable"},  // its wrapping would need libpq for every byte
      {"tcp_user_timeout", "20000"},
      {"keepalives_idle", "60"},
      {"keepalives_interval", "10"},
      {"keepalives_count", "3"},
  };
}

}  // namespace raymesh::pg
