#include "services/realtime/ring_record.hpp"

#include <algorithm>
#include <charconv>

#include "libs/redis/address.hpp"

namespace raymesh::realtime {
namespace {

// What a list may have at most: a bound for what is read.
constexpr size_t kMaxPrimaries = redis::Ring::kPartitions;

std::vector<std::string> urls_of(const RingRecord::List& list) {
  std::vector<std::string> out;
  for (const RingRecord::Primary& primary : list) out.push_back(primary.url);
  return out;
}

bool contains(const RingRecord::List& list, const std::string& url) {
  return std::any_of(list.begin(), list.end(), [&](const auto& one) { return one.url == url; });
}

}  // namespace

std::string encode(const RingRecord& record) {
  std::string out = std::to_string(record.version);
  for (const RingRecord::List& list : record.lists) {
    out += '\n';
    for (const RingRecord::Primary& primary : list) {
      if (out.back() != '\n') out += ' ';
      if (primary.lost) out += '-';
      out += primary.url;
    }
  }
  return out;
}

std::optional<RingRecord> decode_ring(std::string_view text) {
  RingRecord out;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, out.version);
  if (error != std::errc() || at == end || *at != '\n') return std::nullopt;
  text.remove_prefix(static_cast<size_t>(at - text.data()) + 1);
  for (bool more = true; more;) {
    const size_t line_end = text.find('\n');
    std::string_view line = text.substr(0, line_end);
    more = line_end != std::string_view::npos;
    if (more) text.remove_prefix(line_end + 1);
    RingRecord::List& list = out.lists.emplace_back();
    for (bool in_line = true; in_line;) {
      const size_t space = line.find(' ');
      std::string_view item = line.substr(0, space);
      in_line = space != std::string_view::npos;
      if (in_line) line.remove_prefix(space + 1);
      RingRecord::Primary primary;
      primary.lost = item.starts_with('-');
      if (primary.lost) item.remove_prefix(1);
      const auto url = plain_url(std::string(item));
      if (!url.ok() || *url != item || contains(list, *url) || list.size() == kMaxPrimaries)
        return std::nullopt;
      primary.url = *url;
      list.push_back(std::move(primary));
    }
    if (out.lists.size() > kRingsKept) return std::nullopt;
  }
  if (out.lists.size() > out.version + 1) return std::nullopt;
  return out;
}

RingRecord first_ring(const std::vector<std::string>& urls) {
  RingRecord out;
  RingRecord::List& list = out.lists.emplace_back();
  for (const std::string& url : urls) {
    const auto address = redis::parse_address(url);
    list.push_back({address.ok() ? address->name() : url, false});
  }
  return out;
}

Result<RingRecord> next_ring(const RingRecord& before, const std::vector<std::string>& urls,
                             const std::vector<std::string>& lost) {
  if (urls.empty()) return Error(errors::kInvalidRequest, "a ring has at least one primary");
  if (urls.size() > kMaxPrimaries)
    return Error(errors::kInvalidRequest, "a ring has at most " + std::to_string(kMaxPrimaries) +
                                              " primaries, not " + std::to_string(urls.size()));
  RingRecord out = before;
  RingRecord::List list;
  for (const std::string& text : urls) {
    RAYMESH_TRY(std::string url, plain_url(text));
    if (contains(list, url))
      return Error(errors::kInvalidRequest, "the Redis " + url + " is listed twice");
    list.push_back({std::move(url), false});
  }
  for (const std::string& text : lost) {
    RAYMESH_TRY(const std::string url, plain_url(text));
    auto& old = out.lists.front();
    const auto it =
        std::find_if(old.begin(), old.end(), [&](const auto& one) { return one.url == url; });
    if (it == old.end() || contains(list, url))
      return Error(errors::kInvalidRequest,
                   url + " is not lost: it must be in the present ring, and not in the new one");
    it->lost = true;
  }
  ++out.version;
  out.lists.insert(out.lists.begin(), std::move(list));
  if (out.lists.size() > kRingsKept) out.lists.resize(kRingsKept);
  return out;
}

Result<std::string> plain_url(const std::string& url) {
  RAYMESH_TRY(const redis::Address address, redis::parse_address(url));
  std::string name = address.name();
  if (std::any_of(name.begin(), name.end(), [](char c) { return c == ' ' || c == '\n'; }))
    return Error(errors::kInvalidRequest, "the address of a Redis has no spaces");
  // It must lead back to the same server.
  const auto again = redis::parse_address(name);
  if (!again.ok() || again->name() != name || again->database != address.database)
    return Error(errors::kInvalidRequest, "the Redis " + name + " cannot be kept by this name");
  return name;
}

RingView::RingView(const RingRecord& record) : version_(record.version) {
  for (const RingRecord::List& list : record.lists) {
    std::vector<std::string> urls = urls_of(list);
    redis::Ring ring(urls);
    rings_.push_back({std::move(urls), std::move(ring)});
  }
}

uint64_t RingView::home(std::string_view key) const {
  if (rings_.size() == 1) return version_;
  const std::string& here = urls()[pick(key)];
  size_t same = 1;
  while (same < rings_.size() && rings_[same].urls[rings_[same].ring.pick(key)] == here) ++same;
  return version_ - (same - 1);
}

}  // namespace raymesh::realtime
