// A handshake as the client: only the one RESPONSE that the owner of the pinned key made for this
// INIT opens a session, whatever else comes, even with a good signature on a hello of the fuzzer's.
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/fuzz/raystream_fuzz.hpp"

namespace {

using namespace raymesh::raystream;
using fuzz::require;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t mode = input.byte();
  const Resumption resume{fuzz::kSessionId, raymesh::crypto::Secret(fuzz::resumption_secret())};
  const bool resumes = (mode & 2) != 0;
  ClientHandshake client({.pinned = {{"test", fuzz::keys().signing("test").key.public_key()}}});
  OutgoingBuffer out;
  client.start_with(fuzz::alice(), resumes ? &resume : nullptr, out);
  const std::string init = fuzz::take(out);

  // What the true server says to it.
  ServerHandshake server;
  Session server_session;
  require(!server.read(init));
  require(!server.accept_with(
      fuzz::bob(), fuzz::keys(),
      {fuzz::kSessionId, resumes ? resume.secret.view() : "", fuzz::kExpiry}, out, server_session));
  const std::string genuine = fuzz::take(out);

  std::string frame = input.rest();
  if ((mode & 1) != 0) {
    v1::HandshakeResponse response;
    response.set_hello(frame);
    raymesh::crypto::Sha256 hash;
    const auto text = text_to_sign(finish(hash.update(init).update(frame)));
    raymesh::crypto::Ed25519Signature signature;
    fuzz::keys().signing("test").key.sign({text.data(), text.size()}, signature);
    response.set_signature(signature.data(), signature.size());
    (void)append_plain_frame(FrameType::kHandshakeResponse, response.SerializeAsString(), out);
    frame = fuzz::take(out);
  }
  Session session;
  const Refusal refusal = client.read(frame, session);
  require(static_cast<bool>(refusal) == session.closed());
  if (refusal) return 0;
  require(frame == genuine);
  require(session.resumption_secret() == server_session.resumption_secret());
  require(client.resumed() == resumes);
  return 0;
}
