// The whole server over loopback, with a scripted backend behind it.

#include "server/openai/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "server/http/http_server.h"
#include "server/openai/base64.h"
#include "server/openai/log_line.h"
#include "server/testing/fake_backend.h"
#include "server/testing/test_client.h"

namespace hearth::openai {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using testing::FakeBackend;
using testing::FakeOptions;
using ::testing::HasSubstr;
using testing::MakeRequest;
using ::testing::Not;
using testing::TestClient;
using testing::TestResponse;

const char kHi[] = R"({"messages":[{"role":"user","content":"hi"}]})";

std::string Chat(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}],)" + fields + "}";
}

template <typename Condition>
bool Eventually(Condition condition, milliseconds timeout = milliseconds(5000)) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

// The data of each event of a stream.
std::vector<std::string> Events(const std::string& body) {
  std::vector<std::string> events;
  size_t begin = 0;
  while (begin < body.size()) {
    const size_t end = body.find("\n\n", begin);
    if (end == std::string::npos) {
      ADD_FAILURE() << "the stream ends within an event";
      break;
    }
    const std::string event = body.substr(begin, end - begin);
    if (event.starts_with("data: ")) events.push_back(event.substr(6));
    begin = end + 2;
  }
  return events;
}

class ApiTest : public ::testing::Test {
 protected:
  void Start(bool attach = true) {
    backend = std::make_unique<FakeBackend>(fake);
    options.model_id = "fake";
    options.version = "1.2.3";
    options.on_complete = [this](const http::Summary& summary) {
      const std::lock_guard lock(mutex);
      log.push_back(FormatLogLine(summary));
    };
    api = std::make_unique<Api>(options);
    if (attach) api->Attach(backend.get());
    http_options.port = 0;
    auto created = http::HttpServer::Create(http_options, api.get());
    ASSERT_TRUE(created) << created.error().message;
    server = std::move(*created);
    thread = std::thread([this] { server->Run(); });
  }
  void TearDown() override {
    if (!server) return;
    server->Stop();
    server->Stop();
    thread.join();
    backend.reset();
    server.reset();
    api.reset();
  }
  TestResponse Get(std::string_view path, std::string_view headers = "") {
    return testing::Fetch(server->port(), "GET", path, "", headers);
  }
  TestResponse Post(std::string_view path, std::string_view body, std::string_view headers = "") {
    return testing::Fetch(server->port(), "POST", path, body, headers);
  }
  Json PostJson(std::string_view path, std::string_view body) {
    const TestResponse response = Post(path, body);
    EXPECT_EQ(response.status, 200) << response.body;
    return Json::parse(response.body, nullptr, false);
  }
  Json ErrorOf(std::string_view path, std::string_view body, int status = 400) {
    const TestResponse response = Post(path, body);
    EXPECT_EQ(response.status, status) << response.body;
    EXPECT_EQ(response.Header("Content-Type"), "application/json");
    const Json json = Json::parse(response.body, nullptr, false);
    return json.is_object() && json.contains("error") ? json["error"] : Json::object();
  }
  std::vector<Json> Stream(std::string_view path, std::string_view body) {
    const TestResponse response = Post(path, body);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.Header("Content-Type"), "text/event-stream");
    std::vector<Json> chunks;
    for (const std::string& event : Events(response.body)) {
      if (event == "[DONE]") continue;
      chunks.push_back(Json::parse(event, nullptr, false));
    }
    EXPECT_THAT(response.body, ::testing::EndsWith("data: [DONE]\n\n"));
    return chunks;
  }

  FakeOptions fake;
  ApiOptions options;
  http::ServerOptions http_options;
  std::unique_ptr<FakeBackend> backend;
  std::unique_ptr<Api> api;
  std::unique_ptr<http::HttpServer> server;
  std::thread thread;
  std::mutex mutex;
  std::vector<std::string> log;
};

