// The Lua scripts of the redis broker: what must be atomic in Redis, and all that knows the names
// of its keys. Constants; any thread. They are for primaries of their own kind, not for Redis
// Cluster: keys are made from the channel inside the scripts.
//
// Keys, with <c> = project/channel and <i> = incarnation of a node (16 hex digits):
//   rm:rt:gen          which life of this Redis it is; see hello
//   rm:rt:ring         version of the list of primaries: whoever has an older one is refused
//   rm:rt:primaries    that list (ring_record.hpp)
//   rm:rt:lease:<i>    there as long as the node is counted; its value is the node's id
//   rm:rt:nodes        set of incarnations that may have left something
//   rm:rt:sweep:<i>    set of what it has left: c<c>, w<c>, a<scope>
//   rm:rt:sweeper      who sweeps just now
//   rm:rt:s:<c>        state: epoch, offset, bytes of history, ring's version, generation; expires
//                      when unused
//   rm:rt:h:<c>        history, a stream: <offset>-0 -> t (ms), p (payload)
//   rm:rt:n:<c>        set of incarnations with members
//   rm:rt:m:<i>:<c>    hash of members: connection's id -> <bytes>:<identity><json>
//   rm:rt:i:<c>        hash of identities: how many of their connections are members
//   rm:rt:d:<c>        hash of handed-over members: <token's id>#<k> -> <deadline>:<as in m>
//   rm:rt:handovers    sorted set of <c>\n<field of d> by deadline (ms)
//   rm:rt:w:<c>        set of incarnations that want member events
//   rm:rt:a:<scope>    hash of connections by incarnation
//   rm:rt:revoked      sorted set of revocations by the second until which they are kept
// Topics: rm:rt:t:<c> (topic_message.hpp), rm:rt:control, rm:rt:to:<node's id>.
//
// A generation is a counter and Redis' run id: a Redis that was restarted (it may have lost its
// last second) or a replica that took over has another one, and what is of an older generation is
// given up: its epoch ends and its history goes, so that no offset is ever given twice in an epoch.
#pragma once

#include "libs/redis/script.hpp"

namespace raymesh::realtime::scripts {

/// First on every connection.   answers the generation
const redis::Script& hello();

// --- Leases ---

/// ARGV: incarnation, node's id, milliseconds      answers {generation, ring's version}
const redis::Script& register_node();
/// ARGV: milliseconds, incarnation, ...      answers {generation, 1 or 0 for each incarnation,
/// ring's version}
const redis::Script& renew();
/// Takes away what dead nodes and expired handovers have left, a bounded part at a time.
///   ARGV: who sweeps, milliseconds of its lock (0: whoever else sweeps), how many members, idle ms
///   answers {members that left, 1 if there is more, how many nodes and handovers are left};
///   {-1, 0} when somebody else sweeps
const redis::Script& sweep();

// --- Messages ---
// `ring` is the version of the caller's ring, `home` that since which the channel has been here by
// it. All answer kOldRing, and do nothing, when this primary knows of a newer one.

/// ARGV: channel, epoch if it needs a new one, number of messages, body (topic_message.hpp),
///       1 if `delivered` is wanted, history's messages (0: none), bytes (0: no bound) and ms,
///       idle ms: how long the state lives without members, ring, home
///   answers {epoch, last offset, delivered}
const redis::Script& publish();
/// ARGV: channel, epoch if it needs a new one, idle ms, topic for a message that begins with the
///       next argument and goes on with epoch and offset (empty: none), its beginning, ring, home
///   answers {epoch, last offset}
const redis::Script& position();
/// ARGV: channel, epoch if it needs a new one, idle ms, epoch and offset to begin after, how many,
///       about how many bytes, history's ms, ring, home
///   answers {epoch, last offset, 1 if cut for its size, {offset, payload, ...}}
const redis::Script& history();

// --- Presence ---

/// ARGV: channel, incarnation, 1 if an earlier incarnation may still hold it (or empty),
///       connection's id, identity, member's JSON, token's id (empty: it takes no handed-over
///       member's place)
///   answers the id under which it is present; kNoLease
const redis::Script& enter();
/// ARGV: channel, incarnation, earlier incarnation, connection's id, token's id,
///       handover ms (0: none), idle ms
///   answers 1, or 0 when it was no member
const redis::Script& leave();
/// ARGV: channel, incarnation, 1 or 0      answers 1; kNoLease
const redis::Script& watch();
/// ARGV: channel, how many, incarnation and cursor to go on at, ring
///   answers {connections, identities, next incarnation (empty: the end), next cursor, {member}};
///   kOldRing
const redis::Script& presence();

// --- Connections ---

/// ARGV: scope, incarnation, limit      answers 1, or 0 when there are as many; kNoLease
const redis::Script& admit();
/// ARGV: scope, incarnation
const redis::Script& dismiss();
/// What a node counts, for its new incarnation; 0: it counts it elsewhere now.
///   ARGV: incarnation, scope, connections, ...      answers 1; kNoLease
const redis::Script& recount();
/// ARGV: revocation, second until which it is kept, most revocations, message for the nodes
///   answers {1, node's id, ...}; {0} when there are too many
const redis::Script& revoke();

/// Of another primary.
///   ARGV: revocation, second until which it is kept, ...
const redis::Script& keep_revocations();

// --- The ring ---

/// ARGV: version, list, message for the nodes (empty: none)
///   answers the list that is kept now: another one if it is as new or newer
const redis::Script& set_ring();
/// The channel's members, watchers and handed-over members are at another primary now: nobody is
/// told.   ARGV: channel, incarnation, earlier incarnation
///   answers {field of rm:rt:d, ms that are left, member, ...}
const redis::Script& forget();
/// Those, at the channel's new primary.   ARGV: channel, field, ms, member, ...
const redis::Script& hand_over();

/// The incarnation's lease has ended, so what it says does not count.
inline constexpr int64_t kNoLease = -1;
/// The caller has to load the ring.
inline constexpr int64_t kOldRing = -2;

}  // namespace raymesh::realtime::scripts
