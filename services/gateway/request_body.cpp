#include "services/gateway/request_body.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "services/gateway/json_text.hpp"

namespace raymesh::gateway {

Status read_members(std::string_view body, std::span<Member> members) {
  if (body.empty()) return ok_status();
  if (!json_text::check(body))
    return Error(errors::kInvalidJson, "The body is not well-formed JSON");
  if (json_text::kind_of(body) != json_text::Kind::kObject)
    return Error(errors::kInvalidRequest, "The body must be a JSON object");
  json_text::ObjectReader reader(body);
  std::string_view key;
  std::string_view value;
  while (reader.next(key, value)) {
    for (Member& member : members) {
      if (!json_text::key_is(key, member.name)) continue;
      if (!member.value.empty())
        return Error(errors::kInvalidRequest,
                     "The body has \"" + std::string(member.name) + "\" twice");
      member.value = value;
    }
  }
  return ok_status();
}

std::optional<std::string> text_of(const Member& member) {
  if (member.value.empty()) return std::nullopt;
  return json_text::string_value(member.value);
}

std::optional<double> number_of(const Member& member) {
  if (member.value.empty() || json_text::kind_of(member.value) != json_text::Kind::kNumber)
    return std::nullopt;
  double number = 0;
  auto [end, ec] =
      std::from_chars(member.value.data(), member.value.data() + member.value.size(), number);
  if (ec != std::errc() || !std::isfinite(number)) return std::nullopt;
  return number;
}

bool is_missing_or_null(const Member& member) {
  return member.value.empty() || json_text::kind_of(member.value) == json_text::Kind::kNull;
}

uint32_t whole_seconds(double seconds) {
  constexpr double kCentury = 100.0 * 365 * 24 * 3600;
  if (!(seconds > 0)) return 0;
  return static_cast<uint32_t>(std::clamp(std::floor(seconds), 1.0, kCentury));
}

Result<DbBody> read_db_body(std::string_view body) {
  Member members[] = {{"operation"}, {"tableName"}, {"options"}};
  RAYMESH_CHECK_OK(read_members(body, members));
  auto operation = text_of(members[0]);
  auto table = text_of(members[1]);
  if (!operation || !table || operation->empty() || table->empty())
    return Error(errors::kInvalidRequest, "Operation and tableName are required");
  DbBody query{std::move(*operation), std::move(*table), {}};
  if (!is_missing_or_null(members[2])) {
    if (json_text::kind_of(members[2].value) != json_text::Kind::kObject)
      return Error(errors::kInvalidRequest, "options must be an object");
    query.options = members[2].value;
  }
  return query;
}

}  // namespace raymesh::gateway
