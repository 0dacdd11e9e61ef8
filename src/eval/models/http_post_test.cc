#include "eval/models/http_post.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

using ::testing::HasSubstr;

TEST(HttpUrl, IsTakenApart) {
  const auto url = ParseHttpUrl("http://127.0.0.1:8080/v1/");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "127.0.0.1");
  EXPECT_EQ(url->port, "8080");
  EXPECT_EQ(url->path, "/v1");
  EXPECT_EQ(ParseHttpUrl("http://localhost")->port, "80");
  EXPECT_EQ(ParseHttpUrl("http://[::1]:99/v1")->host, "::1");
  EXPECT_EQ(ParseHttpUrl("http://[::1]:99/v1")->port, "99");
}

TEST(HttpUrl, WhatIsNoneIsNamed) {
  for (const char* url : {"https://localhost/v1", "localhost:80", "http://", "http://host:x/"}) {
    const auto parsed = ParseHttpUrl(url);
    ASSERT_FALSE(parsed) << url;
    EXPECT_THAT(parsed.error().message, HasSubstr(url));
  }
}

TEST(HttpReply, BodiesOfEveryKind) {
  EXPECT_EQ(ParseHttpReply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")->body, "hi");
  EXPECT_EQ(ParseHttpReply("HTTP/1.1 200 OK\r\n\r\nto the end")->body, "to the end");
  EXPECT_EQ(ParseHttpReply("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 No\r\n\r\nx")->status, 429);
  EXPECT_EQ(ParseHttpReply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n")
                ->body,
            "abc0123456789");
}

TEST(HttpReply, DamagedOnesAreErrors) {
  for (const char* bytes : {"", "SSH-2.0", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 abc OK\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
    EXPECT_FALSE(ParseHttpReply(bytes)) << bytes;
  }
}

TEST(HttpPost, AServerThatIsNotThereIsNamed) {
  // Port 1 is nobody's.
  const auto reply = HttpPost({"127.0.0.1", "1", "/v1"}, "/chat/completions", "{}", {});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(reply.error().message, HasSubstr("http://127.0.0.1:1/v1/chat/completions"));
}

}  // namespace
}  // namespace hearth::eval
