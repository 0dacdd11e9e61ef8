#pragma once
// The subcommands of `hearth`: each declares its options on the command line and says what to run.
// One file per subcommand.

#include <functional>

#include <CLI/CLI.hpp>

namespace hearth {

// Runs after parsing and returns the exit code. Whatever it throws is caught in main.
using Action = std::function<int()>;

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;          // the command line itself is wrong
inline constexpr int kExitInterrupted = 130;  // Ctrl-C, as shells have it

// Each adds one subcommand, which sets `action` when it is the one chosen.
void AddRun(CLI::App& app, Action& action);
void AddChat(CLI::App& app, Action& action);
void AddServe(CLI::App& app, Action& action);
void AddShow(CLI::App& app, Action& action);
void AddTokenize(CLI::App& app, Action& action);
void AddEmbed(CLI::App& app, Action& action);
void AddPerplexity(CLI::App& app, Action& action);
void AddBench(CLI::App& app, Action& action);
void AddConvert(CLI::App& app, Action& action);
void AddEval(CLI::App& app, Action& action);
void AddVersion(CLI::App& app, Action& action);

}  // namespace hearth
