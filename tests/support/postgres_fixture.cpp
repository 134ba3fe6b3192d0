#include "tests/support/postgres_fixture.hpp"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>

namespace raymesh::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBin = "/usr/lib/postgresql/15/bin/";
// Raise when what makes the template changes.
constexpr const char* kTemplateVersion = "3";

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error("postgres fixture: " + what);
}

const passwd* server_user() {
  static const passwd* user = [] {
    const passwd* found = ::geteuid() == 0 ? ::getpwnam("postgres") : ::getpwuid(::geteuid());
    if (found == nullptr) fail("no user to run PostgreSQL as");
    return found;
  }();
  return user;
}

// Runs `argv` as the server's user; everything it prints goes to `log`.
pid_t spawn(const std::vector<std::string>& argv, const std::string& log, bool die_with_us) {
  std::vector<char*> args;
  for (const std::string& a : argv) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  const passwd* user = server_user();
  const bool is_root = ::geteuid() == 0;
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork");
  if (pid > 0) return pid;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::setpgid(0, 0);  // Ctrl-C is for the test program
  if (is_root && (::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 ||
                  ::setuid(user->pw_uid) != 0)) {
    ::_exit(126);
  }
  // After setuid, which clears it.
  if (die_with_us) {
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (::getppid() != parent) ::_exit(125);
  }
  ::execv(args[0], args.data());
  ::_exit(127);
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void run(const std::vector<std::string>& argv, const std::string& log) {
  if (wait_for(spawn(argv, log, false)) != 0) fail(argv[0] + " failed, see " + log);
}

void give_to_server_user(const std::string& path) {
  const passwd* user = server_user();
  if (::geteuid() == 0 && ::chown(path.c_str(), user->pw_uid, user->pw_gid) != 0) {
    fail("chown " + path);
  }
}

// initdb takes half a second, a copy of its result a tenth.
std::string template_folder() {
  const char* tmp = std::getenv("TMPDIR");
  const std::string base = std::string(tmp != nullptr ? tmp : "/tmp") +
                           "/raymesh-test-postgres15-" + kTemplateVersion + "-" +
                           server_user()->pw_name;
  fs::create_directories(base);
  give_to_server_user(base);
  const int lock = ::open((base + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || ::flock(lock, LOCK_EX) != 0) fail("lock " + base);
  const std::string ready = base + "/template";
  if (!fs::exists(ready)) {
    const std::string making = base + "/making";
    fs::remove_all(making);
    run({std::string(kBin) + "initdb", "-D", making, "-U", "postgres", "-A", "trust", "-E", "UTF8",
         "--locale=C.UTF-8", "--no-sync"},
        base + "/initdb.log");
    std::ofstream(making + "/pg_hba.conf") << "local all postgres trust\n"
                                              "local all all scram-sha-256\n"
                                              "hostssl all all 127.0.0.1/32 scram-sha-256\n";
    fs::rename(making, ready);
  }
  ::close(lock);
  return ready;
}

}  // namespace

PostgresServer& PostgresServer::shared() {
  static PostgresServer server;
  return server;
}

PostgresServer::PostgresServer(std::vector<std::string> settings, int tcp_port) {
  const std::string source = template_folder();
  char name[] = "/tmp/raymesh-pg-XXXXXX";
  if (::mkdtemp(name) == nullptr) fail("mkdtemp");
  folder_ = name;
  give_to_server_user(folder_);
  ::chmod(folder_.c_str(), 0755);  // the socket is for everybody, the data is not
  run({"/bin/cp", "-a", source, folder_ + "/data"}, folder_ + "/log");
  std::ofstream conf(folder_ + "/data/postgresql.auto.conf", std::ios::app);
  if (tcp_port != 0) port_ = std::to_string(tcp_port);
  conf << "listen_addresses = '" << (tcp_port != 0 ? "127.0.0.1" : "") << "'\n"
       << "port = " << port_ << "\n"
       << "unix_socket_directories = '" << folder_ << "'\n"
       << "max_connections = 100\nshared_buffers = 64MB\n";
  for (const std::string& line : settings) conf << line << "\n";
  conf.close();
  start();
}

PostgresServer::~PostgresServer() {
  stop(Stop::kImmediate);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

int PostgresServer::free_port() {
  // Bound, never listening, and open for as long as the program lives.
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("no free port");
  }
  return ntohs(address.sin_port);
}

std::string PostgresServer::server_url(const std::string& database) const {
  return "host=" + folder_ + " port=" + port_ + " dbname=" + database;
}
std::string PostgresServer::admin_url(const std::string& database) const {
  return server_url(database) + " user=postgres";
}
std::string PostgresServer::url(const std::string& user, const std::string& password,
                                const std::string& database) const {
  return server_url(database) + " user=" + user + " password=" + password;
}

namespace {

using ResultPtr = std::unique_ptr<PGresult, decltype(&PQclear)>;

ResultPtr run_sql(const std::string& url, const std::string& sql) {
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(url.c_str()), &PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) fail(PQerrorMessage(connection.get()));
  PQsetNoticeReceiver(
      connection.get(), [](void*, const PGresult*) {}, nullptr);
  ResultPtr result(PQexec(connection.get(), sql.c_str()), &PQclear);
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    fail(std::string(PQresultErrorMessage(result.get())) + " in: " + sql);
  }
  return result;
}

}  // namespace

void PostgresServer::execute(const std::string& sql, const std::string& database) const {
  run_sql(admin_url(database), sql);
}

std::optional<std::string> PostgresServer::query(const std::string& sql,
                                                 const std::string& database) const {
  const ResultPtr result = run_sql(admin_url(database), sql);
  if (PQntuples(result.get()) == 0 || PQgetisnull(result.get(), 0, 0)) return std::nullopt;
  return PQgetvalue(result.get(), 0, 0);
}

void PostgresServer::stop(Stop mode) {
  if (pid_ == 0) return;
  ::kill(pid_, mode == Stop::kFast ? SIGINT : SIGQUIT);
  wait_for(pid_);
  pid_ = 0;
}

void PostgresServer::start() {
  if (pid_ != 0) return;
  pid_ = spawn({std::string(kBin) + "postgres", "-D", folder_ + "/data"}, folder_ + "/log", true);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (PQping(admin_url().c_str()) != PQPING_OK) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = 0;
      fail("the server ended, see " + folder_ + "/log");
    }
    if (std::chrono::steady_clock::now() > deadline) fail("the server does not answer");
    ::poll(nullptr, 0, 5);
  }
}

}  // namespace raymesh::testing
