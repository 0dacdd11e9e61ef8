#pragma once

#include <string>
#include <string_view>

namespace hearth::openai {

// RFC 4648, section 4, with padding.
std::string Base64Encode(std::string_view bytes);

}  // namespace hearth::openai
