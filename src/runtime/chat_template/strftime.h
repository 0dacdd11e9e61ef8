#pragma once
// datetime.strftime as templates use it to write today's date: the directives of C and glibc,
// always in English.

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth::jinja {

// `now` in seconds since the epoch is shown in local time. A directive that glibc does not know
// stays as it is. Flags (-, _, 0, ^) are glibc's; the field width that glibc also knows is not
// taken.
std::string Strftime(std::string_view format, int64_t now);

}  // namespace hearth::jinja
