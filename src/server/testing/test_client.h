#pragma once
// A client of bare sockets for tests: sends exactly the bytes it is told to and reads what comes.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth::testing {

struct TestResponse {
  int status = 0;  // 0: the connection ended before a status line
  std::string head;
  std::string body;  // chunks joined

  std::string Header(std::string_view name) const;
};

class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer_bytes = 0);
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  // False when the server has closed.
  bool Send(std::string_view bytes);
  TestResponse Read(std::string_view method = "GET");
  // What arrives until `needle` is in it, the connection ends or the time is over. Takes nothing
  // away from Read.
  std::string ReadUntil(std::string_view needle,
                        std::chrono::milliseconds timeout = std::chrono::seconds(10));
  // The server closes within the time (what it sends before is thrown away).
  bool WaitForClose(std::chrono::milliseconds timeout = std::chrono::seconds(10));
  void Close();
  void Reset();  // with RST

 private:
  bool Fill(std::chrono::milliseconds timeout);

  int socket_ = -1;
  std::string in_;
};

// "METHOD path HTTP/1.1" with Host, Content-Length and, with a body, a JSON content type.
std::string MakeRequest(std::string_view method, std::string_view path, std::string_view body = "",
                        std::string_view more_headers = "");
// One request on a connection of its own.
TestResponse Fetch(uint16_t port, std::string_view method, std::string_view path,
                   std::string_view body = "", std::string_view more_headers = "");

}  // namespace hearth::testing
