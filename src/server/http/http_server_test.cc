#include "server/http/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "server/testing/test_client.h"

namespace hearth::http {
namespace {

using std::chrono::milliseconds;
using testing::Fetch;
using testing::MakeRequest;
using testing::TestClient;
using testing::TestResponse;

// /echo answers with the body; /stream writes pieces until the client leaves; /later answers when
// told to; /throw throws.
class TestHandler : public Handler {
 public:
  std::optional<Response> CheckHead(const Request& request) override {
    if (request.path != "/refused") return std::nullopt;
    return Response{.status = 403, .content_type = "text/plain", .headers = {}, .body = "no"};
  }
  void Handle(std::shared_ptr<Exchange> exchange) override {
    const std::string path = exchange->request().path;
    if (path == "/throw") throw std::runtime_error("handler");
    exchange->OnClose([this, weak = std::weak_ptr(exchange)](CloseReason reason) {
      ++(reason == CloseReason::kClientGone ? gone : stopping);
      if (reason == CloseReason::kServerStopping) {
        if (const auto self = weak.lock())
          self->Respond({.status = 503, .content_type = "", .headers = {}, .body = "stopped"});
      }
    });
    if (path == "/later") {
      const std::lock_guard lock(mutex);
      later = exchange;
    } else if (path == "/stream") {
      exchange->StartStream(
          {.status = 200, .content_type = "text/plain", .headers = {}, .body = ""});
      WritePiece(exchange, 0);
    } else {
      exchange->Respond({.status = 200,
                         .content_type = "text/plain",
                         .headers = {},
                         .body = std::move(exchange->request().body)});
    }
  }
  Response OnFailure(const Failure& failure) override {
    return {.status = failure.status,
            .content_type = "text/plain",
            .headers = {},
            .body = failure.message};
  }
  void OnComplete(const Summary& summary) override {
    const std::lock_guard lock(mutex);
    ++completed;
    last = summary;
  }

  void WritePiece(const std::shared_ptr<Exchange>& exchange, int count) {
    if (!exchange->Write(std::string(piece_bytes, 'x'))) return;
    ++written;
    if (count + 1 == max_pieces) return exchange->Finish();
    exchange->RunAfter(milliseconds(1),
                       [this, exchange, count] { WritePiece(exchange, count + 1); });
  }

  std::mutex mutex;
  std::shared_ptr<Exchange> later;
  Summary last;
  size_t piece_bytes = 10;
  int max_pieces = 1'000'000;
  std::atomic<int> gone = 0;
  std::atomic<int> stopping = 0;
  std::atomic<int> completed = 0;
  std::atomic<int> written = 0;
};

template <typename Condition>
bool Eventually(Condition condition, milliseconds timeout = milliseconds(5000)) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void Start() {
    options.port = 0;
    auto created = HttpServer::Create(options, &handler);
    ASSERT_TRUE(created) << created.error().message;
    server = std::move(*created);
    thread = std::thread([this] {
      server->Run();
      running = false;
    });
  }
  void TearDown() override {
    if (!server) return;
    server->Stop();
    server->Stop();
    thread.join();
    handler.later.reset();
  }
  uint16_t port() const { return server->port(); }

  ServerOptions options;
  TestHandler handler;
  std::unique_ptr<HttpServer> server;
  std::thread thread;
  std::atomic<bool> running = true;
};

TEST_F(HttpServerTest, AnswersOnAKeptConnection) {
  Start();
  TestClient client(port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send(MakeRequest("POST", "/echo", "hello")));
    const TestResponse response = client.Read();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello");
  }
  EXPECT_TRUE(Eventually([&] { return handler.completed == 3; }));
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  TestClient client(port());
  client.Send(MakeRequest("POST", "/echo", "1") + MakeRequest("POST", "/echo", "2") +
              MakeRequest("GET", "/throw") + MakeRequest("POST", "/echo", "3"));
  EXPECT_EQ(client.Read().body, "1");
  EXPECT_EQ(client.Read().body, "2");
  EXPECT_EQ(client.Read().status, 500);
  EXPECT_EQ(client.Read().body, "3");
}

