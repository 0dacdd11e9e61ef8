#include "apps/hearth/bench_report.h"

#include <map>
#include <optional>
#include <string>

#include "apps/hearth/model_options.h"
#include "apps/hearth/terminal.h"

namespace hearth {
namespace {

using ByNumber = std::map<int, double>;

// An object keyed by the numbers as text, as JSON wants it.
Json ToJson(const ByNumber& values) {
  Json json = Json::object();
  for (const auto& [number, value] : values) json[std::to_string(number)] = value;
  return json;
}

Json ToJson(const std::map<std::string, ByNumber>& values) {
  Json json = Json::object();
  for (const auto& [name, numbers] : values) json[name] = ToJson(numbers);
  return json;
}

double At(const ByNumber& values, int number) {
  const auto found = values.find(number);
  return found == values.end() ? 0 : found->second;
}

// Name, figure, the limit beside it and what part of it was reached.
void Row(const std::string& name, double value, double limit, const std::string& unit) {
  std::string line = Format("%-30s%10.1f %-6s", name.c_str(), value, unit.c_str());
  // Of a time the limit is the smaller one.
  const double reached = unit == "ms" ? limit / value : value / limit;
  if (limit > 0) line += Format("%10.1f %-6s %4.0f%%", limit, unit.c_str(), 100 * reached);
  while (line.ends_with(' ')) line.pop_back();
  Print(line + "\n");
}

}  // namespace

Json BenchJson(const BenchReport& report) {
  Json json = {{"model", ModelIdFromPath(report.model.path)},
               {"architecture", report.model.architecture},
               {"kernels", report.isa},
               {"threads", report.threads},
               {"read_gbps", report.machine.read_gbps},
               {"int8_gmacs", report.machine.int8_gmacs},
               {"weight_bytes", report.weight_bytes},
               {"macs_per_token", report.macs_per_token},
               {"decode_tps", report.decode_tps},
               {"decode_limit_tps", report.decode_limit_tps},
               {"pass_ms", ToJson(report.pass_ms)},
               {"pass_limit_ms", ToJson(report.pass_limit_ms)},
               {"verify_ratio", ToJson(report.verify_ratio)},
               {"prefill_tps", ToJson(report.prefill_tps)},
               {"prefill_limit_tps", ToJson(report.prefill_limit_tps)},
               {"ttft_ms", report.ttft_ms},
               {"cached_ttft_ms", report.cached_ttft_ms},
               {"load_ms", report.load_ms},
               {"peak_rss_mb", report.peak_rss_mb}};
  if (!report.decode_at.empty()) {
    json["decode_at"] = ToJson(report.decode_at);
    json["decode_at_limit"] = ToJson(report.decode_at_limit);
  }
  if (!report.batch_tps.empty()) {
    json["batch_tps"] = ToJson(report.batch_tps);
    json["batch_limit_tps"] = ToJson(report.batch_limit_tps);
  }
  return json;
}

void PrintBenchTable(const BenchReport& report) {
  Print(OneLine(ModelIdFromPath(report.model.path)) + ", " + FormatBytes(report.weight_bytes) +
        " read per token, " +
        Format("%d threads, %s kernels\n", report.threads, report.isa.c_str()));
  Print(Format("this machine reads %.1f GB/s and multiplies %.0f G int8 a second\n\n",
               report.machine.read_gbps, report.machine.int8_gmacs));
  Print(Format("%-30s%17s%17s\n", "", "measured", "limit"));
  Row("decode", report.decode_tps, report.decode_limit_tps, "tok/s");
  for (const auto& [name, speeds] : report.decode_at) {
    const auto limits = report.decode_at_limit.find(name);
    for (const auto& [context, tps] : speeds) {
      Row("decode at " + std::to_string(context) + ", KV " + name, tps,
          limits == report.decode_at_limit.end() ? 0 : At(limits->second, context), "tok/s");
    }
  }
  for (const auto& [length, tps] : report.prefill_tps)
    Row("prefill of " + std::to_string(length), tps, At(report.prefill_limit_tps, length), "tok/s");
  for (const auto& [size, tps] : report.batch_tps)
    Row("batch of " + std::to_string(size), tps, At(report.batch_limit_tps, size), "tok/s");
  for (const auto& [width, ms] : report.pass_ms) {
    const std::string name = "pass over " + std::to_string(width) +
                             (width == 1 ? " token" : " tokens") +
                             (width == 1 ? "" : Format(", %.2f x", At(report.verify_ratio, width)));
    Row(name, ms, At(report.pass_limit_ms, width), "ms");
  }
  const double prefill_limit = At(report.prefill_limit_tps, 128);
  Row("time to first token, 128", report.ttft_ms,
      prefill_limit > 0 ? 128 * 1000 / prefill_limit : 0, "ms");
  Row("the same, prompt known", report.cached_ttft_ms,
      report.decode_limit_tps > 0 ? 1000 / report.decode_limit_tps : 0, "ms");
  Row("load", report.load_ms, 0, "ms");
  Row("peak memory", report.peak_rss_mb, 0, "MB");
}

}  // namespace hearth
