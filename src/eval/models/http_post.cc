#include "eval/models/http_post.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>

#include "eval/scorers/text.h"

namespace hearth::eval {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxReplyBytes = size_t{64} << 20;

class Connection {
 public:
  Connection(std::string name, Clock::time_point deadline)
      : name_(std::move(name)), deadline_(deadline) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { Close(); }

  Status Open(const HttpUrl& url) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found)) {
      return MakeError(ErrorCode::kUnavailable, name_ + ": " + gai_strerror(error));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, freeaddrinfo);
    Status status = MakeError(ErrorCode::kUnavailable, name_ + " has no address");
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
      status = Try(*at);
      if (status) return status;
    }
    return status;
  }

  Status Send(std::string_view bytes) {
    while (!bytes.empty()) {
      HEARTH_RETURN_IF_ERROR(Wait(POLLOUT));
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (sent < 0) return Failed("sending");
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return {};
  }

  Result<std::string> ReadAll() {
    std::string bytes;
    std::array<char, 16384> buffer;
    for (;;) {
      HEARTH_RETURN_IF_ERROR(Wait(POLLIN));
      const ssize_t count = recv(fd_, buffer.data(), buffer.size(), 0);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (count < 0) return tl::unexpected(Failed("reading").error());
      if (count == 0) return bytes;
      bytes.append(buffer.data(), static_cast<size_t>(count));
      if (bytes.size() > kMaxReplyBytes)
        return MakeError(ErrorCode::kCorrupt, name_ + " sends more than 64 MiB");
    }
  }

 private:
  Status Try(const addrinfo& address) {
    Close();
    fd_ = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                 address.ai_protocol);
    if (fd_ < 0) return Failed("a socket");
    if (connect(fd_, address.ai_addr, address.ai_addrlen) == 0) return {};
    if (errno != EINPROGRESS) return Failed("connecting");
    HEARTH_RETURN_IF_ERROR(Wait(POLLOUT));
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    errno = error;
    return error == 0 ? Status{} : Failed("connecting");
  }

  Status Wait(short events) {
    for (;;) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
      if (left <= 0) return MakeError(ErrorCode::kDeadline, name_ + " took too long to answer");
      pollfd ready{fd_, events, 0};
      const int count = poll(&ready, 1, static_cast<int>(left));
      if (count > 0) return {};
      if (count < 0 && errno != EINTR) return Failed("waiting");
    }
  }

  Status Failed(const char* what) const {
    const int error = errno;
    return MakeError(error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH
                         ? ErrorCode::kUnavailable
                         : ErrorCode::kIo,
                     name_ + ": " + what + ": " + std::strerror(error));
  }

  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  std::string name_;
  Clock::time_point deadline_;
  int fd_ = -1;
};

Result<std::string> JoinChunks(std::string_view bytes) {
  std::string body;
  for (;;) {
    size_t size = 0;
    const auto [end, error] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), size, 16);
    const size_t line = bytes.find("\r\n");
    if (error != std::errc() || line == std::string_view::npos)
      return MakeError(ErrorCode::kCorrupt, "a chunk without a size");
    bytes.remove_prefix(line + 2);
    if (size == 0) return body;
    if (size > bytes.size()) return MakeError(ErrorCode::kCorrupt, "a chunk that is cut off");
    body += bytes.substr(0, size);
    bytes.remove_prefix(size);
    if (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
  }
}

}  // namespace

Result<HttpUrl> ParseHttpUrl(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) {
    return MakeError(
        ErrorCode::kInvalidArgument,
        std::string(url) + " is no http:// address; for https put a proxy in front of it");
  }
  std::string_view rest = url.substr(kScheme.size());
  HttpUrl parsed;
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos) parsed.path = rest.substr(slash);
  while (parsed.path.ends_with('/')) parsed.path.pop_back();
  rest = rest.substr(0, slash);
  // [::1]:8080
  const size_t bracket = rest.find(']');
  const size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    parsed.port = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  parsed.host = rest;
  if (parsed.host.empty() || parsed.port.empty() ||
      parsed.port.find_first_not_of("0123456789") != std::string::npos) {
    return MakeError(ErrorCode::kInvalidArgument, std::string(url) + " names no host and port");
  }
  return parsed;
}

Result<HttpReply> ParseHttpReply(std::string_view bytes) {
  const size_t head_end = bytes.find("\r\n\r\n");
  if (!bytes.starts_with("HTTP/1.") || head_end == std::string_view::npos || bytes.size() < 12)
    return MakeError(ErrorCode::kCorrupt, "the reply is not HTTP/1");
  HttpReply reply;
  const std::string_view code = bytes.substr(9, 3);
  if (std::from_chars(code.data(), code.data() + code.size(), reply.status).ec != std::errc())
    return MakeError(ErrorCode::kCorrupt, "the reply has no status");
  const std::string head = ToLower(bytes.substr(0, head_end + 2));
  const std::string_view body = bytes.substr(head_end + 4);
  if (reply.status == 100) return ParseHttpReply(body);
  if (head.find("\r\ntransfer-encoding: chunked") != std::string::npos) {
    HEARTH_ASSIGN_OR_RETURN(reply.body, JoinChunks(body));
    return reply;
  }
  constexpr std::string_view kLength = "\r\ncontent-length:";
  size_t length = body.size();
  if (const size_t at = head.find(kLength); at != std::string::npos) {
    const std::string_view value = Trim(std::string_view(head).substr(
        at + kLength.size(), head.find('\r', at + 2) - at - kLength.size()));
    if (std::from_chars(value.data(), value.data() + value.size(), length).ec != std::errc() ||
        length > body.size()) {
      return MakeError(ErrorCode::kCorrupt, "the reply is cut off");
    }
  }
  reply.body = body.substr(0, length);
  return reply;
}

Result<HttpReply> HttpPost(const HttpUrl& url, const std::string& path, const std::string& json,
                           const HttpPostOptions& options) {
  const std::string name = "http://" + url.host + ":" + url.port + url.path + path;
  Connection connection(name, Clock::now() + std::chrono::milliseconds(options.timeout_ms));
  HEARTH_RETURN_IF_ERROR(connection.Open(url));
  std::string request = "POST " + url.path + path + " HTTP/1.1\r\nHost: " + url.host + ":" +
                        url.port + "\r\nConnection: close\r\nContent-Type: application/json\r\n";
  if (!options.bearer_token.empty())
    request += "Authorization: Bearer " + options.bearer_token + "\r\n";
  request += "Content-Length: " + std::to_string(json.size()) + "\r\n\r\n" + json;
  HEARTH_RETURN_IF_ERROR(connection.Send(request));
  HEARTH_ASSIGN_OR_RETURN(const std::string bytes, connection.ReadAll());
  Result<HttpReply> reply = ParseHttpReply(bytes);
  if (!reply) return MakeError(reply.error().code, name + ": " + reply.error().message);
  return reply;
}

}  // namespace hearth::eval
