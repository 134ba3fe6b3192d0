// `raymesh certs dev`: certificates for a laptop.
#include "apps/raymesh/commands.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/crypto/certificates.hpp"

namespace raymesh::cli {
namespace {

void print(Output& output, const std::vector<std::string>& files) {
  if (!output.json) {
    for (const std::string& file : files) output.out << file << '\n';
    return;
  }
  std::string text;
  json::Object o(text);
  o.key("files") += '[';
  for (const std::string& file : files) {
    if (text.back() != '[') text += ',';
    json::append_string(text, file);
  }
  text += ']';
  o.end();
  output.out << text << '\n';
}

int make_dev_certificates(Invocation& invocation) {
  crypto::CertificateRequest request;
  request.folder = "certs";
  int64_t days = request.days;
  config::Options options;
  options.section("")
      .text("out", &request.folder, "the folder to write to")
      .boolean("force", &request.force, "replace files that exist")
      .integer("days", &days, 1, 825, "how long they are valid")
      .list("public-names", &request.public_names,
            "more names or addresses for the certificate of the public ports, beside localhost");
  return run_command(
      invocation,
      {"certs dev", "",
       "Makes an authority, a certificate for each service and one for the public ports, for\n"
       "development. Keep ca-key.pem to yourself: who has it can be any service."},
      options, [&](const auto&, Output& output) -> Status {
        request.days = static_cast<int>(days);
        RAYMESH_TRY(auto files, crypto::make_development_certificates(request));
        print(output, files);
        return ok_status();
      });
}

}  // namespace

int certs_command(Invocation& invocation) {
  return run_group(
      invocation, "certs",
      {{"dev", "make an authority and certificates for development", make_dev_certificates}});
}

}  // namespace raymesh::cli
