// The report's page: sections over one RunView.

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "training/recipe/html.h"
#include "training/recipe/report.h"
#include "training/recipe/report_curves.h"
#include "training/recipe/report_graph.h"
#include "training/recipe/stage.h"

namespace hearth::forge {
namespace {

constexpr const char* kStyle = R"css(
:root{color-scheme:light dark;--page:#fff;--text:#1f2328;--soft:#667079;--line:#d8dde2;--panel:#f6f8fa;
--good:#1a7f37;--bad:#cf222e;--open:#9a6700;--c1:#2563c9;--c2:#0f8f6b;--c3:#c2570c;--c4:#8b3fb8;--c5:#a8174d}
@media (prefers-color-scheme:dark){:root{--page:#15181c;--text:#e3e7eb;--soft:#98a2ac;--line:#343b43;
--panel:#1d2126;--good:#4bb868;--bad:#f26a6a;--open:#d9a83c;--c1:#6aa5ff;--c2:#3fc79c;--c3:#f09352;--c4:#c58bee;
--c5:#f0739c}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:24px 20px 60px;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 10px}h3{font-size:15px;margin:18px 0 6px}
p{margin:6px 0}.soft{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:500}td.number,th.number{text-align:right}
code,pre{font:13px/1.45 ui-monospace,monospace}code{word-break:break-all}
pre{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:10px 12px;white-space:pre-wrap;
overflow-wrap:anywhere;margin:4px 0}
.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(440px,100%),1fr));gap:14px}
.chart,.samples{background:var(--panel);border:1px solid var(--line);border-radius:8px;width:100%}
.samples{padding:8px 14px;margin:10px 0}
svg text{fill:var(--text);font:13px system-ui,sans-serif}svg .tick{fill:var(--soft);font-size:11px}
svg .title,svg .name{font-weight:600}svg .end{text-anchor:end}svg .middle{text-anchor:middle}
.grid{stroke:var(--line);fill:none}.edge{stroke:var(--soft);fill:none;stroke-width:1.5}
.box{fill:var(--panel);stroke:var(--line)}.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}
.curve.c1{stroke:var(--c1)}.curve.c2{stroke:var(--c2)}.curve.c3{stroke:var(--c3)}.curve.c4{stroke:var(--c4)}
.curve.c5{stroke:var(--c5)}.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot.c3{fill:var(--c3)}
.dot.c4{fill:var(--c4)}.dot.c5{fill:var(--c5)}
.state{fill:var(--soft)}.state.done,.state.reused{fill:var(--good)}.state.failed{fill:var(--bad)}
.state.running,.state.interrupted,.state.stopped{fill:var(--open)}
details{margin:6px 0}summary{cursor:pointer}
)css";

std::string Cell(const std::string& text, const char* css_class = "") {
  return std::string("<td") +
         (*css_class == '\0' ? "" : " class=\"" + std::string(css_class) + "\"") + ">" + text +
         "</td>";
}

std::string Head(std::initializer_list<const char*> names) {
  std::string row = "<tr>";
  for (const char* name : names) {
    const bool number = *name == '#';  // stands to the right, as its numbers
    row += std::string(number ? "<th class=\"number\">" : "<th>") + (number ? name + 1 : name) +
           "</th>";
  }
  return row + "</tr>";
}

std::string Code(const std::string& text) { return "<code>" + Escaped(text) + "</code>"; }

std::string FigureText(const StageFigure& figure) {
  return NumberText(figure.value) + (figure.unit.empty() ? "" : " " + Escaped(figure.unit));
}

std::string IntervalText(const StageFigure& figure) {
  if (!figure.low || !figure.high) return "";
  return NumberText(*figure.low) + " to " + NumberText(*figure.high);
}

std::string StateClass(const std::string& state) {
  if (state == "done" || state == "reused") return "good";
  return state == "failed" ? "bad" : "open";
}

std::string Header(const RunView& view) {
  const std::string state = view.StateOf(view.run);
  std::string html = "<h1>" + Escaped(view.run.name) + "</h1>";
  if (!view.run.description.empty()) html += "<p>" + Escaped(view.run.description) + "</p>";
  html += "<p>Run " + std::to_string(view.run.id) + ", <b class=\"" + StateClass(state) + "\">" +
          state + "</b>, begun " + TimeText(view.run.started_at);
  if (view.run.ended_at > 0) html += ", ended " + TimeText(view.run.ended_at);
  if (view.run.attempts > 1) html += ", in " + std::to_string(view.run.attempts) + " attempts";
  return html + "</p><p class=\"soft\">" + Escaped(view.run.program) + " on " +
         Escaped(view.run.host) + "</p>";
}

