#include "server/openai/requests.h"

#include <gtest/gtest.h>

namespace hearth::openai {
namespace {

template <typename Parse>
ApiError ErrorOf(Parse parse, std::string_view body) {
  const ApiResult<Json> json = ParseBody(body);
  if (!json) return json.error();
  const auto request = parse(*json);
  if (!request) return request.error();
  ADD_FAILURE() << "accepted: " << body;
  return {};
}

ApiError ChatError(const std::string& fields) {
  return ErrorOf(ParseChatRequest,
                 R"({"messages":[{"role":"user","content":"hi"}],)" + fields + "}");
}

ChatRequest Chat(const std::string& fields) {
  const ApiResult<Json> json =
      ParseBody(R"({"messages":[{"role":"user","content":"hi"}])" + fields + "}");
  EXPECT_TRUE(json) << json.error().message;
  const ApiResult<ChatRequest> request = ParseChatRequest(json.value_or(Json::object()));
  EXPECT_TRUE(request) << request.error().message;
  return request.value_or(ChatRequest{});
}

CompletionRequest Completion(const std::string& body) {
  const ApiResult<CompletionRequest> request = ParseCompletionRequest(*ParseBody(body));
  EXPECT_TRUE(request) << request.error().message;
  return request.value_or(CompletionRequest{});
}

TEST(ParseBody, RefusesWhatIsNoBoundedObject) {
  for (const char* body : {"", "{", "[]", "1", "null", "{\"a\":1}x", "{\"a\":\"\xff\"}",
                           "{\"a\":\"\\ud800\"}", "{\"a\":NaN}", "{\"a\":1e999}", "{'a':1}"}) {
    const auto result = ParseBody(body);
    ASSERT_FALSE(result) << body;
    EXPECT_EQ(result.error().status, 400);
    EXPECT_EQ(result.error().code, "invalid_json");
  }
  std::string deep = "{\"a\":";
  deep += std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_NE(ParseBody(deep).error().message.find("nested"), std::string::npos);
  std::string wide = "{\"a\":[0";
  for (int i = 0; i < 1'000'000; ++i) wide += ",0";
  EXPECT_NE(ParseBody(wide + "]}").error().message.find("values"), std::string::npos);
  EXPECT_TRUE(ParseBody("{\"a\":\"" + std::string(100, '[') + "\\\"[\"}"));
}

TEST(ChatRequest, ReadsEveryField) {
  const ChatRequest request = Chat(
      R"(,"model":"m","temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.05,"presence_penalty":1,"frequency_penalty":-1,
      "repetition_penalty":1.1,"logit_bias":{"5":-100,"7":2.5},"seed":-3,"stop":["a","b"],"n":3,"max_tokens":7,"stream":true,
      "stream_options":{"include_usage":true,"continuous_usage_stats":true},"logprobs":true,"top_logprobs":4,
      "response_format":{"type":"text"},"unheard_of":{"x":[1]},"user":"u","ignore_eos":true,
      "parallel_tool_calls":false,"store":true,"metadata":{"a":"b"},"service_tier":"auto",
      "chat_template_kwargs":{"enable_thinking":false})");
  const GenerationFields& fields = request.fields;
  EXPECT_EQ(fields.model, "m");
  EXPECT_FLOAT_EQ(fields.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(fields.sampling.top_p, 0.9f);
  EXPECT_EQ(fields.sampling.top_k, 40);
  EXPECT_FLOAT_EQ(fields.sampling.min_p, 0.05f);
  EXPECT_FLOAT_EQ(fields.sampling.presence_penalty, 1);
  EXPECT_FLOAT_EQ(fields.sampling.frequency_penalty, -1);
  EXPECT_FLOAT_EQ(fields.sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(fields.sampling.logit_bias, (std::map<TokenId, float>{{5, -100.0f}, {7, 2.5f}}));
  EXPECT_EQ(fields.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(fields.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fields.n, 3);
  EXPECT_EQ(fields.max_tokens, 7);
  EXPECT_TRUE(fields.stream && fields.include_usage && fields.continuous_usage &&
              fields.ignore_end_of_turn);
  EXPECT_EQ(fields.sampling.num_top_logprobs, 4);
  EXPECT_EQ(request.prompt.template_kwargs_json, R"({"enable_thinking":false})");
}

TEST(ChatRequest, NullAndAbsentAreTheDefaults) {
  for (const char* fields :
       {"", R"(,"temperature":null,"stop":null,"n":null,"logprobs":null,"max_tokens":null,
                               "seed":null,"stream_options":null,"tools":null,"response_format":null,"logit_bias":null)"}) {
    const ChatRequest request = Chat(fields);
    EXPECT_FLOAT_EQ(request.fields.sampling.temperature, 1);
    EXPECT_EQ(request.fields.n, 1);
    EXPECT_EQ(request.fields.max_tokens, -1);
    EXPECT_EQ(request.fields.sampling.num_top_logprobs, -1);
    EXPECT_FALSE(request.fields.seed);
    EXPECT_FALSE(request.fields.stream);
    EXPECT_TRUE(request.fields.stop.empty());
  }
}

TEST(ChatRequest, IllTypedOrOutOfRangeFieldsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature":"warm")", "temperature"},
      {R"("temperature":2.1)", "temperature"},
      {R"("temperature":-1)", "temperature"},
      {R"("top_p":1.5)", "top_p"},
      {R"("top_k":1.5)", "top_k"},
      {R"("min_p":[])", "min_p"},
      {R"("n":0)", "n"},
      {R"("n":1000000)", "n"},
      {R"("n":"1")", "n"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":-5)", "max_tokens"},
      {R"("max_tokens":1e3)", "max_tokens"},
      {R"("max_completion_tokens":99999999999999999999)", "max_completion_tokens"},
      {R"("stream":1)", "stream"},
      {R"("stop":1)", "stop"},
      {R"("stop":["a","b","c","d","e"])", "stop"},
      {R"("stop":[1])", "stop"},
      {R"("stop":"")", "stop"},
      {R"("seed":1.5)", "seed"},
      {R"("seed":"x")", "seed"},
      {R"("logprobs":3)", "logprobs"},
      {R"("top_logprobs":3)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("presence_penalty":3)", "presence_penalty"},
      {R"("frequency_penalty":-3)", "frequency_penalty"},
      {R"("repetition_penalty":0)", "repetition_penalty"},
      {R"("logit_bias":[])", "logit_bias"},
      {R"("logit_bias":{"x":1})", "logit_bias"},
      {R"("logit_bias":{"99999999999":1})", "logit_bias"},
      {R"("logit_bias":{"5":"x"})", "logit_bias.5"},
      {R"("logit_bias":{"5":101})", "logit_bias.5"},
      {R"("model":5)", "model"},
      {R"("parallel_tool_calls":"x")", "parallel_tool_calls"},
      {R"("store":1)", "store"},
      {R"("user":5)", "user"},
      {R"("metadata":5)", "metadata"},
      {R"("metadata":[])", "metadata"},
      {R"("service_tier":true)", "service_tier"},
      {R"("safety_identifier":{})", "safety_identifier"},
      {R"("prompt_cache_key":1)", "prompt_cache_key"},
      {R"("prompt_cache_retention":24)", "prompt_cache_retention"},
      {R"("reasoning_effort":3)", "reasoning_effort"},
      {R"("verbosity":[])", "verbosity"},
      {R"("prediction":"x")", "prediction"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("tools":{})", "tools"},
      {R"("tools":[1])", "tools[0].type"},
      {R"("tools":[{"type":"function"}])", "tools[0].function"},
      {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"("chat_template_kwargs":5)", "chat_template_kwargs"},
      {R"("response_format":"json")", "response_format"},
      {R"("tool_choice":5)", "tool_choice"},
  };
  for (const auto& [fields, param] : cases) {
    const ApiError error = ChatError(fields);
    EXPECT_EQ(error.status, 400) << fields;
    EXPECT_EQ(error.param, param) << fields << ": " << error.message;
    EXPECT_EQ(error.type, "invalid_request_error");
    EXPECT_FALSE(error.message.empty());
  }
}

TEST(ChatRequest, WhatIsNotThereYetIsSaidSo) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("response_format":{"type":"json_object"})", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
      {R"("functions":[])", "functions"},
      {R"("grammar":"root ::= x")", "grammar"},
      {R"("modalities":["text","audio"])", "modalities"},
  };
  for (const auto& [fields, param] : cases) {
    const ApiError error = ChatError(fields);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.param, param);
    EXPECT_TRUE(error.code.starts_with("unsupported_")) << error.code;
  }
}

TEST(ChatRequest, ReadsMessages) {
  const auto json = ParseBody(R"({"messages":[
    {"role":"system","content":"be brief"},
    {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"Ada"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","content":"42","tool_call_id":"1"}]})");
  const auto request = ParseChatRequest(*json);
  ASSERT_TRUE(request) << request.error().message;
  const auto& messages = request->prompt.messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[1].content, "ab");
  EXPECT_EQ(messages[1].name, "Ada");
  EXPECT_FALSE(messages[2].content);
  EXPECT_EQ(messages[2].tool_calls.at(0).name, "f");
  EXPECT_EQ(messages[3].tool_call_id, "1");
}

TEST(ChatRequest, WrongMessagesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "messages"},
      {R"({"messages":"hi"})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":["hi"]})", "messages[0]"},
      {R"({"messages":[{"content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"wizard","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user","content":"x"},{"role":"user"}]})", "messages[1].content"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       "messages[0].content[0].type"},
      {R"({"messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{}]}]})",
       "messages[0].tool_calls[0].function"},
  };
  for (const auto& [body, param] : cases)
    EXPECT_EQ(ErrorOf(ParseChatRequest, body).param, param) << body;
}

