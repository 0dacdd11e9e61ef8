// report.json: the account of one curation.

#include <cmath>
#include <nlohmann/json.hpp>

#include "training/curate/curate.h"

namespace hearth::forge {
namespace {

using OrderedJson = nlohmann::ordered_json;

double Rounded(double value, double step) { return std::round(value / step) * step; }

OrderedJson ToJson(const CurateCounts& counts) {
  OrderedJson json;
  json["rows_in"] = counts.rows_in;
  json["kept"] = counts.kept;
  json["removed"] = OrderedJson::object();
  for (const auto& [reason, count] : counts.removed) json["removed"][reason] = count;
  json["removed_total"] = counts.num_removed();
  return json;
}

OrderedJson OptionsOf(const CurateReport& report, const CurateOptions& options) {
  OrderedJson json;
  json["languages"] = options.languages.empty() ? OrderedJson("any") : OrderedJson(options.languages);
  json["quality_rules"] = options.quality_rules;
  json["min_quality"] = report.min_quality;
  json["quality_model"] = options.quality_model.empty() ? "built-in" : options.quality_model;
  json["min_answer_chars"] = options.limits.min_answer_chars;
  json["max_answer_chars"] = options.limits.max_answer_chars;
  json["max_chars"] = options.limits.max_chars;
  json["keep_prompts"] = options.limits.keep_prompts;
  json["exact_duplicates"] = options.exact_duplicates;
  json["near_duplicates"] = options.near_duplicates;
  json["similarity"] = options.similarity;
  json["shingle_words"] = kShingleWords;
  json["permutations"] = kNumPermutations;
  json["bands"] = kNumBands;
  json["evaluation_sets"] = options.evaluation_sets;
  return json;
}

}  // namespace

std::string ReportJson(const CurateReport& report, const CurateOptions& options) {
  OrderedJson json = ToJson(report.counts);
  json["prompts_only"] = report.prompts_only;
  json["stripped_end_markers"] = report.stripped_markers;
  json["by_source"] = OrderedJson::array();
  for (const CurateInput& input : report.inputs) {
    OrderedJson one = {{"file", input.path}, {"bytes", input.size_bytes}, {"xxh3_128", input.hash}};
    one.update(ToJson(input.counts));
    json["by_source"].push_back(std::move(one));
  }
  json["languages"] = OrderedJson::object();
  for (const auto& [language, count] : report.languages)
    json["languages"][language.empty() ? "undecided" : language] = count;
  json["decontamination"] = OrderedJson::array();
  for (size_t i = 0; i < report.evaluation_sets.size(); ++i) {
    const EvaluationIndex::Set& set = report.evaluation_sets[i];
    json["decontamination"].push_back({{"set", set.file},
                                       {"items", set.items},
                                       {"runs", set.runs},
                                       {"templates", set.templates},
                                       {"rows_removed", report.contaminated_by[i]}});
  }
  json["near_duplicates"] = {{"pairs_compared", report.near.compared},
                             {"pairs_similar", report.near.similar},
                             {"pairs_passed_over", report.near.passed_over},
                             {"clusters", report.near_clusters},
                             {"largest_cluster", report.largest_cluster}};
  json["options"] = OptionsOf(report, options);
  json["minhash"] = {{"rows", report.minhash_rows},
                     {"cpu_s", Rounded(report.minhash_cpu_s, 1e-4)},
                     {"rows_per_s_per_core",
                      report.minhash_cpu_s > 0
                          ? std::round(static_cast<double>(report.minhash_rows) / report.minhash_cpu_s)
                          : 0}};
  json["stages"] = OrderedJson::object();
  for (const auto& [name, time] : report.stages) {
    json["stages"][name] = OrderedJson::object();
    if (time.wall_s > 0) json["stages"][name]["wall_s"] = Rounded(time.wall_s, 1e-4);
    if (time.cpu_s > 0) json["stages"][name]["cpu_s"] = Rounded(time.cpu_s, 1e-4);
  }
  json["threads"] = report.num_threads;
  json["peak_memory_bytes"] = report.peak_memory_bytes;
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace hearth::forge
