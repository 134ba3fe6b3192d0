// A bounded map that forgets what was used longest ago. Not thread-safe: one owner, or a lock
// around it.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

namespace raymesh {

template <class Key, class Value, class Hash = std::hash<Key>>
class LruCache {
 public:
  explicit LruCache(size_t capacity) : capacity_(capacity) {}

  /// The value, now the most recently used one, or nullptr. Valid until the next put or erase.
  Value* get(const Key& key) {
    auto it = index_.find(key);
    if (it == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return &it->second->second;
  }

  Value& put(const Key& key, Value value) {
    if (Value* old = get(key)) {
      *old = std::move(value);
      return *old;
    }
    if (order_.size() >= capacity_) pop_oldest();
    order_.emplace_front(key, std::move(value));
    index_.emplace(key, order_.begin());
    return order_.front().second;
  }

  /// Takes out what was used longest ago: for owners that must say goodbye to what they drop.
  std::optional<std::pair<Key, Value>> pop_oldest() {
    if (order_.empty()) return std::nullopt;
    std::optional<std::pair<Key, Value>> oldest(std::move(order_.back()));
    index_.erase(index_.find(oldest->first));
    order_.pop_back();
    return oldest;
  }

  bool erase(const Key& key) {
    auto it = index_.find(key);
    if (it == index_.end()) return false;
    order_.erase(it->second);
    index_.erase(it);
    return true;
  }

  void clear() {
    index_.clear();
    order_.clear();
  }
  size_t size() const { return order_.size(); }
  size_t capacity() const { return capacity_; }

 private:
  using Order = std::list<std::pair<Key, Value>>;
  size_t capacity_;
  Order order_;
  std::unordered_map<Key, typename Order::iterator, Hash> index_;
};

}  // namespace raymesh
