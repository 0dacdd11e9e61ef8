#include "server/http/connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "server/http/exchange_impl.h"

namespace hearth::http {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// What a client may send ahead while its request is being answered. More is no honest pipelining.
constexpr size_t kMaxReadAhead = 256 * 1024;
constexpr milliseconds kLingerTimeout{1000};
constexpr size_t kLingerBytes = 1024 * 1024;

}  // namespace

Connection::Connection(std::shared_ptr<Core> core, asio::ip::tcp::socket socket, Strand strand,
                       std::string peer)
    : core_(std::move(core)),
      strand_(std::move(strand)),
      socket_(std::move(socket)),
      deadline_(strand_),
      wake_(strand_),
      peer_(std::move(peer)) {}

Connection::~Connection() {
  const std::lock_guard lock(core_->mutex);
  core_->connections.erase(this);
}

void Connection::Start() {
  {
    const std::lock_guard lock(core_->mutex);
    core_->connections.insert(this);
  }
  asio::co_spawn(
      strand_, [self = shared_from_this()] { return self->Run(); }, asio::detached);
}

asio::awaitable<void> Connection::Run() {
  // g++ 12 miscompiles co_await as an operand of && or ||.
  bool open = true;
  while (open && !closed_) open = co_await ServeOne();
  Close();
}

asio::awaitable<bool> Connection::ServeOne() {
  RequestParser parser(core_->options.parser);
  std::optional<Response> refusal;
  if (!co_await ReadRequest(parser, refusal)) {
    if (refusal && !closed_) co_await Refuse(parser.request(), *refusal);
    co_return false;
  }
  parser.request().peer = peer_;
  exchange_ = std::make_shared<ExchangeImpl>(core_, shared_from_this(), strand_,
                                             std::move(parser.request()), parser.keep_alive());
  const auto exchange = exchange_;
  bytes_sent_ = 0;
  if (refusal) {
    exchange->Respond(std::move(*refusal));
  } else {
    try {
      core_->handler->Handle(exchange);
    } catch (const std::exception&) {
      exchange->Respond(core_->handler->OnFailure({500, "the request could not be handled"}));
    }
  }
  const bool delivered = co_await WriteExchange(*exchange);
  Complete(exchange->Describe());
  exchange->End();
  exchange_.reset();
  first_request_ = false;
  // A stream that began before the stop still promised to keep the connection.
  co_return delivered && exchange->keep_alive() && !core_->draining;
}

std::optional<Response> Connection::CheckHead(const Request& request) {
  if (core_->draining) {
    return core_->handler->OnFailure({503, "the server is shutting down"});
  }
  return core_->handler->CheckHead(request);
}

asio::awaitable<bool> Connection::ReadRequest(RequestParser& parser,
                                              std::optional<Response>& refusal) {
  const ServerOptions& options = core_->options;
  idle_ = true;
  ArmDeadline(first_request_ ? options.header_timeout : options.idle_timeout);
  bool head_checked = false;
  while (true) {
    if (!in_.empty()) {
      if (idle_) {
        idle_ = false;
        request_start_ = steady_clock::now();
        ArmDeadline(options.header_timeout);
      }
      const auto used = parser.Feed(in_);
      if (!used) {
        refusal = core_->handler->OnFailure(used.error());
        co_return false;
      }
      in_.erase(0, *used);
      if (parser.head_done() && !head_checked) {
        head_checked = true;
        refusal = CheckHead(parser.request());
        // Without a body to skip, the connection can go on after a refusal.
        if (refusal) co_return parser.done();
        if (!parser.done()) {
          ArmDeadline(options.body_timeout);
          if (parser.expects_continue() && in_.empty()) {
            const bool sent = co_await WriteAll("HTTP/1.1 100 Continue\r\n\r\n");
            if (!sent) co_return false;
          }
          continue;
        }
      }
      if (parser.done()) break;
    }
    if (!co_await ReadMore()) {
      if (timed_out_ && !idle_) {
        refusal = core_->handler->OnFailure({408, "the request took too long to arrive"});
      }
      co_return false;
    }
  }
  DisarmDeadline();
  co_return true;
}

asio::awaitable<bool> Connection::ReadMore() {
  const auto [error] = co_await socket_.async_wait(asio::socket_base::wait_read, kAwait);
  if (error || timed_out_ || closed_) co_return false;
  co_return ReadAvailable();
}

bool Connection::ReadAvailable() {
  thread_local std::array<char, 64 * 1024> buffer;
  boost::system::error_code error;
  const size_t size = socket_.read_some(asio::buffer(buffer), error);
  if (error == asio::error::would_block || error == asio::error::try_again) return true;
  if (error) return false;
  in_.append(buffer.data(), size);
  return true;
}

