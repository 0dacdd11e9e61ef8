#pragma once
// Asks an OpenAI-compatible server: /chat/completions below a base address such as
// http://127.0.0.1:8080/v1.

#include <memory>

#include "eval/models/answerer.h"
#include "eval/models/http_post.h"

namespace hearth::eval {

struct EndpointOptions {
  std::string base_url;
  std::string model;    // as the server calls it
  std::string api_key;  // empty: none
  int timeout_ms = 600'000;
  int num_retries =
      4;  // when it is busy, cannot be reached or fails (429, 5xx), with growing pauses
  int first_pause_ms = 500;
};

class EndpointAnswerer : public Answerer {
 public:
  // Errors: those of ParseHttpUrl. Nothing is sent yet.
  static Result<std::unique_ptr<EndpointAnswerer>> Create(EndpointOptions options,
                                                          StopCheck stop = {});

  std::string id() const override { return options_.model; }
  // Errors: as HttpPost; kPermission (401, 403), kUnavailable (429, 5xx after the last try),
  // kCorrupt for a reply that is not the API's.
  Result<ModelAnswer> Ask(const Question& question) override;
  bool shows_tools() const override { return true; }

 private:
  EndpointAnswerer(EndpointOptions options, HttpUrl url, StopCheck stop)
      : options_(std::move(options)), url_(std::move(url)), stop_(std::move(stop)) {}

  EndpointOptions options_;
  HttpUrl url_;
  StopCheck stop_;
};

// The API's request and its reply, split out for their tests.
std::string ChatRequestJson(const std::string& model, const Question& question);
// Errors: kCorrupt saying what is missing.
Result<ModelAnswer> ParseChatReply(std::string_view body);

}  // namespace hearth::eval
