#include "config/decode.h"

#include <algorithm>
#include <set>

#include "config/suggest.h"
#include "config/value_decoder.h"

namespace setun::config {

RunConfig decode(const Node& root, std::vector<LocatedFinding>& findings) {
  RunConfig config;
  ValueDecoder(root, "", meant_key, findings)(config);
  return config;
}

std::string findings_text(std::vector<LocatedFinding> findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const auto& a, const auto& b) {
    return std::tie(a.where.file, a.where.line, a.where.column) <
           std::tie(b.where.file, b.where.line, b.where.column);
  });
  std::string text;
  std::set<std::string> printed;
  for (const LocatedFinding& finding : findings) {
    std::string line = location_text(finding.where) + ": " + finding.key +
                       (finding.key.empty() ? "" : ": ") + finding.message;
    if (printed.insert(line).second) {
      text += (text.empty() ? "" : "\n") + line;
    }
  }
  return text;
}

}  // namespace setun::config
