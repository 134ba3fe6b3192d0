#include "libs/rpc/server.hpp"

#include <mutex>

#include <google/protobuf/descriptor.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>

#include "libs/rpc/channel_arguments.hpp"
#include "libs/rpc/dispatcher.hpp"
#include "libs/rpc/grpc_log.hpp"

namespace raymesh::rpc {
namespace {

// Health and reflection are plug-ins of the whole process: switched on before the first builder.
void enable_standard_services() {
  static std::once_flag once;
  std::call_once(once, [] {
    route_grpc_log();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

class ServerImpl final : public Server {
 public:
  ~ServerImpl() override { stop(std::chrono::milliseconds(0)); }

  Status start(ServerConfig config, MethodTable methods, const MakeService& make) {
    RAYMESH_CHECK_OK(check_bind(config.address, config.credentials));
    RAYMESH_TRY(auto credentials, grpc_server_credentials(config.credentials.tls));
    RAYMESH_TRY(dispatcher_, Dispatcher::create(config, std::move(methods)));
    service_ = make(*dispatcher_);

    enable_standard_services();
    grpc::ServerBuilder builder;
    set_server_arguments(builder, config.limits.max_unary_bytes);
    builder.RegisterService(service_.get());
    if (!config.address.empty()) builder.AddListeningPort(config.address, credentials, &port_);
    server_ = builder.BuildAndStart();
    if (!server_ || (!config.address.empty() && port_ == 0))
      return Error(errors::kUnavailable, config.name + ": cannot listen on " + config.address);
    if (config.address.starts_with("unix:")) port_ = 0;
    set_serving(true);
    return ok_status();
  }

  int port() const override { return port_; }

  std::shared_ptr<grpc::Channel> in_process_channel() override {
    grpc::ChannelArguments arguments;
    set_channel_arguments(arguments);
    return server_->InProcessChannel(arguments);
  }

  void set_serving(bool serving) override {
    auto* health = server_->GetHealthCheckService();
    if (auto* named = dynamic_cast<NamedService*>(service_.get()))
      health->SetServingStatus(named->full_name(), serving);
    health->SetServingStatus(serving);
  }

  void stop(std::chrono::milliseconds grace) override {
    if (!server_) return;
    set_serving(false);
    const auto deadline = std::chrono::system_clock::now() + grace;
    dispatcher_->drain(grace);
    server_->Shutdown(deadline);  // waits for unary calls as well, then cancels what is left
    server_.reset();
  }

 private:
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace

int calls_method_index(const char* service_full_name) {
  const auto* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service_full_name);
  return service->FindMethodByName("Calls")->index();
}

Result<std::unique_ptr<Server>> Server::start(ServerConfig config, MethodTable methods,
                                              const MakeService& make_service) {
  auto server = std::make_unique<ServerImpl>();
  RAYMESH_CHECK_OK(server->start(std::move(config), std::move(methods), make_service));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace raymesh::rpc
