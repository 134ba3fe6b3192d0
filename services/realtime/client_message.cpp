#include "services/realtime/client_message.hpp"

#include <simdjson.h>

#include <cstring>
#include <string>

namespace raymesh::realtime {

static_assert(ClientMessageParser::kPadding >= simdjson::SIMDJSON_PADDING);

struct ClientMessageParser::Impl {
  simdjson::dom::parser validator;     // checks every byte
  simdjson::ondemand::parser members;  // knows where values lie, but checks only what it reads
  std::string padded;
  std::string channel;

  std::string_view pad(std::string_view text) {
    padded.reserve(text.size() + kPadding);
    padded.assign(text);
    padded.append(kPadding, ' ');
    return std::string_view(padded).substr(0, text.size());
  }
  bool validate(std::string_view text) {
    simdjson::dom::element root;
    return validator.parse(text.data(), text.size(), false).get(root) == simdjson::SUCCESS;
  }
  bool find_members(std::string_view text, Publish& out);
};

ClientMessageParser::ClientMessageParser() : impl_(std::make_unique<Impl>()) {}
ClientMessageParser::~ClientMessageParser() = default;

bool ClientMessageParser::Impl::find_members(std::string_view text, Publish& out) {
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (members.iterate(text.data(), text.size(), text.size() + kPadding).get(document) ||
      document.get_object().get(object))
    return false;
  bool is_publish = false;
  bool has_channel = false;
  out.payload = "null";
  for (auto field : object) {
    std::string_view key;
    simdjson::ondemand::value value;
    if (field.unescaped_key().get(key)) return false;
    if (key == "type") {
      std::string_view type;
      is_publish = !field.value().get_string().get(type) && type == "publish";
    } else if (key == "channel") {
      std::string_view name;
      has_channel = !field.value().get_string().get(name);
      if (has_channel) channel.assign(name);
    } else if (key == "payload") {
      if (field.value().get(value) || simdjson::to_json_string(value).get(out.payload))
        return false;
    }
  }
  out.channel = channel;
  return is_publish && has_channel;
}

bool ClientMessageParser::parse_publish(std::span<const char> message, bool is_padded,
                                        Publish& out) {
  std::string_view text(message.data(), message.size());
  if (text.size() < 2) return false;
  if (!is_padded) text = impl_->pad(text);
  return impl_->validate(text) && impl_->find_members(text, out);
}

bool ClientMessageParser::is_json(std::string_view text) {
  return !text.empty() && impl_->validate(impl_->pad(text));
}

}  // namespace raymesh::realtime
