#pragma once
// HTTP requests and responses as plain data. No sockets here, and nothing of what the paths mean.

#include <string>
#include <string_view>
#include <vector>

namespace hearth::http {

struct Header {
  std::string name;
  std::string value;
};

// ASCII only, as header names and hosts are.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

struct Request {
  std::string method;     // as sent: "GET"
  std::string path;       // percent-decoded, begins with '/'; "*" for OPTIONS *
  std::string query;      // behind '?', as sent
  std::string authority;  // the Host header's value, or the host of an absolute target
  std::vector<Header> headers;
  std::string body;
  std::string peer;  // the client's address
  bool is_http_1_0 = false;

  // The first header of that name; null if there is none.
  const std::string* Find(std::string_view name) const;
  size_t Count(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type;  // empty: none is sent
  std::vector<Header> headers;
  std::string body;
  bool close = false;  // the connection ends with this response
};

// Why a request was refused before a handler saw it.
struct Failure {
  int status = 400;
  std::string message;
};

std::string_view ReasonPhrase(int status);

// The status line and headers up to the empty line. `body_size` < 0: the length is not known
// beforehand; then the body follows in chunks, or, for an HTTP/1.0 client, up to the connection's
// end.
std::string SerializeHead(const Response& response, long long body_size, bool keep_alive,
                          bool is_http_1_0);

}  // namespace hearth::http
