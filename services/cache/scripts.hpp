// The Lua scripts of the cache service: what must be atomic in Redis. Constants; any thread.
#pragma once

#include "libs/redis/script.hpp"

namespace raymesh::cache {

/// A change of one entry, with the project's usage kept beside it.
///   KEYS: entry, usage
///   ARGV: quota (0: none), largest collection, incoming bytes, operation, its arguments
///     SET value ttl_seconds only_if_absent | HSET field value ... | SADD member ... |
///     SREM member ... | DEL
///   answers {count, bytes used by the project}; count is kOverQuota or kTooLarge when refused
const redis::Script& change_script();
inline constexpr int64_t kOverQuota = -1;
inline constexpr int64_t kTooLarge = -2;

/// One step of measuring a project's entries anew.
///   ARGV: cursor, pattern, how many keys to look at
///   answers {next cursor, bytes}
const redis::Script& measure_script();

/// Takes whole tokens from a bucket that refills by Redis' own clock, so that the clocks of the
/// gateways do not matter.
///   KEYS: bucket
///   ARGV: refill per second, capacity, tokens wanted
///   answers {tokens granted, milliseconds until one token is there}
const redis::Script& lease_script();

/// Writes a session's state, if the writer has it (sessions.hpp).
///   KEYS: record, and with a raise that somebody is to be told of: the loser's stream
///   ARGV: generation, version, 1 for a raise, 2 for one of a generation that is not confirmed,
///   owner, state, life in milliseconds, session id, life
///     of the loser's stream in milliseconds
///   answers {1 when it is stored, generation that is stored}
const redis::Script& put_session_script();

/// Marks sessions as confirmed, those of which the caller has this generation.
///   KEYS: records
///   ARGV: owner, generation of each
///   answers how many that were
const redis::Script& confirm_sessions_script();

/// Removes a session, unless another writer has it.
///   KEYS: record
///   ARGV: generation, owner, milliseconds that a mark stays in its place (0: none)
///   answers 1 when there was one of the caller's
const redis::Script& end_session_script();

}  // namespace raymesh::cache
