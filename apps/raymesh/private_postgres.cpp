#include "apps/raymesh/private_postgres.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include "libs/pg/session.hpp"

namespace raymesh::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMajorVersion = "15";
constexpr const char* kSuperuser = "raymesh_admin";
constexpr const char* kDatabase = "raymesh";
// Recovery after a crash needs a segment of the write-ahead log (16 MiB), and work needs the next.
constexpr uintmax_t kNeededRoom = 32 << 20;

std::string percent_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

std::string url_of(const fs::path& sockets, const std::string& password,
                   const std::string& database) {
  return "postgresql://" + std::string(kSuperuser) + ":" + percent_encode(password) + "@/" +
         database + "?host=" + percent_encode(sockets.string()) + "&port=5432";
}

bool answers(const std::string& url) {
  auto session = pg::Session::connect(url, {{"connect_timeout", "2"}});
  return session.ok();
}

Status run_initdb(const DataDir& folder, const PrivatePostgres::Config& config,
                  const fs::path& parent, const fs::path& data, const std::string& log) {
  // A file, because the command line is for everybody to see. initdb reads it as the servers' user.
  const fs::path password_file = parent / "password";
  RAYMESH_CHECK_OK(write_private_file(password_file, config.password + "\n"));
  if (folder.user() && chown(password_file.c_str(), folder.user()->uid, folder.user()->gid) != 0)
    return Error(errors::kUnavailable, "chown " + password_file.string());
  ChildSpec initdb;
  initdb.command = {config.programs + "/initdb",
                    "-D",
                    data.string(),
                    "-U",
                    kSuperuser,
                    "-A",
                    "scram-sha-256",
                    "--pwfile",
                    password_file.string(),
                    "-E",
                    "UTF8",
                    "--locale=C.UTF-8",
                    "--no-instructions",
                    "--no-sync"};
  initdb.user = folder.user();
  initdb.folder = parent.string();
  initdb.log_file = log;
  initdb.death_signal = SIGTERM;
  auto code = run_child(initdb);
  std::error_code ignored;
  fs::remove(password_file, ignored);
  if (!code.ok()) return std::move(code).error();
  if (*code == 0) return ok_status();
  fs::remove_all(data, ignored);
  return Error(errors::kUnavailable,
               "initdb failed (exit code " + std::to_string(*code) + "):\n" + last_lines(log, 10));
}

// Makes what initdb wrote durable: one syncfs(2) instead of an fsync for each of a thousand files,
// which initdb would do and which takes longer than all the rest of a first start.
Status sync_files(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::syncfs(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (synced) return ok_status();
  return Error(errors::kUnavailable, folder.string() + ": " + std::strerror(error));
}

Status check_version(const fs::path& data) {
  std::ifstream in(data / "PG_VERSION");
  std::string version;
  in >> version;
  if (version == kMajorVersion) return ok_status();
  return Error(errors::kInvalidRequest, data.string() + " was made by PostgreSQL " +
                                            (version.empty() ? "?" : version) +
                                            ", and this raymesh uses PostgreSQL " + kMajorVersion +
                                            "; use another --data-dir, or pg_upgrade");
}

}  // namespace