std::string Targets(const RunView& view) {
  const std::vector<TargetOutcome> targets = TargetsOf(view);
  if (targets.empty()) return "";
  std::string short_ones, rows;
  for (const TargetOutcome& target : targets) {
    std::string verdict = "<span class=\"open\">not measured</span>";
    if (target.measured && target.reached)
      verdict = "<span class=\"good\">reached</span>";
    else if (target.measured)
      verdict = "<span class=\"bad\">fell short</span>";
    if (target.measured && !target.surely) verdict += ", but the interval holds the target";
    if (!target.measured || !target.reached)
      short_ones += (short_ones.empty() ? "" : ", ") + Escaped(target.figure);
    rows += "<tr>" + Cell(Escaped(target.figure)) + Cell(target.wanted) +
            Cell(target.measured ? FigureText(*target.measured) : "-", "number") +
            Cell(target.measured ? IntervalText(*target.measured) : "", "number") + Cell(verdict) +
            Cell(Escaped(target.note)) + "</tr>";
  }
  return "<h2>Targets</h2><p>" +
         (short_ones.empty() ? std::string("All were reached.")
                             : "What fell short or was not measured: " + short_ones + ".") +
         "</p><div class=\"wide\"><table>" +
         Head({"figure", "wanted", "#measured", "#95% interval", "", ""}) + rows + "</table></div>";
}

std::string Stages(const RunView& view) {
  std::vector<std::string> states;
  for (const StageRecord& stage : view.stages) states.push_back(view.StateOf(stage));
  std::string html =
      "<h2>Stages</h2><div class=\"wide\">" + DrawGraph(view.stages, states) + "</div>";
  for (const StageRecord& stage : view.stages)
    if (!stage.error.empty())
      html += "<p class=\"bad\">" + Escaped(stage.name) + ": " + Escaped(stage.error) + "</p>";
  return html;
}

std::string Figures(const RunView& view) {
  std::string rows;
  for (const StageRecord& stage : view.stages) {
    const Artifact* artifact = view.ArtifactOf(stage);
    if (artifact == nullptr) continue;
    for (const StageFigure& figure : artifact->figures) {
      rows += "<tr>" + Cell(Escaped(stage.name)) + Cell(Escaped(figure.name)) +
              Cell(FigureText(figure), "number") + Cell(IntervalText(figure), "number") + "</tr>";
    }
  }
  if (rows.empty()) return "";
  return "<h2>Figures</h2><div class=\"wide\"><table>" +
         Head({"stage", "figure", "#measured", "#95% interval"}) + rows + "</table></div>";
}

// Also of a stage that is under way, from its working folder.
std::string Curves(const RunView& view, const std::string& workdir) {
  std::string html;
  for (const StageRecord& stage : view.stages) {
    const Artifact* artifact = view.ArtifactOf(stage);
    std::vector<std::string> paths;
    if (artifact == nullptr) {
      for (const char* folder : {"/scratch/", "/output/"})
        paths.push_back(workdir + "/working/" + stage.artifact + folder + kCurvesFile);
    } else {
      for (const ArtifactOutput& output : artifact->outputs)
        if (output.content == content::kCurves)
          paths.push_back(workdir + "/artifacts/" + stage.artifact + "/" + output.file);
    }
    std::string charts;
    for (const std::string& path : paths) {
      const Result<std::vector<Curve>> curves = ReadCurves(path);
      if (!curves) continue;
      for (const Chart& chart : ChartsOf(*curves)) charts += DrawChart(chart);
    }
    if (!charts.empty())
      html += "<h3>" + Escaped(stage.name) + "</h3><div class=\"charts\">" + charts + "</div>";
  }
  return html.empty() ? "" : "<h2>Curves</h2>" + html;
}

// JSON lines of objects with texts; every text under its name.
std::string SamplesOf(const std::string& path) {
  constexpr int kShown = 12;
  constexpr size_t kShownBytes = 3000, kMaxLineBytes = size_t{1} << 20;
  std::ifstream file(path, std::ios::binary);
  std::string html;
  int shown = 0;
  for (std::string line; shown < kShown && std::getline(file, line);) {
    if (line.size() > kMaxLineBytes) continue;
    const auto json = nlohmann::ordered_json::parse(line, nullptr, false);
    if (!json.is_object()) continue;
    std::string texts;
    for (const auto& [name, value] : json.items()) {
      if (!value.is_string()) continue;
      auto text = value.get<std::string>();
      if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + " ...";
      texts += "<p class=\"soft\">" + Escaped(name) + "</p><pre>" + Escaped(text) + "</pre>";
    }
    if (texts.empty()) continue;
    html += "<div class=\"samples\">" + texts + "</div>";
    ++shown;
  }
  return html;
}

