#include "libs/rpc/standard_services.hpp"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "libs/rpc/frames.hpp"
#include "libs/rpc/grpc_wire.hpp"

namespace raymesh::rpc {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

constexpr char kHealth[] = "grpc.health.v1.Health";
constexpr char kReflection[] = "grpc.reflection.v1.ServerReflection";
constexpr char kReflectionAlpha[] = "grpc.reflection.v1alpha.ServerReflection";
constexpr size_t kMaxWatches = 1'024;
// Answers that a client has not taken yet, on all streams of its connection: nobody has asked who
// it is, and a short question has a long answer.
constexpr size_t kMaxUnsentBytes = 1u << 20;

void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  frames::append_varint(out, field << 3 | 2);
  frames::append_varint(out, bytes.size());
  out += bytes;
}

// HealthCheckRequest.service = 1. nullopt when the bytes are no message.
std::optional<std::string> health_request(std::string_view message) {
  std::string service;
  frames::Reader reader(message);
  for (frames::Field f; reader.next(f);)
    if (f.number == 1) service = f.bytes;
  if (!reader.ok()) return std::nullopt;
  return service;
}

// HealthCheckResponse.status = 1.
std::string health_reply(int status) {
  std::string out;
  frames::append_varint(out, 1 << 3);
  frames::append_varint(out, static_cast<uint64_t>(status));
  return out;
}

// What the handlers of both services have in common.
class StandardHandler : public StreamHandler {
 public:
  StandardHandler(Http2Connection& connection, Http2Session::StreamId id)
      : connection_(&connection), id_(id) {}

  void on_bad_message(std::string_view why, bool) override {
    connection_->send_failure(id_, Error(errors::kInvalidRequest, std::string(why)));
  }
  void on_closed(std::string_view) override {}
  void on_turn() override {}
  // Nobody has asked who the caller is, and it may leave such a stream open for ever.
  bool holds_up_the_end() const override { return false; }

 protected:
  void begin() { connection_->send_headers(id_, grpc_wire::answer_headers()); }

  Http2Connection* const connection_;  // outlives the stream
  const Http2Session::StreamId id_;
};

}  // namespace

// ---- Health ----

class StandardServices::Check final : public StandardHandler {
 public:
  Check(const StandardServices& services, Http2Connection& connection, Http2Session::StreamId id)
      : StandardHandler(connection, id), services_(services) {}

  void on_message(std::string_view message) override {
    if (service_) return on_bad_message("Check takes one message", false);
    service_ = health_request(message);
    if (!service_) return on_bad_message("the request message does not parse", false);
  }

  void on_end() override {
    if (!service_) return on_bad_message("the request has no message", false);
    const Health health = services_.health(*service_);
    if (health == Health::kUnknownService)
      return connection_->send_failure(
          id_, Error(errors::kNotFound, "no service " + service_->substr(0, frames::kMaxText)));
    begin();
    connection_->send_message(id_, health_reply(static_cast<int>(health)));
    connection_->send_end(id_, grpc_wire::ok_trailers());
  }

 private:
  const StandardServices& services_;
  std::optional<std::string> service_;
};

class StandardServices::Watch final : public StandardHandler,
                                      public std::enable_shared_from_this<Watch> {
 public:
  Watch(StandardServices& services, Http2Connection& connection, Http2Session::StreamId id)
      : StandardHandler(connection, id),
        services_(services),
        weak_connection_(connection.weak_from_this()) {}

  void on_message(std::string_view message) override {
    if (service_) return on_bad_message("Watch takes one message", false);
    service_ = health_request(message);
    if (!service_) return on_bad_message("the request message does not parse", false);
    if (!enlist())
      return connection_->send_failure(
          id_, Error(errors::kOverloaded, "too many watch the health of this service"));
    begin();
    on_turn();
  }

  void on_end() override {
    if (!service_) on_bad_message("the request has no message", false);
  }

  void on_turn() override {
    if (closed_ || !service_) return;
    const auto health = static_cast<int>(services_.health(*service_));
    if (std::exchange(sent_, health) != health)
      connection_->send_message(id_, health_reply(health));
    std::lock_guard lock(services_.mutex_);
    if (services_.ended_)
      connection_->send_failure(id_, Error(errors::kUnavailable, "the service is stopping"));
  }

  void on_closed(std::string_view) override { closed_ = true; }

  void wake() {
    if (auto connection = weak_connection_.lock()) connection->wake(shared_from_this());
  }

 private:
  bool enlist() {
    std::lock_guard lock(services_.mutex_);
    auto& all = services_.watches_;
    std::erase_if(all, [](const auto& weak) { return weak.expired(); });
    if (all.size() >= kMaxWatches) return false;
    all.push_back(weak_from_this());
    return true;
  }

  StandardServices& services_;
  const std::weak_ptr<Http2Connection> weak_connection_;
  std::optional<std::string> service_;
  int sent_ = -1;
  bool closed_ = false;
};

