#pragma once
// Errors in the shape of OpenAI's API: {"error": {"message", "type", "param", "code"}} with a
// fitting HTTP status.

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "base/result.h"
#include "server/http/message.h"

namespace hearth::openai {

struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string message;
  std::string param;      // empty: null
  std::string code;       // empty: null
  int retry_after_s = 0;  // > 0: told to the client
};

template <typename T>
using ApiResult = tl::expected<T, ApiError>;

// A field of the request that is wrong, as `param` ("messages[2].content") names it. Codes in use:
// invalid_type, invalid_value, missing_required_parameter, unsupported_parameter,
// unsupported_value, context_length_exceeded, model_not_found.
ApiError InvalidField(std::string param, std::string message, std::string code = "invalid_value");

// What the backend says, for a request whose prompt stands in `param`. A message that tells of our
// own insides (kInternal, kIo, kCorrupt) does not reach the client.
ApiError FromError(const Error& error, std::string param = "");

std::string ErrorJson(const ApiError& error);

// 401 carries WWW-Authenticate, an error that will pass Retry-After, one that will not
// x-should-retry: false.
http::Response ErrorResponse(const ApiError& error);

// For what HTTP itself refuses: too large, too slow, malformed.
ApiError FromFailure(const http::Failure& failure);

}  // namespace hearth::openai
