// raymesh over one encrypted, resumable session: calls, subscriptions, and what keeps them going.
// Connects when it is needed; a connection that drops is made again, with full-jitter back-off,
// and the session resumed. Thread-safe: its state lives on a strand of the executor that it is
// given, and what is awaited resumes on the executor of who awaits. Keep the client as long as what
// it gave is awaited. Every failure is an Error.
#pragma once

#include <google/protobuf/message_lite.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <utility>

#include "raymesh/client/error.hpp"
#include "raymesh/client/options.hpp"
#include "raymesh/client/subscription.hpp"

namespace raymesh::client {

class Session;

class Client {
 public:
  /// Throws Error (`invalid_option`) for options that can never work.
  Client(const boost::asio::any_io_executor& executor, Options options);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  /// Drops the connection without a word, so that the gateway keeps the session for a while; calls
  /// under way fail. `close` is the clean end.
  ~Client();

  /// Connects, if it is not connected; calls and subscriptions do so themselves. Throws what a
  /// repetition would not change; goes on trying otherwise.
  boost::asio::awaitable<void> connect();

  /// Arguments and result as JSON, as over HTTP.
  boost::asio::awaitable<std::string> call_json(std::string method, std::string args = "{}",
                                                CallOptions options = {});
  /// Arguments and result as they are: the services' own messages, serialized.
  boost::asio::awaitable<std::string> call_bytes(std::string method, std::string args,
                                                 CallOptions options = {});
  /// The services' own messages: `call<QueryReply>("db.find", request)`.
  template <class Reply>
  boost::asio::awaitable<Reply> call(std::string method,
                                     const google::protobuf::MessageLite& request,
                                     CallOptions options = {}) {
    return read_as<Reply>(
        call_bytes(std::move(method), request.SerializeAsString(), std::move(options)));
  }

  /// Events of a channel, or of a table. Readers of one name share a subscription of the session.
  Subscription subscribe(std::string name, SubscribeOptions options = {});

  /// Ends the session for good, here and on the server. Calls under way fail, subscriptions end.
  boost::asio::awaitable<void> close();

  State state() const;
  /// Stays the same over connections as long as the session can be resumed; empty: none.
  std::string session_id() const;
  /// Of the last handshake.
  std::string cipher() const;

 private:
  template <class Reply>
  static boost::asio::awaitable<Reply> read_as(boost::asio::awaitable<std::string> bytes) {
    const std::string text = co_await std::move(bytes);
    Reply reply;
    if (!reply.ParseFromString(text))
      throw Error(ErrorCode::kInternalError, 0, "invalid_result", "the result is no such message");
    co_return reply;
  }

  std::shared_ptr<Session> session_;
};

}  // namespace raymesh::client
