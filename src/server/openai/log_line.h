#pragma once

#include <string>

#include "server/http/exchange.h"

namespace hearth::openai {

// One line about a request for people to read: never its query, headers or body.
std::string FormatLogLine(const http::Summary& summary);
// Polled by machines or part of the page: not worth a line each.
bool IsRoutine(const http::Summary& summary);

}  // namespace hearth::openai