TEST_F(HttpServerTest, HeadHasTheLengthButNoBody) {
  Start();
  TestClient client(port());
  client.Send("HEAD /echo HTTP/1.1\r\nHost: h\r\n\r\n" + MakeRequest("POST", "/echo", "next"));
  EXPECT_EQ(client.Read("HEAD").Header("Content-Length"), "0");
  EXPECT_EQ(client.Read().body, "next");
}

TEST_F(HttpServerTest, RefusesBeforeTheBodyArrives) {
  Start();
  TestClient client(port());
  client.Send("POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  const TestResponse response = client.Read();
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(response.Header("Connection"), "close");
  EXPECT_TRUE(client.WaitForClose());
}

TEST_F(HttpServerTest, SaysContinueToWhoAsks) {
  Start();
  TestClient client(port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(client.ReadUntil("\r\n\r\n").starts_with("HTTP/1.1 100 Continue"));
  client.Send("ok");
  EXPECT_EQ(client.Read().body, "ok");
}

TEST_F(HttpServerTest, StreamsInChunksAndToOldClientsUpToTheEnd) {
  handler.max_pieces = 3;
  Start();
  TestClient client(port());
  client.Send(MakeRequest("GET", "/stream"));
  const TestResponse chunked = client.Read();
  EXPECT_EQ(chunked.Header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(chunked.body, std::string(30, 'x'));
  client.Send("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.Read().body, std::string(30, 'x'));
}

TEST_F(HttpServerTest, NoticesAClientThatLeavesWhileItWaits) {
  Start();
  TestClient client(port());
  client.Send(MakeRequest("GET", "/later"));
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(handler.mutex);
    return handler.later != nullptr;
  }));
  const auto start = std::chrono::steady_clock::now();
  client.Close();
  ASSERT_TRUE(Eventually([&] { return handler.gone == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(200));
}

TEST_F(HttpServerTest, NoticesAResetMidStream) {
  Start();
  TestClient client(port());
  client.Send(MakeRequest("GET", "/stream"));
  client.ReadUntil("xxx");
  client.Reset();
  EXPECT_TRUE(Eventually([&] { return handler.gone == 1; }));
}

TEST_F(HttpServerTest, DropsAReaderThatFallsTooFarBehind) {
  options.max_buffered_bytes = 256 * 1024;
  options.send_buffer_bytes = 16 * 1024;
  handler.piece_bytes = 16 * 1024;
  Start();
  TestClient client(port(), 4096);
  client.Send(MakeRequest("GET", "/stream"));
  EXPECT_TRUE(Eventually([&] { return handler.gone == 1; }));
  // 256 KiB buffered here, and what sockets hold.
  EXPECT_LT(handler.written, 200);
}

TEST_F(HttpServerTest, GivesUpOnAReaderThatTakesNothing) {
  options.write_timeout = milliseconds(50);
  options.min_bytes_per_second = 1'000'000;
  options.send_buffer_bytes = 4096;
  handler.piece_bytes = 200 * 1024;
  handler.max_pieces = 4;
  Start();
  TestClient client(port(), 4096);
  client.Send(MakeRequest("GET", "/stream"));
  EXPECT_TRUE(Eventually([&] { return handler.completed == 1; }, milliseconds(60'000)));
}

TEST_F(HttpServerTest, EndsSlowHeadsSlowBodiesAndIdleConnections) {
  options.header_timeout = milliseconds(100);
  options.body_timeout = milliseconds(100);
  options.idle_timeout = milliseconds(100);
  Start();
  TestClient head(port());
  TestClient body(port());
  TestClient idle(port());
  TestClient silent(port());
  // One byte now and then does not move the deadline.
  std::thread trickle([&] {
    for (int i = 0; i < 50 && head.Send(i == 0 ? "GET / HTTP/1.1\r\n" : "X"); ++i) {
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  body.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  idle.Send(MakeRequest("POST", "/echo", "x"));
  EXPECT_EQ(idle.Read().status, 200);
  EXPECT_EQ(body.Read().status, 408);
  EXPECT_EQ(head.Read().status, 408);
  EXPECT_TRUE(idle.WaitForClose(milliseconds(2000)));
  EXPECT_TRUE(silent.WaitForClose(milliseconds(2000)));
  trickle.join();
  EXPECT_TRUE(Eventually([&] { return server->num_connections() == 0; }));
}

TEST_F(HttpServerTest, LimitsHeadersAndBodies) {
  options.parser = {.max_header_bytes = 1000, .max_body_bytes = 100};
  Start();
  EXPECT_EQ(Fetch(port(), "GET", "/echo", "", "X: " + std::string(2000, 'x') + "\r\n").status, 431);
  EXPECT_EQ(Fetch(port(), "POST", "/echo", std::string(101, 'x')).status, 413);
  EXPECT_EQ(Fetch(port(), "POST", "/echo", std::string(100, 'x')).status, 200);
}

TEST_F(HttpServerTest, RefusesMoreConnectionsThanItMayHave) {
  options.max_connections = 2;
  Start();
  TestClient first(port());
  TestClient second(port());
  ASSERT_TRUE(Eventually([&] { return server->num_connections() == 2; }));
  TestClient third(port());
  EXPECT_EQ(third.Read().status, 503);
}

TEST_F(HttpServerTest, HoldsManyIdleStreams) {
  Start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 300; ++i) {
    clients.push_back(std::make_unique<TestClient>(port()));
    clients.back()->Send(MakeRequest("GET", "/later"));
  }
  EXPECT_TRUE(Eventually([&] { return server->num_connections() == 300; }));
  EXPECT_EQ(Fetch(port(), "POST", "/echo", "still quick").body, "still quick");
}

TEST_F(HttpServerTest, ASecondServerOnThePortIsAnError) {
  Start();
  ServerOptions same = options;
  same.port = port();
  const auto second = HttpServer::Create(same, &handler);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kIo);
  EXPECT_NE(second.error().message.find(std::to_string(port())), std::string::npos);
}

TEST_F(HttpServerTest, StopLetsRunningResponsesFinish) {
  handler.max_pieces = 50;
  Start();
  TestClient client(port());
  TestClient idle(port());
  client.Send(MakeRequest("GET", "/stream"));
  client.ReadUntil("xxx");
  server->Stop();
  EXPECT_EQ(client.Read().body, std::string(500, 'x'));
  EXPECT_TRUE(idle.WaitForClose());
  EXPECT_TRUE(Eventually([&] { return !running; }));
  EXPECT_EQ(handler.stopping, 0);
}

TEST_F(HttpServerTest, StopCutsWhatDoesNotFinish) {
  options.stop_timeout = milliseconds(100);
  Start();
  TestClient client(port());
  client.Send(MakeRequest("GET", "/later"));
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(handler.mutex);
    return handler.later != nullptr;
  }));
  server->Stop();
  EXPECT_EQ(client.Read().body, "stopped");
  EXPECT_TRUE(Eventually([&] { return !running; }));
}

TEST_F(HttpServerTest, TellsWhatBecameOfARequest) {
  Start();
  Fetch(port(), "POST", "/echo?secret=1", "hello");
  ASSERT_TRUE(Eventually([&] { return handler.completed == 1; }));
  const std::lock_guard lock(handler.mutex);
  EXPECT_EQ(handler.last.method, "POST");
  EXPECT_EQ(handler.last.path, "/echo");
  EXPECT_EQ(handler.last.status, 200);
  EXPECT_EQ(handler.last.peer, "127.0.0.1");
  EXPECT_FALSE(handler.last.client_gone);
}

}  // namespace
}  // namespace hearth::http
