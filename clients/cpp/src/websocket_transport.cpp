// Frames as binary messages of a WebSocket, by Beast; and the one HTTP request of this client. Both
// are here because they share Beast's headers, which take long to compile.
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <memory>
#include <optional>

#include "clients/cpp/src/failures.hpp"
#include "clients/cpp/src/stream.hpp"
#include "clients/cpp/src/tcp_transport.hpp"

namespace raymesh::client {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;

template <class Stream>
class WebSocketTransport final : public Transport {
 public:
  /// `context` is kept for the stream that was made with it.
  WebSocketTransport(std::unique_ptr<asio::ssl::context> context, Stream stream, Address address)
      : context_(std::move(context)), socket_(std::move(stream)), address_(std::move(address)) {
    socket_.binary(true);
    // A frame is a message, and a message one frame of the WebSocket.
    socket_.auto_fragment(false);
  }

  asio::awaitable<void> connect() override {
    co_await connect_stream(socket_.next_layer(), address_);
    const std::string host = address_.authority();
    co_await socket_.async_handshake(host, address_.path, asio::use_awaitable);
  }

  asio::awaitable<std::span<char>> read(size_t most) override {
    input_.consume(input_.size());
    socket_.read_message_max(most);
    co_await socket_.async_read(input_, asio::use_awaitable);
    if (socket_.got_text()) throw boost::system::system_error(websocket::error::bad_data_frame);
    const auto bytes = input_.data();
    co_return std::span<char>(static_cast<char*>(bytes.data()), bytes.size());
  }

  asio::awaitable<void> write(std::string_view bytes, std::span<const size_t> frames) override {
    for (const size_t size : frames) {
      const asio::const_buffer frame(bytes.data(), size);
      co_await socket_.async_write(frame, asio::use_awaitable);
      bytes.remove_prefix(size);
    }
  }

  // The server answers CLOSE with the WebSocket's own close, and reading answers that.
  void end_sending() override {}

  void abort() override {
    boost::system::error_code ignored;
    lowest(socket_.next_layer()).close(ignored);
  }

 private:
  std::unique_ptr<asio::ssl::context> context_;
  websocket::stream<Stream> socket_;
  const Address address_;
  beast::flat_buffer input_;
};

template <class Stream>
asio::awaitable<HttpAnswer> get(Stream stream, Address address, std::string target,
                                std::string api_key) {
  co_await connect_stream(stream, address);
  http::request<http::empty_body> request(http::verb::get, target, 11);
  request.set(http::field::host, address.authority());
  request.set(http::field::authorization, "Bearer " + api_key);
  request.set(http::field::connection, "close");
  co_await http::async_write(stream, request, asio::use_awaitable);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(64 << 10);
  co_await http::async_read(stream, buffer, parser, asio::use_awaitable);
  HttpAnswer answer;
  answer.status = parser.get().result_int();
  answer.body = parser.get().body();
  co_return answer;
}

}  // namespace

std::unique_ptr<Transport> make_transport(const asio::any_io_executor& executor,
                                          const Address& address, const std::string& tls_ca_file) {
  if (!address.websocket) return make_tcp_transport(executor, address, tls_ca_file);
  if (!address.tls)
    return std::make_unique<WebSocketTransport<TcpStream>>(nullptr, TcpStream(executor), address);
  auto context = std::make_unique<asio::ssl::context>(make_tls_context(tls_ca_file));
  TlsStream stream(executor, *context);
  return std::make_unique<WebSocketTransport<TlsStream>>(std::move(context), std::move(stream),
                                                         address);
}

asio::awaitable<HttpAnswer> http_get(const Address& address, const std::string& tls_ca_file,
                                     std::string target, std::string api_key) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  HttpAnswer answer;
  if (address.tls) {
    asio::ssl::context context = make_tls_context(tls_ca_file);
    TlsStream stream(executor, context);
    answer = co_await get(std::move(stream), address, std::move(target), std::move(api_key));
  } else {
    TcpStream stream(executor);
    answer = co_await get(std::move(stream), address, std::move(target), std::move(api_key));
  }
  co_return answer;
}

}  // namespace raymesh::client
