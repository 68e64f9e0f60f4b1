#include "sweep/tables.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/text.h"
#include "train/record_table.h"

namespace setun::sweep {
namespace {

using Row = std::vector<std::string>;

std::string shown(std::optional<double> value) {
  if (!value) {
    return "-";
  }
  if (!std::isfinite(*value)) {
    return number_text(*value);
  }
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", *value);
  return text;
}

// As spreadsheets read it: quoted when it holds a comma, a quote or a line break.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c == '"' ? "\"\"" : std::string(1, c);
  }
  return out + "\"";
}

void add_line(std::string& out, const Row& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    out += (i == 0 ? "" : ",") + csv_cell(cells[i]);
  }
  out += "\n";
}

nlohmann::ordered_json json_number(std::optional<double> value) {
  return value && std::isfinite(*value) ? nlohmann::ordered_json(*value)
                                        : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json json_values(const Plan& plan, const std::vector<std::string>& values) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < values.size(); ++i) {
    json[plan.axis_keys[i]] = values[i];
  }
  return json;
}

nlohmann::ordered_json json_point(const Plan& plan, const PointResult& point) {
  nlohmann::ordered_json json = {{"arm", point.arm},
                                 {"axes", json_values(plan, point.values)},
                                 {"planned", point.planned},
                                 {"n", point.metric.n},
                                 {"missing", point.missing},
                                 {"not_finite", point.not_finite},
                                 {"mean", json_number(point.metric.mean)},
                                 {"deviation", json_number(point.metric.deviation)},
                                 {"best", point.best}};
  if (point.difference) {
    const PairedDifference& d = *point.difference;
    json["difference"] = {
        {"pairs", d.pairs},
        {"mean", json_number(d.mean)},
        {"standard_error", json_number(d.standard_error)},
        {"held", d.held ? nlohmann::ordered_json(*d.held) : nlohmann::ordered_json(nullptr)}};
  }
  return json;
}

std::string count_text(const PointResult& point) {
  std::string text = str(point.metric.n, "/", point.planned);
  if (point.not_finite > 0) {
    text += str(", ", point.not_finite, " not finite");
  }
  if (point.missing > 0) {
    text += str(", ", point.missing, " without");
  }
  return text;
}

void add_difference(Row& row, const PointResult& point) {
  if (!point.difference) {
    row.insert(row.end(), {"", "", ""});
    return;
  }
  const PairedDifference& d = *point.difference;
  row.push_back(shown(d.mean));
  row.push_back(shown(d.standard_error));
  row.push_back(d.held ? (*d.held ? "held" : "not held") : "-");
}

}  // namespace

std::string aligned_table(const std::vector<Row>& rows) {
  std::vector<std::size_t> width(rows.front().size(), 3);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      width[i] = std::max(width[i], row[i].size());
    }
  }
  std::string out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t i = 0; i < width.size(); ++i) {
      out += "| " + rows[r][i] + std::string(width[i] - rows[r][i].size() + 1, ' ');
    }
    out += "|\n";
    if (r == 0) {
      for (const std::size_t w : width) {
        out += "|" + std::string(w + 2, '-');
      }
      out += "|\n";
    }
  }
  return out;
}

std::string results_csv(const Plan& plan, const Results& results) {
  std::string out;
  Row header = {"run", "arm"};
  header.insert(header.end(), plan.axis_keys.begin(), plan.axis_keys.end());
  header.insert(header.end(), {"seed", "state"});
  header.insert(header.end(), results.fields.begin(), results.fields.end());
  add_line(out, header);
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    Row cells = {run.name, run.arm};
    cells.insert(cells.end(), run.values.begin(), run.values.end());
    cells.push_back(std::to_string(run.config.run.seed));
    cells.emplace_back(enum_name(results.runs[i].state));
    for (const std::string& field : results.fields) {
      const std::optional<double> value = results.runs[i].number(field);
      cells.push_back(value ? number_text(*value) : "");
    }
    add_line(out, cells);
  }
  return out;
}

std::string results_json(const Plan& plan, const Results& results) {
  nlohmann::ordered_json json = {{"metric", plan.file.metric},
                                 {"maximize", plan.file.maximize},
                                 {"baseline", plan.file.baseline}};
  json["runs"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < plan.runs.size(); ++i) {
    const PlannedRun& run = plan.runs[i];
    nlohmann::ordered_json summary = nlohmann::ordered_json::object();
    for (const auto& [field, value] : results.runs[i].numbers) {
      summary[field] = json_number(value);
    }
    json["runs"].push_back({{"run", run.name},
                            {"arm", run.arm},
                            {"axes", json_values(plan, run.values)},
                            {"seed", run.config.run.seed},
                            {"state", enum_name(results.runs[i].state)},
                            {"summary", summary}});
  }
  json["points"] = nlohmann::ordered_json::array();
  for (const PointResult& point : results.points) {
    json["points"].push_back(json_point(plan, point));
  }
  return json.dump(2) + "\n";
}

std::string results_table(const Plan& plan, const Results& results) {
  const bool paired = !plan.file.baseline.empty();
  Row header = {"arm"};
  header.insert(header.end(), plan.axis_keys.begin(), plan.axis_keys.end());
  header.insert(header.end(), {"n", plan.file.metric, "deviation"});
  if (paired) {
    header.insert(header.end(), {"- " + plan.file.baseline, "std. error", "difference"});
  }
  header.emplace_back("");
  std::vector<Row> rows = {header};
  for (const PointResult& point : results.points) {
    Row row = {point.arm};
    row.insert(row.end(), point.values.begin(), point.values.end());
    row.insert(row.end(),
               {count_text(point), shown(point.metric.mean), shown(point.metric.deviation)});
    if (paired) {
      add_difference(row, point);
    }
    row.emplace_back(point.best ? "best" : "");
    rows.push_back(std::move(row));
  }
  return aligned_table(rows);
}

void write_results(const Plan& plan, const Results& results) {
  const fs::path folder = plan.file.output;
  std::ostringstream page;
  const auto finished =
      std::count_if(results.runs.begin(), results.runs.end(),
                    [](const RunResult& run) { return run.state == RunState::kFinished; });
  page << "# " << plan.file.output << "\n\n"
       << finished << " of " << plan.runs.size() << " runs finished. Metric: " << plan.file.metric
       << ", " << (plan.file.maximize ? "more" : "less")
       << " is better: mean and sample standard deviation over the seeds";
  if (!plan.file.baseline.empty()) {
    page << "; difference\nto " << plan.file.baseline
         << " paired by seed, held when it exceeds 2 standard errors";
  }
  page << ".\n\n" << results_table(plan, results);
  write_file_atomic(folder / "results.csv", results_csv(plan, results));
  write_file_atomic(folder / "results.json", results_json(plan, results));
  write_file_atomic(folder / "results.md", page.str());
}

}  // namespace setun::sweep
