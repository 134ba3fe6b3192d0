// PostgreSQL's dates and timestamps (DateStyle ISO) as JSON strings in the form of ECMAScript's
// Date.prototype.toISOString: UTC, milliseconds, six-digit years with a sign outside 0000 to 9999.
// What has no such form ("infinity", another DateStyle) stays as it is, as a string. Pure.
#pragma once

#include <string>
#include <string_view>

namespace raymesh::storage {

/// "2024-02-29" becomes "2024-02-29T00:00:00.000Z".
void append_date(std::string& out, std::string_view text);
/// "2024-02-29 12:00:00.1234+02" becomes "2024-02-29T10:00:00.123Z"; without an offset it is UTC.
void append_timestamp(std::string& out, std::string_view text);

}  // namespace raymesh::storage
