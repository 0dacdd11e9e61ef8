#include "server/http/exchange_impl.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstdio>

namespace hearth::http {

ExchangeImpl::ExchangeImpl(std::shared_ptr<Core> core, std::shared_ptr<Connection> connection,
                           Strand strand, Request request, bool keep_alive)
    : core_(std::move(core)),
      connection_(std::move(connection)),
      strand_(std::move(strand)),
      request_(std::move(request)),
      keep_alive_(keep_alive) {}

ExchangeImpl::~ExchangeImpl() = default;

void ExchangeImpl::Append(std::string_view data) {
  out_ += data;
  if (connection_) connection_->Wake();
}

void ExchangeImpl::Respond(Response response) {
  if (started() || connection_ == nullptr) return;
  status_ = response.status;
  keep_alive_ = keep_alive_ && !response.close && !core_->draining;
  out_ += SerializeHead(response, static_cast<long long>(response.body.size()), keep_alive_,
                        request_.is_http_1_0);
  const bool bodiless =
      request_.method == "HEAD" || response.status == 204 || response.status == 304;
  finished_ = true;
  Append(bodiless ? std::string_view() : std::string_view(response.body));
}

void ExchangeImpl::StartStream(Response head) {
  if (started() || connection_ == nullptr) return;
  status_ = head.status;
  streaming_ = true;
  chunked_ = !request_.is_http_1_0;
  keep_alive_ = keep_alive_ && chunked_ && !head.close && !core_->draining;
  Append(SerializeHead(head, -1, keep_alive_, request_.is_http_1_0));
}

bool ExchangeImpl::Write(std::string_view data) {
  if (client_gone_ || finished_ || connection_ == nullptr) return false;
  if (!streaming_ || data.empty()) return true;
  if (out_.size() + data.size() > core_->options.max_buffered_bytes) {
    connection_->ClientGone();
    return false;
  }
  if (!chunked_) {
    Append(data);
    return true;
  }
  char size[24];
  std::snprintf(size, sizeof(size), "%zx\r\n", data.size());
  out_ += size;
  out_ += data;
  Append("\r\n");
  return true;
}

void ExchangeImpl::Finish() {
  if (!streaming_ || finished_) return;
  finished_ = true;
  Append(chunked_ ? "0\r\n\r\n" : "");
}

void ExchangeImpl::OnClose(std::function<void(CloseReason)> callback) {
  if (connection_ != nullptr) on_close_ = std::move(callback);
}

void ExchangeImpl::Post(std::function<void()> function) {
  if (core_->stopped) return;
  boost::asio::post(strand_, [self = shared_from_this(), function = std::move(function)] {
    if (!self->core_->stopped) self->CallGuarded(function);
  });
}

void ExchangeImpl::RunAfter(std::chrono::milliseconds delay, std::function<void()> function) {
  if (connection_ == nullptr) return;
  auto timer = std::make_shared<boost::asio::steady_timer>(strand_, delay);
  timers_.push_back(timer);
  timer->async_wait([weak = weak_from_this(), timer,
                     function = std::move(function)](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self) return;
    std::erase(self->timers_, timer);
    if (!error && self->connection_ != nullptr && !self->finished_) self->CallGuarded(function);
  });
}

void ExchangeImpl::CallGuarded(const std::function<void()>& function) {
  try {
    function();
  } catch (const std::exception&) {
    // Out of memory, or a library that throws: this client's answer is lost, everyone else's is
    // not.
    if (connection_ != nullptr) connection_->ClientGone();
  }
}

void ExchangeImpl::Annotate(std::string note) {
  if (!notes_.empty()) notes_ += ' ';
  notes_ += note;
}

std::string ExchangeImpl::TakeOutput() { return std::exchange(out_, {}); }

void ExchangeImpl::Notify(CloseReason reason) {
  if (reason == CloseReason::kClientGone) client_gone_ = true;
  if (finished_ || !on_close_) return;
  // A copy: the callback may finish the exchange, or replace itself.
  const auto callback = on_close_;
  callback(reason);
}

void ExchangeImpl::End() {
  on_close_ = nullptr;
  for (const auto& timer : timers_) timer->cancel();
  timers_.clear();
  connection_.reset();
}

Summary ExchangeImpl::Describe() const {
  Summary summary;
  summary.method = request_.method;
  summary.path = request_.path;
  summary.peer = request_.peer;
  summary.status = status_;
  summary.client_gone = client_gone_;
  summary.notes = notes_;
  return summary;
}

}  // namespace hearth::http
