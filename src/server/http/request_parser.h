#pragma once
// Bytes of one connection -> one HTTP/1.x request. Wraps Boost.Beast's parser and adds what a
// server that faces browsers and proxies must also refuse: two lengths, a length beside a transfer
// coding, codings other than one `chunked`, a missing or second Host, escapes that do not decode.
// Source: RFC 9112. Threads: one thread at a time.

#include <cstddef>
#include <memory>
#include <string_view>
#include <tl/expected.hpp>

#include "server/http/message.h"

namespace hearth::http {

struct ParserLimits {
  size_t max_header_bytes = 32 * 1024;      // request line and headers: 431
  size_t max_body_bytes = 8 * 1024 * 1024;  // 413
};

class RequestParser {
 public:
  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Takes what it can use from `data` and returns how much that was. Unused bytes must be given
  // again, in front of what follows them. Stops behind the head, so that the caller can look at it
  // before the body is read, and behind the request. After a failure the parser is of no further
  // use.
  tl::expected<size_t, Failure> Feed(std::string_view data);

  bool head_done() const;
  bool done() const;
  // Any byte of a request has been seen.
  bool started() const;
  // Complete when done(); everything but the body from head_done() on.
  Request& request();
  bool keep_alive() const;
  bool expects_continue() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth::http
