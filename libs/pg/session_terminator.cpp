#include "libs/pg/session_terminator.hpp"

#include <boost/asio/post.hpp>

namespace raymesh::pg {
namespace {

struct IgnoredAnswer final : AnswerSink {
  void begin(const ResultColumns&) override {}
  bool row(std::span<const Field>) override { return false; }
  void oversized_row() override {}
  void done(Outcome) override {}
};

}  // namespace

SessionTerminator::SessionTerminator(boost::asio::io_context& io, Login login, int backend_pid,
                                     std::chrono::milliseconds timeout)
    : io_(io),
      backend_pid_(backend_pid),
      connector_(std::make_shared<Connector>(io, std::move(login), timeout)) {}

SessionTerminator::~SessionTerminator() {
  cancel();
}

void SessionTerminator::start(UniqueFunction<void()> done) {
  done_ = std::move(done);
  connector_->start([self = shared_from_this()](Result<ConnectionHandle> result) {
    self->run(std::move(result));
  });
}

void SessionTerminator::cancel() {
  done_.reset();
  if (connector_) connector_->cancel();
  if (connection_) connection_->close();
}

void SessionTerminator::run(Result<ConnectionHandle> result) {
  if (!done_) return;
  if (!result.ok()) {
    finish();
    return;
  }
  connection_ = std::make_shared<PipelineConnection>(io_, std::move(*result), *this,
                                                     ConnectionLimits{.prepared_statements = 1});
  connection_->start();
  Parameters parameters;
  parameters.add(/*int4*/ 23, std::to_string(backend_pid_));
  connection_->send(std::make_unique<Request>("SELECT pg_catalog.pg_terminate_backend($1)",
                                              std::move(parameters),
                                              std::make_unique<IgnoredAnswer>()));
}

void SessionTerminator::on_progress(PipelineConnection& connection) {
  connection.close();
  finish();
}

void SessionTerminator::on_suspect(RequestPtr) {}

void SessionTerminator::on_lost(PipelineConnection&, std::vector<PipelineConnection::Unanswered>,
                                std::string) {
  finish();
}

void SessionTerminator::finish() {
  if (!done_) return;
  // Not from here: the owner may drop us.
  boost::asio::post(io_,
                    [self = shared_from_this(), done = std::move(done_)]() mutable { done(); });
}

}  // namespace raymesh::pg
