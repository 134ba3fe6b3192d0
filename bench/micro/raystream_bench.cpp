// What frames and handshakes of libs/raystream cost, in CPU time of the thread. Run by
// `./dev bench raystream.core`.
#include <benchmark/benchmark.h>
#include <time.h>

#include <string>
#include <vector>

#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/server_handshake.hpp"
#include "libs/raystream/session_id.hpp"

// NOLINTBEGIN(clang-analyzer-deadcode.DeadStores): the `_` of Google Benchmark's loops
namespace {

using namespace raymesh::raystream;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void require(bool ok) {
  if (!ok) std::abort();
}

std::string take(OutgoingBuffer& out) {
  std::string bytes(out.bytes());
  out.consumed(bytes.size());
  return bytes;
}

const ServerKeys& keys() {
  static const ServerKeys kKeys =
      ServerKeys::parse(std::vector<std::string>{ServerKeys::generate("bench")}).value();
  return kKeys;
}

ClientOptions options(Cipher cipher) {
  return {.pinned = {{"bench", keys().signing("bench").key.public_key()}}, .ciphers = {cipher}};
}

const std::string& session_id() {
  static const std::string kId = new_session_id(1);
  return kId;
}

struct Pair {
  Session client;
  Session server;

  explicit Pair(Cipher cipher) {
    OutgoingBuffer out;
    ClientHandshake client_side(options(cipher));
    ServerHandshake server_side;
    client_side.start(nullptr, out);
    require(!server_side.read(take(out)));
    require(!server_side.accept(keys(), {.session_id = session_id()}, out, server));
    require(!client_side.read(take(out), client));
    client.attached();
    server.attached();
  }
};

// A batch of frames is sealed, then opened; one of the two is timed. 64 frames in one buffer are
// what one write carries under load.
void frames(benchmark::State& state, Cipher cipher, bool open) {
  Pair pair(cipher);
  const auto size = static_cast<size_t>(state.range(0));
  const std::string payload(size, 'p');
  const int batch = size > 4'096 ? 8 : 64;
  OutgoingBuffer out;
  for (auto _ : state) {
    const double begun = cpu_seconds();
    for (int i = 0; i < batch; ++i)
      require(pair.server.seal(FrameType::kEvent, {payload}, out) == Sent::kOk);
    const double sealed = cpu_seconds();
    std::span<char> bytes(const_cast<char*>(out.bytes().data()), out.size());
    while (!bytes.empty()) {
      const ParsedFrame parsed = parse_frame({bytes.data(), bytes.size()}, pair.client.expected());
      Incoming incoming;
      require(parsed.status == ParseStatus::kFrame &&
              !pair.client.open(bytes.first(parsed.bytes), incoming));
      bytes = bytes.subspan(parsed.bytes);
    }
    const double opened = cpu_seconds();
    out.consumed(out.size());
    state.SetIterationTime((open ? opened - sealed : sealed - begun));
  }
  state.SetItemsProcessed(state.iterations() * batch);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * batch * size));
  state.counters["frame_ns"] =
      benchmark::Counter(static_cast<double>(state.iterations() * batch) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void server_handshake(benchmark::State& state, bool resumed) {
  const Resumption resume{session_id(), raymesh::crypto::Secret(std::string(32, 's'))};
  OutgoingBuffer out;
  ClientHandshake client(options(Cipher::kChaCha20Poly1305));
  client.start(resumed ? &resume : nullptr, out);
  const std::string init = take(out);
  for (auto _ : state) {
    ServerHandshake server;
    Session session;
    require(!server.read(init));
    require(!server.accept(keys(), {session_id(), resumed ? resume.secret.view() : "", 1}, out,
                           session));
    out.consumed(out.size());
  }
}

void server_read(benchmark::State& state) {
  OutgoingBuffer out;
  ClientHandshake client(options(Cipher::kChaCha20Poly1305));
  client.start(nullptr, out);
  const std::string init = take(out);
  for (auto _ : state) {
    ServerHandshake server;
    require(!server.read(init));
  }
}

void client_handshake(benchmark::State& state) {
  OutgoingBuffer out;
  for (auto _ : state) {
    ServerHandshake server;
    Session server_session;
    Session session;
    const double begun = cpu_seconds();
    ClientHandshake client(options(Cipher::kChaCha20Poly1305));
    client.start(nullptr, out);
    double spent = cpu_seconds() - begun;
    require(!server.read(take(out)));
    require(!server.accept(keys(), {.session_id = session_id()}, out, server_session));
    const std::string response = take(out);
    const double answered = cpu_seconds();
    require(!client.read(response, session));
    spent += cpu_seconds() - answered;
    state.SetIterationTime(spent);
  }
}

// The goal's measure: two X25519, one key, one signature.
void primitives(benchmark::State& state) {
  raymesh::crypto::Secret32 key;
  raymesh::crypto::Secret32 shared;
  raymesh::crypto::X25519PublicKey public_key;
  raymesh::crypto::Ed25519Signature signature;
  for (auto _ : state) {
    raymesh::crypto::x25519_generate(key, public_key);
    require(raymesh::crypto::x25519_shared(key, {public_key.data(), 32}, shared));
    require(raymesh::crypto::x25519_shared(key, {public_key.data(), 32}, shared));
    keys().signing("bench").key.sign("raystream-v1 server and a hash of 32 bytes, or so..",
                                     signature);
  }
}

void sizes(benchmark::internal::Benchmark* b) {
  for (const int size : {64, 200, 1'024, 16'384, 1'048'576}) b->Arg(size);
  b->UseManualTime();
}

BENCHMARK_CAPTURE(frames, chacha20_seal, Cipher::kChaCha20Poly1305, false)->Apply(sizes);
BENCHMARK_CAPTURE(frames, chacha20_open, Cipher::kChaCha20Poly1305, true)->Apply(sizes);
BENCHMARK_CAPTURE(frames, gcm_seal, Cipher::kAes256Gcm, false)->Apply(sizes);
BENCHMARK_CAPTURE(frames, gcm_open, Cipher::kAes256Gcm, true)->Apply(sizes);
BENCHMARK(primitives);
BENCHMARK_CAPTURE(server_handshake, new, false);
BENCHMARK_CAPTURE(server_handshake, resumed, true);
BENCHMARK(server_read);
BENCHMARK(client_handshake)->UseManualTime();

}  // namespace
// NOLINTEND(clang-analyzer-deadcode.DeadStores)

BENCHMARK_MAIN();
