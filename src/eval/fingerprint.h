#pragma once
// Short names for bytes, to notice that a file or a prompt is not the one of an earlier run.
// Source: XXH3, 64 bits. Threads: pure functions.

#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth::eval {

// 16 hex digits.
std::string Fingerprint(std::string_view bytes);
// Of a file's content; some gigabytes a second. Errors: those of MappedFile::Open.
Result<std::string> FileFingerprint(const std::string& path);

}  // namespace hearth::eval
