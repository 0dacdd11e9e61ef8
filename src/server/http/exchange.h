#pragma once
// One request and its response, as a handler sees them.
// Threads: Handler's methods are called on an I/O thread and must not block. Of Exchange, only Post
// and request() may be used from any thread; everything else belongs to the exchange's own
// executor: inside Handler::Handle, in functions given to Post and RunAfter, and in the close
// callback. All of these run one at a time.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace hearth::http {

enum class CloseReason {
  kClientGone,      // the connection is dead or too slow; nothing can be sent any more
  kServerStopping,  // the grace period is over: send an error and finish
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  // The handler may move the body out of it.
  virtual Request& request() = 0;

  // A complete response. Ignored once a response has begun.
  virtual void Respond(Response response) = 0;

  // Or a response of unknown length: StartStream, any number of Write, Finish. `head.body` is not
  // used.
  virtual void StartStream(Response head) = 0;
  // False when the client is gone, or has fallen so far behind that its connection was dropped.
  virtual bool Write(std::string_view data) = 0;
  virtual void Finish() = 0;

  // A response has begun.
  virtual bool started() const = 0;

  // Called at most once per reason while the response is not complete. Replaces an earlier
  // callback; released with the exchange.
  virtual void OnClose(std::function<void(CloseReason)> callback) = 0;

  // Runs `function` on the executor. Dropped once the server has stopped.
  virtual void Post(std::function<void()> function) = 0;
  // Likewise, later; dropped once the response is complete.
  virtual void RunAfter(std::chrono::milliseconds delay, std::function<void()> function) = 0;

  // Adds to the line that Handler::OnComplete gets, e.g. "prompt_tokens=12".
  virtual void Annotate(std::string note) = 0;
};

// What became of a request, for logs and metrics.
struct Summary {
  std::string method;  // empty when the request could not be parsed
  std::string path;
  std::string peer;
  int status = 0;  // 0: the client left before a response began
  long long bytes_sent = 0;
  double duration_ms = 0;  // from the first byte of the request to the last of the response
  bool client_gone = false;
  std::string notes;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // Looks at a request before its body is read (request.body is empty); a response refuses it.
  virtual std::optional<Response> CheckHead(const Request& request) = 0;
  // Answers through the exchange, now or later; every exchange must be answered unless its client
  // leaves.
  virtual void Handle(std::shared_ptr<Exchange> exchange) = 0;
  // The response for what HTTP itself refuses.
  virtual Response OnFailure(const Failure& failure) = 0;
  virtual void OnComplete(const Summary& summary) = 0;
};

}  // namespace hearth::http
