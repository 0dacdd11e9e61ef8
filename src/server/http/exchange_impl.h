#pragma once
// The connection's side of an Exchange. Internal to http/.

#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <vector>

#include "server/http/connection.h"
#include "server/http/exchange.h"

namespace hearth::http {

class ExchangeImpl : public Exchange, public std::enable_shared_from_this<ExchangeImpl> {
 public:
  ExchangeImpl(std::shared_ptr<Core> core, std::shared_ptr<Connection> connection, Strand strand,
               Request request, bool keep_alive);
  ~ExchangeImpl() override;

  Request& request() override { return request_; }
  void Respond(Response response) override;
  void StartStream(Response head) override;
  bool Write(std::string_view data) override;
  void Finish() override;
  bool started() const override { return status_ != 0; }
  void OnClose(std::function<void(CloseReason)> callback) override;
  void Post(std::function<void()> function) override;
  void RunAfter(std::chrono::milliseconds delay, std::function<void()> function) override;
  void Annotate(std::string note) override;

  // The connection's side:
  bool finished() const { return finished_; }
  bool keep_alive() const { return keep_alive_; }
  bool has_output() const { return !out_.empty(); }
  std::string TakeOutput();
  void Notify(CloseReason reason);
  // No more of anything: the connection goes on without this exchange. What the handler still calls
  // has no effect.
  void End();
  Summary Describe() const;

 private:
  void Append(std::string_view data);
  // The boundary for exceptions of libraries in a handler's callbacks.
  void CallGuarded(const std::function<void()>& function);

  std::shared_ptr<Core> core_;
  std::shared_ptr<Connection> connection_;  // null after End
  Strand strand_;
  Request request_;
  std::string out_;  // to be written; framed
  std::function<void(CloseReason)> on_close_;
  std::vector<std::shared_ptr<boost::asio::steady_timer>> timers_;
  std::string notes_;
  int status_ = 0;
  bool keep_alive_;
  bool chunked_ = false;
  bool streaming_ = false;
  bool finished_ = false;
  bool client_gone_ = false;
};

}  // namespace hearth::http
