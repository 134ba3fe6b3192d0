// What a channel's actor knows and decides (in channel_state, and in channel_recovery what was
// missed): its members, its place in the channel's order, the messages that it keeps, and the steps
// by which a connection becomes a member. Without CAF: what comes back later, the broker's answers,
// comes as a call again. Owned and used by the actor.
//
//   join -> attach (the first one) -> enter -> what was missed, if it is wanted -> Joined
//
// Order. `at_` is the position of the last message that was handed to the shards. A batch that
// arrives either follows on it, or is (in part) known already, or shows that something is missing:
// then what comes is held until the broker's history has been asked, and what cannot be had there
// is told as Lost. Nothing is ever left out in silence.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "raymesh/realtime/v1/socket.pb.h"
#include "services/realtime/channel_actor.hpp"
#include "services/realtime/channel_history.hpp"
#include "services/realtime/channel_log.hpp"
#include "services/realtime/channel_members.hpp"

namespace raymesh::realtime {

class ChannelState {
 public:
  using Clock = std::chrono::steady_clock;

  /// `rule` lives as long as `outlets`.
  ChannelState(std::weak_ptr<Channel> channel, std::string project, std::string name,
               const ChannelRule& rule, std::shared_ptr<ChannelOutlets> outlets);

  void join(const Join& join);
  void leave(const Leave& leave);
  Published publish(const std::shared_ptr<const PublishBatch>& batch);
  void arrived(const Arrived& arrived);
  void member_event(const MemberEvent& event);
  void events_missed();
  void refresh(const Refresh& refresh);
  /// Ends as soon as nobody is still being entered; see `is_retired`.
  void retire();
  bool is_retired() const { return retired_; }

  void attached(const Result<Position>& at);
  void entered(ConnectionId connection, const Result<std::string>& id);
  void refreshed(const Result<Position>& at);
  void checked(const Result<Position>& at);
  void history_loaded(Result<HistoryPage>& page);

  PresencePage presence(const PresenceQuery& query) const;
  HistoryPage read_history(Position since, size_t limit);

  /// Gives itself up when nobody needs it any more. Returns when it wants to be asked again.
  std::optional<Clock::time_point> expire(Clock::time_point now);
  /// When `expire` is wanted, unless that was told and has not come yet.
  std::optional<Clock::time_point> take_expiry();
  /// Whether a burst has left memory behind that `trim` should look at later.
  bool wants_trim();
  /// True when it wants to be asked again later.
  bool trim();

 private:
  enum class Link : uint8_t {
    kDetached,
    kAttaching,  // what arrives is held
    kLive,
    kMending,  // something is missing: what arrives is held until history has answered
  };
  enum class Phase : uint8_t { kWaiting, kEntering, kRecovering };
  struct Joining {
    explicit Joining(Join j) : join(std::move(j)) {}

    Join join;
    Phase phase = Phase::kWaiting;
    bool gone = false;         // it has left before it was in
    bool checked = false;      // the broker was asked where the channel is since it waits
    std::optional<Join> next;  // and has come again since
  };

  void enter(Joining& joining);
  void complete(ConnectionId connection);
  void tell_watchers(const v1::Event& event);
  static size_t held_size(const PublishBatch& batch);
  void check_position();
  bool catch_up(Position at);
  void fail_checked(const Error& error);
  void admit(Joining joining, std::optional<bool> recovered);
  void fail(const Joining& joining, const Error& error);
  void live();

  void take(Position first, std::shared_ptr<const PublishBatch> batch);
  size_t deliver(const std::shared_ptr<const PublishBatch>& batch, Position first);
  void mend();
  void lose(Position at, std::optional<uint64_t> messages);
  void load_history();
  void complete_waiting();
  void hold(const Arrived& arrived);
  void drop_held_of_other_epochs(uint64_t epoch);
  void end_if_retired();
  /// Nobody on this node needs it but for what it keeps.
  bool is_unused() const { return members_.size() == 0 && joining_.empty(); }
  void fill_history(const HistoryPage& page);

  Span missed_since(Dialect dialect, uint64_t offset);
  ChannelLog& log(Dialect dialect, bool deflated = false);
  Span deflate(Dialect dialect, const Span& plain);
  FrameKeys keys_of(const PublishBatch& batch) const;
  void watch();
  Broker& broker() { return *outlets_->broker; }
  bool keeps_history() const { return rule_.keeps_history(); }

  // Weak: the channel holds its actor. Invariant: alive while there are members, who hold it, and
  // while the broker has it attached.
  const std::weak_ptr<Channel> channel_;
  const std::string project_;
  const std::string name_;
  const ChannelRule& rule_;
  // Before the logs, whose segments count in it.
  const std::shared_ptr<ChannelOutlets> outlets_;

  Link link_ = Link::kDetached;
  Position at_;
  std::deque<Arrived> held_;
  size_t held_bytes_ = 0;
  Position promised_;  // while mending: messages up to here should be found

  ChannelMembers members_;
  std::unordered_map<ConnectionId, Joining, ConnectionIdHash> joining_;
  bool watching_ = false;
  bool retiring_ = false;
  bool retired_ = false;

  ChannelHistory history_;
  bool checking_ = false;      // the broker was asked where the channel is
  bool loading_ = false;       // the broker was asked for its history
  bool loading_rest_ = false;  // from at_ on only
  bool ask_again_ = false;     // what it says may be older than what is missing
  bool loaded_ = false;        // what is not in history_ now cannot be had
  std::optional<Clock::time_point> expiry_told_;
  std::optional<Clock::time_point> unused_since_;

  std::array<std::unique_ptr<ChannelLog>, kDialects> logs_;
  std::array<std::unique_ptr<ChannelLog>, kDialects> deflated_;
  struct Missed {  // what was encoded last for somebody who came back
    Dialect dialect = Dialect::kDefault;
    uint64_t from = 0;
    Position at;
    Span span;
  };
  Missed missed_;
  bool trim_armed_ = false;
  bool published_since_trim_ = false;
};

}  // namespace raymesh::realtime
