#pragma once
// The chat page's files, embedded in the binary when it was built (web/dist), or a small page that
// says how to get it. Threads: safe from many threads.

#include <span>
#include <string>
#include <string_view>

namespace hearth {

struct PageFile {
  std::string_view path;  // "/", "/assets/app.js"
  std::string_view content_type;
  std::string_view bytes;
  std::string etag;  // with its quotes
};

std::span<const PageFile> PageFiles();
// The policy that the page's responses carry, from web/content-security-policy.txt.
std::string_view PageContentSecurityPolicy();

}  // namespace hearth
