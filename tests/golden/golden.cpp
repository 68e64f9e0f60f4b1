#include "golden/golden.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"

namespace setun::golden {
namespace {

void collect(const Json& value, std::vector<double>& out) {
  if (value.is_array()) {
    for (const Json& element : value) {
      collect(element, out);
    }
  } else {
    out.push_back(value.get<double>());
  }
}

std::vector<int64_t> shape_of(const Json& value) {
  std::vector<int64_t> shape;
  for (const Json* level = &value; level->is_array(); level = &level->front()) {
    shape.push_back(static_cast<int64_t>(level->size()));
    if (level->empty()) {
      break;
    }
  }
  return shape;
}

std::string compare_value(const std::string& key, const Json& got, const Json& want,
                          const Json& tolerance) {
  if (shape_of(got) != shape_of(want)) {
    return setun::str(key, ": shape ", Json(shape_of(got)).dump(), ", expected ",
                      Json(shape_of(want)).dump());
  }
  std::vector<double> got_values, want_values;
  collect(got, got_values);
  collect(want, want_values);
  if (got_values.size() != want_values.size()) {
    return setun::str(key, ": ", got_values.size(), " values, expected ", want_values.size());
  }
  const bool exact = tolerance.is_string();
  const double rtol = exact ? 0 : tolerance.at("rtol").get<double>();
  const double atol = exact ? 0 : tolerance.at("atol").get<double>();
  for (size_t i = 0; i < want_values.size(); ++i) {
    // Written so that a NaN fails.
    if (!(std::abs(got_values[i] - want_values[i]) <= atol + rtol * std::abs(want_values[i]))) {
      return setun::str(key, "[", i, "]: ", got_values[i], ", expected ", want_values[i],
                        exact ? " exactly" : setun::str(" within ", rtol, " relative, ", atol));
    }
  }
  return "";
}

Json nested(const double* values, at::IntArrayRef sizes) {
  if (sizes.empty()) {
    return *values;
  }
  Json out = Json::array();
  int64_t stride = 1;
  for (const int64_t size : sizes.slice(1)) {
    stride *= size;
  }
  for (int64_t i = 0; i < sizes[0]; ++i) {
    out.push_back(nested(values + i * stride, sizes.slice(1)));
  }
  return out;
}

}  // namespace

Arguments::Arguments(const Json& inputs, const Json& params, bool strided)
    : values_(inputs), strided_(strided) {
  values_.update(params);
}

const Json& Arguments::json(const std::string& key) const {
  SETUN_CHECK(has(key), "golden case without argument ", key);
  return values_.at(key);
}

double Arguments::number_or(const std::string& key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

int64_t Arguments::integer_or(const std::string& key, int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

std::string Arguments::text_or(const std::string& key, const std::string& fallback) const {
  return has(key) ? json(key).get<std::string>() : fallback;
}

at::Tensor Arguments::tensor(const std::string& key, at::ScalarType dtype) const {
  std::vector<double> values;
  collect(json(key), values);
  const at::Tensor dense = at::tensor(values, at::kDouble).to(dtype).reshape(shape_of(json(key)));
  if (!strided_ || dense.dim() == 0) {
    return dense;
  }
  if (dense.dim() == 1) {  // every second element of a longer row
    return dense.unsqueeze(1).repeat({1, 2}).select(1, 0);
  }
  return dense.transpose(0, -1).contiguous().transpose(0, -1);
}

Json to_json(const at::Tensor& tensor) {
  const at::Tensor wide = tensor.detach().to(at::kDouble).contiguous();
  return nested(wide.const_data_ptr<double>(), wide.sizes());
}

std::string compare(const Json& got, const Json& expected, const Json& tolerance) {
  for (const auto& [key, want] : expected.items()) {
    if (!got.contains(key)) {
      return key + ": the adapter returned no such value";
    }
    const std::string difference = compare_value(key, got.at(key), want, tolerance.at(key));
    if (!difference.empty()) {
      return difference;
    }
  }
  return "";
}

}  // namespace setun::golden
