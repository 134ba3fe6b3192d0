#include "services/gateway/request_body.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace raymesh::gateway {

Status read_members(std::string_view body, std::span<Member> members) {
  if (body.empty()) return ok_status();
  const std::optional<JsonValue> root = parse_json(body, kBodyRules);
  if (!root) return Error(errors::kInvalidJson, "The body is not well-formed JSON");
  if (!root->is(JsonKind::kObject))
    return Error(errors::kInvalidRequest, "The body must be a JSON object");
  std::string scratch;
  for (JsonMembers reader(*root); reader.next();) {
    const std::string_view key = reader.key(scratch);
    for (Member& member : members) {
      if (key != member.name) continue;
      if (member.value)
        return Error(errors::kInvalidRequest,
                     "The body has \"" + std::string(member.name) + "\" twice");
      member.value = reader.value();
    }
  }
  return ok_status();
}

std::optional<std::string> text_of(JsonValue value) {
  if (!value.is(JsonKind::kString)) return std::nullopt;
  std::string scratch;
  return std::string(value.text(scratch));
}

std::optional<std::string> text_of(const Member& member) {
  return member.value ? text_of(*member.value) : std::nullopt;
}

std::optional<double> number_of(const Member& member) {
  if (!member.is(JsonKind::kNumber)) return std::nullopt;
  const std::string_view text = member.value->raw();
  double number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || !std::isfinite(number)) return std::nullopt;
  return number;
}

uint32_t whole_seconds(double seconds) {
  constexpr double kCentury = 100.0 * 365 * 24 * 3600;
  if (!(seconds > 0)) return 0;
  return static_cast<uint32_t>(std::clamp(std::floor(seconds), 1.0, kCentury));
}

Result<DbBody> read_db_body(std::string_view body, std::string_view known_operation) {
  Member members[] = {{"operation"}, {"tableName"}, {"options"}};
  RAYMESH_CHECK_OK(read_members(body, members));
  auto operation = known_operation.empty() ? text_of(members[0]) : std::string(known_operation);
  auto table = text_of(members[1]);
  if (!operation || !table || operation->empty() || table->empty())
    return Error(errors::kInvalidRequest, "Operation and tableName are required");
  DbBody query{std::move(*operation), std::move(*table), {}};
  if (!members[2].is_missing_or_null()) {
    if (!members[2].is(JsonKind::kObject))
      return Error(errors::kInvalidRequest, "options must be an object");
    query.options = members[2].value->raw();
  }
  return query;
}

}  // namespace raymesh::gateway
