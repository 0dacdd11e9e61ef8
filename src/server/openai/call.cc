#include "server/openai/call.h"

#include <cstdint>
#include <mutex>
#include <random>
#include <utility>

namespace hearth::openai {
namespace {

uint64_t RandomBits() {
  static std::mutex mutex;
  static std::mt19937_64 generator{[] {
    std::random_device device;
    return (uint64_t{device()} << 32) ^ device();
  }()};
  const std::lock_guard lock(mutex);
  return generator();
}

}  // namespace

std::string NewId(std::string_view prefix) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id(prefix);
  for (int word = 0; word < 2; ++word) {
    uint64_t bits = RandomBits();
    for (int digit = 0; digit < 12; ++digit, bits >>= 4) id += kDigits[bits & 15];
  }
  return id;
}

void AddCommonHeaders(const CommonHeaders& common, http::Response& response) {
  response.headers.push_back({"X-Request-Id", common.request_id});
  response.headers.push_back({"X-Content-Type-Options", "nosniff"});
  if (!common.cross_origin.empty()) {
    response.headers.push_back({"Access-Control-Allow-Origin", common.cross_origin});
    response.headers.push_back(
        {"Access-Control-Expose-Headers", "X-Request-Id, Retry-After, retry-after-ms"});
    response.headers.push_back({"Vary", "Origin"});
  }
}

void Call::Respond(http::Response response) {
  AddCommonHeaders(common, response);
  // The API's answers are nobody's to keep.
  response.headers.push_back({"Cache-Control", "no-store"});
  exchange->Post([exchange = exchange, response = std::move(response)]() mutable {
    exchange->Respond(std::move(response));
  });
}

void Call::RespondJson(std::string body) {
  http::Response response;
  response.content_type = "application/json";
  response.body = std::move(body);
  Respond(std::move(response));
}

}  // namespace hearth::openai
