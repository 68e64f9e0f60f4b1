// A registered operator with its C++ signature, to be kept in a static of the typed call.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace setun::ops {

template <class Signature>
auto find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace setun::ops
