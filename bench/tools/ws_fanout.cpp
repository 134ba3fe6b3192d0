// Fan-out over WebSockets: many subscribers on one thread, one publisher on another. Counts every
// delivery, its latency, duplicates and gaps, and what the server's processes spent on it. A
// receiver_cores near 1 says that this tool was the limit of the rate.
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "bench/tools/fan_receiver.hpp"

namespace {

constexpr std::string_view kUsage =
    R"(ws_fanout --url ws://127.0.0.1:PORT/path --publish URL [options]
  --url URL | --url-file F   round robin over subscribers; {ch} becomes the channel's number
  --nats | --mqtt            subscribe with that protocol over the WebSocket
  --raystream PORT --raystream-key ID:KEY --api-key KEY   in place of --url: raystream sessions
                             over TCP, subscribed to ch0, ch1, ...
  --subscribers N (1000)  --channels N (1)  --size BYTES (128)
  --window N        closed loop: messages published and not yet delivered to everybody (default 1)
  --rate N          open loop: messages per second; latency counts from when a message was due
  --publish URL | --publish-file F   ws://, http://, tcp:// (NATS) or mqtt://; of several, each
                    publishes to an equal run of the channels; --publish-header 'A: b'
  --publish-connections N   http://: this many, with one message in flight on each (1)
  --publish-body T  {ch}, {payload}, {size}; \r\n for a line break (default {payload})
  --seconds N (5)  --warmup N (1)  --handshakes N at a time (256)
  --idle N          no publisher: hold the connections for N seconds; memory and idle CPU
  --pids A,B  --label TEXT
Prints one JSON line. Loopback only.
)";

std::string unescape(std::string text) {
  for (size_t at = 0; (at = text.find("\\r\\n", at)) != std::string::npos; at += 2)
    text.replace(at, 4, "\r\n");
  return text;
}

using namespace raymesh::bench;

