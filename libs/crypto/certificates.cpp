#include "libs/crypto/certificates.hpp"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "libs/crypto/random.hpp"

namespace raymesh::crypto {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Store = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;

struct FreeChain {
  void operator()(STACK_OF(X509) * chain) const { sk_X509_pop_free(chain, X509_free); }
};
using Chain = std::unique_ptr<STACK_OF(X509), FreeChain>;

constexpr long kClockSkewSeconds = 300;
constexpr int kMaxDays = 825;

Error openssl_error(const std::string& what) {
  char text[256] = "";
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();
  return Error(errors::kInternal, what + ": " + text);
}

struct Identity {
  Key key;
  Certificate certificate;
};

struct Subject {
  std::string common_name;
  std::string alternative_names;  // in OpenSSL's form: "DNS:a,IP:b"
  const char* extended_usage = nullptr;
  bool authority = false;
};

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (!extension) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool set_serial(X509* certificate) {
  // RFC 5280 section 4.1.2.2: positive, at most 20 bytes; ours has 16 and is random.
  std::string bytes = random_bytes(16);
  bytes[0] = static_cast<char>((bytes[0] & 0x3f) | 0x40);
  BIGNUM* number = BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                             static_cast<int>(bytes.size()), nullptr);
  const bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
  return set;
}

bool set_name(X509* certificate, const std::string& common_name) {
  X509_NAME* name = X509_get_subject_name(certificate);
  const auto add = [&](const char* field, const std::string& value) {
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  return add("O", "raymesh development") && add("CN", common_name);
}

// `issuer` null: signs itself.
Result<Identity> make_identity(const Subject& subject, const Identity* issuer, int days) {
  Identity out{Key(EVP_EC_gen("P-256")), Certificate(X509_new())};
  X509* x = out.certificate.get();
  if (!out.key || !x) return openssl_error("making a key for " + subject.common_name);
  X509* issuer_certificate = issuer ? issuer->certificate.get() : x;
  EVP_PKEY* issuer_key = issuer ? issuer->key.get() : out.key.get();
  const bool filled =
      X509_set_version(x, X509_VERSION_3) && set_serial(x) &&
      X509_gmtime_adj(X509_getm_notBefore(x), -kClockSkewSeconds) &&
      X509_time_adj_ex(X509_getm_notAfter(x), days, -kClockSkewSeconds, nullptr) &&
      X509_set_pubkey(x, out.key.get()) && set_name(x, subject.common_name) &&
      X509_set_issuer_name(x, X509_get_subject_name(issuer_certificate)) &&
      add_extension(x, issuer_certificate, NID_basic_constraints,
                    subject.authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE") &&
      add_extension(
          x, issuer_certificate, NID_key_usage,
          subject.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
      add_extension(x, issuer_certificate, NID_subject_key_identifier, "hash") &&
      (subject.authority ||
       (add_extension(x, issuer_certificate, NID_authority_key_identifier, "keyid:always") &&
        add_extension(x, issuer_certificate, NID_ext_key_usage, subject.extended_usage) &&
        add_extension(x, issuer_certificate, NID_subject_alt_name,
                      subject.alternative_names.c_str())));
  if (!filled || X509_sign(x, issuer_key, EVP_sha256()) <= 0)
    return openssl_error("making the certificate " + subject.common_name);
  return out;
}

template <class Write>
Result<std::string> to_pem(Write&& write) {
  Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || write(bio.get()) != 1) return openssl_error("writing PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Error file_error(const std::string& what, const std::string& path) {
  return Error(errors::kInvalidValue, what + " " + path + ": " + std::strerror(errno));
}

// A new file that replaces an old one at once: nobody reads half of a key.
Status write_file(const std::string& path, const std::string& content) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return file_error("cannot write", fresh);
  const bool written =
      ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  if (::close(fd) != 0 || !written) return file_error("cannot write", fresh);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return file_error("cannot write", path);
  return ok_status();
}

struct Named {
  std::string name;  // of the files
  Identity identity;
};

bool is_ip_address(const std::string& name) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str());
  const bool is = address != nullptr;
  ASN1_OCTET_STRING_free(address);
  return is;
}

