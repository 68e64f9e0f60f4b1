// Shared and device memory, filled with a poison pattern, and asynchronous copies.
#include <cstdlib>

#include "state.h"

namespace cuemu {
namespace {

auto& live = *new std::map<uint64_t, size_t>;

}  // namespace

void* poisoned(size_t bytes, size_t align) {
  const Quiet quiet;
  void* p = nullptr;
  if (posix_memalign(&p, align, bytes == 0 ? 1 : bytes) != 0) {
    std::abort();
  }
  auto* byte = static_cast<volatile unsigned char*>(p);
  for (size_t i = 0; i < bytes; ++i) {
    byte[i] = config.poison;
  }
  return p;
}

void* shared_static(const void* key, size_t bytes, size_t align) {
  const Quiet quiet;
  void*& p = me->block->statics[key];
  if (p == nullptr) {
    p = poisoned(bytes, align < 16 ? 16 : align);
  }
  return p;
}

void* shared_dynamic() { return me->block->dynamic; }

// Late copies are noted and done by the wait; until then ASan lets nobody touch their bytes.
bool cp_issue(const Copy& copy) {
  const Quiet quiet;
  if (config.cp_async_early) {
    return true;
  }
  me->open.push_back(copy);
  if (!config.cp_async_both) {
    poison(copy.dst, static_cast<size_t>(copy.bytes));
  }
  return config.cp_async_both;
}

void cp_commit() {
  const Quiet quiet;
  if (!config.cp_async_early) {
    me->groups.emplace_back(std::move(me->open));
    me->open.clear();
  }
}

// The oldest groups complete first.
bool cp_pop(int keep_groups, Copy* copy) {
  const Quiet quiet;
  auto& groups = me->groups;
  while (groups.size() > static_cast<size_t>(keep_groups)) {
    if (groups.front().empty()) {
      groups.erase(groups.begin());
      continue;
    }
    *copy = groups.front().back();
    groups.front().pop_back();
    if (!config.cp_async_both) {
      unpoison(copy->dst, static_cast<size_t>(copy->bytes));
    }
    return true;
  }
  return false;
}

void* dev_malloc(size_t bytes) {
  void* p = poisoned(bytes, 256);
  live[reinterpret_cast<uint64_t>(p)] = bytes;
  return p;
}

void dev_free(void* p) {
  live.erase(reinterpret_cast<uint64_t>(p));
  std::free(p);
}

const std::map<uint64_t, size_t>& allocations() { return live; }

}  // namespace cuemu
