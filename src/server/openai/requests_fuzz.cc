// A body of any bytes to each endpoint's parser; what is accepted must hold what the parsers
// promise, and errors must be JSON.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "server/openai/requests.h"

namespace {

using namespace hearth::openai;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckError(const ApiError& error) {
  Require(error.status >= 400 && !error.message.empty());
  Require(Json::accept(ErrorJson(error)));
}

void CheckFields(const GenerationFields& fields) {
  Require(fields.n >= 1 && fields.n <= 16 && fields.max_tokens >= -1 && fields.stop.size() <= 4);
  for (const std::string& stop : fields.stop) Require(!stop.empty());
  Require(fields.sampling.temperature >= 0 && fields.sampling.top_p > 0 &&
          fields.sampling.repetition_penalty > 0);
  for (const auto& [id, bias] : fields.sampling.logit_bias)
    Require(id >= 0 && bias >= -100 && bias <= 100);
}

template <typename Parse, typename Check>
void Try(Parse parse, const Json& body, Check check) {
  const auto request = parse(body);
  if (request) {
    check(*request);
  } else {
    CheckError(request.error());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto body = ParseBody({reinterpret_cast<const char*>(data), size});
  if (!body) {
    CheckError(body.error());
    return 0;
  }
  Try(ParseChatRequest, *body, [](const ChatRequest& request) {
    CheckFields(request.fields);
    Require(!request.prompt.messages.empty());
  });
  Try(ParseCompletionRequest, *body, [](const CompletionRequest& request) {
    CheckFields(request.fields);
    Require(!request.prompts.empty());
  });
  Try(ParseEmbeddingRequest, *body,
      [](const EmbeddingRequest& request) { Require(!request.inputs.empty()); });
  Try(ParseTokenizeRequest, *body, [](const TokenizeRequest& request) {
    Require(request.text || !request.prompt.messages.empty());
  });
  Try(ParseDetokenizeRequest, *body, [](const DetokenizeRequest& request) {
    for (const auto id : request.tokens) Require(id >= 0);
  });
  return 0;
}
