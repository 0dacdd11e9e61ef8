#pragma once
// What the command line writes and reads: standard output for results, standard error for one-line
// messages.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth {

bool StdinIsTerminal();
bool StdoutIsTerminal();
bool StderrIsTerminal();
// Columns of the terminal behind standard error; 80 when there is none.
int TerminalWidth();

// To standard output as it is. A closed or full output shows in FinishOutput.
void Print(std::string_view text);
// Text of a model or of a file: on a terminal without the control characters that would move its
// cursor, change its title or recolour it.
void PrintUntrusted(std::string_view text);
void FlushOutput();
// False when something written to standard output was lost; says so on standard error.
bool FinishOutput();

// "hearth: MESSAGE" on standard error, one line. Returns kExitFailure.
int Fail(const Error& error);
int Fail(std::string_view message);
// Likewise, returning kExitUsage.
int FailUsage(std::string_view message);
// A line that is no error, on standard error.
void Note(std::string_view message);

// Drops control characters other than newline and tab (escape sequences lose their ESC), C1
// controls among them. A character may not be split over two calls.
std::string WithoutControls(std::string_view text);
// The same with a newline or tab as a space: for a name within a line.
std::string OneLine(std::string_view text);

// 1536 -> "1.5 KiB".
std::string FormatBytes(int64_t bytes);
// 134515008 -> "134.5 M".
std::string FormatCount(int64_t count);
// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string Format(const char* format, ...);

// All of standard input, at most `max_bytes`. Errors: kIo, kInvalidArgument when there is more.
Result<std::string> ReadStdin(int64_t max_bytes = int64_t{64} << 20);
// A file, or standard input for "-". Errors: kNotFound, kPermission, kIo, each naming the path;
// kInvalidArgument for one too large.
Result<std::string> ReadTextFile(const std::string& path, int64_t max_bytes = int64_t{1} << 30);

}  // namespace hearth
