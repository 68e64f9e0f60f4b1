// Golden vectors: cases from JSON files, each checked by the adapter registered for its function
// (the name before the slash). Schema and tolerance policy: README.md in this folder.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace setun::golden {

using Json = nlohmann::ordered_json;

// Thrown by an adapter for a parameter value that Setun does not build: the case counts as skipped,
// with the reason.
struct NotBuilt : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A case's keyword arguments. Every case runs twice: with tensors as stored, and with tensors of
// the same values in another memory layout, because layout must not matter.
class Arguments {
 public:
  Arguments(const Json& inputs, const Json& params, bool strided);
  bool has(const std::string& key) const { return values_.contains(key); }
  const Json& json(const std::string& key) const;  // throws when absent
  double number(const std::string& key) const { return json(key).get<double>(); }
  double number_or(const std::string& key, double fallback) const;
  int64_t integer(const std::string& key) const { return json(key).get<int64_t>(); }
  int64_t integer_or(const std::string& key, int64_t fallback) const;
  std::string text_or(const std::string& key, const std::string& fallback) const;
  // Nested lists -> a tensor whose shape is the nesting; fp32 for numbers, int64 on request.
  at::Tensor tensor(const std::string& key, at::ScalarType dtype = at::kFloat) const;

 private:
  Json values_;
  bool strided_;
};

// Returns the values of the case's `expected`, by key.
using Adapter = std::function<Json(const Arguments&)>;
using Adapters = std::map<std::string, Adapter>;

// A tensor as nested lists.
Json to_json(const at::Tensor& tensor);

// "" when `got` meets every expected value within its tolerance, else what differs.
std::string compare(const Json& got, const Json& expected, const Json& tolerance);

// One function per adapters_<topic>.cpp; main.cpp calls them all.
void add_activation_adapters(Adapters& adapters);
void add_gaussian_adapters(Adapters& adapters);
void add_glu_adapters(Adapters& adapters);
void add_loss_adapters(Adapters& adapters);
void add_low_bit_adapters(Adapters& adapters);
void add_mixture_adapters(Adapters& adapters);
void add_optimizer_adapters(Adapters& adapters);
void add_schedule_adapters(Adapters& adapters);
void add_quantizer_adapters(Adapters& adapters);
void add_weight_adapters(Adapters& adapters);

}  // namespace setun::golden
