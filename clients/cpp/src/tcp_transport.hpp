// The transport of tcp:// and tls://. Private to make_transport.
#pragma once

#include "clients/cpp/src/transport.hpp"

namespace raymesh::client {

std::unique_ptr<Transport> make_tcp_transport(const boost::asio::any_io_executor& executor,
                                              const Address& address,
                                              const std::string& tls_ca_file);

}  // namespace raymesh::client
