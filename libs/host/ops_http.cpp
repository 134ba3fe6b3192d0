#include "libs/host/ops_http.hpp"

#include "libs/base/json_writer.hpp"

namespace raymesh::host {
namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kMetrics = "text/plain; version=0.0.4; charset=utf-8";

struct Reply {
  std::string_view status;
  std::string_view type;
  std::string body;
};

std::string render(const Reply& reply, bool with_body) {
  std::string out;
  out.reserve(256 + (with_body ? reply.body.size() : 0));
  out += "HTTP/1.1 ";
  out += reply.status;
  out += "\r\nContent-Type: ";
  out += reply.type;
  out += "\r\nContent-Length: ";
  json::append_uint(out, reply.body.size());
  out += "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n";
  if (reply.status.starts_with("405")) out += "Allow: GET, HEAD\r\n";
  out += "\r\n";
  if (with_body) out += reply.body;
  return out;
}

// {"ready":false,"draining":false,"checks":[{"name":"postgres","ok":false,"message":"..."}]}
Reply readiness(const OpsView& view) {
  bool ready = !view.draining;
  std::string checks = "[";
  for (const Check& check : view.checks) {
    Status status = check.ready();
    if (checks.size() > 1) checks += ',';
    json::Object o(checks);
    o.string("name", check.name);
    o.boolean("ok", status.ok());
    if (!status.ok()) {
      ready = false;
      o.string("message", status.error().message);
    }
    o.end();
  }
  checks += ']';
  Reply reply{ready ? "200 OK" : "503 Service Unavailable", kJson, {}};
  json::Object o(reply.body);
  o.boolean("ready", ready);
  o.boolean("draining", view.draining);
  o.raw("checks", checks);
  o.end();
  reply.body += '\n';
  return reply;
}

Reply get(std::string_view path, const OpsView& view) {
  if (path == "/healthz") return {"200 OK", kText, "ok\n"};
  if (path == "/readyz") return readiness(view);
  if (path == "/metrics") return {"200 OK", kMetrics, view.registry.render()};
  std::string others;
  for (const Page& page : view.pages) {
    if (page.path == path) return {"200 OK", kJson, page.json() + '\n'};
    others += ", " + page.path;
  }
  return {"404 Not Found", kText, "this port has /metrics, /healthz, /readyz" + others + "\n"};
}

}  // namespace

std::string answer_ops_request(std::string_view head, const OpsView& view) {
  // RFC 9112 section 3: method SP request-target SP HTTP-version.
  std::string_view line = head.substr(0, head.find("\r\n"));
  size_t first = line.find(' ');
  size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last == first ||
      !line.substr(last + 1).starts_with("HTTP/1."))
    return render({"400 Bad Request", kText, "not an HTTP/1.1 request\n"}, true);
  std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, last - first - 1);
  if (method != "GET" && method != "HEAD")
    return render({"405 Method Not Allowed", kText, "GET or HEAD\n"}, true);
  return render(get(target.substr(0, target.find('?')), view), method == "GET");
}

}  // namespace raymesh::host
