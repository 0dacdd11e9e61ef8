// The bytes of a connection, cut where the first byte says. However they are cut, the requests must
// come out the same.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/request_parser.h"

namespace {

struct Outcome {
  std::vector<std::string> requests;
  int failure = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome ParseAll(std::string_view bytes, size_t step) {
  const hearth::http::ParserLimits limits{.max_header_bytes = 1024, .max_body_bytes = 1024};
  Outcome outcome;
  std::string pending;
  while (true) {
    hearth::http::RequestParser parser(limits);
    while (!parser.done()) {
      const auto used = parser.Feed(pending);
      if (!used) {
        outcome.failure = used.error().status;
        return outcome;
      }
      if (*used > pending.size()) std::abort();
      pending.erase(0, *used);
      if (*used == 0 || pending.empty()) {
        if (parser.done()) break;
        if (bytes.empty()) return outcome;
        pending += bytes.substr(0, step);
        bytes.remove_prefix(step < bytes.size() ? step : bytes.size());
      }
    }
    const hearth::http::Request& request = parser.request();
    if (!request.path.starts_with('/') && request.path != "*") std::abort();
    if (request.body.size() > limits.max_body_bytes) std::abort();
    outcome.requests.push_back(request.method + ' ' + request.path + '?' + request.query + '@' +
                               request.authority + '\n' + request.body);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const Outcome whole = ParseAll(bytes, bytes.size() + 1);
  const Outcome cut = ParseAll(bytes, 1 + data[0] % 16);
  // An unfinished head may be found out sooner or later, and limits are about what has arrived; but
  // what one takes for a request the other must too.
  const bool limited =
      whole.failure == 413 || whole.failure == 431 || cut.failure == 413 || cut.failure == 431;
  if (whole.requests != cut.requests && !limited) std::abort();
  return 0;
}
