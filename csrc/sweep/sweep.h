// `setun sweep`: runs, tables or plans a sweep. Torch-free: every run is a process of its own.
#pragma once

#include <string>
#include <vector>

namespace setun::sweep {

enum class Mode { kRun, kDryRun, kTable };

// Throws setun::Error when the file or a run's recipe is wrong (before anything runs), when another
// sweep works in the folder, and at the end when a run failed.
void sweep(const std::string& path, const std::vector<std::string>& overrides, Mode mode);

}  // namespace setun::sweep
