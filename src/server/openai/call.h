#pragma once
// One API request on its way through the server: where its response goes and whether anyone still
// waits for it. Threads: `over` may be read from any thread; Respond and Fail may be called from
// any thread; the rest as http/exchange.h says.

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "server/http/exchange.h"
#include "server/openai/api_error.h"

namespace hearth::openai {

// Headers every response carries.
struct CommonHeaders {
  std::string request_id;
  std::string cross_origin;  // empty: none
};
void AddCommonHeaders(const CommonHeaders& common, http::Response& response);
// "req_" and 24 random hexadecimal digits.
std::string NewId(std::string_view prefix);

struct Call {
  std::shared_ptr<http::Exchange> exchange;
  CommonHeaders common;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  std::atomic<bool> over = false;  // nobody waits for the answer any more

  void Respond(http::Response response);
  void RespondJson(std::string body);
  void Fail(const ApiError& error) { Respond(ErrorResponse(error)); }
};

}  // namespace hearth::openai
