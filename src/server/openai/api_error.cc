#include "server/openai/api_error.h"

#include <utility>

#include "server/openai/json.h"

namespace hearth::openai {
namespace {

// OpenAI's clients give up at once when told to wait longer than two minutes.
constexpr int kUnavailableRetrySeconds = 2;

ApiError ServerError(int status, std::string message, std::string code) {
  ApiError error;
  error.status = status;
  error.type = "server_error";
  error.message = std::move(message);
  error.code = std::move(code);
  return error;
}

}  // namespace

ApiError InvalidField(std::string param, std::string message, std::string code) {
  ApiError error;
  error.message = std::move(message);
  error.param = std::move(param);
  error.code = std::move(code);
  return error;
}

ApiError FromError(const Error& error, std::string param) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
      return InvalidField(std::move(param), error.message);
    case ErrorCode::kUnsupported:
      return InvalidField(std::move(param), error.message, "unsupported_value");
    case ErrorCode::kNotFound: {
      ApiError result = InvalidField(std::move(param), error.message, "not_found");
      result.status = 404;
      return result;
    }
    case ErrorCode::kResourceExhausted: {
      ApiError result = ServerError(429, error.message, "rate_limit_exceeded");
      result.type = "rate_limit_error";
      result.retry_after_s = 1;
      return result;
    }
    case ErrorCode::kUnavailable:
    case ErrorCode::kCancelled: {
      ApiError result = ServerError(503, error.message, "unavailable");
      result.retry_after_s = kUnavailableRetrySeconds;
      return result;
    }
    case ErrorCode::kDeadline:
      return ServerError(504, error.message, "timeout");
    case ErrorCode::kPermission: {
      ApiError result = InvalidField(std::move(param), error.message, "not_allowed");
      result.status = 403;
      return result;
    }
    case ErrorCode::kCorrupt:
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      break;
  }
  return ServerError(500, "the server failed to answer this request", "internal_error");
}

std::string ErrorJson(const ApiError& error) {
  OrderedJson inner;
  inner["message"] = error.message;
  inner["type"] = error.type;
  inner["param"] = error.param.empty() ? OrderedJson(nullptr) : OrderedJson(error.param);
  inner["code"] = error.code.empty() ? OrderedJson(nullptr) : OrderedJson(error.code);
  OrderedJson outer;
  outer["error"] = std::move(inner);
  return Dump(outer);
}

http::Response ErrorResponse(const ApiError& error) {
  http::Response response;
  response.status = error.status;
  response.content_type = "application/json";
  response.body = ErrorJson(error);
  if (error.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  if (error.retry_after_s > 0) {
    response.headers.push_back({"Retry-After", std::to_string(error.retry_after_s)});
    response.headers.push_back({"retry-after-ms", std::to_string(error.retry_after_s * 1000)});
  } else if (error.status >= 500) {
    // Clients repeat a request after any 5xx; one that failed by itself would only cost twice.
    response.headers.push_back({"x-should-retry", "false"});
  }
  return response;
}

ApiError FromFailure(const http::Failure& failure) {
  ApiError error;
  error.status = failure.status;
  error.message = failure.message;
  switch (failure.status) {
    case 408:
      error.code = "request_timeout";
      break;
    case 413:
      error.code = "request_too_large";
      break;
    case 431:
      error.code = "headers_too_large";
      break;
    case 503:
      error.type = "server_error";
      error.code = "unavailable";
      error.retry_after_s = kUnavailableRetrySeconds;
      break;
    case 500:
      error.type = "server_error";
      error.code = "internal_error";
      break;
    default:
      error.code = "bad_request";
      break;
  }
  return error;
}

}  // namespace hearth::openai
