#pragma once
// Who may talk to the server: names it answers to (against DNS rebinding), origins of web pages
// (against pages of others using it), keys. Knows nothing of what is asked. Threads: immutable
// after construction.

#include <optional>
#include <string>
#include <vector>

#include "server/http/message.h"
#include "server/openai/api_error.h"

namespace hearth::openai {

struct AccessOptions {
  std::string bind_host = "127.0.0.1";
  std::vector<std::string> api_keys;         // none: no key is asked for
  std::vector<std::string> allowed_hosts;    // names besides the loopback ones; "*": any
  std::vector<std::string> allowed_origins;  // of web pages besides our own: "https://example.org"
};

class AccessPolicy {
 public:
  explicit AccessPolicy(AccessOptions options);

  // A name of this machine: loopback always; on other interfaces also any IP address, because a
  // name that was rebound arrives as that name and never as an address.
  std::optional<ApiError> CheckHost(const http::Request& request) const;
  // A page of our own (its origin is the host asked), or one that was allowed. Requests of other
  // programs carry no origin.
  std::optional<ApiError> CheckOrigin(const http::Request& request) const;
  // "Authorization: Bearer KEY" or "X-Api-Key: KEY", compared in constant time.
  std::optional<ApiError> CheckKey(const http::Request& request) const;

  // The origin to name in Access-Control-Allow-Origin; empty for our own page and for programs.
  std::string CrossOrigin(const http::Request& request) const;

 private:
  bool IsAllowedHost(const std::string& host) const;

  AccessOptions options_;
  bool on_loopback_;
};

// The host of "name:port", "1.2.3.4", "[::1]:80", in lower case and without brackets, port and
// final dot. Empty if malformed.
std::string HostOfAuthority(std::string_view authority);

// Takes as long for a wrong key as for the right one.
bool ConstantTimeEquals(std::string_view a, std::string_view b);

}  // namespace hearth::openai