FanConfig config_of(const Arguments& a) {
  FanConfig config;
  config.urls = a.has("--url-file") ? lines_of(a.text("--url-file")) : a.all("--url");
  config.raystream_port = static_cast<int>(a.integer("--raystream", 0, 0, 65'535));
  config.raystream_key = a.text("--raystream-key");
  config.api_key = a.text("--api-key");
  if (config.urls.empty() && config.raystream_port == 0)
    fail("--url, --url-file or --raystream is needed, see --help");
  config.dialect = a.has("--nats")   ? Dialect::kNats
                   : a.has("--mqtt") ? Dialect::kMqtt
                                     : Dialect::kPlain;
  config.subscribers = static_cast<size_t>(a.integer("--subscribers", 1000, 1, 100'000));
  config.channels = static_cast<size_t>(a.integer("--channels", 1, 1, 100'000));
  config.payload_bytes = static_cast<size_t>(a.integer("--size", 128, 40, 65'536));
  config.window = static_cast<uint64_t>(a.integer("--window", 1, 1, 100'000));
  config.rate = a.integer("--rate", 0, 0, 1'000'000);
  config.handshakes = static_cast<size_t>(a.integer("--handshakes", 256, 1, 100'000));
  config.publish =
      a.has("--publish-file") ? lines_of(a.text("--publish-file")) : a.all("--publish");
  config.publish_connections = static_cast<size_t>(a.integer("--publish-connections", 1, 1, 1'000));
  config.publish_body = unescape(a.text("--publish-body", "{payload}"));
  config.publish_headers = a.all("--publish-header");
  return config;
}

int run(const Arguments& a, const FanConfig& config) {
  const auto pids = a.pids("--pids");
  FanProgress progress;
  const auto made = config.raystream_port != 0 ? raystream_receiver(config, progress)
                                               : websocket_receiver(config, progress);
  FanReceiver& subscribers = *made;
  const Usage unconnected = usage_of(pids);
  const double connect_own = own_cpu_seconds();
  const int64_t connect_start = now_ns();
  const size_t connected = subscribers.connect_all(120);
  const double connect_s = static_cast<double>(now_ns() - connect_start) / 1e9;
  const double connect_client = own_cpu_seconds() - connect_own;
  if (connected != config.subscribers)
    fail("only " + std::to_string(connected) + " subscribers connected");
  subscribers.receive(0.5);
  const Usage idle = usage_of(pids);
  const double connect_cpu = idle.cpu_seconds - unconnected.cpu_seconds;
  const double connect_others = idle.machine_seconds - unconnected.machine_seconds - connect_cpu -
                                (own_cpu_seconds() - connect_own);
  const double connect_window = static_cast<double>(now_ns() - connect_start) / 1e9;
  const double bytes_each =
      (static_cast<double>(idle.resident_kib) - static_cast<double>(unconnected.resident_kib)) *
      1024 / static_cast<double>(connected);
  std::printf(
      R"({"tool":"ws_fanout","label":"%s","subscribers":%zu,"channels":%zu,"connect_s":%.3f,"connect_client_cpu_s":%.3f,"connect_cpu_us_each":%.1f,"resident_bytes_each":%.0f)",
      a.text("--label").c_str(), connected, config.channels, connect_s, connect_client,
      connect_cpu * 1e6 / static_cast<double>(connected), bytes_each);
  if (a.has("--idle")) {
    const auto seconds = static_cast<double>(a.integer("--idle", 10, 1, 300));
    subscribers.receive(seconds);
    std::printf(R"(,"idle_cores":%.4f,"other_cores":%.2f})"
                "\n",
                (usage_of(pids).cpu_seconds - idle.cpu_seconds) / seconds,
                connect_others / connect_window);
    return 0;
  }

  if (config.publish.empty()) fail("--publish is needed, see --help");
  std::thread publisher([&] { run_publisher(config, progress); });
  subscribers.receive(static_cast<double>(a.integer("--warmup", 1, 0, 60)));
  subscribers.start_measuring();
  const Usage before = usage_of(pids);
  const double own_before = own_cpu_seconds();
  const double receiver_before = thread_cpu_seconds();
  const uint64_t delivered_before = progress.delivered.load();
  const int64_t start = now_ns();
  subscribers.receive(static_cast<double>(a.integer("--seconds", 5, 1, 300)));
  const double elapsed = static_cast<double>(now_ns() - start) / 1e9;
  const auto delivered = static_cast<double>(progress.delivered.load() - delivered_before);
  const Usage after = usage_of(pids);
  const double own = own_cpu_seconds() - own_before;
  const double receiver = thread_cpu_seconds() - receiver_before;
  progress.stop = true;
  progress.wake.fetch_add(1);
  progress.wake.notify_one();
  while (!progress.finished.load(std::memory_order_acquire)) subscribers.receive(0.02);
  const uint64_t expected = progress.published.load() * (config.subscribers / config.channels);
  subscribers.receive_rest(expected, 3);
  progress.close = true;
  progress.close.notify_one();
  publisher.join();
  const double cpu = after.cpu_seconds - before.cpu_seconds;
  std::printf(
      R"(,"deliveries_per_s":%.0f,"deliveries_per_cpu_s":%.0f,"latency_us":%s,"server_cores":%.2f,"server_user_share":%.2f,)"
      R"("published":%llu,"lost":%lld,"duplicates":%llu,"reordered":%llu,"closed":%llu,"client_cores":%.2f,"receiver_cores":%.2f,"other_cores":%.2f})"
      "\n",
      delivered / elapsed, cpu > 0 ? delivered / cpu : 0, subscribers.latency.json().c_str(),
      cpu / elapsed, cpu > 0 ? (after.user_seconds - before.user_seconds) / cpu : 0,
      static_cast<unsigned long long>(progress.published.load()),
      static_cast<long long>(expected) - static_cast<long long>(progress.delivered.load()),
      static_cast<unsigned long long>(subscribers.duplicates),
      static_cast<unsigned long long>(subscribers.reordered),
      static_cast<unsigned long long>(subscribers.closed), own / elapsed, receiver / elapsed,
      (after.machine_seconds - before.machine_seconds - cpu - own) / elapsed);
  return delivered > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments a(argc, argv, kUsage,
                    {"--url",
                     "--url-file",
                     "--subscribers",
                     "--channels",
                     "--size",
                     "--window",
                     "--rate",
                     "--publish",
                     "--publish-file",
                     "--publish-connections",
                     "--publish-header",
                     "--publish-body",
                     "--seconds",
                     "--warmup",
                     "--handshakes",
                     "--idle",
                     "--pids",
                     "--label",
                     "--raystream",
                     "--raystream-key",
                     "--api-key"},
                    {"--nats", "--mqtt"});
  alarm(600);
  return run(a, config_of(a));
}
