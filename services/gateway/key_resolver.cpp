#include "services/gateway/key_resolver.hpp"

#include <array>

#include "libs/crypto/sha256.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "services/gateway/core.hpp"

namespace raymesh::gateway {
namespace {

constexpr std::chrono::milliseconds kAskTimeout{3'000};

KeyInfoPtr to_key_info(auth::v1::ResolveKeyReply reply) {
  auto info = std::make_shared<KeyInfo>();
  info->project_id = std::move(*reply.mutable_project_id());
  info->project_name = std::move(*reply.mutable_project_name());
  info->key_id = std::move(*reply.mutable_key_id());
  info->role = std::move(*reply.mutable_role());
  for (const auto& [name, allowed] : reply.capabilities()) info->capabilities[name] = allowed;
  info->development = reply.development();
  if (reply.has_rate_limit() && reply.rate_limit().per_second() > 0)
    info->rate_limit = RateLimitSpec{reply.rate_limit().per_second(), reply.rate_limit().burst()};
  return info;
}

}  // namespace

KeyResolver::KeyResolver(Core& core, size_t thread) : core_(core), thread_(thread), cache_({}) {}

KeyResolver::State KeyResolver::find(std::string_view key, KeyInfoPtr& info,
                                     Clock::time_point now) {
  std::array<unsigned char, crypto::Sha256::kBytes> hash;
  crypto::Sha256().update(key).finish(hash.data());
  return find_hash({reinterpret_cast<const char*>(hash.data()), hash.size()}, info, now);
}

KeyResolver::State KeyResolver::find_hash(std::string_view hash, KeyInfoPtr& info,
                                          Clock::time_point now) {
  ApiKeyCache::Found found = cache_.find(hash, now);
  switch (found.state) {
    case ApiKeyCache::Found::State::kKnown:
      core_.probe.key_cache_hit();
      info = std::move(found.info);
      if (found.refresh && questions_.size() < kMaxQuestions) {
        std::string asked(hash);
        if (!questions_.contains(asked)) ask(asked);
      }
      return State::kKnown;
    case ApiKeyCache::Found::State::kUnknown:
      core_.probe.key_cache_hit();
      return State::kUnknown;
    case ApiKeyCache::Found::State::kMiss:
      break;
  }
  core_.probe.key_cache_miss();
  missed_ = hash;
  return State::kAsked;
}

void KeyResolver::wait(OnAnswer on_answer) {
  auto question = questions_.find(missed_);
  const bool full = waiting_ >= kMaxWaiting ||
                    (question == questions_.end() && questions_.size() >= kMaxQuestions);
  if (full) {
    core_.threads.post(thread_, [on_answer = std::move(on_answer)]() mutable {
      on_answer(Error(errors::kOverloaded, "too many API keys are being looked up; try again",
                      std::chrono::seconds(1)));
    });
    return;
  }
  if (question == questions_.end()) {
    ask(missed_);
    question = questions_.find(missed_);
  }
  question->second.push_back(std::move(on_answer));
  ++waiting_;
}

void KeyResolver::ask(const std::string& hash) {
  questions_.try_emplace(hash);
  auth::v1::ResolveKeyRequest request;
  request.set_key_sha256(hash);
  rpc::CallOptions options;
  options.timeout = kAskTimeout;
  options.repeat = rpc::Repeat::kSafe;
  core_.calls.fetch_add(1);
  core_.peers.auth->call<auth::v1::ResolveKeyReply>(
      "ResolveKey", {}, request, options,
      [this, hash](Result<auth::v1::ResolveKeyReply> reply) mutable {
        Answer answer = KeyInfoPtr();
        if (reply.ok())
          answer = to_key_info(std::move(*reply));
        else if (!reply.error().is(errors::kInvalidApiKey) && !reply.error().is(errors::kNotFound))
          answer = std::move(reply).error();
        core_.threads.post(thread_,
                           [this, hash = std::move(hash), answer = std::move(answer)]() mutable {
                             answered(hash, std::move(answer));
                           });
        core_.calls.fetch_sub(1);
      });
}

void KeyResolver::answered(const std::string& hash, Answer answer) {
  if (answer.ok()) cache_.put(hash, *answer, Clock::now());
  auto question = questions_.extract(hash);
  if (question.empty()) return;
  waiting_ -= question.mapped().size();
  for (OnAnswer& on_answer : question.mapped()) on_answer(answer);
}

}  // namespace raymesh::gateway
