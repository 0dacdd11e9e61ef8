#include "apps/hearth/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

// Work shorter than this shows no bar.
double QuietSeconds() {
  const char* milliseconds = std::getenv("HEARTH_PROGRESS_AFTER_MS");
  return milliseconds == nullptr ? 0.4 : std::atof(milliseconds) / 1000;
}

constexpr double kRedrawSeconds = 0.1;
constexpr int kMaxBarWidth = 30;
constexpr int kMinBarWidth = 5;

}  // namespace

std::string FormatDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  if (whole < 60) return std::to_string(whole) + "s";
  if (whole < 3600)
    return Format("%dm %02ds", static_cast<int>(whole / 60), static_cast<int>(whole % 60));
  return Format("%dh %02dm", static_cast<int>(whole / 3600), static_cast<int>(whole / 60 % 60));
}

std::string FormatProgress(std::string_view label, double done, double elapsed_s, int width) {
  done = std::isnan(done) ? 0 : std::clamp(done, 0.0, 1.0);
  std::string figures = Format("%3d%%", static_cast<int>(std::floor(done * 100 + 1e-9)));
  // The first moments say little about the rest.
  if (done >= 0.02 && done < 1 && elapsed_s >= 1) {
    figures += "  " + FormatDuration(elapsed_s * (1 - done) / done) + " left";
  }
  // Label, space, [bar], space, figures; one column stays free, or the cursor would wrap.
  const int room = width - 1 - static_cast<int>(label.size() + figures.size()) - 4;
  std::string line(label);
  if (room >= kMinBarWidth) {
    const int bar = std::min(room, kMaxBarWidth);
    const int filled = static_cast<int>(std::floor(done * bar + 1e-9));
    line += " [" + std::string(static_cast<size_t>(filled), '#') +
            std::string(static_cast<size_t>(bar - filled), '.') + "]";
  }
  line += " " + figures;
  if (width > 1 && static_cast<int>(line.size()) > width - 1)
    line.resize(static_cast<size_t>(width - 1));
  return line;
}

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)), enabled_(StderrIsTerminal()), quiet_s_(QuietSeconds()) {}

ProgressBar::~ProgressBar() { Clear(); }

void ProgressBar::Update(double done) {
  if (!enabled_) return;
  const Clock::time_point now = Clock::now();
  const double elapsed_s = std::chrono::duration<double>(now - start_).count();
  if (elapsed_s < quiet_s_) return;
  if (shown_ && std::chrono::duration<double>(now - last_drawn_).count() < kRedrawSeconds) return;
  const std::string line =
      "\r" + FormatProgress(label_, done, elapsed_s, TerminalWidth()) + "\033[K";
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  shown_ = true;
  last_drawn_ = now;
}

void ProgressBar::Clear() {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace hearth
