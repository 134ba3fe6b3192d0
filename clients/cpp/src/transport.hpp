// How bytes come and go: TCP (a stream of frames) or a WebSocket (one frame a message), either over
// TLS if the address says so. One read and one write at a time; belongs to its connection's strand.
// What fails throws boost::system::system_error.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "clients/cpp/src/address.hpp"

namespace raymesh::client {

class Transport {
 public:
  virtual ~Transport() = default;

  /// Connects, with TLS and the WebSocket's handshake where there are any.
  virtual boost::asio::awaitable<void> connect() = 0;
  /// What has come, until the next call: of a WebSocket one whole message of at most `most` bytes.
  virtual boost::asio::awaitable<std::span<char>> read(size_t most) = 0;
  /// `frames` are the sizes of the frames in `bytes`, in order.
  virtual boost::asio::awaitable<void> write(std::string_view bytes,
                                             std::span<const size_t> frames) = 0;
  /// Says that nothing more will be sent.
  virtual void end_sending() = 0;
  /// Ends at once; what is under way fails.
  virtual void abort() = 0;
};

std::unique_ptr<Transport> make_transport(const boost::asio::any_io_executor& executor,
                                          const Address& address, const std::string& tls_ca_file);

/// Throws Error, `invalid_option`, when the file has no authorities that can be read.
void check_tls(const std::string& tls_ca_file);

/// An HTTP GET with an API key; for the servers' keys.
struct HttpAnswer {
  int status = 0;
  std::string body;
};
boost::asio::awaitable<HttpAnswer> http_get(const Address& address, const std::string& tls_ca_file,
                                            std::string target, std::string api_key);

}  // namespace raymesh::client