Result<std::unique_ptr<PrivatePostgres>> PrivatePostgres::begin(DataDir& folder, Config config) {
  if (access((config.programs + "/postgres").c_str(), X_OK) != 0)
    return Error(errors::kInvalidRequest,
                 "there is no PostgreSQL in " + config.programs +
                     "; install the package postgresql-15, or use --postgres-programs or "
                     "--postgres-url");
  RAYMESH_TRY(const fs::path parent, folder.server_folder("postgres"));
  RAYMESH_TRY(const fs::path logs, folder.server_folder("log"));
  const fs::path data = parent / "data", log = logs / "postgres.log";
  auto postgres = std::unique_ptr<PrivatePostgres>(new PrivatePostgres);
  // initdb writes PG_VERSION early; a start that was interrupted is told by our own mark.
  postgres->complete_ = parent / "complete";
  std::error_code error;
  if (!fs::exists(postgres->complete_, error)) {
    fs::remove_all(data, error);
    RAYMESH_CHECK_OK(run_initdb(folder, config, parent, data, log.string()));
    if (!config.throw_away) postgres->synced_ = std::async(std::launch::async, sync_files, data);
  } else {
    RAYMESH_CHECK_OK(check_version(data));
  }
  // Left by a server that was killed; the pid in them may by now be another program's, for which
  // PostgreSQL would refuse to start. The folder's lock and end_leftovers say that none runs.
  fs::remove(data / "postmaster.pid", error);
  fs::remove(config.sockets / ".s.PGSQL.5432.lock", error);

  KeptServerSpec spec;
  spec.name = "PostgreSQL";
  spec.child.command = {config.programs + "/postgres", "-D", data.string()};
  // For a laptop: little memory, no compiler for queries of some milliseconds. Statements that fail
  // are the application's business and not in the log.
  for (const std::string& setting : std::initializer_list<std::string>{
           "listen_addresses=", "unix_socket_directories=" + config.sockets.string(),
           "unix_socket_permissions=0700", "port=5432", "password_encryption=scram-sha-256",
           "max_connections=100", "shared_buffers=128MB", "jit=off", "fsync=on",
           "synchronous_commit=on", "max_wal_size=512MB", "wal_level=minimal", "max_wal_senders=0",
           "log_min_messages=log", "log_checkpoints=off", "log_line_prefix=%m [%p] %q%u@%d ",
           "timezone=UTC", "log_timezone=UTC", "dynamic_shared_memory_type=posix"}) {
    spec.child.command.push_back("-c");
    spec.child.command.push_back(setting);
  }
  spec.child.user = folder.user();
  spec.child.folder = parent.string();
  spec.child.log_file = log.string();
  spec.child.death_signal = SIGINT;  // "fast": sessions end, the next start needs no recovery
  spec.stop_signals = {SIGINT, SIGQUIT};
  spec.answers = [url = url_of(config.sockets, config.password, "postgres")] {
    return answers(url);
  };
  spec.pid_changed = [&folder](pid_t pid) { folder.set_child("postgres", pid); };
  spec.has_room = [data] {
    std::error_code unknown;
    const fs::space_info space = fs::space(data, unknown);
    return unknown || space.available >= kNeededRoom;
  };
  spec.given_up = config.given_up;

  postgres->config_ = std::move(config);
  postgres->server_ = std::make_unique<KeptServer>(std::move(spec));
  postgres->server_->begin();
  return postgres;
}

Status PrivatePostgres::wait_ready() {
  RAYMESH_CHECK_OK(server_->wait_ready());
  if (answers(admin_url())) return ok_status();
  RAYMESH_TRY(auto session,
              pg::Session::connect(url_of(config_.sockets, config_.password, "postgres")));
  auto answer = session.script("CREATE DATABASE " + std::string(kDatabase));
  if (!answer.ok() && answer.sqlstate() != "42P04")  // duplicate_database
    return answer.status(errors::kUnavailable, "CREATE DATABASE");
  return ok_status();
}

Status PrivatePostgres::wait_durable() {
  if (synced_.valid()) RAYMESH_CHECK_OK(synced_.get());
  std::error_code error;
  if (fs::exists(complete_, error)) return ok_status();
  return write_private_file(complete_, "");
}

std::string PrivatePostgres::admin_url() const {
  return url_of(config_.sockets, config_.password, kDatabase);
}

std::string with_login(const std::string& url, std::string_view user, std::string_view password) {
  // In both forms a later setting wins over an earlier one (libpq, "Connection Strings").
  if (url.rfind("postgresql://", 0) == 0 || url.rfind("postgres://", 0) == 0) {
    const char separator = url.find('?') == std::string::npos ? '?' : '&';
    return url + separator + "user=" + percent_encode(user) +
           "&password=" + percent_encode(password);
  }
  auto quoted = [](std::string_view text) {
    std::string out = "'";
    for (char c : text) {
      if (c == '\'' || c == '\\') out += '\\';
      out += c;
    }
    return out + "'";
  };
  return url + " user=" + quoted(user) + " password=" + quoted(password);
}

}  // namespace raymesh::cli
