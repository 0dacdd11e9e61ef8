#include "server/testing/test_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "server/http/message.h"

namespace hearth::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
constexpr milliseconds kPatience{10'000};

}  // namespace

std::string TestResponse::Header(std::string_view name) const {
  size_t line = head.find("\r\n");
  while (line != std::string::npos && line + 2 < head.size()) {
    const size_t begin = line + 2;
    line = head.find("\r\n", begin);
    const std::string_view text = std::string_view(head).substr(begin, line - begin);
    const size_t colon = text.find(": ");
    if (colon != std::string_view::npos && http::EqualsIgnoringCase(text.substr(0, colon), name)) {
      return std::string(text.substr(colon + 2));
    }
  }
  return "";
}

TestClient::TestClient(uint16_t port, int receive_buffer_bytes) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer_bytes > 0) {
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                 sizeof(receive_buffer_bytes));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    Close();
}

TestClient::~TestClient() { Close(); }

void TestClient::Close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void TestClient::Reset() {
  const linger abort{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
  Close();
}

bool TestClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool TestClient::Fill(milliseconds timeout) {
  pollfd ready{socket_, POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(timeout.count())) <= 0) return false;
  std::array<char, 16384> buffer;
  const ssize_t size = ::recv(socket_, buffer.data(), buffer.size(), 0);
  if (size <= 0) return false;
  in_.append(buffer.data(), static_cast<size_t>(size));
  return true;
}

std::string TestClient::ReadUntil(std::string_view needle, milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  while (in_.find(needle) == std::string::npos) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0 || !Fill(left)) break;
  }
  return in_;
}

bool TestClient::WaitForClose(milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  while (true) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
    std::array<char, 16384> buffer;
    if (::recv(socket_, buffer.data(), buffer.size(), 0) <= 0) return true;
  }
}

TestResponse TestClient::Read(std::string_view method) {
  TestResponse response;
  size_t end;
  do {
    while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill(kPatience)) return response;
    }
    response.head = in_.substr(0, end + 2);
    response.status = std::atoi(response.head.c_str() + 9);
    in_.erase(0, end + 4);
  } while (response.status == 100);
  if (method == "HEAD" || response.status == 204 || response.status == 304) return response;
  if (response.Header("Transfer-Encoding") == "chunked") {
    while (true) {
      size_t line;
      while ((line = in_.find("\r\n")) == std::string::npos) {
        if (!Fill(kPatience)) return response;
      }
      const size_t size = std::strtoul(in_.c_str(), nullptr, 16);
      while (in_.size() < line + 4 + size) {
        if (!Fill(kPatience)) return response;
      }
      response.body += in_.substr(line + 2, size);
      in_.erase(0, line + 4 + size);
      if (size == 0) return response;
    }
  }
  const std::string length = response.Header("Content-Length");
  const size_t size =
      length.empty() ? std::string::npos : std::strtoul(length.c_str(), nullptr, 10);
  while (in_.size() < size && Fill(kPatience)) {
  }
  response.body = in_.substr(0, size);
  in_.erase(0, response.body.size());
  return response;
}

std::string MakeRequest(std::string_view method, std::string_view path, std::string_view body,
                        std::string_view more_headers) {
  std::string out(method);
  out += " ";
  out += path;
  out += " HTTP/1.1\r\n";
  if (more_headers.find("Host:") == std::string_view::npos) out += "Host: localhost\r\n";
  out += more_headers;
  if (method == "POST") {
    if (more_headers.find("Content-Type:") == std::string_view::npos)
      out += "Content-Type: application/json\r\n";
    out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  out += "\r\n";
  out += body;
  return out;
}

TestResponse Fetch(uint16_t port, std::string_view method, std::string_view path,
                   std::string_view body, std::string_view more_headers) {
  TestClient client(port);
  client.Send(MakeRequest(method, path, body, more_headers));
  return client.Read(method);
}

}  // namespace hearth::testing
