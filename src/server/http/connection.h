#pragma once
// One client's connection: reads requests, hands them to the handler, writes what it answers,
// watches for the client to leave. Internal to http/. Threads: everything but the constructor runs
// on the connection's strand.

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "server/http/exchange.h"
#include "server/http/http_server.h"

namespace hearth::http {

class Connection;
class ExchangeImpl;

using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;

// What all connections share. Outlives the server while any exchange is still held by someone.
struct Core {
  explicit Core(const ServerOptions& server_options, Handler* server_handler)
      : options(server_options), handler(server_handler), context(server_options.io_threads) {}

  ServerOptions options;
  Handler* handler;
  std::atomic<bool> draining = false;  // Stop was called
  std::atomic<bool> stopped = false;   // Run is over; the handler may be gone
  std::mutex mutex;
  std::unordered_set<Connection*> connections;  // guarded by mutex
  // Last, so that it goes first: what is still queued in it refers to the members above.
  boost::asio::io_context context;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Core> core, boost::asio::ip::tcp::socket socket, Strand strand,
             std::string peer);
  ~Connection();

  // Starts the coroutine that keeps the connection alive.
  void Start();

  // The stages of a stop, from any thread.
  void CloseIfIdle();
  void CutExchange();
  void CloseNow();

 private:
  friend class ExchangeImpl;

  boost::asio::awaitable<void> Run();
  // These return false when the connection is over.
  boost::asio::awaitable<bool> ServeOne();
  // Leaves `refusal` set for a request that shall not be handled.
  boost::asio::awaitable<bool> ReadRequest(RequestParser& parser, std::optional<Response>& refusal);
  boost::asio::awaitable<bool> ReadMore();
  boost::asio::awaitable<bool> WriteAll(std::string_view data);
  boost::asio::awaitable<bool> WriteExchange(ExchangeImpl& exchange);
  boost::asio::awaitable<void> Refuse(const Request& request, const Response& response);
  // Lets the client read the last response before the connection goes: closing with unread input
  // would reset it.
  boost::asio::awaitable<void> Linger();
  boost::asio::awaitable<void> Wait();

  // Reads without waiting into in_. False: end of file or an error.
  bool ReadAvailable();
  // While a handler is at work nobody reads, so nobody would see the client leave.
  void WatchForClose();
  void OnWatched();
  void ArmDeadline(std::chrono::milliseconds delay);
  void DisarmDeadline();
  void Wake();
  void ClientGone();
  void Close();
  void Complete(Summary summary);
  // Looks at a head that has just been read.
  std::optional<Response> CheckHead(const Request& request);

  std::shared_ptr<Core> core_;
  Strand strand_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer wake_;  // never fires by itself: a condition variable for coroutines
  uint64_t deadline_serial_ = 0;
  std::string peer_;
  std::string in_;                          // received, not yet parsed
  std::shared_ptr<ExchangeImpl> exchange_;  // while a handler is at work
  std::chrono::steady_clock::time_point request_start_;
  bool first_request_ = true;
  bool idle_ = true;  // waiting for the first byte of a request
  bool watching_ = false;
  bool timed_out_ = false;
  bool closed_ = false;
  long long bytes_sent_ = 0;  // of the current response
};

}  // namespace hearth::http
