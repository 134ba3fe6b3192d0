#include "libs/pg/connector.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

namespace raymesh::pg {
namespace {

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// The host name that needs DNS, or "" (a socket folder, an address, several hosts: libpq's own
// way).
std::string host_to_resolve(const std::string& server) {
  std::string host;
  PQconninfoOption* options = PQconninfoParse(server.c_str(), nullptr);
  if (options == nullptr) return "";
  bool has_address = false;
  for (const PQconninfoOption* o = options; o->keyword != nullptr; ++o) {
    if (o->val == nullptr) continue;
    const std::string_view keyword = o->keyword;
    if (keyword == "host") host = o->val;
    if (keyword == "hostaddr" && *o->val != '\0') has_address = true;
  }
  PQconninfoFree(options);
  if (has_address || host.empty() || host[0] == '/' || host[0] == '@') return "";
  if (host.find(',') != std::string::npos) return "";
  boost::system::error_code ec;
  boost::asio::ip::make_address(host, ec);
  return ec ? host : "";
}

}  // namespace

void FinishConnection::operator()(pg_conn* connection) const {
  PQfinish(connection);
}

Connector::Connector(boost::asio::io_context& io, Login login, std::chrono::milliseconds timeout)
    : login_(std::move(login)),
      timeout_(timeout),
      io_(io),
      descriptor_(io),
      timer_(io),
      resolver_(io) {}

void Connector::start(Done done) {
  done_ = std::move(done);
  timer_.expires_after(timeout_);
  timer_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
    if (!ec) self->finish(Error(errors::kUnavailable, "connecting to PostgreSQL took too long"));
  });
  const std::string host = host_to_resolve(login_.server);
  if (host.empty()) {
    boost::asio::post(io_, [self = shared_from_this()] { self->connect(""); });
    return;
  }
  // libpq would look the name up on this thread and block it.
  resolver_.async_resolve(
      host, "", [self = shared_from_this()](boost::system::error_code ec, auto results) {
        if (ec == boost::asio::error::operation_aborted) return;
        if (ec || results.empty()) {
          self->finish(Error(errors::kUnavailable,
                             "PostgreSQL's host name cannot be resolved: " + ec.message()));
          return;
        }
        self->connect(results.begin()->endpoint().address().to_string());
      });
}

void Connector::cancel() {
  done_.reset();
  finish(Error(errors::kCancelled, "cancelled"));
}

void Connector::connect(const std::string& address) {
  if (!done_) return;
  auto parameters = connect_parameters(login_);
  if (!address.empty()) parameters.emplace_back("hostaddr", address);
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  connection_.reset(PQconnectStartParams(keywords.data(), values.data(), /*expand_dbname=*/1));
  if (!connection_) {
    finish(Error(errors::kUnavailable, "out of memory"));
    return;
  }
  if (PQstatus(connection_.get()) == CONNECTION_BAD) {
    finish(Error(errors::kUnavailable, one_line(PQerrorMessage(connection_.get()))));
    return;
  }
  PQsetNoticeReceiver(
      connection_.get(), [](void*, const PGresult*) {}, nullptr);
  wait(/*for_write=*/true);
}

void Connector::wait(bool for_write) {
  const int fd = PQsocket(connection_.get());
  if (!descriptor_.is_open() || descriptor_.native_handle() != fd) {
    release_descriptor();
    boost::system::error_code ec;
    descriptor_.assign(fd, ec);
    if (ec) {
      finish(Error(errors::kUnavailable, "cannot watch the socket: " + ec.message()));
      return;
    }
  }
  descriptor_.async_wait(for_write ? descriptor_.wait_write : descriptor_.wait_read,
                         [self = shared_from_this()](boost::system::error_code ec) {
                           if (!ec && self->done_) self->poll();
                         });
}

void Connector::poll() {
  // libpq may close the socket and open one for the next address: the old descriptor must be out of
  // the reactor before that, because the number can come back.
  descriptor_.release();
  switch (PQconnectPoll(connection_.get())) {
    case PGRES_POLLING_OK:
      PQsetnonblocking(connection_.get(), 1);
      finish(std::move(connection_));
      return;
    case PGRES_POLLING_READING:
      wait(/*for_write=*/false);
      return;
    case PGRES_POLLING_WRITING:
      wait(/*for_write=*/true);
      return;
    default:
      finish(Error(errors::kUnavailable, one_line(PQerrorMessage(connection_.get()))));
  }
}

void Connector::finish(Result<ConnectionHandle> result) {
  timer_.cancel();
  resolver_.cancel();
  release_descriptor();
  connection_.reset();
  if (!done_) return;
  boost::asio::post(io_, [done = std::move(done_), result = std::move(result)]() mutable {
    done(std::move(result));
  });
}

void Connector::release_descriptor() {
  if (descriptor_.is_open()) descriptor_.release();
}

}  // namespace raymesh::pg
