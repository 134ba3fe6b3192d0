#include "tests/unit/rpc/standard_services.hpp"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "libs/rpc/frames.hpp"
#include "tests/unit/rpc/slices.hpp"

namespace raymesh::rpc::test {
namespace {

// One message to the method, one back.
grpc::Status ask(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                 const std::string& request, std::string& reply) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(channel);
  auto stream = stub.PrepareCall(&context, method, &queue);
  const auto next = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  stream->StartCall(nullptr);
  next();
  stream->Write(slices::from_string(request), nullptr);
  next();
  stream->WritesDone(nullptr);
  next();
  grpc::ByteBuffer buffer;
  stream->Read(&buffer, nullptr);
  if (next()) reply = slices::view(*slices::flatten(buffer, 1u << 20));
  grpc::Status status;
  stream->Finish(&status, nullptr);
  next();
  return status;
}

std::string text_field(uint32_t number, const std::string& text) {
  std::string out;
  frames::append_varint(out, (number << 3) | 2);
  frames::append_varint(out, text.size());
  return out + text;
}

}  // namespace

std::string check_health(const std::shared_ptr<grpc::Channel>& channel,
                         const std::string& service) {
  std::string reply;
  const auto status = ask(channel, "/grpc.health.v1.Health/Check", text_field(1, service), reply);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) return "NOT_FOUND";
  if (!status.ok()) return "status " + std::to_string(status.error_code());
  uint64_t value = 0;
  frames::Reader reader(reply);
  for (frames::Field f; reader.next(f);) value = f.value;
  return value == 1 ? "SERVING" : value == 2 ? "NOT_SERVING" : "UNKNOWN";
}

std::vector<std::string> list_services(const std::shared_ptr<grpc::Channel>& channel) {
  std::string reply;
  // ServerReflectionRequest.list_services = 7; ServerReflectionResponse.list_services_response = 6;
  // ListServiceResponse.service = 1; ServiceResponse.name = 1.
  ask(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", text_field(7, "*"),
      reply);
  std::vector<std::string> names;
  frames::Reader response(reply);
  for (frames::Field f; response.next(f);) {
    if (f.number != 6) continue;
    frames::Reader list(f.bytes);
    for (frames::Field service; list.next(service);) {
      frames::Reader fields(service.bytes);
      for (frames::Field name; fields.next(name);) names.emplace_back(name.bytes);
    }
  }
  return names;
}

}  // namespace raymesh::rpc::test
