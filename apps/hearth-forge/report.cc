// hearth-forge report: a run as one HTML page.

#include "training/recipe/report.h"

#include <memory>
#include <span>
#include <string>

#include "apps/hearth-forge/commands.h"
#include "apps/hearth-forge/recipe_options.h"
#include "apps/hearth/terminal.h"
#include "base/atomic_file.h"

namespace hearth::forge {
namespace {

struct ReportFlags {
  std::string workdir;
  std::string run;
  std::string output;
};

Status WritePage(const std::string& path, const std::string& page) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(page))));
  return file.Commit();
}

int Report(const ReportFlags& flags) {
  Result<Ledger> ledger = Ledger::Open(flags.workdir, false);
  if (!ledger) {
    if (ledger.error().code != ErrorCode::kNotFound) return Fail(ledger.error());
    return Fail("there are no runs in " + flags.workdir + "; --workdir names another folder");
  }
  const Result<RunView> view = ViewRun(*ledger, flags.workdir, flags.run);
  if (!view) return Fail(view.error());
  const std::string page = RunAsHtml(*view, flags.workdir);
  if (flags.output == "-") {
    Print(page);
    return kExitOk;
  }
  const std::string path = flags.output.empty()
                               ? view->run.name + "-" + std::to_string(view->run.id) + ".html"
                               : flags.output;
  if (const Status written = WritePage(path, page); !written) return Fail(written.error());
  Print(path + "\n");
  return kExitOk;
}

}  // namespace

void AddReport(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("report", "Write a run's report, one HTML page");
  const auto flags = std::make_shared<ReportFlags>();
  command->add_option("run", flags->run, "Number or name of the run; without it the newest")
      ->type_name("RUN");
  AddWorkdirOption(*command, flags->workdir);
  command
      ->add_option("-o,--output", flags->output,
                   "The page; - is standard output; else NAME-RUN.html")
      ->type_name("FILE");
  command->callback([&action, flags] { action = [flags] { return Report(*flags); }; });
}

}  // namespace hearth::forge