TEST_F(ApiTest, AnswersAChat) {
  Start();
  const Json json = PostJson("/v1/chat/completions", kHi);
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "fake");
  EXPECT_TRUE(json["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["choices"][0]["message"]["content"], "Hello there!");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(json["usage"]["prompt_tokens"], 10);  // BOS, "user: hi\n"
  EXPECT_EQ(json["usage"]["completion_tokens"], 13);
  EXPECT_EQ(json["usage"]["total_tokens"], 23);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(ApiTest, StreamsAChat) {
  Start();
  const std::vector<Json> chunks = Stream(
      "/v1/chat/completions", Chat(R"("stream":true,"stream_options":{"include_usage":true})"));
  ASSERT_EQ(chunks.size(), 1u + 12 + 1 + 1);
  std::string text;
  for (const Json& chunk : chunks) {
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["id"], chunks[0]["id"]);
    ASSERT_TRUE(chunk.contains("usage"));
    if (chunk["choices"].empty()) continue;
    text += chunk["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(text, "Hello there!");
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(chunks[13]["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(chunks[13]["hearth"]["timings"].contains("decode_ms"));
  EXPECT_EQ(chunks[14]["choices"], Json::array());
  EXPECT_EQ(chunks[14]["usage"]["total_tokens"], 23);
}

TEST_F(ApiTest, StreamsWithoutUsageWhenNotAsked) {
  Start();
  for (const Json& chunk : Stream("/v1/chat/completions", Chat(R"("stream":true)"))) {
    EXPECT_FALSE(chunk.contains("usage"));
    EXPECT_EQ(chunk["choices"].size(), 1u);
  }
}

TEST_F(ApiTest, PassesSamplingOn) {
  Start();
  PostJson("/v1/chat/completions",
           Chat(R"("temperature":0.3,"top_k":7,"seed":42,"max_tokens":2,"stop":["x"],"n":2)"));
  const GenerateRequest request = backend->last_request();
  EXPECT_FLOAT_EQ(request.sampling.temperature, 0.3f);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.seed, 42u);
  EXPECT_EQ(request.sampling.choice, 1);
  EXPECT_EQ(request.max_tokens, 2);
  EXPECT_THAT(request.stop, ElementsAre("x"));
  PostJson("/v1/chat/completions", kHi);
  const uint64_t first = backend->last_request().sampling.seed;
  PostJson("/v1/chat/completions", kHi);
  EXPECT_NE(backend->last_request().sampling.seed, first);
}

TEST_F(ApiTest, GivesSeveralChoicesAndCountsThePromptOnce) {
  Start();
  const Json json = PostJson("/v1/chat/completions", Chat(R"("n":3,"max_tokens":5)"));
  ASSERT_EQ(json["choices"].size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(json["choices"][i]["index"], i);
    EXPECT_EQ(json["choices"][i]["finish_reason"], "length");
  }
  EXPECT_EQ(json["usage"]["prompt_tokens"], 10);
  EXPECT_EQ(json["usage"]["completion_tokens"], 15);
}

TEST_F(ApiTest, GivesLogprobsOfChats) {
  Start();
  const Json json =
      PostJson("/v1/chat/completions", Chat(R"("logprobs":true,"top_logprobs":2,"max_tokens":2)"));
  const Json& content = json["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2u);
  EXPECT_EQ(content[0]["token"], "H");
  EXPECT_EQ(content[0]["bytes"], Json::array({72}));
  EXPECT_FLOAT_EQ(content[0]["logprob"].get<float>(), -0.5f);
  ASSERT_EQ(content[0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(content[0]["top_logprobs"][1]["token"], "I");
  const auto chunks =
      Stream("/v1/chat/completions", Chat(R"("logprobs":true,"max_tokens":2,"stream":true)"));
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"]["content"][0]["token"], "H");
}

TEST_F(ApiTest, CompletesPromptsOfAllShapes) {
  Start();
  EXPECT_EQ(PostJson("/v1/completions", R"({"prompt":"a","max_tokens":5})")["choices"][0]["text"],
            "Hello");
  const Json json =
      PostJson("/v1/completions", R"({"prompt":[[97,98],[99]],"n":2,"max_tokens":3})");
  ASSERT_EQ(json["choices"].size(), 4u);
  EXPECT_EQ(json["choices"][3]["index"], 3);
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(json["usage"]["completion_tokens"], 12);
}

TEST_F(ApiTest, ManyPromptsOfOneRequestPassThroughAShortQueue) {
  fake.max_running = 16;
  Start();
  std::string prompts = "[\"0\"";
  for (int i = 1; i < 100; ++i) prompts += ",\"" + std::to_string(i) + "\"";
  const Json json = PostJson("/v1/completions", R"({"max_tokens":2,"prompt":)" + prompts + "]}");
  ASSERT_EQ(json["choices"].size(), 100u);
  EXPECT_EQ(json["choices"][99]["text"], "He");
}

TEST_F(ApiTest, EchoesWithLogprobsAsEvaluationHarnessesReadThem) {
  Start();
  const Json json =
      PostJson("/v1/completions",
               R"({"prompt":[97,98,99],"max_tokens":1,"echo":true,"logprobs":1,"temperature":0})");
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["text"], "abcH");
  const Json& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json::array({"a", "b", "c", "H"}));
  EXPECT_EQ(logprobs["text_offset"], Json::array({0, 1, 2, 3}));
  ASSERT_EQ(logprobs["token_logprobs"].size(), 4u);
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_FLOAT_EQ(logprobs["top_logprobs"][1]["b"].get<float>(), -0.5f);
  EXPECT_TRUE(backend->last_request().ignore_end_of_turn);
  const Json none =
      PostJson("/v1/completions", R"({"prompt":"abc","max_tokens":0,"echo":true,"logprobs":0})");
  EXPECT_EQ(none["choices"][0]["text"], "abc");
  EXPECT_EQ(none["choices"][0]["logprobs"]["tokens"].size(), 4u);  // BOS too
}

TEST_F(ApiTest, StreamsCompletionsWithEcho) {
  Start();
  std::string text;
  const auto chunks =
      Stream("/v1/completions",
             R"({"prompt":"abc","max_tokens":3,"echo":true,"stream":true,"logprobs":0})");
  size_t tokens = 0;
  for (const Json& chunk : chunks) {
    text += chunk["choices"][0]["text"];
    tokens += chunk["choices"][0]["logprobs"]["tokens"].size();
  }
  EXPECT_EQ(text, "abcHel");
  EXPECT_EQ(tokens, 7u);
  EXPECT_EQ(chunks.back()["choices"][0]["finish_reason"], "length");
}

TEST_F(ApiTest, BrokenCharactersStayValidJson) {
  fake.answer = "\xc3\xa9\xff";
  Start();
  const Json json = PostJson("/v1/completions", R"({"prompt":"a","logprobs":1})");
  EXPECT_EQ(json["choices"][0]["logprobs"]["tokens"][0], "bytes:\\xc3");
  const Json chat = PostJson("/v1/chat/completions", Chat(R"("logprobs":true)"));
  EXPECT_EQ(chat["choices"][0]["logprobs"]["content"][0]["bytes"], Json::array({0xc3}));
}

TEST_F(ApiTest, NamesWhatIsWrong) {
  Start();
  EXPECT_EQ(ErrorOf("/v1/chat/completions", Chat(R"("temperature":"hot")"))["param"],
            "temperature");
  EXPECT_EQ(ErrorOf("/v1/chat/completions", "{")["code"], "invalid_json");
  EXPECT_EQ(ErrorOf("/v1/chat/completions", Chat(R"("model":"gpt-9")"), 404)["code"],
            "model_not_found");
  EXPECT_EQ(ErrorOf("/v1/chat/completions", Chat(R"("logit_bias":{"300":1})"))["param"],
            "logit_bias.300");
  const Json refused =
      ErrorOf("/v1/chat/completions", R"({"messages":[{"role":"user","content":"refuse"}]})");
  EXPECT_EQ(refused["param"], "messages");
  EXPECT_EQ(refused["message"], "the template refuses");
  EXPECT_EQ(ErrorOf("/v1/completions", R"({"prompt":[300]})")["param"], "prompt");
  EXPECT_EQ(ErrorOf("/v1/embeddings", R"({"input":"a"})")["param"], "model");
  EXPECT_EQ(ErrorOf("/detokenize", R"({"tokens":[5000]})")["param"], "tokens");
}

TEST_F(ApiTest, RefusesPromptsLongerThanTheContext) {
  fake.context_length = 100;
  Start();
  const std::string prompt(100, 'x');
  const Json error = ErrorOf("/v1/completions", R"({"prompt":")" + prompt + "\"}");
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["param"], "prompt");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("101"));
  EXPECT_EQ(ErrorOf("/v1/chat/completions",
                    R"({"messages":[{"role":"user","content":")" + prompt + "\"}]}")["param"],
            "messages");
  EXPECT_EQ(PostJson("/v1/completions", R"({"max_tokens":1,"prompt":")" + prompt.substr(0, 98) +
                                            "\"}")["usage"]["prompt_tokens"],
            99);
}