asio::awaitable<bool> Connection::WriteAll(std::string_view data) {
  const milliseconds allowance(data.size() * 1000 / core_->options.min_bytes_per_second);
  bool armed = false;
  bool ok = true;
  while (!data.empty()) {
    if (closed_ || timed_out_) {
      ok = false;
      break;
    }
    boost::system::error_code error;
    const size_t size = socket_.write_some(asio::buffer(data.data(), data.size()), error);
    if (!error) {
      data.remove_prefix(size);
      bytes_sent_ += static_cast<long long>(size);
      continue;
    }
    if (error != asio::error::would_block && error != asio::error::try_again) {
      ok = false;
      break;
    }
    if (!armed) ArmDeadline(core_->options.write_timeout + allowance);
    armed = true;
    const auto [wait_error] = co_await socket_.async_wait(asio::socket_base::wait_write, kAwait);
    if (wait_error) {
      ok = false;
      break;
    }
  }
  if (armed) DisarmDeadline();
  co_return ok;
}

asio::awaitable<bool> Connection::WriteExchange(ExchangeImpl& exchange) {
  bool delivered = false;
  if (!exchange.finished()) WatchForClose();
  while (!closed_) {
    if (exchange.has_output()) {
      const std::string data = exchange.TakeOutput();
      if (!co_await WriteAll(data)) ClientGone();
    } else if (exchange.finished()) {
      delivered = true;
      break;
    } else {
      co_await Wait();
    }
  }
  if (watching_) {
    boost::system::error_code ignored;
    if (!closed_) socket_.cancel(ignored);
    while (watching_) co_await Wait();
  }
  co_return delivered && !closed_;
}

asio::awaitable<void> Connection::Refuse(const Request& request, const Response& response) {
  timed_out_ = false;
  bytes_sent_ = 0;
  std::string text =
      SerializeHead(response, static_cast<long long>(response.body.size()), false, false);
  if (request.method != "HEAD") text += response.body;
  // A named string: g++ 12 destroys temporaries of a co_await expression twice.
  const bool sent = co_await WriteAll(text);
  Summary summary;
  summary.method = request.method;
  summary.path = request.path;
  summary.peer = peer_;
  summary.status = response.status;
  summary.client_gone = !sent;
  Complete(std::move(summary));
  if (sent) co_await Linger();
}

asio::awaitable<void> Connection::Linger() {
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  ArmDeadline(kLingerTimeout);
  for (size_t discarded = 0; discarded < kLingerBytes;) {
    if (!co_await ReadMore()) break;
    discarded += in_.size();
    in_.clear();
  }
}

asio::awaitable<void> Connection::Wait() {
  wake_.expires_at(steady_clock::time_point::max());
  co_await wake_.async_wait(kAwait);
}

void Connection::Wake() { wake_.cancel(); }

void Connection::WatchForClose() {
  watching_ = true;
  socket_.async_wait(asio::socket_base::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->watching_ = false;
                       if (error || self->closed_) {
                         self->Wake();
                       } else {
                         self->OnWatched();
                       }
                     });
}

void Connection::OnWatched() {
  // A client that closes only its sending side is taken as gone too: the two cannot be told apart
  // before a write fails.
  if (!ReadAvailable() || in_.size() > kMaxReadAhead) {
    ClientGone();
  } else if (exchange_ != nullptr && !exchange_->finished()) {
    WatchForClose();
  }
  Wake();
}

void Connection::ArmDeadline(milliseconds delay) {
  const uint64_t serial = ++deadline_serial_;
  timed_out_ = false;
  deadline_.expires_after(delay);
  deadline_.async_wait([weak = weak_from_this(), serial](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || serial != self->deadline_serial_) return;
    self->timed_out_ = true;
    boost::system::error_code ignored;
    self->socket_.cancel(ignored);
  });
}

void Connection::DisarmDeadline() {
  ++deadline_serial_;
  timed_out_ = false;
  deadline_.cancel();
}

void Connection::ClientGone() {
  if (closed_) return;
  Close();
  if (exchange_ != nullptr) exchange_->Notify(CloseReason::kClientGone);
}

void Connection::Close() {
  closed_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
  Wake();
}

void Connection::Complete(Summary summary) {
  summary.bytes_sent = bytes_sent_;
  summary.duration_ms =
      std::chrono::duration<double, std::milli>(steady_clock::now() - request_start_).count();
  core_->handler->OnComplete(summary);
}

void Connection::CloseIfIdle() {
  asio::post(strand_, [self = shared_from_this()] {
    if (self->exchange_ == nullptr && self->idle_) self->Close();
  });
}

void Connection::CutExchange() {
  asio::post(strand_, [self = shared_from_this()] {
    if (self->exchange_ != nullptr) {
      self->exchange_->Notify(CloseReason::kServerStopping);
    } else {
      self->Close();
    }
  });
}

void Connection::CloseNow() {
  asio::post(strand_, [self = shared_from_this()] { self->ClientGone(); });
}

}  // namespace hearth::http
