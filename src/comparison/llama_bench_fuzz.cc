// Any output of a peer becomes figures that are positive numbers, or none.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "comparison/figures.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const hearth::PeerRun run = hearth::ParseLlamaBench(text);
  for (const auto& [test, speed] : run.tokens_per_second) HEARTH_CHECK(speed > 0);
  hearth::MeasuredFigures figures;
  figures.AddPeer("a setting", "f16", 32, run);
  // The same bytes as a report of ours, which is read with the same distrust.
  const auto report = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!figures.AddOurs(report)) return 0;
  for (const hearth::ComparedFigure& figure : figures.Summarise().figures)
    HEARTH_CHECK(figure.ours.median > 0);
  return 0;
}