TEST_F(ApiTest, LimitsPromptBytes) {
  options.max_prompt_bytes = 1000;
  Start();
  EXPECT_EQ(ErrorOf("/v1/completions", R"({"prompt":")" + std::string(1001, 'x') + "\"}")["param"],
            "prompt");
  EXPECT_EQ(ErrorOf("/tokenize", R"({"prompt":")" + std::string(1001, 'x') + "\"}")["param"],
            "prompt");
}

TEST_F(ApiTest, AFullQueueIs429WithRetryAfter) {
  fake.max_running = 1;
  fake.endless = true;
  fake.token_delay = milliseconds(5);
  Start();
  TestClient first(server->port());
  first.Send(MakeRequest("POST", "/v1/chat/completions", Chat(R"("stream":true)")));
  first.ReadUntil("content\":\"H");
  const TestResponse second = Post("/v1/chat/completions", kHi);
  EXPECT_EQ(second.status, 429);
  EXPECT_FALSE(second.Header("Retry-After").empty());
  EXPECT_EQ(Json::parse(second.body)["error"]["code"], "rate_limit_exceeded");
  first.Close();
  ASSERT_TRUE(Eventually([&] { return backend->num_running() == 0; }));
  fake.endless = false;
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":"a","max_tokens":1})").status, 200);
}