TEST(ChatRequest, ToolsGoToTheTemplateUnlessTheChoiceIsNone) {
  const std::string tools =
      R"(,"tools":[{"type":"function","function":{"name":"f","parameters":{}}}])";
  EXPECT_NE(Chat(tools).prompt.tools_json, "");
  EXPECT_NE(Chat(tools + R"(,"tool_choice":"auto")").prompt.tools_json, "");
  EXPECT_EQ(Chat(tools + R"(,"tool_choice":"none")").prompt.tools_json, "");
}

TEST(CompletionRequest, ReadsAllShapesOfPrompts) {
  EXPECT_EQ(std::get<std::string>(Completion(R"({"prompt":"a"})").prompts.at(0)), "a");
  EXPECT_EQ(Completion(R"({"prompt":["a","b"]})").prompts.size(), 2u);
  EXPECT_EQ(std::get<std::vector<TokenId>>(Completion(R"({"prompt":[1,2]})").prompts.at(0)),
            (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(Completion(R"({"prompt":[[1],[2,3]]})").prompts.size(), 2u);
  EXPECT_EQ(Completion(R"({"prompt":"a"})").fields.max_tokens, 16);
  EXPECT_EQ(
      Completion(R"({"prompt":"a","max_tokens":0,"echo":true,"logprobs":1})").fields.max_tokens, 0);
}

TEST(CompletionRequest, WrongFieldsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "prompt"},
      {R"({"prompt":5})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":[[]]})", "prompt[0]"},
      {R"({"prompt":["a",1]})", "prompt[1]"},
      {R"({"prompt":[1,"a"]})", "prompt[1]"},
      {R"({"prompt":[1,-1]})", "prompt[1]"},
      {R"({"prompt":[[1],[1.5]]})", "prompt[1][0]"},
      {R"({"prompt":"a","logprobs":true})", "logprobs"},
      {R"({"prompt":"a","logprobs":1000000})", "logprobs"},
      {R"({"prompt":"a","best_of":4})", "best_of"},
      {R"({"prompt":"a","suffix":"b"})", "suffix"},
      {R"({"prompt":"a","echo":"yes"})", "echo"},
  };
  for (const auto& [body, param] : cases)
    EXPECT_EQ(ErrorOf(ParseCompletionRequest, body).param, param) << body;
}

