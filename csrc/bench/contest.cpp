#include "bench/contest.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/cpu_features.h"
#include "base/files.h"

namespace setun::bench {

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Timing timing_of(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

ContestResult run_contest(const Contest& contest, int64_t repetitions) {
  std::vector<std::vector<double>> seconds(contest.arms.size());
  for (const Arm& arm : contest.arms) {
    arm.run();
  }
  for (int64_t i = 0; i < repetitions; ++i) {
    for (std::size_t a = 0; a < contest.arms.size(); ++a) {
      seconds[a].push_back(seconds_of(contest.arms[a].run));
    }
  }
  ContestResult result = {contest.title, contest.unit, {}, {}, {}};
  for (std::size_t a = 0; a < contest.arms.size(); ++a) {
    result.names.push_back(contest.arms[a].name);
    result.timings.push_back(timing_of(seconds[a]));
    result.rates.push_back(contest.arms[a].work / result.timings.back().median);
  }
  return result;
}

void print_contest(const ContestResult& result) {
  std::cout << "\n"
            << std::left << std::setw(44) << result.title << std::right << std::setw(11)
            << "median ms" << std::setw(10) << "min" << std::setw(10) << "max" << std::setw(9)
            << result.unit << std::setw(9) << "speed-up"
            << "\n";
  for (std::size_t a = 0; a < result.names.size(); ++a) {
    const Timing& time = result.timings[a];
    std::cout << std::left << std::setw(44) << "  " + result.names[a] << std::right << std::fixed
              << std::setprecision(3) << std::setw(11) << 1e3 * time.median << std::setw(10)
              << 1e3 * time.least << std::setw(10) << 1e3 * time.most << std::setprecision(1)
              << std::setw(9) << result.rates[a] << std::setprecision(2) << std::setw(9)
              << result.timings[0].median / time.median << "\n";
  }
}

std::string machine_line() {
  std::ostringstream line;
  line << cpu_model_name() << ", " << at::get_num_threads() << " threads, Setun path "
       << enum_name(cpu_path()) << ", LibTorch " << TORCH_VERSION << ", ATen "
       << at::get_cpu_capability();
  return line.str();
}

void write_contests(const std::string& path, const std::vector<ContestResult>& results) {
  auto contests = nlohmann::ordered_json::array();
  for (const ContestResult& result : results) {
    auto arms = nlohmann::ordered_json::array();
    for (std::size_t a = 0; a < result.names.size(); ++a) {
      const Timing& time = result.timings[a];
      arms.push_back({{"name", result.names[a]},
                      {"median_ms", 1e3 * time.median},
                      {"min_ms", 1e3 * time.least},
                      {"max_ms", 1e3 * time.most},
                      {"rate", result.rates[a]},
                      {"speed_up", result.timings[0].median / time.median}});
    }
    contests.push_back({{"title", result.title}, {"unit", result.unit}, {"arms", arms}});
  }
  const nlohmann::ordered_json json = {{"machine", machine_line()},
                                       {"threads", at::get_num_threads()},
                                       {"path", enum_name(cpu_path())},
                                       {"contests", contests}};
  write_file_atomic(path, json.dump(1) + "\n");
}

}  // namespace setun::bench