TEST_F(ApiTest, SeveralChoicesThatDoNotFitLeaveNothingBehind) {
  fake.max_running = 2;
  fake.endless = true;
  fake.token_delay = milliseconds(5);
  Start();
  EXPECT_EQ(Post("/v1/chat/completions", Chat(R"("n":4)")).status, 429);
  EXPECT_TRUE(Eventually([&] { return backend->num_running() == 0; }));
}

TEST_F(ApiTest, AClientThatLeavesCancelsItsStream) {
  fake.endless = true;
  fake.token_delay = milliseconds(2);
  Start();
  TestClient client(server->port());
  client.Send(MakeRequest("POST", "/v1/chat/completions", Chat(R"("stream":true,"n":2)")));
  client.ReadUntil("content\":\"H");
  const auto start = std::chrono::steady_clock::now();
  client.Close();
  ASSERT_TRUE(Eventually([&] { return backend->num_cancelled() == 2; }));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(500));
  EXPECT_TRUE(Eventually([&] { return backend->num_running() == 0; }));
  EXPECT_TRUE(Eventually([&] {
    return Get("/metrics").body.find("hearth:client_disconnects_total{model_name=\"fake\"} 1") !=
           std::string::npos;
  }));
}

TEST_F(ApiTest, AClientThatLeavesDuringPrefillCancelsIt) {
  fake.prefill_delay = milliseconds(60'000);
  Start();
  TestClient client(server->port());
  client.Send(MakeRequest("POST", "/v1/chat/completions", kHi));
  ASSERT_TRUE(Eventually([&] { return backend->num_running() == 1; }));
  client.Reset();
  EXPECT_TRUE(Eventually([&] { return backend->num_running() == 0; }));
  EXPECT_EQ(backend->num_generated(), 0);
}

TEST_F(ApiTest, AReaderThatDoesNotReadIsDroppedAndItsRequestCancelled) {
  fake.endless = true;
  http_options.max_buffered_bytes = 64 * 1024;
  http_options.send_buffer_bytes = 8 * 1024;
  fake.context_length = 1'000'000;
  Start();
  TestClient client(server->port(), 4096);
  client.Send(MakeRequest("POST", "/v1/chat/completions", Chat(R"("stream":true)")));
  EXPECT_TRUE(Eventually([&] { return backend->num_cancelled() == 1; }, milliseconds(20'000)));
}

TEST_F(ApiTest, AFailureBeforeTheFirstTokenHasItsOwnStatus) {
  fake.fail_after = 0;
  Start();
  for (const char* body : {R"("stream":true)", R"("stream":false)"}) {
    const Json error = ErrorOf("/v1/chat/completions", Chat(body), 500);
    EXPECT_EQ(error["type"], "server_error");
    EXPECT_THAT(error["message"].get<std::string>(), Not(HasSubstr("secret")));
  }
}

TEST_F(ApiTest, AFailureMidStreamIsAnErrorEvent) {
  fake.fail_after = 3;
  Start();
  const TestResponse response = Post("/v1/chat/completions", Chat(R"("stream":true)"));
  EXPECT_EQ(response.status, 200);
  const auto events = Events(response.body);
  EXPECT_EQ(Json::parse(events.back())["error"]["type"], "server_error");
  EXPECT_THAT(response.body, Not(HasSubstr("[DONE]")));
}

TEST_F(ApiTest, AnAnswerThatTakesTooLongEnds) {
  fake.endless = true;
  fake.token_delay = milliseconds(2);
  fake.prefill_delay = milliseconds(20);
  options.request_timeout = milliseconds(100);
  Start();
  EXPECT_EQ(ErrorOf("/v1/chat/completions", kHi, 504)["code"], "timeout");
  const TestResponse stream = Post("/v1/chat/completions", Chat(R"("stream":true)"));
  EXPECT_EQ(Json::parse(Events(stream.body).back())["error"]["code"], "timeout");
  EXPECT_TRUE(Eventually([&] { return backend->num_running() == 0; }));
}

TEST_F(ApiTest, SilentStreamsAreKeptAlive) {
  fake.prefill_delay = milliseconds(150);
  options.keep_alive = milliseconds(20);
  Start();
  const TestResponse response = Post("/v1/chat/completions", Chat(R"("stream":true)"));
  EXPECT_TRUE(response.body.starts_with(": still here\n\n"));
  EXPECT_THAT(response.body, HasSubstr("[DONE]"));
}

TEST_F(ApiTest, EmbedsAsFloatsAndBase64) {
  fake.embedding_model = true;
  Start();
  const Json json = PostJson("/v1/embeddings", R"({"input":["ab","c"]})");
  ASSERT_EQ(json["data"].size(), 2u);
  EXPECT_EQ(json["data"][1]["index"], 1);
  EXPECT_EQ(json["data"][0]["embedding"], Json::array({0.5, -0.5, 0.5, 0.5}));
  EXPECT_EQ(json["usage"]["total_tokens"], 3);
  const Json coded =
      PostJson("/v1/embeddings", R"({"input":"ab","encoding_format":"base64","dimensions":4})");
  EXPECT_EQ(coded["data"][0]["embedding"], "AAAAPwAAAL8AAAA/AAAAPw==");
  EXPECT_EQ(ErrorOf("/v1/embeddings", R"({"input":"a","dimensions":3})")["param"], "dimensions");
  EXPECT_EQ(ErrorOf("/v1/chat/completions", kHi)["param"], "model");
}

TEST_F(ApiTest, TokenizesAndDetokenizes) {
  Start();
  EXPECT_EQ(PostJson("/tokenize", R"({"prompt":"ab"})")["tokens"], Json::array({256, 97, 98}));
  const Json pieces = PostJson("/tokenize", R"({"content":"ab","with_pieces":true})");
  EXPECT_EQ(pieces["count"], 2);
  EXPECT_EQ(pieces["token_strs"], Json::array({"a", "b"}));
  EXPECT_EQ(PostJson("/tokenize", kHi)["count"], 10);
  EXPECT_EQ(PostJson("/detokenize", R"({"tokens":[97,98]})")["prompt"], "ab");
}

TEST_F(ApiTest, ListsItsModel) {
  Start();
  const Json list = Json::parse(Get("/v1/models").body);
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"][0]["id"], "fake");
  EXPECT_EQ(list["data"][0]["hearth"]["can_generate"], true);
  EXPECT_EQ(Json::parse(Get("/v1/models/fake").body)["object"], "model");
  EXPECT_EQ(Get("/v1/models/other").status, 404);
  EXPECT_EQ(Get("/v1/models/").status, 200);
}

TEST_F(ApiTest, TellsItsHealthAndStatus) {
  Start();
  EXPECT_EQ(Json::parse(Get("/health").body)["status"], "ok");
  EXPECT_EQ(Get("/ready").status, 200);
  const Json status = Json::parse(Get("/api/status").body);
  EXPECT_EQ(status["version"], "1.2.3");
  EXPECT_EQ(status["model"]["id"], "fake");
  EXPECT_EQ(status["requests"]["running"], 0);
}

TEST_F(ApiTest, IsAliveButNotReadyWhileTheModelLoads) {
  Start(/*attach=*/false);
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_EQ(Get("/v1/models").status, 200);
  EXPECT_EQ(Get("/metrics").status, 200);
  const TestResponse ready = Get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_FALSE(ready.Header("Retry-After").empty());
  EXPECT_EQ(Post("/v1/chat/completions", kHi).status, 503);
  api->Attach(backend.get());
  EXPECT_EQ(Get("/ready").status, 200);
  EXPECT_EQ(Post("/v1/chat/completions", kHi).status, 200);
}

TEST_F(ApiTest, CountsWhatItDoes) {
  Start();
  PostJson("/v1/chat/completions", kHi);
  Post("/v1/chat/completions", "{");
  Get("/made/up/path");
  const TestResponse response = Get("/metrics");
  EXPECT_TRUE(response.Header("Content-Type").starts_with("text/plain; version=0.0.4"));
  const std::string& text = response.body;
  for (const char* line :
       {"vllm:prompt_tokens_total{model_name=\"fake\"} 10",
        "vllm:generation_tokens_total{model_name=\"fake\"} 12",
        "vllm:num_requests_running{model_name=\"fake\"} 0", "vllm:num_requests_waiting{",
        "vllm:kv_cache_usage_perc{", "vllm:prefix_cache_queries_total{model_name=\"fake\"} 100",
        "vllm:prefix_cache_hits_total{model_name=\"fake\"} 40",
        "vllm:time_to_first_token_seconds_count{model_name=\"fake\"} 1",
        "vllm:inter_token_latency_seconds_count{model_name=\"fake\"} 11",
        "vllm:time_per_output_token_seconds_bucket{",
        "vllm:e2e_request_latency_seconds_count{model_name=\"fake\"} 1",
        "finished_reason=\"stop\"} 1", "finished_reason=\"length\"} 0",
        "vllm:num_preemptions_total{", "route=\"/v1/chat/completions\",status=\"400\"} 1",
        "route=\"other\",status=\"404\"} 1"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("made/up")));
}

TEST_F(ApiTest, AsksForTheKeyEverywhereButAtHealthAndThePage) {
  options.access.api_keys = {"sesame"};
  Start();
  for (const char* path : {"/v1/models", "/metrics", "/api/status", "/nowhere"})
    EXPECT_EQ(Get(path).status, 401) << path;
  for (const char* path : {"/", "/health", "/ready"}) EXPECT_EQ(Get(path).status, 200) << path;
  const TestResponse refused = Post("/v1/chat/completions", kHi);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.Header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(Json::parse(refused.body)["error"]["code"], "invalid_api_key");
  EXPECT_EQ(Post("/v1/chat/completions", kHi, "Authorization: Bearer sesame\r\n").status, 200);
  EXPECT_EQ(Post("/v1/chat/completions", kHi, "Authorization: Bearer Sesame\r\n").status, 401);
}

TEST_F(ApiTest, RefusesForeignHostsAndOrigins) {
  Start();
  EXPECT_EQ(Get("/health", "Host: evil.org\r\n").status, 403);
  EXPECT_EQ(Post("/v1/chat/completions", kHi, "Origin: https://evil.org\r\n").status, 403);
  EXPECT_EQ(Post("/v1/chat/completions", kHi, "Origin: null\r\n").status, 403);
  EXPECT_EQ(Post("/v1/chat/completions", kHi, "Origin: http://localhost\r\n").status, 200);
  EXPECT_EQ(Post("/v1/chat/completions", kHi, "Content-Type: text/plain\r\n").status, 415);
  EXPECT_EQ(backend->num_generated(), 12);
}

TEST_F(ApiTest, AnswersPreflightsOfAllowedPages) {
  options.access.allowed_origins = {"https://ok.example"};
  Start();
  const TestResponse preflight =
      testing::Fetch(server->port(), "OPTIONS", "/v1/chat/completions", "",
                     "Origin: https://ok.example\r\nAccess-Control-Request-Method: POST\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.Header("Access-Control-Allow-Origin"), "https://ok.example");
  EXPECT_THAT(preflight.Header("Access-Control-Allow-Headers"), HasSubstr("Authorization"));
  const TestResponse stream =
      Post("/v1/chat/completions", Chat(R"("stream":true)"), "Origin: https://ok.example\r\n");
  EXPECT_EQ(stream.Header("Access-Control-Allow-Origin"), "https://ok.example");
  EXPECT_EQ(Get("/v1/models").Header("Access-Control-Allow-Origin"), "");
}

TEST_F(ApiTest, KnowsItsPathsAndMethods) {
  Start();
  const auto status = [&](std::string_view method, std::string_view path) {
    return testing::Fetch(server->port(), method, path).status;
  };
  EXPECT_EQ(status("GET", "/nowhere"), 404);
  EXPECT_EQ(status("GET", "/../../etc/passwd"), 404);
  EXPECT_EQ(status("GET", "/v1/chat/completions"), 405);
  EXPECT_EQ(status("POST", "/v1/models"), 405);
  EXPECT_EQ(status("DELETE", "/health"), 405);
  EXPECT_EQ(status("HEAD", "/health"), 200);
  EXPECT_EQ(status("HEAD", "/"), 200);
  EXPECT_EQ(status("GET", "/v1/models/"), 200);
  EXPECT_EQ(status("OPTIONS", "*"), 204);
  EXPECT_EQ(testing::Fetch(server->port(), "OPTIONS", "/v1/models").Header("Allow"),
            "GET, HEAD, OPTIONS");
  EXPECT_EQ(testing::Fetch(server->port(), "PUT", "/v1/completions").Header("Allow"),
            "POST, OPTIONS");
}

TEST_F(ApiTest, ServesThePageWithItsPolicy) {
  Start();
  const TestResponse page = Get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.Header("Content-Type"), "text/html; charset=utf-8");
  EXPECT_THAT(page.Header("Content-Security-Policy"), HasSubstr("frame-ancestors 'none'"));
  EXPECT_EQ(page.Header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(page.Header("Referrer-Policy"), "no-referrer");
  const TestResponse again = Get("/index.html", "If-None-Match: " + page.Header("ETag") + "\r\n");
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
}

TEST_F(ApiTest, ErrorsOfHttpItselfHaveTheSameShape) {
  http_options.parser = {.max_header_bytes = 2000, .max_body_bytes = 1000};
  Start();
  EXPECT_EQ(
      ErrorOf("/v1/completions", R"({"prompt":")" + std::string(1001, 'x') + "\"}", 413)["code"],
      "request_too_large");
  EXPECT_EQ(Get("/health", "X: " + std::string(3000, 'x') + "\r\n").status, 431);
  TestClient garbage(server->port());
  garbage.Send("\x16\x03\x01 nonsense\r\n\r\n");
  const TestResponse response = garbage.Read();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(Json::parse(response.body)["error"]["type"], "invalid_request_error");
}

TEST_F(ApiTest, AnswersPipelinedRequestsInOrder) {
  Start();
  TestClient client(server->port());
  client.Send(MakeRequest("POST", "/v1/chat/completions", Chat(R"("stream":true)")) +
              MakeRequest("GET", "/health") +
              MakeRequest("POST", "/tokenize", R"({"prompt":"a"})"));
  EXPECT_THAT(client.Read().body, HasSubstr("[DONE]"));
  EXPECT_THAT(client.Read().body, HasSubstr("ok"));
  EXPECT_THAT(client.Read().body, HasSubstr("256"));
}

TEST_F(ApiTest, StopsGracefully) {
  fake.token_delay = milliseconds(10);
  Start();
  TestClient client(server->port());
  client.Send(MakeRequest("POST", "/v1/chat/completions", Chat(R"("stream":true)")));
  client.ReadUntil("content\":\"H");
  server->Stop();
  EXPECT_THAT(client.Read().body, HasSubstr("[DONE]"));
  thread.join();
  EXPECT_FALSE(TestClient(server->port()).Send(MakeRequest("GET", "/health")));
  thread = std::thread([] {});
}

TEST_F(ApiTest, CutsWhatRunsLongerThanTheStopMayTake) {
  fake.endless = true;
  fake.token_delay = milliseconds(5);
  http_options.stop_timeout = milliseconds(50);
  Start();
  TestClient client(server->port());
  client.Send(MakeRequest("POST", "/v1/chat/completions", Chat(R"("stream":true)")));
  client.ReadUntil("content\":\"H");
  server->Stop();
  const auto events = Events(client.Read().body);
  EXPECT_EQ(Json::parse(events.back())["error"]["code"], "unavailable");
  EXPECT_TRUE(Eventually([&] { return backend->num_running() == 0; }));
}

TEST_F(ApiTest, LogsOneLineWithoutContents) {
  Start();
  PostJson("/v1/chat/completions?key=secret",
           R"({"messages":[{"role":"user","content":"classified"}]})");
  ASSERT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return log.size() == 1;
  }));
  const std::lock_guard lock(mutex);
  EXPECT_TRUE(log[0].starts_with("POST /v1/chat/completions 200 ")) << log[0];
  EXPECT_THAT(log[0], HasSubstr("prompt_tokens=18 completion_tokens=13"));
  EXPECT_THAT(log[0], Not(HasSubstr("secret")));
  EXPECT_THAT(log[0], Not(HasSubstr("classified")));
}

TEST(LogLine, KeepsControlCharactersOut) {
  http::Summary summary;
  summary.method = "GET";
  summary.path = "/a b\x1b[31m\xff";
  summary.peer = "1.2.3.4";
  EXPECT_TRUE(FormatLogLine(summary).starts_with("GET /a?b?[31m? 0 "));
}

TEST(Base64, EncodesEveryRemainder) {
  EXPECT_EQ(Base64Encode(""), "");
  EXPECT_EQ(Base64Encode("f"), "Zg==");
  EXPECT_EQ(Base64Encode("fo"), "Zm8=");
  EXPECT_EQ(Base64Encode("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace hearth::openai
