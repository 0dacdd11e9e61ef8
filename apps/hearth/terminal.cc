#include "apps/hearth/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "apps/hearth/commands.h"

namespace hearth {
namespace {

// The error that ended a write; 0 while all went through.
int output_error = 0;

Result<std::string> ReadAll(int fd, const std::string& name, int64_t max_bytes) {
  std::string text;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t size = ::read(fd, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return MakeError(ErrorCode::kIo, name + ": " + std::strerror(errno));
    if (size == 0) return text;
    text.append(buffer, static_cast<size_t>(size));
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      return MakeError(ErrorCode::kInvalidArgument,
                       name + " is larger than " + FormatBytes(max_bytes));
    }
  }
}

std::string Clean(std::string_view text, bool one_line) {
  std::string clean;
  clean.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n' || byte == '\t') {
      clean += one_line ? ' ' : text[i];
      continue;
    }
    if (byte < 0x20 || byte == 0x7f) continue;
    // C1 controls are U+0080 to U+009F: C2 80 to C2 9F. Some terminals take C2 9B for an escape
    // sequence's start.
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      ++i;
      continue;
    }
    clean += text[i];
  }
  return clean;
}

}  // namespace

bool StdinIsTerminal() { return ::isatty(STDIN_FILENO) == 1; }
bool StdoutIsTerminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool StderrIsTerminal() { return ::isatty(STDERR_FILENO) == 1; }

int TerminalWidth() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void Print(std::string_view text) {
  if (output_error != 0) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) output_error = errno;
}

void PrintUntrusted(std::string_view text) {
  if (StdoutIsTerminal()) {
    Print(WithoutControls(text));
  } else {
    Print(text);
  }
}

void FlushOutput() {
  if (std::fflush(stdout) != 0 && output_error == 0) output_error = errno;
}

bool FinishOutput() {
  FlushOutput();
  if (output_error == 0) return true;
  Fail(std::string("cannot write the output: ") + std::strerror(output_error));
  return false;
}

int Fail(const Error& error) { return Fail(error.message); }

int Fail(std::string_view message) {
  FlushOutput();
  const std::string line = "hearth: " + OneLine(message) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
  return kExitFailure;
}

int FailUsage(std::string_view message) {
  Fail(message);
  return kExitUsage;
}

void Note(std::string_view message) {
  FlushOutput();
  const std::string line = WithoutControls(message) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

std::string WithoutControls(std::string_view text) { return Clean(text, false); }
std::string OneLine(std::string_view text) { return Clean(text, true); }

std::string FormatBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1023.95 && unit < 4) {  // what "%.1f" would print as 1024.0
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? std::to_string(bytes) + " B" : Format("%.1f %s", value, kUnits[unit]);
}

std::string FormatCount(int64_t count) {
  static constexpr const char* kUnits[] = {"", " k", " M", " B", " T"};
  auto value = static_cast<double>(count);
  int unit = 0;
  while (value >= 999.95 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? std::to_string(count) : Format("%.1f%s", value, kUnits[unit]);
}

std::string Format(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  const int size = std::vsnprintf(nullptr, 0, format, arguments);
  va_end(arguments);
  std::string text(size > 0 ? static_cast<size_t>(size) : 0, '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  return text;
}

Result<std::string> ReadStdin(int64_t max_bytes) {
  return ReadAll(STDIN_FILENO, "standard input", max_bytes);
}

Result<std::string> ReadTextFile(const std::string& path, int64_t max_bytes) {
  if (path == "-") return ReadStdin(max_bytes);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int error = errno;
    const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::kNotFound
                           : error == EACCES                   ? ErrorCode::kPermission
                                                               : ErrorCode::kIo;
    return MakeError(code, "cannot read " + path + ": " + std::strerror(error));
  }
  Result<std::string> text = ReadAll(fd, path, max_bytes);
  ::close(fd);
  return text;
}

}  // namespace hearth
