#include "training/recipe/report_curves.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "training/recipe/html.h"

namespace hearth::forge {
namespace {

constexpr size_t kMaxCurves = 60;
constexpr size_t kMaxLineBytes = 1 << 16;
constexpr size_t kMaxPoints = 400;    // drawn of a curve
constexpr size_t kMaxKept = 2000000;  // read of a file, over all curves

class CurveReader {
 public:
  void Line(std::string_view line) {
    if (line.empty() || line.size() > kMaxLineBytes) return;
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return;
    const auto step_entry = json.find("step");
    if (step_entry == json.end() || !step_entry->is_number_integer()) return;
    const auto step = step_entry->get<int64_t>();
    // A resumed run begins again behind its checkpoint.
    if (step <= last_step_) {
      for (auto& [name, points] : curves_) {
        while (!points.empty() && points.back().step >= step) points.pop_back();
      }
    }
    last_step_ = step;
    for (const auto& [name, value] : json.items()) {
      if (name == "step" || !value.is_number()) continue;
      if (kept_ >= kMaxKept || (curves_.size() >= kMaxCurves && !curves_.contains(name))) continue;
      const auto number = value.get<double>();
      if (!std::isfinite(number)) continue;
      curves_[name].push_back({step, number});
      ++kept_;
    }
  }

  std::vector<Curve> Take() {
    std::vector<Curve> curves;
    for (auto& [name, points] : curves_)
      if (!points.empty()) curves.push_back({name, Thinned(points)});
    return curves;
  }

 private:
  // Pieces of equal length, of each the smallest and the largest: a spike stays to be seen.
  static std::vector<CurvePoint> Thinned(const std::vector<CurvePoint>& points) {
    if (points.size() <= kMaxPoints) return points;
    const auto by_value = [](const CurvePoint& a, const CurvePoint& b) {
      return a.value < b.value;
    };
    std::vector<CurvePoint> thinned = {points.front()};
    constexpr size_t kPieces = kMaxPoints / 2 - 1;
    for (size_t piece = 0; piece < kPieces; ++piece) {
      const size_t begin = 1 + (points.size() - 2) * piece / kPieces;
      const size_t end = 1 + (points.size() - 2) * (piece + 1) / kPieces;
      if (begin == end) continue;
      const auto [low, high] =
          std::minmax_element(points.begin() + static_cast<std::ptrdiff_t>(begin),
                              points.begin() + static_cast<std::ptrdiff_t>(end), by_value);
      thinned.push_back(low < high ? *low : *high);
      if (low != high) thinned.push_back(low < high ? *high : *low);
    }
    thinned.push_back(points.back());
    return thinned;
  }

  std::map<std::string, std::vector<CurvePoint>> curves_;
  int64_t last_step_ = std::numeric_limits<int64_t>::min();
  size_t kept_ = 0;
};

std::string Printed(const char* format, double a, double b) {
  char buffer[100];
  std::snprintf(buffer, sizeof buffer, format, a, b);
  return buffer;
}

// About `count` round numbers from at most `low` to at least `high`.
std::vector<double> Ticks(double low, double high, int count) {
  if (!(high > low)) high = low + std::max(std::abs(low) * 0.1, 1e-9);
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= rough * 0.999) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (double place = std::floor(low / step + 1e-9); ticks.size() < 20; ++place) {
    ticks.push_back(place * step);
    if (place * step >= high - step * 1e-9) break;
  }
  return ticks;
}

}  // namespace

std::vector<Curve> ParseCurves(std::string_view text) {
  CurveReader reader;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    reader.Line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return reader.Take();
}

Result<std::vector<Curve>> ReadCurves(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return MakeError(ErrorCode::kNotFound, path + " cannot be read");
  CurveReader reader;
  for (std::string line; std::getline(file, line);) reader.Line(line);
  return reader.Take();
}

