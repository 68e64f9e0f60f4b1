// The results of a sweep as text: results.csv (a row per run), results.json (runs and points),
// results.md and the terminal (a row per arm and axes point). Columns: docs/sweeps.md.
#pragma once

#include <string>
#include <vector>

#include "sweep/results.h"

namespace setun::sweep {

// Columns as wide as their widest cell, in Markdown; the first row is the header.
std::string aligned_table(const std::vector<std::vector<std::string>>& rows);

std::string results_csv(const Plan& plan, const Results& results);
std::string results_json(const Plan& plan, const Results& results);
std::string results_table(const Plan& plan, const Results& results);

// Replaces results.csv, results.json and results.md in the sweep's folder, each atomically.
void write_results(const Plan& plan, const Results& results);

}  // namespace setun::sweep
