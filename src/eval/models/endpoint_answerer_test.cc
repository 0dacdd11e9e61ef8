// Against a server of a few lines: it gives prepared replies and keeps what it was sent.

#include "eval/models/endpoint_answerer.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "eval/json.h"

namespace hearth::eval {
namespace {

using ::testing::HasSubstr;

class CannedServer {
 public:
  explicit CannedServer(std::vector<std::string> replies) : replies_(std::move(replies)) {
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_, 8), 0);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~CannedServer() {
    // Wakes accept.
    shutdown(socket_, SHUT_RDWR);
    thread_.join();
    close(socket_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  const std::vector<std::string>& requests() const { return requests_; }

 private:
  void Serve() {
    for (const std::string& reply : replies_) {
      const int client = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      std::string request;
      std::array<char, 4096> buffer;
      // The body is JSON of one line and ends with its brace.
      while (!request.ends_with("}")) {
        const ssize_t count = recv(client, buffer.data(), buffer.size(), 0);
        if (count <= 0) break;
        request.append(buffer.data(), static_cast<size_t>(count));
      }
      requests_.push_back(request);
      send(client, reply.data(), reply.size(), MSG_NOSIGNAL);
      close(client);
    }
  }

  std::vector<std::string> replies_, requests_;
  int socket_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

std::string Reply(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

constexpr const char* kGood =
    R"({"choices":[{"message":{"role":"assistant","content":"hello"},"finish_reason":"length"}],)"
    R"("usage":{"prompt_tokens":7,"completion_tokens":2}})";

Question Hello() {
  Question question;
  ChatMessage message;
  message.role = "user";
  message.content = "say hello";
  question.prompt.messages.push_back(message);
  return question;
}

Result<ModelAnswer> AskOnce(const CannedServer& server) {
  EndpointOptions options;
  options.base_url = server.url();
  options.model = "some-model";
  options.api_key = "key";
  options.first_pause_ms = 1;
  options.num_retries = 2;
  return (*EndpointAnswerer::Create(options))->Ask(Hello());
}

TEST(Endpoint, AnAnswerComesBack) {
  CannedServer server({Reply(200, kGood)});
  const auto answer = AskOnce(server);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->text, "hello");
  EXPECT_TRUE(answer->cut_off);
  EXPECT_EQ(answer->prompt_tokens, 7);
  ASSERT_EQ(server.requests().size(), 1u);
  EXPECT_THAT(server.requests()[0], HasSubstr("POST /v1/chat/completions HTTP/1.1\r\n"));
  EXPECT_THAT(server.requests()[0], HasSubstr("Authorization: Bearer key\r\n"));
  EXPECT_THAT(server.requests()[0], HasSubstr(R"("content":"say hello")"));
}

TEST(Endpoint, ABusyServerIsAskedAgain) {
  CannedServer server({Reply(429, "{}"), Reply(503, "{}"), Reply(200, kGood)});
  EXPECT_TRUE(AskOnce(server));
  EXPECT_EQ(server.requests().size(), 3u);
}

TEST(Endpoint, AWrongKeyIsNotTriedTwice) {
  CannedServer server({Reply(401, R"({"error":{"message":"no such key"}})")});
  const auto answer = AskOnce(server);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kPermission);
  EXPECT_THAT(answer.error().message, HasSubstr("no such key"));
}

TEST(Endpoint, AQuestionThatIsTooLongIsRefusedNotFatal) {
  CannedServer server({Reply(400, R"({"error":{"message":"context is 2048"}})")});
  const auto answer = AskOnce(server);
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->refused, HasSubstr("context is 2048"));
}

TEST(ChatReply, ToolCallsBecomeText) {
  const auto answer = ParseChatReply(
      R"({"choices":[{"message":{"content":null,"tool_calls":[{"type":"function","function":)"
      R"({"name":"f","arguments":"{\"a\": 1}"}}]},"finish_reason":"tool_calls"}]})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->text, "\n<tool_call>\n{\"name\":\"f\",\"arguments\":{\"a\":1}}\n</tool_call>");
}

TEST(ChatReply, WhatIsNotTheApisIsAnError) {
  for (const char* body :
       {"", "[]", "{}", R"({"choices":[]})", R"({"choices":[{}]})", R"({"choices":[5]})"}) {
    EXPECT_FALSE(ParseChatReply(body)) << body;
  }
  EXPECT_TRUE(ParseChatReply(R"({"choices":[{"message":5}]})"));
}

TEST(ChatRequest, HoldsToolsAndSampling) {
  Question question = Hello();
  question.temperature = 0.5f;
  question.prompt.tools_json = R"([{"type":"function"}])";
  const Json json = Json::parse(ChatRequestJson("m", question));
  EXPECT_EQ(json["model"], "m");
  EXPECT_EQ(json["temperature"], 0.5);
  EXPECT_EQ(json["tools"][0]["type"], "function");
}

}  // namespace
}  // namespace hearth::eval