Result<std::vector<Named>> make_all(const CertificateRequest& request) {
  constexpr std::string_view kLocal = "DNS:localhost,IP:127.0.0.1,IP:::1";
  std::vector<Named> all;
  Subject authority;
  authority.common_name = "raymesh development CA";
  authority.authority = true;
  RAYMESH_TRY(auto ca, make_identity(authority, nullptr, request.days));
  all.push_back({"ca", std::move(ca)});
  for (std::string_view role : kRoles) {
    Subject subject;
    subject.common_name = std::string(role) + ".raymesh";
    subject.alternative_names = "DNS:" + subject.common_name + "," + std::string(kLocal);
    subject.extended_usage = "serverAuth,clientAuth";
    RAYMESH_TRY(auto identity, make_identity(subject, &all.front().identity, request.days));
    all.push_back({std::string(role), std::move(identity)});
  }
  Subject subject;
  subject.common_name = "localhost";
  subject.alternative_names = kLocal;
  for (const auto& name : request.public_names) {
    if (name.find_first_of(", ") != std::string::npos || name.empty() || name.ends_with(".raymesh"))
      return Error(errors::kInvalidValue,
                   "'" + name + "' cannot stand in the public certificate: a DNS name or an IP " +
                       "address is needed, and not one of the cluster's roles");
    subject.alternative_names += (is_ip_address(name) ? ",IP:" : ",DNS:") + name;
  }
  subject.extended_usage = "serverAuth";
  RAYMESH_TRY(auto identity, make_identity(subject, &all.front().identity, request.days));
  all.push_back({"public", std::move(identity)});
  return all;
}

Error unreadable(const std::string& path, const char* what) {
  ERR_clear_error();
  return Error(errors::kInvalidValue, path + ": not a " + what + " in PEM that can be read");
}

Bio open_file(const std::string& path) {
  return Bio(BIO_new_file(path.c_str(), "r"));
}

}  // namespace

Status check_certificate_files(const std::string& certificate, const std::string& key,
                               const std::string& authority) {
  Bio file = open_file(certificate);
  Certificate leaf(file ? PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!leaf) return unreadable(certificate, "certificate");
  Chain chain(sk_X509_new_null());
  while (X509* next = PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr))
    sk_X509_push(chain.get(), next);
  ERR_clear_error();

  file = open_file(key);
  // A password prompt would stop the start: an encrypted key is refused.
  const auto no_password = [](char*, int, int, void*) { return 0; };
  Key private_key(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, no_password, nullptr)
                       : nullptr);
  if (!private_key) return unreadable(key, "private key without a password");
  if (X509_check_private_key(leaf.get(), private_key.get()) != 1) {
    ERR_clear_error();
    return Error(errors::kInvalidValue, key + " is not the key of " + certificate);
  }

  Store store(X509_STORE_new());
  file = open_file(authority);
  int trusted = 0;
  while (file) {
    Certificate next(PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr));
    if (!next) break;
    trusted += X509_STORE_add_cert(store.get(), next.get());
  }
  ERR_clear_error();
  if (trusted == 0) return unreadable(authority, "CA certificate");
  StoreContext context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), chain.get()) != 1)
    return openssl_error("checking " + certificate);
  if (X509_verify_cert(context.get()) != 1) {
    const int reason = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    return Error(errors::kInvalidValue, certificate + " does not hold against " + authority + ": " +
                                            X509_verify_cert_error_string(reason));
  }
  return ok_status();
}

Result<std::vector<std::string>> make_development_certificates(const CertificateRequest& request) {
  if (request.days < 1 || request.days > kMaxDays)
    return Error(errors::kInvalidValue, "a certificate lives for 1 to " + std::to_string(kMaxDays) +
                                            " days, not " + std::to_string(request.days));
  RAYMESH_TRY(auto all, make_all(request));

  std::error_code failed;
  if (std::filesystem::create_directories(request.folder, failed))
    ::chmod(request.folder.c_str(), 0700);
  if (failed)
    return Error(errors::kInvalidValue,
                 "cannot make the folder " + request.folder + ": " + failed.message());
  const auto path = [&](const std::string& name, const char* end) {
    return (std::filesystem::path(request.folder) / (name + end)).string();
  };
  std::vector<std::string> written;
  for (const auto& [name, identity] : all) {
    written.push_back(path(name, ".pem"));
    written.push_back(path(name, "-key.pem"));
  }
  for (const auto& file : written) {
    if (!request.force && std::filesystem::exists(file, failed))
      return Error(errors::kInvalidValue, file + " exists already; --force replaces it");
  }
  for (const auto& [name, identity] : all) {
    RAYMESH_TRY(auto certificate, to_pem([&identity = identity](BIO* bio) {
                  return PEM_write_bio_X509(bio, identity.certificate.get());
                }));
    RAYMESH_TRY(auto key, to_pem([&identity = identity](BIO* bio) {
                  return PEM_write_bio_PKCS8PrivateKey(bio, identity.key.get(), nullptr, nullptr, 0,
                                                       nullptr, nullptr);
                }));
    RAYMESH_CHECK_OK(write_file(path(name, "-key.pem"), key));
    RAYMESH_CHECK_OK(write_file(path(name, ".pem"), certificate));
  }
  return written;
}

}  // namespace raymesh::crypto
