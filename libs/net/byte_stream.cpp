#include "libs/net/byte_stream.hpp"

namespace raymesh::net {

ByteStream::ByteStream(boost::asio::ip::tcp::socket socket, TlsContext* tls)
    : socket_(std::move(socket)), stream_(socket_.native_handle(), tls) {}

void ByteStream::close() {
  boost::system::error_code ec;
  socket_.close(ec);
  stream_.invalidate();
}

}  // namespace raymesh::net
