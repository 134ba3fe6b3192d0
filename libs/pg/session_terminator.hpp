// Ends a session of the same login from another one: pg_terminate_backend (manual 9.27.2), which a
// role may do to its own sessions. For a statement that outlives its time limit although
// statement_timeout should have ended it, because code of the project has switched that off.
// PQcancel is no choice: it hits whatever statement of the pipeline is running by then. One I/O
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "libs/base/unique_function.hpp"
#include "libs/pg/pipeline_connection.hpp"

namespace raymesh::pg {

class SessionTerminator final : public PipelineConnection::Owner,
                                public std::enable_shared_from_this<SessionTerminator> {
 public:
  SessionTerminator(boost::asio::io_context& io, Login login, int backend_pid,
                    std::chrono::milliseconds timeout);
  ~SessionTerminator() override;

  /// `done` runs once, whether it worked or not: the broken connection is what counts. Keeps itself
  /// alive until then.
  void start(UniqueFunction<void()> done);
  /// `done` is dropped unrun.
  void cancel();

 private:
  void on_progress(PipelineConnection& connection) override;
  void on_suspect(RequestPtr request) override;
  void on_lost(PipelineConnection& connection, std::vector<PipelineConnection::Unanswered> lost,
               std::string reason) override;
  void run(Result<ConnectionHandle> result);
  void finish();

  boost::asio::io_context& io_;
  const int backend_pid_;
  std::shared_ptr<Connector> connector_;
  std::shared_ptr<PipelineConnection> connection_;
  UniqueFunction<void()> done_;
};

}  // namespace raymesh::pg
