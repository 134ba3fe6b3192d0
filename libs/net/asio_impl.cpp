// The one translation unit that holds Boost.Asio's and Beast's function bodies (about 8 s to
// compile, which every other file saves).
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
