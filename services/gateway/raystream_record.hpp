// The stored record of one session, as its owner has it: which generation it is, when it was
// written last, and one write at a time; what changes meanwhile is written by the next one. Belongs
// to the session and runs in its actor's turns, on its I/O thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/crypto/secret_arena.hpp"
#include "libs/crypto/secret_array.hpp"
#include "raymesh/cache/v1/cache.pb.h"

namespace raymesh::gateway {

class RaystreamSession;

class RaystreamRecord {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Saved : uint8_t {
    kStored,
    kFailed,  // the store is away, or nobody knows: tried again until it is stored
    kLost,    // another connection has the session
  };
  using Done = UniqueFunction<void(Saved)>;

  explicit RaystreamRecord(RaystreamSession& session) : session_(session) {}

  /// This gateway keeps sessions, and this one has been begun or raised.
  bool active() const { return generation_ > 0; }
  uint64_t generation() const { return generation_; }

  /// A session that has just been attached.
  void begin() { own(1); }
  /// What is stored of a session that is taken over.
  struct Stored {
    uint64_t generation = 0;
    std::string owner;
    /// The client has resumed with the secret before the one that was stored last.
    bool by_previous = false;
  };
  /// Takes over this session, which the client resumed with `secret`: it stays valid until
  /// client_goes_on(). kLost: another generation is stored, or the secret does not hold any more.
  void raise(const Stored& stored, std::string_view secret, Done done);
  /// Writes what the session is now. `done` may be empty, and does not run when the session ends.
  void save(Done done);
  /// A frame has come: the client knows the new secret, and the one before is dropped.
  void client_goes_on();
  /// Now and then: writes what could not be written, and that the session still lives. `last_frame`
  /// is the client's.
  void check(Clock::time_point last_frame);
  /// The session has ended for good.
  void forget();
  /// It has ended here.
  void leave();

  /// How much later than a session's end its record may end: it is written once in a while only.
  static std::chrono::milliseconds slack(const RaystreamSession& session);

 private:
  void own(uint64_t generation);
  /// `raised`: what is taken over; nullptr: it is the session's already.
  void write(const Stored* raised, std::vector<Done> done);
  void written(bool raise, const Result<cache::v1::PutSessionReply>& reply, std::vector<Done> done);

  RaystreamSession& session_;
  uint64_t generation_ = 0;
  uint64_t version_ = 0;
  crypto::Locked<crypto::Secret32> previous_;
  std::vector<Done> waiting_;  // for the write after the one that is under way
  Clock::time_point saved_at_{};
  bool writing_ = false;
  bool wanted_ = false;  // another write, when that has been answered
  bool dirty_ = false;   // what is stored is not what it should be
};

}  // namespace raymesh::gateway
