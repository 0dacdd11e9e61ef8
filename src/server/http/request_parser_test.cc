#include "server/http/request_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace hearth::http {
namespace {

// Feeds `bytes` in pieces of `step`; 0 means parsed, -1 incomplete, else the status of the failure.
int Parse(std::string_view bytes, size_t step, Request* request = nullptr,
          ParserLimits limits = {}) {
  RequestParser parser(limits);
  std::string pending;
  while (!parser.done()) {
    const size_t before = pending.size();
    pending += bytes.substr(0, step);
    bytes.remove_prefix(std::min(step, bytes.size()));
    const auto used = parser.Feed(pending);
    if (!used) return used.error().status;
    pending.erase(0, *used);
    if (*used == 0 && pending.size() == before) return -1;
  }
  if (request != nullptr) *request = std::move(parser.request());
  return 0;
}

void ExpectStatus(std::string_view bytes, int status) {
  for (const size_t step : {size_t{1}, size_t{3}, size_t{100'000}}) {
    EXPECT_EQ(Parse(bytes, step), status) << "step " << step << ": " << bytes.substr(0, 200);
  }
}

TEST(RequestParser, ReadsARequestHoweverItIsCut) {
  for (const size_t step : {1, 2, 7, 1000}) {
    Request request;
    ASSERT_EQ(
        Parse("\r\nPOST /a%20b?c=d%20 HTTP/1.1\r\nHost: h:80\r\nContent-Length: 5\r\n\r\nhello",
              step, &request),
        0);
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/a b");
    EXPECT_EQ(request.query, "c=d%20");
    EXPECT_EQ(request.authority, "h:80");
    EXPECT_EQ(request.body, "hello");
  }
}

TEST(RequestParser, ReadsChunks) {
  for (const size_t step : {1, 5, 1000}) {
    Request request;
    ASSERT_EQ(Parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                    "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                    step, &request),
              0);
    EXPECT_EQ(request.body, "abcde");
  }
}

TEST(RequestParser, ReadsAnEmptyChunkedBodyHoweverItIsCut) {
  const std::string bytes =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: t\r\n\r\n";
  for (size_t step = 1; step < bytes.size(); ++step) EXPECT_EQ(Parse(bytes, step), 0) << step;
  const std::string bare =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  for (size_t step = 1; step < bare.size(); ++step) EXPECT_EQ(Parse(bare, step), 0) << step;
}

TEST(RequestParser, StopsBehindTheFirstOfPipelinedRequests) {
  const std::string one = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n";
  RequestParser parser{ParserLimits{}};
  const auto used = parser.Feed(one + "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(used);
  EXPECT_EQ(*used, one.size());
  EXPECT_TRUE(parser.done());
}

TEST(RequestParser, RefusesAmbiguousFraming) {
  ExpectStatus("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
               400);
  ExpectStatus("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", 400);
  ExpectStatus(
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n",
      400);
  ExpectStatus("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400);
  ExpectStatus("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n", 400);
  ExpectStatus(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400);
}

TEST(RequestParser, RefusesWhatIsNotOneHost) {
  ExpectStatus("GET / HTTP/1.1\r\n\r\n", 400);
  ExpectStatus("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
  ExpectStatus("GET / HTTP/1.0\r\n\r\n", 0);
}

TEST(RequestParser, RefusesOtherVersionsCodingsAndTargets) {
  ExpectStatus("GET / HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\n\r\n", 415);
  ExpectStatus("GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", 417);
  ExpectStatus("GET /%0d%0aX HTTP/1.1\r\nHost: h\r\n\r\n", 400);
  ExpectStatus("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400);
  ExpectStatus("GET nonsense HTTP/1.1\r\nHost: h\r\n\r\n", 400);
  ExpectStatus("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505);
  ExpectStatus(std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8), 400);
}

TEST(RequestParser, RefusesLongHeadersHoweverTheyTrickle) {
  const std::string head =
      "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n";
  for (const size_t step : {100, 100'000}) EXPECT_EQ(Parse(head, step), 431) << step;
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 5000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  for (const size_t step : {10, 100'000}) EXPECT_EQ(Parse(many + "\r\n", step), 431) << step;
}

TEST(RequestParser, RefusesLongBodies) {
  const ParserLimits limits{.max_header_bytes = 1024, .max_body_bytes = 10};
  EXPECT_EQ(
      Parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", 1000, nullptr, limits),
      413);
  EXPECT_EQ(Parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello "
                  "world\r\n0\r\n\r\n",
                  1000, nullptr, limits),
            413);
  EXPECT_EQ(Parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                  1000, nullptr, limits),
            400);
}

TEST(SerializeHead, KeepsLineBreaksOutOfHeaders) {
  Response response;
  response.headers = {{"X-Evil", "a\r\nSet-Cookie: b"}};
  EXPECT_NE(SerializeHead(response, 0, true, false).find("X-Evil: aSet-Cookie: b\r\n"),
            std::string::npos);
}

}  // namespace
}  // namespace hearth::http
