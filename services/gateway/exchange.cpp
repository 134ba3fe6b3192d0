#include "services/gateway/exchange.hpp"

#include <algorithm>
#include <functional>

#include "libs/base/free_string.hpp"
#include "services/gateway/core.hpp"

namespace raymesh::gateway {

Core& Exchange::core() const {
  return worker_->core;
}

rpc::CallOptions Exchange::options(rpc::Repeat repeat) const {
  return options(repeat, core().config.call_timeout);
}

rpc::CallOptions Exchange::options(rpc::Repeat repeat, std::chrono::milliseconds timeout) const {
  rpc::CallOptions o;
  o.timeout = wanted_timeout_.count() > 0 ? std::min(timeout, wanted_timeout_) : timeout;
  o.repeat = repeat;
  return o;
}

rpc::CallOptions Exchange::channel_options(std::string_view channel, rpc::Repeat repeat) const {
  rpc::CallOptions o = options(repeat);
  std::string name = key().project_id;
  name += '\n';
  name += channel;
  o.affinity = std::hash<std::string>()(name) | 1;
  return o;
}

void Exchange::call(rpc::Peer& peer, std::string_view method, std::string payload,
                    const rpc::CallOptions& options, Next next) {
  next_ = next;
  peer_ = &peer;
  waiting_ = true;
  send_call(method, std::move(payload), options);
}

void Exchange::recycle(std::string& buffer, size_t keep) {
  if (buffer.capacity() > keep)
    free_string(buffer);
  else
    buffer.clear();
}

void Exchange::clear() {
  context.Clear();
  worker_ = nullptr;
  query_ = rest_ = body_ = operation_ = {};
  key_.reset();
  request_id_.clear();
  client_.clear();
  waiting_ = false;
  then = nullptr;
  next_ = nullptr;
  peer_ = nullptr;
  ticket_ = 0;
  result_.reset();
}

}  // namespace raymesh::gateway
