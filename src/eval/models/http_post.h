#pragma once
// One POST to an HTTP server on this machine or network, without TLS: enough to reach a model
// server. Threads: safe from many, each call has a connection of its own.

#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth::eval {

struct HttpUrl {
  std::string host;
  std::string port = "80";
  std::string path;  // without a slash at the end; may be empty
};
// Errors: kInvalidArgument for what is no http:// address (https needs a proxy in front).
Result<HttpUrl> ParseHttpUrl(std::string_view url);

struct HttpReply {
  int status = 0;
  std::string body;
};

struct HttpPostOptions {
  std::string bearer_token;  // empty: no Authorization
  int timeout_ms = 600'000;  // until the whole reply is there
};

// Errors: kUnavailable (cannot connect), kDeadline, kIo, kCorrupt (no HTTP); each names the
// address.
Result<HttpReply> HttpPost(const HttpUrl& url, const std::string& path, const std::string& json,
                           const HttpPostOptions& options);

// The reply in bytes that arrived up to the connection's end. Split out for its tests. Errors:
// kCorrupt.
Result<HttpReply> ParseHttpReply(std::string_view bytes);

}  // namespace hearth::eval
