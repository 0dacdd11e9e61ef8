#include "server/openai/access.h"

#include <gtest/gtest.h>

namespace hearth::openai {
namespace {

http::Request From(std::string host, std::vector<http::Header> headers = {}) {
  http::Request request;
  request.authority = host;
  request.headers = std::move(headers);
  request.headers.push_back({"Host", host});
  return request;
}

bool HostOk(const AccessOptions& options, const std::string& host) {
  return !AccessPolicy(options).CheckHost(From(host));
}

TEST(HostOfAuthority, TakesTheNameApart) {
  EXPECT_EQ(HostOfAuthority("LocalHost:80"), "localhost");
  EXPECT_EQ(HostOfAuthority("localhost."), "localhost");
  EXPECT_EQ(HostOfAuthority("[::1]:8080"), "::1");
  EXPECT_EQ(HostOfAuthority("[::1"), "");
  EXPECT_EQ(HostOfAuthority("a:b"), "");
  EXPECT_EQ(HostOfAuthority("localhost:80@evil.org"), "");
}

TEST(AccessPolicy, OnLoopbackAnswersToLoopbackNamesAlone) {
  for (const char* host :
       {"localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "127.1.2.3", "a.localhost"}) {
    EXPECT_TRUE(HostOk({}, host)) << host;
  }
  for (const char* host :
       {"evil.org", "localhost.evil.org", "127.0.0.1.evil.org", "192.168.1.2", "", "127.evil"}) {
    EXPECT_FALSE(HostOk({}, host)) << host;
  }
}

TEST(AccessPolicy, OnOtherInterfacesAnswersToAddressesAndAllowedNames) {
  const AccessOptions options{.bind_host = "0.0.0.0",
                              .api_keys = {},
                              .allowed_hosts = {"Hearth.Example"},
                              .allowed_origins = {}};
  EXPECT_TRUE(HostOk(options, "192.168.1.2:8080"));
  EXPECT_TRUE(HostOk(options, "[fe80::1]:8080"));
  EXPECT_TRUE(HostOk(options, "hearth.example:8080"));
  EXPECT_FALSE(HostOk(options, "evil.org"));
  EXPECT_TRUE(HostOk(
      {.bind_host = "0.0.0.0", .api_keys = {}, .allowed_hosts = {"*"}, .allowed_origins = {}},
      "evil.org"));
}

TEST(AccessPolicy, AnAbsoluteTargetDoesNotHideTheHost) {
  http::Request request = From("evil.org");
  request.authority = "localhost";
  EXPECT_TRUE(AccessPolicy({}).CheckHost(request));
}

TEST(AccessPolicy, OnlyOwnAndAllowedPagesMayAsk) {
  const AccessPolicy policy({.bind_host = "127.0.0.1",
                             .api_keys = {},
                             .allowed_hosts = {},
                             .allowed_origins = {"https://ok.example"}});
  const auto ok = [&](const char* origin) {
    return !policy.CheckOrigin(From("localhost:8080", {{"Origin", origin}}));
  };
  EXPECT_TRUE(ok("http://localhost:8080"));
  EXPECT_TRUE(ok("https://ok.example"));
  EXPECT_FALSE(ok("http://localhost:3000"));
  EXPECT_FALSE(ok("https://evil.org"));
  EXPECT_FALSE(ok("null"));
  EXPECT_FALSE(policy.CheckOrigin(From("localhost:8080")));
  EXPECT_EQ(policy.CrossOrigin(From("localhost", {{"Origin", "https://ok.example"}})),
            "https://ok.example");
  EXPECT_EQ(policy.CrossOrigin(From("localhost", {{"Origin", "http://localhost"}})), "");
}

TEST(AccessPolicy, AsksForAKeyOnlyWhenThereIsOne) {
  EXPECT_FALSE(AccessPolicy({}).CheckKey(From("localhost")));
  const AccessPolicy policy({.bind_host = "127.0.0.1",
                             .api_keys = {"one", "two"},
                             .allowed_hosts = {},
                             .allowed_origins = {}});
  const auto ok = [&](std::vector<http::Header> headers) {
    return !policy.CheckKey(From("localhost", std::move(headers)));
  };
  EXPECT_TRUE(ok({{"Authorization", "Bearer one"}}));
  EXPECT_TRUE(ok({{"authorization", "bearer  two"}}));
  EXPECT_TRUE(ok({{"X-Api-Key", "two"}}));
  EXPECT_FALSE(ok({}));
  EXPECT_FALSE(ok({{"Authorization", "Bearer "}}));
  EXPECT_FALSE(ok({{"Authorization", "Bearer onetwo"}}));
  EXPECT_FALSE(ok({{"Authorization", "Basic one"}}));
  EXPECT_FALSE(ok({{"Authorization", "Bearer one"}, {"Authorization", "Bearer one"}}));
  EXPECT_EQ(policy.CheckKey(From("localhost"))->status, 401);
}

TEST(ConstantTimeEquals, ComparesLikeEquality) {
  EXPECT_TRUE(ConstantTimeEquals("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEquals("ab", "abab"));
  EXPECT_FALSE(ConstantTimeEquals("abab", "ab"));
  EXPECT_FALSE(ConstantTimeEquals("a", ""));
  EXPECT_TRUE(ConstantTimeEquals("", ""));
}

}  // namespace
}  // namespace hearth::openai
