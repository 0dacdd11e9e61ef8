#pragma once
// Errors as values: anything a file, a request, a flag or a peer can cause comes back as Result<T>.
// A bug of our own is CHECK (base/check.h), never an Error.

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace hearth {

enum class ErrorCode {
  kInvalidArgument,    // a flag, a field or a parameter is wrong
  kNotFound,           // a file, a model, a route does not exist
  kCorrupt,            // bytes from outside contradict their format
  kUnsupported,        // well formed, but something Hearth does not have (yet)
  kResourceExhausted,  // memory, disk, queue or context is full
  kPermission,         // not allowed
  kUnavailable,        // try again later
  kCancelled,          // the caller gave up
  kDeadline,           // took too long
  kIo,                 // the operating system refused
  kInternal,           // caught at a boundary from a library that throws
};

// snake_case name of a code, e.g. "invalid_argument".
std::string_view ErrorCodeName(ErrorCode code);

// The message names the thing and the value: which file, which tensor, expected and actual.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

inline tl::unexpected<Error> MakeError(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace hearth

// Leaves the enclosing function with the error of a Result or Status expression.
#define HEARTH_RETURN_IF_ERROR(expression)                                        \
  do {                                                                            \
    if (auto hearth_status = (expression); !hearth_status) {                      \
      return ::tl::unexpected<::hearth::Error>(std::move(hearth_status).error()); \
    }                                                                             \
  } while (false)

#define HEARTH_CONCAT_INNER(a, b) a##b
#define HEARTH_CONCAT(a, b) HEARTH_CONCAT_INNER(a, b)

// HEARTH_ASSIGN_OR_RETURN(auto file, File::Open(path)); leaves the function with the error, or
// assigns the value.
#define HEARTH_ASSIGN_OR_RETURN(target, expression) \
  HEARTH_ASSIGN_OR_RETURN_IMPL(HEARTH_CONCAT(hearth_result_, __LINE__), target, expression)
#define HEARTH_ASSIGN_OR_RETURN_IMPL(result, target, expression)                    \
  auto result = (expression);                                                       \
  if (!result) return ::tl::unexpected<::hearth::Error>(std::move(result).error()); \
  target = std::move(*result)
