#include "server/openai/access.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace hearth::openai {
namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

bool IsLoopback(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost") || host == "::1") return true;
  return host.starts_with("127.") && IsAddress(host);
}

std::string MachineName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? Lower(name.data()) : std::string();
}

ApiError Forbidden(std::string message, std::string code) {
  ApiError error;
  error.status = 403;
  error.type = "permission_error";
  error.message = std::move(message);
  error.code = std::move(code);
  return error;
}

// What a message may repeat of a header.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text.substr(0, 100)) out += c >= 0x20 && c < 0x7f && c != '"' ? c : '?';
  return out + "\"";
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The key a request shows; null if none.
std::optional<std::string> KeyOf(const http::Request& request) {
  if (request.Count("Authorization") == 1) {
    const std::string_view value = *request.Find("Authorization");
    constexpr std::string_view kScheme = "Bearer ";
    if (value.size() > kScheme.size() &&
        http::EqualsIgnoringCase(value.substr(0, kScheme.size()), kScheme)) {
      return std::string(Trim(value.substr(kScheme.size())));
    }
  }
  if (request.Count("X-Api-Key") == 1) return *request.Find("X-Api-Key");
  return std::nullopt;
}

}  // namespace

std::string HostOfAuthority(std::string_view authority) {
  std::string_view host = authority;
  std::string_view port;
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    if (end == std::string_view::npos) return "";
    port = host.substr(end + 1);
    host = host.substr(1, end - 1);
    if (host.find(':') == std::string_view::npos) return "";
  } else {
    const size_t colon = std::min(host.find(':'), host.size());
    port = host.substr(colon);
    host = host.substr(0, colon);
  }
  if (!port.empty() &&
      (port[0] != ':' || port.find_first_not_of("0123456789", 1) != std::string_view::npos)) {
    return "";
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  return Lower(host);
}

bool ConstantTimeEquals(std::string_view a, std::string_view b) {
  // Runs over what the client sent, so that time tells nothing of the key but whether the lengths
  // are equal.
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

AccessPolicy::AccessPolicy(AccessOptions options) : options_(std::move(options)) {
  for (std::string& host : options_.allowed_hosts) {
    // "::1" and "[::1]:8080" mean the same to whoever types them.
    const std::string bare = Lower(host);
    host = IsAddress(bare) || host == "*" ? bare : HostOfAuthority(host);
  }
  for (std::string& origin : options_.allowed_origins) {
    origin = Lower(origin);
    if (origin.ends_with('/')) origin.pop_back();
  }
  on_loopback_ = IsLoopback(Lower(options_.bind_host));
}

bool AccessPolicy::IsAllowedHost(const std::string& host) const {
  if (IsLoopback(host)) return true;
  const auto& allowed = options_.allowed_hosts;
  if (std::find(allowed.begin(), allowed.end(), host) != allowed.end()) return true;
  if (on_loopback_) return false;
  return IsAddress(host) || host == Lower(options_.bind_host) || host == MachineName();
}

std::optional<ApiError> AccessPolicy::CheckHost(const http::Request& request) const {
  const auto& allowed = options_.allowed_hosts;
  if (std::find(allowed.begin(), allowed.end(), "*") != allowed.end()) return std::nullopt;
  // Only HTTP/1.0 may leave the name out, and no browser speaks that.
  if (request.authority.empty() && request.is_http_1_0) return std::nullopt;
  const std::string host = HostOfAuthority(request.authority);
  // An absolute target must not hide a Host that is another.
  const std::string* header = request.Find("Host");
  const std::string header_host = header != nullptr ? HostOfAuthority(*header) : host;
  if (!host.empty() && IsAllowedHost(host) && IsAllowedHost(header_host)) return std::nullopt;
  return Forbidden("this server does not answer to the name " + Quoted(request.authority) +
                       "; start it with --allowed-host to add a name",
                   "host_not_allowed");
}

std::optional<ApiError> AccessPolicy::CheckOrigin(const http::Request& request) const {
  const std::string* header = request.Find("Origin");
  if (header == nullptr) return std::nullopt;
  const std::string origin = Lower(*header);
  if (request.Count("Origin") == 1) {
    const std::string authority = Lower(request.authority);
    if (origin == "http://" + authority || origin == "https://" + authority) return std::nullopt;
    if (!CrossOrigin(request).empty()) return std::nullopt;
  }
  return Forbidden("web pages of " + Quoted(*header) +
                       " may not use this server; start it with --allowed-origin to allow that",
                   "origin_not_allowed");
}

std::string AccessPolicy::CrossOrigin(const http::Request& request) const {
  const std::string* header = request.Find("Origin");
  if (header == nullptr) return "";
  const auto& allowed = options_.allowed_origins;
  const bool found = std::find(allowed.begin(), allowed.end(), Lower(*header)) != allowed.end();
  return found ? *header : "";
}

std::optional<ApiError> AccessPolicy::CheckKey(const http::Request& request) const {
  if (options_.api_keys.empty()) return std::nullopt;
  const std::optional<std::string> shown = KeyOf(request);
  bool right = false;
  for (const std::string& key : options_.api_keys) {
    if (shown && ConstantTimeEquals(*shown, key)) right = true;
  }
  if (right) return std::nullopt;
  ApiError error;
  error.status = 401;
  error.type = "authentication_error";
  error.message = shown ? "the API key is not one of this server's"
                        : "this server needs an API key: send it as \"Authorization: Bearer KEY\"";
  error.code = "invalid_api_key";
  return error;
}

}  // namespace hearth::openai
