// Paired measurements: the arms of a contest take turns in one process, so that whatever slows the
// machine meets all of them; medians with the spread, and each arm's ratio to the first, the
// baseline. Printed as a table and written as JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace setun::bench {

struct Arm {
  std::string name;
  std::function<void()> run;
  double work = 0;  // of one run, in units of 1e9 of the contest's unit: operations or bytes
};

struct Contest {
  std::string title;
  std::string unit;  // of work a second: "GOP/s", "GB/s"
  std::vector<Arm> arms;
};

struct Timing {
  double median = 0, least = 0, most = 0;  // seconds
};

Timing timing_of(std::vector<double> seconds);  // at least one
double seconds_of(const std::function<void()>& run);

struct ContestResult {
  std::string title, unit;
  std::vector<std::string> names;
  std::vector<Timing> timings;
  std::vector<double> rates;  // work / median
};

// Warms every arm up once, then runs the arms in turn `repetitions` times.
ContestResult run_contest(const Contest& contest, int64_t repetitions);

void print_contest(const ContestResult& result);

// The processor, the paths and the threads in words: what every table of timings begins with.
std::string machine_line();

// One JSON object: machine_line() and every contest. Throws Error when the file cannot be written.
void write_contests(const std::string& path, const std::vector<ContestResult>& results);

}  // namespace setun::bench
