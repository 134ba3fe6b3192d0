#include "libs/redis/client.hpp"

#include "libs/redis/connection.hpp"

namespace raymesh::redis {

Client::Client(boost::asio::io_context& context, ClientConfig config)
    : connection_(std::make_shared<Connection>(context, std::move(config))) {
  connection_->start();
}

Client::~Client() {
  close();
}

void Client::call(Command command, Effect effect, Clock::time_point deadline, Done done) {
  connection_->submit(nullptr, std::move(command), effect, deadline, std::move(done));
}

void Client::eval(const Script& script, Command tail, Effect effect, Clock::time_point deadline,
                  Done done) {
  connection_->submit(&script, std::move(tail), effect, deadline, std::move(done));
}

bool Client::ready() const {
  return connection_->ready();
}

ClientStats Client::stats() const {
  return connection_->stats();
}

const std::string& Client::name() const {
  return connection_->name();
}

void Client::close() {
  connection_->close();
}

}  // namespace raymesh::redis