TEST(EmbeddingRequest, ReadsAndRefuses) {
  const auto request =
      ParseEmbeddingRequest(*ParseBody(R"({"input":["a","b"],"encoding_format":"base64"})"));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->inputs.size(), 2u);
  EXPECT_TRUE(request->base64);
  EXPECT_EQ(ErrorOf(ParseEmbeddingRequest, R"({"input":""})").param, "input");
  EXPECT_EQ(ErrorOf(ParseEmbeddingRequest, R"({})").param, "input");
  EXPECT_EQ(ErrorOf(ParseEmbeddingRequest, R"({"input":"a","user":5})").param, "user");
  EXPECT_EQ(ErrorOf(ParseEmbeddingRequest, R"({"input":"a","encoding_format":"int8"})").param,
            "encoding_format");
  EXPECT_EQ(ErrorOf(ParseEmbeddingRequest, R"({"input":"a","dimensions":0})").param, "dimensions");
}

TEST(TokenizeRequest, SpeaksVllmsAndLlamaCppsNames) {
  const auto vllm =
      ParseTokenizeRequest(*ParseBody(R"({"prompt":"a","add_special_tokens":false})"));
  ASSERT_TRUE(vllm);
  EXPECT_FALSE(vllm->add_special);
  const auto llama = ParseTokenizeRequest(*ParseBody(R"({"content":"a"})"));
  ASSERT_TRUE(llama);
  EXPECT_EQ(llama->text, "a");
  EXPECT_FALSE(llama->add_special);
  const auto chat =
      ParseTokenizeRequest(*ParseBody(R"({"messages":[{"role":"user","content":"a"}]})"));
  ASSERT_TRUE(chat);
  EXPECT_FALSE(chat->text);
  EXPECT_EQ(ErrorOf(ParseTokenizeRequest, "{}").param, "prompt");
  EXPECT_EQ(ErrorOf(ParseDetokenizeRequest, R"({"tokens":"x"})").param, "tokens");
}

TEST(ErrorJson, HasOpenAisShape) {
  EXPECT_EQ(
      ErrorJson(InvalidField("n", "no \"n\"")),
      R"({"error":{"message":"no \"n\"","type":"invalid_request_error","param":"n","code":"invalid_value"}})");
  EXPECT_EQ(ErrorJson(FromError({ErrorCode::kInternal, "/secret/path"})).find("secret"),
            std::string::npos);
  ApiError bare;
  bare.message = "x";
  EXPECT_NE(ErrorJson(bare).find(R"("param":null,"code":null)"), std::string::npos);
}

TEST(ErrorResponse, SaysWhetherToTryAgain) {
  const http::Response busy = ErrorResponse(FromError({ErrorCode::kResourceExhausted, "full"}));
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.headers.at(0).name, "Retry-After");
  const http::Response broken = ErrorResponse(FromError({ErrorCode::kInternal, ""}));
  EXPECT_EQ(broken.headers.at(0).name, "x-should-retry");
}

}  // namespace
}  // namespace hearth::openai
