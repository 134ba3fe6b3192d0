// Base of every typed service: serves its `Calls` method from the Dispatcher's method table. The
// stream is registered "raw" (bytes in, bytes out), because the frames are read and written by the
// stream itself without a protobuf object for each (libs/rpc/frames.hpp). Made once at start-up.
#pragma once

#include <string>

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>

namespace raymesh::rpc {

class Dispatcher;
using CallsReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

/// Opens the stream, or refuses it (who calls? how many streams are there?).
CallsReactor* serve_calls(Dispatcher& dispatcher, grpc::CallbackServerContext* context);

/// The position of `Calls` among the service's methods, by its descriptor.
int calls_method_index(const char* service_full_name);

/// What a server asks its service.
class NamedService {
 public:
  virtual ~NamedService() = default;
  /// "raymesh.storage.v1.Storage": what the health service answers for.
  virtual std::string full_name() const = 0;
};

/// `Proto` is the generated class, e.g. storage::v1::Storage.
template <class Proto>
class CallsService : public Proto::CallbackService, public NamedService {
 public:
  explicit CallsService(Dispatcher& dispatcher) : dispatcher_(dispatcher) {
    this->MarkMethodRawCallback(
        calls_method_index(Proto::service_full_name()),
        new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
            [this](grpc::CallbackServerContext* context) {
              return serve_calls(dispatcher_, context);
            }));
  }

  std::string full_name() const override { return Proto::service_full_name(); }

 protected:
  Dispatcher& dispatcher() { return dispatcher_; }

 private:
  Dispatcher& dispatcher_;
};

}  // namespace raymesh::rpc
