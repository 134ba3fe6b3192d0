// Frames back to back over TCP or TLS.
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <vector>

#include "clients/cpp/src/failures.hpp"
#include "clients/cpp/src/stream.hpp"
#include "clients/cpp/src/tcp_transport.hpp"

namespace raymesh::client {
namespace {

constexpr size_t kReadBytes = 64 << 10;

template <class Stream>
class TcpTransport final : public Transport {
 public:
  TcpTransport(Stream stream, Address address)
      : stream_(std::move(stream)), address_(std::move(address)), input_(kReadBytes) {}

  asio::awaitable<void> connect() override { return connect_stream(stream_, address_); }

  asio::awaitable<std::span<char>> read(size_t) override {
    const size_t bytes =
        co_await stream_.async_read_some(asio::buffer(input_), asio::use_awaitable);
    co_return std::span<char>(input_.data(), bytes);
  }

  asio::awaitable<void> write(std::string_view bytes, std::span<const size_t>) override {
    const asio::const_buffer buffer(bytes.data(), bytes.size());
    co_await asio::async_write(stream_, buffer, asio::use_awaitable);
  }

  void end_sending() override {
    boost::system::error_code ignored;
    lowest(stream_).shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }

  void abort() override {
    boost::system::error_code ignored;
    lowest(stream_).close(ignored);
  }

 private:
  Stream stream_;
  const Address address_;
  std::vector<char> input_;
};

// Keeps the context that its stream was made with.
class TlsTcpTransport final : public Transport {
 public:
  TlsTcpTransport(const asio::any_io_executor& executor, const Address& address,
                  const std::string& ca_file)
      : context_(make_tls_context(ca_file)), inner_(TlsStream(executor, context_), address) {}

  asio::awaitable<void> connect() override { return inner_.connect(); }
  asio::awaitable<std::span<char>> read(size_t most) override { return inner_.read(most); }
  asio::awaitable<void> write(std::string_view bytes, std::span<const size_t> frames) override {
    return inner_.write(bytes, frames);
  }
  // TLS ends with the connection: what is in it has its own CLOSE.
  void end_sending() override {}
  void abort() override { inner_.abort(); }

 private:
  asio::ssl::context context_;
  TcpTransport<TlsStream> inner_;
};

}  // namespace

void check_tls(const std::string& tls_ca_file) {
  try {
    make_tls_context(tls_ca_file);
  } catch (const boost::system::system_error& error) {
    throw invalid_option("tls_ca_file \"" + tls_ca_file +
                         "\" cannot be read: " + error.code().message());
  }
}

std::unique_ptr<Transport> make_tcp_transport(const asio::any_io_executor& executor,
                                              const Address& address,
                                              const std::string& tls_ca_file) {
  if (address.tls) return std::make_unique<TlsTcpTransport>(executor, address, tls_ca_file);
  return std::make_unique<TcpTransport<TcpStream>>(TcpStream(executor), address);
}

}  // namespace raymesh::client
