#include "training/recipe/report_graph.h"

#include <algorithm>
#include <cstdio>

#include "training/recipe/html.h"

namespace hearth::forge {
namespace {

constexpr int kBoxWidth = 190, kBoxHeight = 54, kGapX = 60, kGapY = 18, kMargin = 6;

// A name as wide as a box holds; the whole one is its tooltip.
std::string Short(const std::string& name) {
  constexpr size_t kShown = 24;
  return name.size() <= kShown ? name : name.substr(0, kShown - 1) + "...";
}

}  // namespace

std::string DrawGraph(const std::vector<StageRecord>& stages,
                      const std::vector<std::string>& states) {
  // The column is the longest way from an input; stages stand behind what they read from.
  std::vector<int> column(stages.size(), 0), row(stages.size(), 0);
  std::vector<int> height;
  for (size_t i = 0; i < stages.size(); ++i) {
    for (const int from : stages[i].reads_from)
      if (from >= 0 && static_cast<size_t>(from) < i)
        column[i] = std::max(column[i], column[static_cast<size_t>(from)] + 1);
    if (height.size() <= static_cast<size_t>(column[i])) height.resize(column[i] + 1, 0);
    row[i] = height[static_cast<size_t>(column[i])]++;
  }
  const int rows = height.empty() ? 0 : *std::ranges::max_element(height);
  const int width = static_cast<int>(height.size()) * (kBoxWidth + kGapX) - kGapX + 2 * kMargin;
  const int full_height = rows * (kBoxHeight + kGapY) - kGapY + 2 * kMargin;
  const auto x_of = [&](size_t i) { return kMargin + column[i] * (kBoxWidth + kGapX); };
  // A column with fewer boxes stands in the middle.
  const auto y_of = [&](size_t i) {
    const int spare = (rows - height[static_cast<size_t>(column[i])]) * (kBoxHeight + kGapY) / 2;
    return kMargin + spare + row[i] * (kBoxHeight + kGapY);
  };
  char buffer[300];
  std::snprintf(
      buffer, sizeof buffer,
      "<svg class=\"graph\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" "
      "aria-label=\"the stages\">",
      width, full_height, width, full_height);
  std::string svg = buffer;
  for (size_t i = 0; i < stages.size(); ++i) {
    for (const int from : stages[i].reads_from) {
      if (from < 0 || static_cast<size_t>(from) >= i) continue;
      const int x1 = x_of(static_cast<size_t>(from)) + kBoxWidth, x2 = x_of(i);
      const int y1 = y_of(static_cast<size_t>(from)) + kBoxHeight / 2,
                y2 = y_of(i) + kBoxHeight / 2;
      const int middle = (x1 + x2) / 2;
      std::snprintf(buffer, sizeof buffer, "<path class=\"edge\" d=\"M%d %dC%d %d %d %d %d %d\"/>",
                    x1, y1, middle, y1, middle, y2, x2, y2);
      svg += buffer;
    }
  }
  for (size_t i = 0; i < stages.size(); ++i) {
    const int x = x_of(i), y = y_of(i);
    std::snprintf(buffer, sizeof buffer,
                  "<rect class=\"box\" x=\"%d\" y=\"%d\" width=\"%d\" "
                  "height=\"%d\" rx=\"8\"/>",
                  x, y, kBoxWidth, kBoxHeight);
    svg += "<g><title>" + Escaped(stages[i].name) + "</title>" + buffer;
    std::snprintf(buffer, sizeof buffer, "<circle class=\"state %s\" cx=\"%d\" cy=\"%d\" r=\"5\"/>",
                  Escaped(states[i]).c_str(), x + 14, y + 19);
    svg += buffer;
    std::snprintf(buffer, sizeof buffer, "<text class=\"name\" x=\"%d\" y=\"%d\">", x + 26, y + 24);
    svg += buffer + Escaped(Short(stages[i].name)) + "</text>";
    std::snprintf(buffer, sizeof buffer, "<text class=\"tick\" x=\"%d\" y=\"%d\">", x + 26, y + 42);
    std::string below = stages[i].kind + ", " + states[i];
    if (stages[i].seconds > 0) below += ", " + DurationText(stages[i].seconds);
    svg += buffer + Escaped(below) + "</text></g>";
  }
  return svg + "</svg>";
}

}  // namespace hearth::forge