std::vector<Chart> ChartsOf(const std::vector<Curve>& curves) {
  std::vector<Chart> charts;
  for (const Curve& curve : curves) {
    const size_t slash = curve.name.rfind('/');
    const std::string title =
        slash == std::string::npos ? curve.name : curve.name.substr(slash + 1);
    auto chart = std::ranges::find(charts, title, &Chart::title);
    if (chart == charts.end()) chart = charts.insert(charts.end(), Chart{title, {}});
    chart->curves.push_back(curve);
  }
  // What people look for first.
  std::ranges::stable_sort(charts, [](const Chart& a, const Chart& b) {
    return (a.title == "loss") > (b.title == "loss");
  });
  return charts;
}

std::string DrawChart(const Chart& chart) {
  constexpr double kWidth = 460, kHeight = 240, kLeft = 64, kRight = 14, kTop = 44, kBottom = 30;
  constexpr size_t kColours = 5;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  int64_t first = std::numeric_limits<int64_t>::max(), last = std::numeric_limits<int64_t>::min();
  for (const Curve& curve : chart.curves) {
    for (const CurvePoint& point : curve.points) {
      low = std::min(low, point.value);
      high = std::max(high, point.value);
      first = std::min(first, point.step);
      last = std::max(last, point.step);
    }
  }
  if (!(low <= high)) return "";
  const std::vector<double> y_ticks = Ticks(low, high, 4);
  const std::vector<double> x_ticks =
      Ticks(static_cast<double>(first), static_cast<double>(last), 5);
  const double x_begin = static_cast<double>(first), x_end = std::max<double>(last, x_begin + 1);
  const auto x_of = [&](double step) {
    return kLeft + (step - x_begin) / (x_end - x_begin) * (kWidth - kLeft - kRight);
  };
  const auto y_of = [&](double value) {
    const double part = (value - y_ticks.front()) / (y_ticks.back() - y_ticks.front());
    return kHeight - kBottom - part * (kHeight - kTop - kBottom);
  };
  const std::string title = Escaped(chart.title);
  std::string svg = "<svg class=\"chart\" viewBox=\"0 0 460 240\" role=\"img\" aria-label=\"" +
                    title + " by step\"><text class=\"title\" x=\"8\" y=\"16\">" + title +
                    "</text>";
  for (const double tick : y_ticks) {
    const double y = y_of(tick);
    svg += Printed("<path class=\"grid\" d=\"M64 %.1fH446\"/>", y, 0);
    svg += Printed("<text class=\"tick end\" x=\"58\" y=\"%.1f\">", y + 4, 0) + NumberText(tick) +
           "</text>";
  }
  for (const double tick : x_ticks) {
    if (tick < x_begin || tick > x_end) continue;
    svg += Printed("<text class=\"tick middle\" x=\"%.1f\" y=\"%.1f\">", x_of(tick), kHeight - 10) +
           NumberText(tick) + "</text>";
  }
  double legend_x = 8;
  for (size_t i = 0; i < chart.curves.size(); ++i) {
    const Curve& curve = chart.curves[i];
    const std::string colour = "c" + std::to_string(i % kColours + 1);
    std::string path;
    for (const CurvePoint& point : curve.points) {
      path += Printed(path.empty() ? "M%.1f %.1f" : "L%.1f %.1f",
                      x_of(static_cast<double>(point.step)), y_of(point.value));
    }
    svg += "<path class=\"curve " + colour + "\" d=\"" + path + "\"/>";
    const CurvePoint& end = curve.points.back();
    svg += "<circle class=\"dot " + colour + "\" " +
           Printed("cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\">", x_of(static_cast<double>(end.step)),
                   y_of(end.value)) +
           "<title>" + Escaped(curve.name) + " at step " + std::to_string(end.step) + ": " +
           NumberText(end.value) + "</title></circle>";
    const std::string label = Escaped(curve.name) + " " + NumberText(end.value);
    svg += "<path class=\"curve " + colour + "\" d=\"" + Printed("M%.1f 28h14", legend_x, 0) +
           "\"/>" + Printed("<text class=\"tick\" x=\"%.1f\" y=\"32\">", legend_x + 18, 0) + label +
           "</text>";
    legend_x +=
        34 + 6.2 * static_cast<double>(curve.name.size() + NumberText(end.value).size() + 1);
  }
  return svg + "</svg>";
}

}  // namespace hearth::forge