std::string Samples(const RunView& view, const std::string& workdir) {
  std::string html;
  for (const StageRecord& stage : view.stages) {
    const Artifact* artifact = view.ArtifactOf(stage);
    if (artifact == nullptr) continue;
    for (const ArtifactOutput& output : artifact->outputs) {
      if (output.content != content::kSamples) continue;
      const std::string samples =
          SamplesOf(workdir + "/artifacts/" + stage.artifact + "/" + output.file);
      if (!samples.empty()) html += "<h3>" + Escaped(stage.name) + "</h3>" + samples;
    }
  }
  return html.empty() ? "" : "<h2>Samples</h2>" + html;
}

std::string Cost(const RunView& view) {
  std::string rows;
  double seconds = 0, device_hours = 0;
  for (const StageRecord& stage : view.stages) {
    const Artifact* artifact = view.ArtifactOf(stage);
    if (artifact == nullptr && stage.seconds <= 0) continue;
    // A reused artifact cost what it cost, but not this run.
    const bool reused = stage.state == RunState::kReused;
    const double spent = artifact != nullptr ? artifact->seconds : stage.seconds;
    const double hours = artifact != nullptr ? artifact->num_devices * spent / 3600 : 0;
    if (!reused) seconds += spent;
    if (!reused) device_hours += hours;
    rows += "<tr>" + Cell(Escaped(stage.name)) + Cell(DurationText(spent), "number") +
            Cell(artifact != nullptr ? Escaped(artifact->device) : "") +
            Cell(hours > 0 ? NumberText(hours) : "", "number") +
            Cell(artifact != nullptr ? Escaped(artifact->host) : "") +
            Cell(reused ? "by an earlier run" : "") + "</tr>";
  }
  if (rows.empty()) return "";
  return "<h2>Cost</h2><p>" + DurationText(seconds) + " of work, " + NumberText(device_hours) +
         " device hours.</p><div class=\"wide\"><table>" +
         Head({"stage", "#time", "device", "#device hours", "machine", ""}) + rows +
         "</table></div>";
}

std::string Data(const RunView& view) {
  std::string inputs, outputs;
  std::set<std::string> seen;
  for (const StageRecord& stage : view.stages) {
    const Artifact* artifact = view.ArtifactOf(stage);
    if (artifact == nullptr) continue;
    for (const ArtifactInput& input : artifact->inputs) {
      if (!input.artifact.empty() || !seen.insert(input.path + input.sha256).second) continue;
      inputs += "<tr>" + Cell(Code(input.path)) + Cell(BytesText(input.size_bytes), "number") +
                Cell(Escaped(input.licence.empty() ? "not said" : input.licence)) +
                Cell(Escaped(input.source)) + Cell(Code(input.sha256)) + "</tr>";
    }
    for (const ArtifactOutput& output : artifact->outputs) {
      outputs += "<tr>" + Cell(Escaped(stage.name + "." + output.name)) +
                 Cell(Code(stage.artifact + "/" + output.file)) +
                 Cell(BytesText(output.size_bytes), "number") + Cell(Code(output.sha256)) + "</tr>";
    }
  }
  std::string html;
  if (!inputs.empty()) {
    html += "<h2>Data</h2><div class=\"wide\"><table>" +
            Head({"file", "#size", "licence", "source", "SHA-256"}) + inputs + "</table></div>";
  }
  if (!outputs.empty()) {
    html += "<h2>Artifacts</h2><div class=\"wide\"><table>" +
            Head({"output", "in artifacts/", "#size", "SHA-256"}) + outputs + "</table></div>";
  }
  return html;
}

std::string RecipeText(const RunView& view) {
  std::string html = "<h2>Recipe</h2>";
  for (const StageRecord& stage : view.stages) {
    const Artifact* artifact = view.ArtifactOf(stage);
    if (artifact == nullptr) continue;
    const auto json = nlohmann::ordered_json::parse(artifact->all_parameters, nullptr, false);
    if (!json.is_object()) continue;
    html += "<details><summary>" + Escaped(stage.name) + ": " + Escaped(stage.kind) + " version " +
            std::to_string(artifact->version) + ", every key</summary><pre>";
    for (const auto& [key, value] : json.items())
      if (value.is_string()) html += Escaped(key + ": " + value.get<std::string>() + "\n");
    html += "</pre></details>";
  }
  if (!view.run.overrides.empty())
    html += "<p>With --set:</p><pre>" + Escaped(view.run.overrides) + "</pre>";
  return html + "<p>" + Code(view.run.recipe_path) + "</p><pre>" + Escaped(view.run.recipe_text) +
         "</pre>";
}

}  // namespace

std::string RunAsHtml(const RunView& view, const std::string& workdir) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width,initial-scale=1\"><title>" +
         Escaped(view.run.name) + "</title><style>" + kStyle + "</style></head><body>" +
         Header(view) + Targets(view) + Stages(view) + Figures(view) + Curves(view, workdir) +
         Samples(view, workdir) + Cost(view) + Data(view) + RecipeText(view) + "</body></html>\n";
}

}  // namespace hearth::forge
