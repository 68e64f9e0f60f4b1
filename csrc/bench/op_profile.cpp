#include "bench/op_profile.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <vector>

namespace setun::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Totals {
  double self_seconds = 0;
  int64_t calls = 0;
};

struct Record {
  std::mutex mutex;
  std::map<std::string, Totals> operators;
};
Record& record() {
  static Record instance;
  return instance;
}

// A call under way; the innermost is the last of its thread.
struct Call : at::ObserverContext {
  Clock::time_point start = Clock::now();
  double inside = 0;  // seconds of calls within this one
};
thread_local std::vector<Call*> stack;

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction&) {
  auto call = std::make_unique<Call>();
  stack.push_back(call.get());
  return call;
}

void on_end(const at::RecordFunction& function, at::ObserverContext* context) {
  auto* call = static_cast<Call*>(context);
  const double seconds = std::chrono::duration<double>(Clock::now() - call->start).count();
  stack.pop_back();
  if (!stack.empty()) {
    stack.back()->inside += seconds;
  }
  const std::lock_guard lock(record().mutex);
  Totals& totals = record().operators[function.name()];
  totals.self_seconds += seconds - call->inside;
  ++totals.calls;
}

}  // namespace

void print_op_profile(const std::function<void()>& body, int64_t repetitions, std::ostream& out) {
  body();  // warm-up
  record().operators.clear();
  const at::CallbackHandle handle = at::addGlobalCallback(
      at::RecordFunctionCallback(on_start, on_end)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  const Clock::time_point start = Clock::now();
  for (int64_t i = 0; i < repetitions; ++i) {
    body();
  }
  const double total = std::chrono::duration<double>(Clock::now() - start).count();
  at::removeCallback(handle);
  std::vector<std::pair<std::string, Totals>> rows(record().operators.begin(),
                                                   record().operators.end());
  double covered = 0;
  for (const auto& row : rows) {
    covered += row.second.self_seconds;
  }
  rows.push_back({"(outside operators)", {total - covered, repetitions}});
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.second.self_seconds > b.second.self_seconds;
  });
  const auto runs = static_cast<double>(repetitions);
  out << std::left << std::setw(52) << "operator" << std::right << std::setw(10) << "self ms"
      << std::setw(8) << "share" << std::setw(8) << "calls"
      << "\n";
  for (const auto& [name, totals] : rows) {
    // Setun's own always: which of its kernels ran is what the table is read for.
    if (totals.self_seconds >= 0.005 * total || name.rfind("setun::", 0) == 0) {
      out << std::left << std::setw(52) << name.substr(0, 51) << std::right << std::fixed
          << std::setprecision(2) << std::setw(10) << 1e3 * totals.self_seconds / runs
          << std::setprecision(1) << std::setw(7) << 100 * totals.self_seconds / total << "%"
          << std::setw(8) << totals.calls / repetitions << "\n";
    }
  }
  out << std::left << std::setw(52) << "all" << std::right << std::setprecision(2) << std::setw(10)
      << 1e3 * total / runs << "\n";
}

}  // namespace setun::bench
