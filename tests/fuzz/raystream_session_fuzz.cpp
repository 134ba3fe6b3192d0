// Both ends of a session and an attacker between them, who keeps every frame and decides what
// arrives: in order, again, out of order, at the end that sent it, or with a bit changed. Whatever
// is opened must be the next frame that the other end has sealed, in a phase that allows its type,
// and no nonce may ever come twice.
#include <set>

#include "tests/fuzz/raystream_fuzz.hpp"

namespace {

using namespace raymesh::raystream;
using fuzz::require;

constexpr FrameType kTypes[] = {FrameType::kHandshakeInit, FrameType::kHandshakeResponse,
                                FrameType::kResume,        FrameType::kRpcCall,
                                FrameType::kRpcResponse,   FrameType::kRpcError,
                                FrameType::kSubscribe,     FrameType::kEvent,
                                FrameType::kHeartbeat,     FrameType::kClose};

struct End {
  Session session;
  std::vector<std::string> sealed;    // the frames as they left
  std::vector<std::string> payloads;  // what is in them
  size_t opened = 0;                  // how many of the other end's have been opened here
  std::set<std::string> nonces;
  FrameTypes (*sends)(Phase) = nullptr;
  FrameTypes (*receives)(Phase) = nullptr;
};

void seal(End& from, FrameType type, size_t size) {
  const Phase phase = from.session.phase();
  const uint32_t limit = from.session.max_payload();
  const std::string payload(size, static_cast<char>('a' + from.sealed.size() % 26));
  OutgoingBuffer out;
  const Sent sent = from.session.seal(type, payload, out);
  if (sent != Sent::kOk) {
    require(out.empty() && from.session.phase() == phase);
    return;
  }
  require((from.sends(phase) & bit(type)) != 0 && size <= limit);
  from.sealed.push_back(fuzz::take(out));
  from.payloads.push_back(payload);
  const std::string& frame = from.sealed.back();
  require(frame.size() == kFrameOverhead + size);
  require(from.nonces.insert(frame.substr(kHeaderBytes, kNonceBytes)).second);
}

void deliver(End& to, const End& from, std::string frame) {
  const Phase phase = to.session.phase();
  Incoming incoming;
  std::vector<char> exact(frame.begin(), frame.end());
  if (to.session.open(exact, incoming)) {
    // It is over: nothing more is expected.
    require(to.session.expected().types == 0);
    return;
  }
  require(to.opened < from.sealed.size() && frame == from.sealed[to.opened]);
  require(std::string(incoming.payload.data(), incoming.payload.size()) ==
          from.payloads[to.opened]);
  require(static_cast<uint8_t>(incoming.type) == static_cast<uint8_t>(frame[1]));
  require((to.receives(phase) & bit(incoming.type)) != 0);
  require((incoming.type == FrameType::kClose) == to.session.closed());
  ++to.opened;
}

void connect(End& client, End& server, bool resumes, Cipher cipher) {
  const Resumption resume{fuzz::kSessionId, raymesh::crypto::Secret(fuzz::resumption_secret())};
  ClientHandshake client_side(
      {.pinned = {{"test", fuzz::keys().signing("test").key.public_key()}}, .ciphers = {cipher}});
  ServerHandshake server_side;
  OutgoingBuffer out;
  client_side.start_with(fuzz::alice(), resumes ? &resume : nullptr, out);
  require(!server_side.read(fuzz::take(out)));
  require(!server_side.accept_with(
      fuzz::bob(), fuzz::keys(),
      {fuzz::kSessionId, resumes ? resume.secret.view() : "", fuzz::kExpiry}, out, server.session));
  require(!client_side.read(fuzz::take(out), client.session));
  client.sends = server.receives = types_from_client;
  server.sends = client.receives = types_from_server;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t mode = input.byte();
  End ends[2];
  connect(ends[0], ends[1], (mode & 1) != 0,
          (mode & 2) != 0 ? Cipher::kAes256Gcm : Cipher::kChaCha20Poly1305);
  for (int steps = 0; steps < 300 && !input.empty(); ++steps) {
    const uint8_t what = input.byte();
    End& one = ends[what & 1];
    End& other = ends[~what & 1];
    const auto& frames = other.sealed;
    switch (what >> 1 & 7) {
      case 0:
      case 1:
        seal(one, kTypes[input.byte() % std::size(kTypes)], input.byte());
        break;
      case 2:
        seal(one, FrameType::kRpcCall, input.two());
        break;
      case 3:
        if (one.opened < frames.size()) deliver(one, other, frames[one.opened]);
        break;
      case 4:
        if (!frames.empty()) deliver(one, other, frames[input.byte() % frames.size()]);
        break;
      case 5:
        if (one.opened < frames.size()) {
          std::string frame = frames[one.opened];
          const size_t bit_index = input.two() % (frame.size() * 8);
          frame[bit_index / 8] = static_cast<char>(frame[bit_index / 8] ^ (1 << bit_index % 8));
          deliver(one, other, frame);
          require(one.session.expected().types == 0);
        }
        break;
      case 6:
        if (!one.sealed.empty()) deliver(one, other, one.sealed[input.byte() % one.sealed.size()]);
        break;
      case 7:
        if ((what & 0x80) != 0) {
          OutgoingBuffer out;
          one.session.close(ErrorCode::kTimeout, "bye", out);
          require(one.session.closed() && one.session.resumption_secret().empty());
          // The frame is not among those that are delivered: the other end sees a drop.
        } else {
          one.session.attached();
        }
        break;
    }
  }
  return 0;
}
