#include "server/page/page.h"

#include <gtest/gtest.h>

#include <set>

namespace hearth {
namespace {

TEST(Page, HasAnIndexAndDistinctPaths) {
  std::set<std::string_view> paths;
  for (const PageFile& file : PageFiles()) {
    EXPECT_TRUE(paths.insert(file.path).second) << file.path;
    EXPECT_TRUE(file.path.starts_with('/'));
    EXPECT_FALSE(file.bytes.empty()) << file.path;
    EXPECT_EQ(file.etag.size(), 18u);
  }
  ASSERT_TRUE(paths.contains("/"));
}

TEST(Page, IndexIsAWholeHtmlDocument) {
  for (const PageFile& file : PageFiles()) {
    if (file.path != "/") continue;
    EXPECT_EQ(file.content_type, "text/html; charset=utf-8");
    EXPECT_TRUE(file.bytes.starts_with("<!doctype html>"));
    EXPECT_NE(file.bytes.find("</html>"), std::string_view::npos);
  }
}

TEST(Page, PolicyAllowsNothingFromElsewhere) {
  const std::string_view policy = PageContentSecurityPolicy();
  EXPECT_TRUE(policy.starts_with("default-src 'none'"));
  EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string_view::npos);
  EXPECT_EQ(policy.find("unsafe"), std::string_view::npos);
  EXPECT_EQ(policy.find('\n'), std::string_view::npos);
}

}  // namespace
}  // namespace hearth
