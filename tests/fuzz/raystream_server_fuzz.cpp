// A handshake as the server: any INIT must be refused or answered with a RESPONSE that a client
// could take, and a session to resume is believed only with the right binder.
#include "libs/raystream/session_id.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/fuzz/raystream_fuzz.hpp"

namespace {

using namespace raymesh::raystream;
using fuzz::require;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const bool raw = (input.byte() & 1) != 0;
  std::string frame = input.rest();
  if (!raw) {
    // Only the message is the fuzzer's.
    if (frame.size() > kMaxHandshakePayload) return 0;
    OutgoingBuffer out;
    (void)append_plain_frame(FrameType::kHandshakeInit, frame, out);
    frame = fuzz::take(out);
  }
  ServerHandshake server;
  if (server.read(std::string(frame))) return 0;
  require(frame.size() <= kFrameOverhead + kMaxHandshakePayload);
  require(server.resume_id().empty() || is_session_id(server.resume_id()));

  const std::string secret = fuzz::resumption_secret();
  const bool fits = server.binder_fits(secret);
  if (fits) {
    // The binder is the fuzzer's, but computed here from what was sent: the claim is checked anew.
    v1::HandshakeInit init;
    require(init.ParseFromString(std::string(payload_of(std::string_view(frame)))));
    raymesh::crypto::Sha256 hash;
    const Hash offer_hash = finish(hash.update(frame.substr(0, kHeaderBytes)).update(init.offer()));
    require(init.binder() == view(make_binder(secret, offer_hash)));
  }
  OutgoingBuffer out;
  Session session;
  const std::string id = fits ? std::string(server.resume_id()) : new_session_id(1);
  const Refusal refusal =
      server.accept_with(fuzz::bob(), fuzz::keys(),
                         {id, fits ? std::string_view(secret) : "", fuzz::kExpiry}, out, session);
  if (refusal) {
    require(refusal.code == ErrorCode::kInvalidRequest && out.empty() && session.closed());
    return 0;
  }
  require(session.phase() == (fits ? Phase::kResuming : Phase::kOpen));
  require(session.resumption_secret().size() == 32);
  const std::string response = fuzz::take(out);
  const ParsedFrame parsed = parse_frame(response, ClientHandshake::expected());
  require(parsed.status == ParseStatus::kFrame && parsed.bytes == response.size());
  return 0;
}
