#include "server/http/http_server.h"

#include <netdb.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "server/http/connection.h"

namespace hearth::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// Out of file descriptors, the connection that could not be accepted stays ready: without a pause
// the loop would spin on it.
constexpr milliseconds kAcceptPause{100};
constexpr milliseconds kDrainPoll{10};
constexpr milliseconds kFlushTimeout{1000};  // for the errors that cut responses end with
constexpr int kReservedFiles = 128;  // models, logs, the page's own connections to elsewhere

// Raises the soft limit on open files where that is needed, and returns how many connections it
// then allows.
int ConnectionLimit(int wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const rlim_t needed = static_cast<rlim_t>(wanted) + kReservedFiles;
  if (limit.rlim_cur < needed) {
    rlimit raised = limit;
    raised.rlim_cur = std::min(needed, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  if (limit.rlim_cur >= needed) return wanted;
  return std::max(16, static_cast<int>(limit.rlim_cur) - kReservedFiles);
}

Result<tcp::endpoint> Resolve(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "cannot listen on \"" + host + "\": " + gai_strerror(code));
  }
  // "localhost" may be both ::1 and 127.0.0.1; clients that try only one try the latter.
  const addrinfo* chosen = found;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET) {
      chosen = entry;
      break;
    }
  }
  tcp::endpoint endpoint;
  std::memcpy(endpoint.data(), chosen->ai_addr, chosen->ai_addrlen);
  endpoint.resize(chosen->ai_addrlen);
  freeaddrinfo(found);
  return endpoint;
}

}  // namespace

struct HttpServer::Impl {
  Impl(const ServerOptions& options, Handler* handler)
      : core(std::make_shared<Core>(options, handler)),
        acceptor(core->context),
        pause(core->context),
        drain_timer(core->context),
        signals(core->context) {}

  Status Listen() {
    const ServerOptions& options = core->options;
    HEARTH_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, Resolve(options.host, options.port));
    boost::system::error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
    if (error) {
      return MakeError(ErrorCode::kIo, "cannot listen on " + options.host + ":" +
                                           std::to_string(options.port) + ": " + error.message());
    }
    port = acceptor.local_endpoint(error).port();
    return {};
  }

  asio::awaitable<void> AcceptLoop() {
    while (acceptor.is_open()) {
      auto strand = asio::make_strand(core->context);
      auto [error, socket] = co_await acceptor.async_accept(strand, kAwait);
      if (!acceptor.is_open()) co_return;
      if (error) {
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(kAwait);
        continue;
      }
      Admit(std::move(socket), std::move(strand));
    }
  }

  void Admit(tcp::socket socket, Strand strand) {
    boost::system::error_code error;
    socket.non_blocking(true, error);
    if (!error) socket.set_option(tcp::no_delay(true), error);
    if (error) return;
    if (core->options.send_buffer_bytes > 0) {
      socket.set_option(asio::socket_base::send_buffer_size(core->options.send_buffer_bytes),
                        error);
    }
    const tcp::endpoint remote = socket.remote_endpoint(error);
    if (error) return;
    if (NumConnections() >= core->options.max_connections) {
      Response response = core->handler->OnFailure({503, "too many connections"});
      const std::string text =
          SerializeHead(response, static_cast<long long>(response.body.size()), false, false) +
          response.body;
      // Best effort: an empty send buffer takes it whole.
      socket.write_some(asio::buffer(text), error);
      socket.shutdown(tcp::socket::shutdown_both, error);
      return;
    }
    std::make_shared<Connection>(core, std::move(socket), std::move(strand),
                                 remote.address().to_string())
        ->Start();
  }

  int NumConnections() {
    const std::lock_guard lock(core->mutex);
    return static_cast<int>(core->connections.size());
  }

  void ForEachConnection(void (Connection::*method)()) {
    std::vector<std::shared_ptr<Connection>> connections;
    {
      const std::lock_guard lock(core->mutex);
      for (Connection* connection : core->connections) {
        if (auto shared = connection->weak_from_this().lock())
          connections.push_back(std::move(shared));
      }
    }
    for (const auto& connection : connections) ((*connection).*method)();
  }

  asio::awaitable<void> WaitForConnections(milliseconds timeout) {
    const auto deadline = steady_clock::now() + timeout;
    while (NumConnections() > 0 && steady_clock::now() < deadline && !hurry) {
      drain_timer.expires_after(kDrainPoll);
      co_await drain_timer.async_wait(kAwait);
    }
  }

  asio::awaitable<void> Drain() {
    boost::system::error_code ignored;
    acceptor.close(ignored);
    pause.cancel();
    ForEachConnection(&Connection::CloseIfIdle);
    co_await WaitForConnections(core->options.stop_timeout);
    hurry = false;
    ForEachConnection(&Connection::CutExchange);
    co_await WaitForConnections(kFlushTimeout);
    ForEachConnection(&Connection::CloseNow);
    hurry = false;
    co_await WaitForConnections(kFlushTimeout);
    core->context.stop();
  }

  // On the context.
  void BeginStop() {
    if (core->draining.exchange(true)) {
      hurry = true;
      return;
    }
    asio::co_spawn(core->context, Drain(), asio::detached);
  }

  void WaitForSignal() {
    signals.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      BeginStop();
      WaitForSignal();
    });
  }

  void RunContext() {
    while (!core->context.stopped()) {
      try {
        core->context.run();
      } catch (const std::exception&) {
        // Out of memory in a library's handler; the connection it belonged to is lost, the server
        // is not.
      }
    }
  }

  std::shared_ptr<Core> core;
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  asio::steady_timer drain_timer;
  asio::signal_set signals;
  std::atomic<bool> hurry = false;  // asked to stop twice
  uint16_t port = 0;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { impl_->core->stopped = true; }

Result<std::unique_ptr<HttpServer>> HttpServer::Create(const ServerOptions& options,
                                                       Handler* handler) {
  ServerOptions effective = options;
  effective.io_threads = std::max(1, options.io_threads);
  effective.max_connections = ConnectionLimit(options.max_connections);
  auto impl = std::make_unique<Impl>(effective, handler);
  HEARTH_RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

uint16_t HttpServer::port() const { return impl_->port; }
int HttpServer::num_connections() const { return impl_->NumConnections(); }

void HttpServer::Run() {
  Impl& impl = *impl_;
  if (impl.core->options.stop_on_signals) {
    boost::system::error_code ignored;
    impl.signals.add(SIGTERM, ignored);
    impl.signals.add(SIGINT, ignored);
    impl.WaitForSignal();
  }
  asio::co_spawn(impl.core->context, impl.AcceptLoop(), asio::detached);
  std::vector<std::thread> threads;
  for (int i = 1; i < impl.core->options.io_threads; ++i) {
    threads.emplace_back([&impl] { impl.RunContext(); });
  }
  impl.RunContext();
  for (std::thread& thread : threads) thread.join();
  impl.core->stopped = true;
}

void HttpServer::Stop() {
  asio::post(impl_->core->context, [impl = impl_.get()] { impl->BeginStop(); });
}

}  // namespace hearth::http
