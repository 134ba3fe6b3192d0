#include "services/gateway/http_exchange.hpp"

#include "libs/base/free_string.hpp"
#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/error_response.hpp"
#include "services/gateway/http_response.hpp"
#include "services/gateway/http_session.hpp"

namespace raymesh::gateway {
namespace {

// A buffer that a request has blown up beyond this is not kept.
constexpr size_t kKeepCapacity = 16 << 10;
// Answers up to this size are copied behind their head and leave in one piece.
constexpr size_t kCopyLimit = 8 << 10;

}  // namespace

std::string_view HttpExchange::access_token() const {
  return worker_->head.field("X-Access-Token");
}

std::string_view HttpExchange::idempotency_key() const {
  return worker_->head.field("Idempotency-Key");
}

void HttpExchange::send_call(std::string_view method, std::string payload,
                             const rpc::CallOptions& options) {
  session_->call(*peer_, method, std::move(payload), options);
}

void HttpExchange::start_answer(int status, uint64_t content_length, uint32_t retry_after,
                                std::string_view allow) {
  status_ = status;
  out_.clear();
  ResponseHead head;
  head.status = status;
  head.content_length = content_length;
  head.has_content = status != 204;
  head.close = close_;
  head.request_id = request_id_;
  head.allow = allow;
  head.retry_after = retry_after;
  head.preflight = status == 204;
  append_head(out_, head);
}

void HttpExchange::reply(int status, std::string_view json) {
  if (core().draining.load(std::memory_order_relaxed)) close_ = true;
  start_answer(status, json.size(), 0, {});
  if (!head_request_) out_ += json;
}

void HttpExchange::reply_around(std::string_view before, std::string&& owner,
                                std::string_view value, std::string_view after) {
  if (core().draining.load(std::memory_order_relaxed)) close_ = true;
  start_answer(200, before.size() + value.size() + after.size(), 0, {});
  if (head_request_) return;
  out_ += before;
  if (value.size() <= kCopyLimit) {
    out_ += value;
    out_ += after;
    return;
  }
  const size_t offset = static_cast<size_t>(value.data() - owner.data());
  owner_ = std::move(owner);
  tail_ = std::string_view(owner_).substr(offset, value.size());
  after_ = after;
}

void HttpExchange::fail(const Error& error) {
  if (core().draining.load(std::memory_order_relaxed)) close_ = true;
  std::string body;
  const ErrorResponse response = append_error(body, error);
  if (response.status == 429) core().probe.rate_limited();
  if (response.status == 500)
    log::error("request failed", {{"request_id", request_id_},
                                  {"route", route_ ? route_->name : std::string_view("none")},
                                  {"error", error.message}});
  start_answer(response.status, body.size(), response.retry_after, {});
  if (!head_request_) out_ += body;
}

void HttpExchange::fail_method(std::string_view allowed) {
  std::string body;
  append_error(body, Error(errors::kMethodNotAllowed,
                           "this path takes " + std::string(allowed) + ", not " + method_));
  start_answer(errors::kMethodNotAllowed.http_status, body.size(), 0, allowed);
  if (!head_request_) out_ += body;
}

size_t HttpExchange::unsent() const {
  return out_.size() + tail_.size() + after_.size() - sent_;
}

void HttpExchange::reset() {
  clear();
  recycle(note, kKeepCapacity);
  session_ = nullptr;
  stage_ = Stage::kHead;
  begun_ = head_request_ = close_ = linger_ = false;
  expects_continue_ = chunked_ = key_answered_ = false;
  passed_ = RateGate::Passed::kNothing;
  recycle(in_, kKeepCapacity);
  recycle(decoded_, kKeepCapacity);
  chunks_.reset();
  head_size_ = 0;
  body_size_ = reserved_ = max_body_ = 0;
  route_ = nullptr;
  key_error_.reset();
  method_.clear();
  path_.clear();
  status_ = 0;
  recycle(out_, kKeepCapacity);
  free_string(owner_);
  tail_ = after_ = {};
  sent_ = 0;
}

}  // namespace raymesh::gateway
