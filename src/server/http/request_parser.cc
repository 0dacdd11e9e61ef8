#include "server/http/request_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

namespace hearth::http {
namespace {

namespace bhttp = boost::beast::http;
using BeastParser = bhttp::request_parser<bhttp::string_body>;

constexpr size_t kLastChunkBytes = 5;

Failure FailureOf(const boost::system::error_code& error, const ParserLimits& limits) {
  if (error == bhttp::error::header_limit) {
    return {431, "the request's headers are longer than " +
                     std::to_string(limits.max_header_bytes) + " bytes"};
  }
  if (error == bhttp::error::body_limit) {
    return {413, "the request's body is longer than " + std::to_string(limits.max_body_bytes) +
                     " bytes"};
  }
  if (error == bhttp::error::bad_version)
    return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  return {400, "malformed HTTP request: " + error.message()};
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexValue(text[i + 1]);
      const int low = HexValue(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    // Control characters have no business in a path; in a log line they would be an attack.
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    out += c;
  }
  return out;
}

// Splits the request target (RFC 9112, 3.2) into request.path, .query and, for the absolute form,
// .authority.
std::optional<Failure> ParseTarget(std::string_view target, Request& request) {
  if (target == "*") {
    if (request.method != "OPTIONS") return Failure{400, "the target * is for OPTIONS alone"};
    request.path = "*";
    return std::nullopt;
  }
  if (!target.starts_with('/')) {
    const size_t scheme = target.find("://");
    if (scheme == std::string_view::npos || scheme > 5) {
      return Failure{400, "the request's target must be a path"};
    }
    target.remove_prefix(scheme + 3);
    const size_t slash = std::min(target.find_first_of("/?"), target.size());
    request.authority = std::string(target.substr(0, slash));
    target.remove_prefix(slash);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  std::optional<std::string> path = PercentDecode(target.substr(0, question));
  if (!path) return Failure{400, "the request's path does not decode"};
  request.path = path->empty() ? "/" : std::move(*path);
  return std::nullopt;
}

std::optional<Failure> CheckFraming(const Request& request) {
  const size_t lengths = request.Count("Content-Length");
  const size_t codings = request.Count("Transfer-Encoding");
  if (lengths > 1) return Failure{400, "the request has more than one Content-Length"};
  // Beast takes a list of equal lengths; a proxy in front may not.
  if (lengths == 1 &&
      request.Find("Content-Length")->find_first_not_of("0123456789") != std::string::npos) {
    return Failure{400, "the request's Content-Length is not a number"};
  }
  if (lengths > 0 && codings > 0) {
    return Failure{400, "the request has both a Content-Length and a Transfer-Encoding"};
  }
  if (codings > 0) {
    if (request.is_http_1_0) return Failure{400, "HTTP/1.0 has no Transfer-Encoding"};
    if (codings > 1 || !EqualsIgnoringCase(*request.Find("Transfer-Encoding"), "chunked")) {
      return Failure{501, "the only Transfer-Encoding known here is one chunked"};
    }
  }
  const std::string* encoding = request.Find("Content-Encoding");
  if (encoding != nullptr && !EqualsIgnoringCase(*encoding, "identity")) {
    return Failure{415, "compressed request bodies are not accepted"};
  }
  const std::string* expect = request.Find("Expect");
  if (expect != nullptr && !EqualsIgnoringCase(*expect, "100-continue")) {
    return Failure{417, "the only expectation known here is 100-continue"};
  }
  const size_t hosts = request.Count("Host");
  if (hosts > 1 || (hosts == 0 && !request.is_http_1_0)) {
    return Failure{400, "the request must have exactly one Host header"};
  }
  return std::nullopt;
}

}  // namespace

struct RequestParser::Impl {
  explicit Impl(const ParserLimits& parser_limits) : limits(parser_limits) {
    parser.header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
    parser.body_limit(limits.max_body_bytes);
  }

  std::optional<Failure> TakeHead() {
    const auto& message = parser.get();
    request.method = std::string(message.method_string());
    request.is_http_1_0 = message.version() == 10;
    if (message.version() != 10 && message.version() != 11) {
      return Failure{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    }
    for (const auto& field : message) {
      request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
    }
    if (std::optional<Failure> failure = CheckFraming(request)) return failure;
    if (const std::string* host = request.Find("Host")) request.authority = *host;
    return ParseTarget(message.target(), request);
  }

  ParserLimits limits;
  BeastParser parser;
  Request request;
  size_t head_bytes = 0;
  bool started = false;
  bool head_taken = false;
  bool chunked = false;
  bool done = false;
};

RequestParser::RequestParser(const ParserLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;

tl::expected<size_t, Failure> RequestParser::Feed(std::string_view data) {
  size_t used = 0;
  // Clients may send an empty line between requests (RFC 9112, 2.2).
  while (!impl_->started && used < data.size() && (data[used] == '\r' || data[used] == '\n'))
    ++used;
  if (used == data.size()) return used;
  impl_->started = true;
  // Beast's put() takes at most one stage at a time unless eager, which is what lets the caller see
  // the head first.
  impl_->parser.eager(impl_->head_taken);
  while (used < data.size() && !impl_->done) {
    boost::system::error_code error;
    const std::string_view rest = data.substr(used);
    // Beast 1.81 asserts that it sees no part of a last chunk ("0\r\n\r\n"), which it takes as a
    // whole or not at all.
    if (impl_->head_taken && impl_->chunked && rest.size() < kLastChunkBytes) break;
    const size_t taken = impl_->parser.put(boost::asio::buffer(rest.data(), rest.size()), error);
    used += taken;
    if (error == bhttp::error::need_more) error = {};
    if (error) return tl::unexpected(FailureOf(error, impl_->limits));
    if (!impl_->head_taken) {
      // Beast measures what it is given in one piece, so headers that trickle in would add up
      // unnoticed.
      impl_->head_bytes += taken;
      const size_t waiting = impl_->parser.is_header_done() ? 0 : data.size() - used;
      if (impl_->head_bytes + waiting > impl_->limits.max_header_bytes) {
        return tl::unexpected(FailureOf(bhttp::error::header_limit, impl_->limits));
      }
    }
    if (impl_->parser.is_header_done() && !impl_->head_taken) {
      impl_->head_taken = true;
      if (std::optional<Failure> failure = impl_->TakeHead())
        return tl::unexpected(std::move(*failure));
      impl_->chunked = impl_->parser.chunked();
      impl_->done = impl_->parser.is_done();
      return used;
    }
    if (impl_->parser.is_done()) {
      impl_->request.body = std::move(impl_->parser.get().body());
      impl_->done = true;
    }
    if (taken == 0) break;
  }
  return used;
}

bool RequestParser::head_done() const { return impl_->head_taken; }
bool RequestParser::done() const { return impl_->done; }
bool RequestParser::started() const { return impl_->started; }
Request& RequestParser::request() { return impl_->request; }
bool RequestParser::keep_alive() const { return impl_->parser.get().keep_alive(); }

bool RequestParser::expects_continue() const {
  const std::string* expect = impl_->request.Find("Expect");
  return expect != nullptr && EqualsIgnoringCase(*expect, "100-continue");
}

}  // namespace hearth::http