// ---- Reflection ----

class StandardServices::Reflection final : public StandardHandler {
 public:
  Reflection(const StandardServices& services, Http2Connection& connection,
             Http2Session::StreamId id)
      : StandardHandler(connection, id), services_(services) {
    begin();
  }

  // ServerReflectionRequest: file_by_filename = 3, file_containing_symbol = 4, list_services = 7.
  // ServerReflectionResponse: original_request = 2, file_descriptor_response = 4,
  // list_services_response = 6, error_response = 7.
  void on_message(std::string_view message) override {
    if (connection_->unsent_bytes() > kMaxUnsentBytes)
      return connection_->send_failure(
          id_, Error(errors::kOverloaded, "the caller does not take its answers"));
    const auto* pool = DescriptorPool::generated_pool();
    std::string reply;
    append_bytes(reply, 2, message);
    std::string answer;
    frames::Reader reader(message);
    for (frames::Field f; reader.next(f);) {
      const std::string text(f.bytes);
      if (f.number == 3) answer = files(pool->FindFileByName(text));
      if (f.number == 4) answer = files(pool->FindFileContainingSymbol(text));
      if (f.number == 7) answer = list();
    }
    if (!reader.ok()) return on_bad_message("the request message does not parse", false);
    reply += answer.empty() ? not_found() : answer;
    connection_->send_message(id_, reply);
  }

  void on_end() override { connection_->send_end(id_, grpc_wire::ok_trailers()); }

 private:
  // A file with everything that it imports, so that one answer is enough.
  static std::string files(const FileDescriptor* file) {
    if (!file) return {};
    std::string all;
    std::set<const FileDescriptor*> seen;
    append_file(*file, seen, all);
    std::string out;
    append_bytes(out, 4, all);
    return out;
  }
  static void append_file(const FileDescriptor& file, std::set<const FileDescriptor*>& seen,
                          std::string& out) {
    if (!seen.insert(&file).second) return;
    google::protobuf::FileDescriptorProto proto;
    file.CopyTo(&proto);
    append_bytes(out, 1, proto.SerializeAsString());
    for (int i = 0; i < file.dependency_count(); ++i) append_file(*file.dependency(i), seen, out);
  }
  // ListServiceResponse.service = 1, ServiceResponse.name = 1.
  std::string list() const {
    std::string all;
    for (const std::string_view name :
         {std::string_view(services_.service_), std::string_view(kHealth),
          std::string_view(kReflection), std::string_view(kReflectionAlpha)}) {
      std::string service;
      append_bytes(service, 1, name);
      append_bytes(all, 1, service);
    }
    std::string out;
    append_bytes(out, 6, all);
    return out;
  }
  // ErrorResponse: error_code = 1, error_message = 2.
  static std::string not_found() {
    std::string error;
    frames::append_varint(error, 1 << 3);
    frames::append_varint(error, static_cast<uint64_t>(StatusCode::kNotFound));
    append_bytes(error, 2, "no such file or symbol here");
    std::string out;
    append_bytes(out, 7, error);
    return out;
  }

  const StandardServices& services_;
};

// ---- Both ----

StandardServices::StandardServices(std::string service) : service_(std::move(service)) {}
StandardServices::~StandardServices() = default;

StandardServices::Health StandardServices::health(std::string_view service) const {
  if (!service.empty() && service != service_ && service != kHealth && service != kReflection &&
      service != kReflectionAlpha)
    return Health::kUnknownService;
  std::lock_guard lock(mutex_);
  return serving_ ? Health::kServing : Health::kNotServing;
}

void StandardServices::wake_watches() {
  std::vector<std::weak_ptr<Watch>> watches;
  {
    std::lock_guard lock(mutex_);
    watches = watches_;
  }
  for (const auto& weak : watches)
    if (auto watch = weak.lock()) watch->wake();
}

void StandardServices::set_serving(bool serving) {
  {
    std::lock_guard lock(mutex_);
    serving_ = serving;
  }
  wake_watches();
}

void StandardServices::end_watches() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_watches();
}

std::shared_ptr<StreamHandler> StandardServices::open(std::string_view path,
                                                      Http2Connection& connection,
                                                      Http2Session::StreamId id) {
  if (path == "/grpc.health.v1.Health/Check") return std::make_shared<Check>(*this, connection, id);
  if (path == "/grpc.health.v1.Health/Watch") return std::make_shared<Watch>(*this, connection, id);
  if (path == "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" ||
      path == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    return std::make_shared<Reflection>(*this, connection, id);
  return nullptr;
}

}  // namespace raymesh::rpc
