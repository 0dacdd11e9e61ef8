#pragma once
// Listens, accepts, and runs one coroutine per connection on one or two I/O threads: no thread per
// stream, so thousands of idle or slow streams cost memory only. Knows HTTP and its limits, nothing
// of what is served. Threads: Run on one thread; Stop and port() from any.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "server/http/exchange.h"
#include "server/http/request_parser.h"

namespace hearth::http {

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free one
  int io_threads = 1;
  ParserLimits parser;
  int max_connections = 2048;  // more are told 503; lowered to what the limit on open files allows
  std::chrono::milliseconds header_timeout{
      10'000};  // for a request's head, from its first byte (or from accept)
  std::chrono::milliseconds body_timeout{60'000};  // for its body
  std::chrono::milliseconds idle_timeout{75'000};  // between requests
  std::chrono::milliseconds write_timeout{
      30'000};  // for what is to be sent, and as long again as it takes at:
  size_t min_bytes_per_second = 16 * 1024;  // below it a client that reads at all counts as stuck
  size_t max_buffered_bytes =
      1024 * 1024;                     // of a stream the client does not read; then it is dropped
  int send_buffer_bytes = 256 * 1024;  // of the socket
  std::chrono::milliseconds stop_timeout{10'000};  // for running responses, after Stop
  bool stop_on_signals = false;  // SIGTERM and SIGINT: the first stops, the second cuts
};

class HttpServer {
 public:
  // Binds and listens, so that port() is known and clients may already connect. Requires: `handler`
  // outlives the server. Errors: kInvalidArgument for a host that is no address of this machine,
  // kIo for a port in use or not permitted.
  static Result<std::unique_ptr<HttpServer>> Create(const ServerOptions& options, Handler* handler);
  ~HttpServer();

  uint16_t port() const;
  int num_connections() const;

  // Serves until Stop was called and the running responses are done, or were cut when stop_timeout
  // had passed.
  void Run();
  // Accepts nothing more and closes idle connections. May be called more than once.
  void Stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth::http
