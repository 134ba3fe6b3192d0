// Messages of Redis' topics, and the cursors that clients send back: any bytes give a value or
// nothing, and what is decoded is within what came.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/realtime/topic_message.hpp"

using namespace raymesh::realtime;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const TopicMessage topic = decode_topic(bytes, 1);
  if (const auto* messages = std::get_if<TopicMessages>(&topic)) {
    size_t sum = 0;
    for (size_t i = 0; i < messages->batch->count(); ++i) sum += messages->batch->payload(i).size();
    if (sum != messages->batch->bytes() || sum > size) abort();
  } else if (const auto* events = std::get_if<std::vector<TopicEvent>>(&topic)) {
    size_t sum = 0;
    for (const TopicEvent& event : *events) sum += event.member_json.size();
    if (sum > size) abort();
  }
  const ControlMessage control = decode_control(bytes);
  if (const auto* told = std::get_if<RevocationMessage>(&control))
    if (encode(*told) != bytes) abort();
  if (const auto cursor = decode_cursor(bytes))
    if (encode(*cursor) != bytes) abort();
  if (json_of_member(bytes).size() > size) abort();
  return 0;
}
